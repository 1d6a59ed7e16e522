"""The human monitor as people use it: mistakes with a mark below them, a history that outlives the run, texts
that are typed, several monitors at once."""
import os
import pty
import re
import socket
import stat
import subprocess

from vm import DOPPEL, LIMIT, VM, Monitor, Stream, wait_for

MISTAKES = [  # what is typed, what is said, what the mark stands below
    ("mouse_move 3 abc", "dy is a number", "abc"), ("mouse_move 3 7x", "dy is a number", "x"),
    ("sendkey a 10 20", "nothing more", "20"), ("info status now", "no arguments", "now"),
    ("eject -x ide1-cd0", "no option '-x'", "-x"), ("trace-event foo maybe", "not one of on|off", "maybe"),
    ("  stop now", "no arguments", "now"), ("cpu 1.5", "index is a number", ".5"),
    ("change ide1-cd0 ä raw retain x", "nothing more", "x"), ("change ide1-cd0 f raw foo", "not one of retain", "foo"),
    ("change ide1-cd0", "filename is missing", ""), ("eject", "device is missing", ""),
    ('change ide1-cd0 "no end', "has no end", '"no'), ('change "a"b c', "a word of its own", "b"),
    ("x/4x 1+(2*$nosuch)", "no such register", "nosuch"), ("eject -f -f ide1-cd0", "there twice", "-f ide"),
    ("screendump -f", "format is missing", ""), ("info block -v ide1-cd0 x", "nothing more", "x"),
]


def test_mistakes():
    with VM("-S", monitor=True) as vm:
        for line, says, at in MISTAKES:
            first, again, mark = vm.mon.cmd(line).splitlines()
            assert first.startswith("Error: ") and says in first
            assert again[mark.index("^"):].startswith(at), (again, mark)
        for line in ("savevm", "info snapshots", "drive_mirror x y"):
            assert vm.mon.cmd(line) == f"Error: {line.split(' ')[0] if 'info' not in line else line}: " \
                "not implemented in doppel\n"
        assert vm.mon.cmd("nosuch x") == "unknown command: 'nosuch'\n"


def test_memory_to_files(tmp_path):
    with VM("-S", monitor=True) as vm:
        vm.mon.cmd(f"pmemsave 0xfffff000 4096 {tmp_path}/rom")
        assert (tmp_path / "rom").read_bytes()[0xff0] == 0xea  # the reset vector's far jump
        assert vm.mon.cmd(f"memsave 0 0x10+16 {tmp_path}/mem") == ""
        assert (tmp_path / "mem").stat().st_size == 32
        assert vm.mon.cmd(f'pmemsave 0 0x30 "{tmp_path}/a b"') == ""
        assert (tmp_path / "a b").stat().st_size == 48
        for bad in ("memsave 0 16", f"pmemsave 0 1<<63 {tmp_path}/x", "pmemsave 0 1 /nonexistent/x"):
            assert vm.mon.cmd(bad).startswith("Error: "), bad


ECHO = bytes.fromhex("30e4cd16b40ecd10ebf6")  # each key that comes is shown, by the BIOS


def test_type(tmp_path):
    sector = ECHO + bytes(510 - len(ECHO)) + b"\x55\xaa"
    (tmp_path / "floppy").write_bytes(sector + bytes(1440 * 1024 - 512))
    with VM("-m", "16", "-fda", tmp_path / "floppy", "-k", "de", monitor=True) as vm:
        wait_for(lambda: "Booting from Floppy" in vm.mon.cmd("screendump -t"))
        # the BIOS reads keys by the American layout: what is asked for on a German one is in its places
        text = "zy ZY-" * 10
        assert vm.mon.cmd(f'type "{text}"') == ""
        want = text.translate(str.maketrans("zyZY-", "yzYZ/"))
        wait_for(lambda: want in vm.mon.cmd("screendump -t").replace("\n", ""))
        assert vm.mon.cmd("type \"中\"").startswith("Error: type: ")
        assert vm.mon.cmd("type").startswith("Error: type: text is missing")
        long = "a" * 900
        for _ in range(5):
            got = vm.mon.cmd(f'type "{long}"')
        assert "too much" in got


def on_terminal(tmp, lines, **env):
    """A run with its monitor on a terminal; what came of the lines."""
    master, slave = pty.openpty()
    clean = {k: v for k, v in os.environ.items() if k not in ("HOME", "XDG_STATE_HOME")}
    p = subprocess.Popen([DOPPEL, "-M", "none", "-display", "none", "-monitor", "stdio"], stdin=slave, stdout=slave,
                         stderr=slave, env={**clean, **env}, start_new_session=True)
    os.close(slave)
    s = Stream(master, master)
    try:
        for line in lines:
            s.expect(r"\(qemu\) $", LIMIT)
            s.send(line)
        s.drain()
        assert p.wait(LIMIT) == 0
        return s.text
    finally:
        p.kill()
        p.wait()
        os.close(master)


def test_history(tmp_path):
    """In a file that only its owner reads; passwords are not in it; without a home there is none."""
    secret = ["set_password vnc geheim\r", "change vnc password geheim\r"]
    on_terminal(tmp_path, ["info name\r", *secret, "quit\r"], XDG_STATE_HOME=str(tmp_path / "a" / "b"))
    path = tmp_path / "a" / "b" / "doppel" / "monitor-history"
    assert path.read_text() == "info name\nquit\n"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600 and stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    path.write_text("info version\n\33[2Jevil\n" + path.read_text())
    text = on_terminal(tmp_path, ["info history\r", "\33[A\33[A\33[A\33[A\r", "quit\r"],
                       XDG_STATE_HOME=str(tmp_path / "a" / "b"))
    assert "0: 'info version'\n1: 'info name'\n2: 'quit'\n" in text and "evil" not in text
    assert re.search(r"9\.\d+\.\d+ \(doppel", text)  # info version, recalled
    on_terminal(tmp_path, ["info uuid\r", "quit\r"], HOME=str(tmp_path))
    assert (tmp_path / ".local/state/doppel/monitor-history").read_text() == "info uuid\nquit\n"
    on_terminal(tmp_path, ["info uuid\r", "quit\r"])
    on_terminal(tmp_path, ["info uuid\r", "quit\r"], XDG_STATE_HOME="/proc/nonexistent", HOME="/dev/null")


def test_history_is_bounded(tmp_path):
    path = tmp_path / "doppel" / "monitor-history"
    path.parent.mkdir()
    path.write_text("info name\n" * 40000 + "".join(f"print {n}\n" for n in range(300)))
    on_terminal(tmp_path, ["quit\r"], XDG_STATE_HOME=str(tmp_path))
    assert path.read_text().splitlines() == [f"print {n}" for n in range(200, 300)] + ["quit"]
    path.unlink()
    path.symlink_to(tmp_path / "other")
    on_terminal(tmp_path, ["info name\r", "quit\r"], XDG_STATE_HOME=str(tmp_path))
    assert not (tmp_path / "other").exists()


def test_programs_leave_no_history(tmp_path):
    with VM("-M", "none", monitor=True, env={**os.environ, "XDG_STATE_HOME": str(tmp_path)}) as vm:
        vm.mon.cmd("info name")
    assert list(tmp_path.iterdir()) == []


def test_several_at_once(tmp_path):
    """On a socket, TCP, telnet, a pty and standard input together; each is in a line of its own."""
    p = subprocess.Popen([DOPPEL, "-S", "-display", "none", "-nodefaults", "-monitor", "stdio",
                          "-monitor", f"unix:{tmp_path}/m,server,nowait", "-monitor", "tcp:127.0.0.1:0,server,nowait",
                          "-monitor", "telnet:127.0.0.1:0,server,nowait", "-chardev", "pty,id=p", "-mon", "p"],
                         stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    try:
        first = Stream(p.stdout.fileno(), p.stdin.fileno())
        first.expect(r"\(qemu\) $", LIMIT)
        first.send("info chardev\n")
        text = first.expect(r"(?s)^p: .*^compat_monitor0: .*\(qemu\) $", LIMIT).group(0)
        tcp, telnet = (int(re.search(kind + r":127\.0\.0\.1:(\d+)", text).group(1)) for kind in ("tcp", "telnet"))
        where = re.search(r"pty:(/dev/pts/\d+)", text).group(1)
        lines = [Monitor(tmp_path / "m")]
        socks = [socket.create_connection(("127.0.0.1", port), LIMIT) for port in (tcp, telnet)]
        fd = os.open(where, os.O_RDWR | os.O_NOCTTY)
        lines += [Stream(s.fileno(), s.fileno()) for s in socks] + [Stream(fd, fd)]
        for n, line in enumerate(lines):
            line.send("\n")
            line.expect(r"\(qemu\) ", LIMIT)
            line.send(f"print {n}+1000\n")
        for n, line in enumerate(lines):
            line.expect(f"0x{n + 1000:x}\n", LIMIT)
        lines[2].send("quit\n")
        first.drain()
        assert p.wait(LIMIT) == 0
        os.close(fd)
        for s in socks:
            s.close()
    finally:
        p.kill()
        p.wait()
