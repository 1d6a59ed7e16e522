"""The program from outside: what it prints, how it ends, what it leaves behind."""
import os
import pty
import re
import select
import signal
import socket
import subprocess
import termios
import time

import pytest

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
DOPPEL = os.path.join(ROOT, "doppel")
LIMIT = 20


def run(*args, name=None):
    return subprocess.run([name or DOPPEL, *args], stdin=subprocess.DEVNULL, capture_output=True,
                          text=True, timeout=LIMIT)


@pytest.mark.parametrize("args, part", [
    (["-m", "0"], "-m 0:"),
    (["-m", "99999999G"], "cannot set up guest memory: 99999999G"),
    (["-m", "12Q"], "12Q"),
    (["-M", "pc,vmport=x"], "vmport=x"),
    (["-M", "pc,smm=off"], "smm=off"),
    (["-kernel", "/tmp"], "/tmp: it is a directory"),
    (["-kernel", "/nonexistent"], "/nonexistent"),
    (["-bios", "/nonexistent"], "/nonexistent"),
    (["-M", "nonesuch"], "nonesuch"),
    (["-kernal", "x"], "did you mean -kernel?"),
    (["-chardev", "sokcet,id=a"], "did you mean 'socket'?"),
    (["-M", "none", "-serial", "nonesuch"], "-serial nonesuch:"),
    (["-M", "none", "-serial", "tcp:127.0.0.1:1"], "Connection refused"),
    (["-hda", "x"], "-hda x: "),
    (["disk.img"], "disk.img"),
    (["-smp", "4,sockets=3"], "-smp 4,sockets=3:"),
    (["-M", "none", "-pidfile", "/nonexistent/p"], "/nonexistent/p"),
])
def test_refused_with_one_line(args, part):
    # whatever board there is, -M none keeps these from starting one
    p = run(*(["-M", "none"] if args[0] not in ("-M",) else []), *args)
    assert p.returncode == 1
    assert p.stdout == ""
    lines = p.stderr.splitlines()
    assert len(lines) == 1, p.stderr
    assert lines[0].startswith("doppel: ")
    assert part in lines[0]


@pytest.mark.parametrize("args, part", [
    (["-help"], "-kernel file"), (["--help"], "usage: doppel"), (["-M", "help"], "pc "),
    (["-M", "none", "-accel", "help"], "tcg"), (["-d", "?"], "guest_errors"),
    (["-chardev", "help"], "socket"), (["-version"], "9.2.0"), (["-L", "help"], "/usr/share/seabios"),
])
def test_listings(args, part):
    p = run(*args)
    assert p.returncode == 0
    assert p.stderr == ""
    assert part in p.stdout


def test_personality(tmp_path):
    assert run("--version").stdout.startswith("doppel 0.1.0 (QEMU emulator version 9.2.0")
    for name in ("qemu-system-x86_64", "qemu-system-i386", "kvm"):
        link = tmp_path / name
        link.symlink_to(DOPPEL)
        assert run("--version", name=str(link)).stdout.startswith(
            "QEMU emulator version 9.2.0 (doppel 0.1.0)")
        assert run("-bogus", name=str(link)).stderr.startswith(name + ": -bogus: invalid option")


@pytest.mark.parametrize("sig", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_signals_end_it(sig, tmp_path):
    pidfile = tmp_path / "pid"
    p = subprocess.Popen([DOPPEL, "-M", "none", "-serial", "none", "-pidfile", str(pidfile)],
                         stdin=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    wait_for(lambda: pidfile.exists() and pidfile.read_text())
    assert int(pidfile.read_text()) == p.pid
    q = run("-M", "none", "-pidfile", str(pidfile))
    assert q.returncode == 1 and "running process" in q.stderr
    p.send_signal(sig)
    assert p.wait(LIMIT) == 0
    assert f"terminating on signal {int(sig)}" in p.stderr.read()
    assert not pidfile.exists()


def wait_for(cond):
    end = time.monotonic() + LIMIT
    while not cond():
        assert time.monotonic() < end
        select.select([], [], [], 0.005)


def test_terminal_comes_back():
    """-nographic: raw while it runs, Ctrl-A h helps, Ctrl-A x ends it and restores the terminal."""
    master, slave = pty.openpty()
    before = termios.tcgetattr(slave)
    p = subprocess.Popen([DOPPEL, "-M", "none", "-nographic"], stdin=slave, stdout=slave,
                         stderr=slave, start_new_session=True,
                         preexec_fn=lambda: __import__("fcntl").ioctl(0, termios.TIOCSCTTY, 0))
    wait_for(lambda: not termios.tcgetattr(slave)[3] & termios.ICANON)
    assert not termios.tcgetattr(slave)[3] & termios.ISIG  # Ctrl-C is the guest's
    os.write(master, b"\x01h\x01x")
    assert p.wait(LIMIT) == 0
    assert termios.tcgetattr(slave) == before
    shown = b""
    while b"C-a x" not in shown or b"Terminated" not in shown:
        assert select.select([master], [], [], LIMIT)[0], shown
        shown += os.read(master, 4096)
    os.close(master)
    os.close(slave)


def test_signal_restores_the_terminal():
    """SIGTERM is as orderly an end as Ctrl-A x."""
    master, slave = pty.openpty()
    before = termios.tcgetattr(slave)
    p = subprocess.Popen([DOPPEL, "-M", "none", "-nographic"], stdin=slave, stdout=slave,
                         stderr=slave, start_new_session=True)  # not its controlling terminal
    wait_for(lambda: not termios.tcgetattr(slave)[3] & termios.ICANON)
    p.terminate()
    assert p.wait(LIMIT) == 0
    assert termios.tcgetattr(slave) == before
    os.close(master)
    os.close(slave)


def test_failure_leaves_nothing(tmp_path):
    """What was made before the last part failed is gone: pid file, sockets, the terminal's mode."""
    p = run("-pidfile", str(tmp_path / "pid"), "-serial", f"unix:{tmp_path}/a,server,nowait",
            "-monitor", f"unix:{tmp_path}/b,server,nowait", "-gdb", "unix:/nonexistent/x,server,nowait")
    assert p.returncode == 1 and len(p.stderr.splitlines()) == 1
    assert "/nonexistent/x" in p.stderr
    assert os.listdir(tmp_path) == []


def test_daemonize(tmp_path):
    pidfile, sock = tmp_path / "pid", tmp_path / "sock"
    p = run("-M", "none", "-daemonize", "-pidfile", str(pidfile), "-serial",
            f"unix:{sock},server,nowait")
    assert p.returncode == 0, p.stderr
    # all is there when the parent ends
    pid = int(pidfile.read_text())
    try:
        s = socket.socket(socket.AF_UNIX)
        s.connect(str(sock))
        s.close()
        assert os.readlink(f"/proc/{pid}/cwd") == "/"
        assert os.readlink(f"/proc/{pid}/fd/1") == "/dev/null"
    finally:
        os.kill(pid, signal.SIGTERM)
    wait_for(lambda: not pidfile.exists())
    assert not sock.exists()
    p = run("-M", "none", "-daemonize", "-serial", "file:/nonexistent/x")
    assert p.returncode == 1
    assert "/nonexistent/x" in p.stderr


def test_pty_line():
    p = subprocess.Popen([DOPPEL, "-M", "none", "-serial", "pty"], stdin=subprocess.DEVNULL,
                         stdout=subprocess.PIPE, text=True)
    line = p.stdout.readline()
    assert re.match(r"char device redirected to /dev/pts/\d+ \(label serial0\)$", line)
    p.terminate()
    assert p.wait(LIMIT) == 0


def test_no_processor_hotplug_yet():
    p = subprocess.run([DOPPEL, "-display", "none", "-serial", "none", "-monitor", "none",
                        "-smp", "1,maxcpus=4"], stdin=subprocess.DEVNULL, capture_output=True,
                       text=True, timeout=30)
    assert p.returncode == 1
    assert "maxcpus=4" in p.stderr and p.stderr.count("\n") == 1
