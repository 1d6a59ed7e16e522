"""The sandbox: each thread is confined, what an intruder would call is stopped in each, and what users do still works."""
import os
import re
import shutil
import signal
import subprocess

import pytest

import rfb
from test_disks import answer, machine, make_iso
from test_vnc import pytestmark as needs_vnc
from vm import LIMIT, VM, wait_for

pytestmark = needs_vnc


def threads(pid):
    """{thread: name}"""
    return {int(t): open(f"/proc/{pid}/task/{t}/comm").read().strip() for t in os.listdir(f"/proc/{pid}/task")}


def wait_named(pid, *names):
    """All threads, when those of the names that are among @names are just these."""
    def of_them():
        return sorted(n for n in threads(pid).values() if n in names)
    wait_for(lambda: of_them() == sorted(names))  # a thread gives itself its name, some time after it was made
    return threads(pid)


def status(pid, thread, field):
    return re.search(rf"^{field}:\t(\d+)", open(f"/proc/{pid}/task/{thread}/status").read(), re.M).group(1)


@pytest.mark.usefixtures("guests")
def test_machine(tmp_path):
    """Linux, its disc, another disc, a viewer, a picture, a saved state; each thread has filters and no new privileges."""
    discs = [make_iso(tmp_path, name, {"name": name.encode()}) for name in ("first", "second")]
    with machine("-vga", "std", "-vnc", f"unix:{tmp_path}/v", "-cdrom", discs[0], monitor=True) as m, \
            rfb.Client(tmp_path / "v") as c:
        c.full()
        answer(m, "mkdir /cd; mount -t iso9660 -o ro /dev/sr0 /cd && grep -q first /cd/name && umount /cd")
        assert m.mon.cmd(f"change ide1-cd0 {discs[1]}") == ""
        answer(m, "mount -t iso9660 -o ro /dev/sr0 /cd && grep -q second /cd/name && umount /cd")
        assert m.mon.cmd(f"screendump {tmp_path}/x.png -f png") == "" and (tmp_path / "x.png").stat().st_size > 0
        assert "Could not open" in m.mon.cmd("change ide1-cd0 /proc/self/mem")
        assert "Could not open" in m.mon.cmd("change ide1-cd0 /nonesuch")
        have = wait_named(m.p.pid, *["block"] * 4, "vnc")
        for t in have:
            assert (status(m.p.pid, t, "NoNewPrivs"), status(m.p.pid, t, "Seccomp")) == ("1", "2"), have[t]
        m.mon.cmd(f"migrate file:{tmp_path}/state")
        assert (tmp_path / "state").stat().st_size > 1 << 20
        m.mon.send("quit\n")
        assert m.wait() == 0


def test_ring(tmp_path):
    """aio=io_uring and native: their threads are confined too; what was not set up at the start cannot be any more."""
    for name in "abc":
        (tmp_path / name).write_bytes(bytes(1 << 20))
    disk = f"if=virtio,format=raw,file={tmp_path}"
    with VM("-drive", f"{disk}/a,aio=io_uring", monitor=True) as m:
        have = wait_named(m.p.pid, *["block"] * 4, "aio")
        for t in have:
            wait_for(lambda t=t: (status(m.p.pid, t, "NoNewPrivs"), status(m.p.pid, t, "Seccomp")) == ("1", "2"))
        assert "OK" in m.mon.cmd(f"drive_add 0 if=none,id=b,format=raw,file={tmp_path}/b,aio=io_uring")
        assert "aio=native: a confined process" in m.mon.cmd(
            f"drive_add 0 if=none,id=c,format=raw,file={tmp_path}/c,cache=none,aio=native")
    with VM("-drive", f"{disk}/a", monitor=True) as m:
        assert "aio=io_uring: a confined process" in m.mon.cmd(
            f"drive_add 0 if=none,id=b,format=raw,file={tmp_path}/b,aio=io_uring")


CALLS = {  # what it answers: -1 and EPERM, or the process's end
    "open": '(int)open("/etc/passwd", 0)',
    "socket": "(int)socket(2, 1, 0)",
    "exec": '(int)execl("/bin/true", "true", (char *)0)',
    "ptrace": "(int)ptrace(0, 0, 0, 0)",
}


def intruder(pid, thread, *calls):
    """What a debugger prints of calls that it makes a thread of the process do, each followed by errno."""
    lines = [x for call in calls for x in ("-ex", f"print {call}", "-ex", "print (int)*(int *)__errno_location()")]
    return subprocess.run(["gdb", "-batch", "-nx", "-p", str(pid), "-ex", "set confirm off", "-ex", "python\n"
                           f"[x.switch() for x in gdb.selected_inferior().threads() if x.ptid[1] == {thread}]\nend",
                           *lines], capture_output=True, text=True, timeout=2 * LIMIT).stdout


@pytest.mark.skipif(not shutil.which("gdb"), reason="no gdb (package)")
@pytest.mark.parametrize("call", CALLS)
@pytest.mark.parametrize("thread", ["loop", "processor", "block", "vnc"])
def test_intruder(tmp_path, thread, call):
    """A debugger makes a thread call what an intruder would: it is refused, or ends the process."""
    disk = tmp_path / "disk"
    disk.write_bytes(bytes(1 << 20))
    with VM("-vnc", f"unix:{tmp_path}/v", "-hda", disk, monitor=True) as m, rfb.Client(tmp_path / "v") as c:
        c.full()
        have = threads(m.p.pid)
        wait_for(lambda: "vnc" in threads(m.p.pid).values())
        have = threads(m.p.pid)
        if thread == "loop":
            t = m.p.pid
        elif thread == "processor":
            t = next(t for t in have if t != m.p.pid and have[t] not in ("block", "vnc"))
        else:
            t = next(t for t in have if have[t] == thread)
        out = intruder(m.p.pid, t, CALLS[call])
        if call in ("exec", "ptrace"):
            assert m.p.wait(LIMIT) == -signal.SIGSYS, out
        else:
            assert re.search(r"\$1 = -1\n\$2 = 1\n", out), out


@pytest.mark.skipif(not shutil.which("gdb"), reason="no gdb (package)")
def test_user_network(tmp_path):
    """With one the loop makes sockets of the internet, and reads what names the name servers; nothing else of the host."""
    pytest.importorskip("ctypes").CDLL("libslirp.so.0")
    (tmp_path / "tftp").mkdir()
    for name in ("tftp/file", "other"):
        (tmp_path / name).write_text("x")
    with VM("-nic", f"user,tftp={tmp_path}/tftp", monitor=True) as m:
        out = intruder(m.p.pid, m.p.pid, *(f'(int)open("{path}", {flags})' for path, flags in (
            ("/etc/resolv.conf", 0), (f"{tmp_path}/tftp/file", 0), ("/etc/passwd", 0), (f"{tmp_path}/other", 0),
            (f"{tmp_path}/tftp/file", os.O_RDWR), (f"{tmp_path}/tftp/new", os.O_WRONLY | os.O_CREAT))),
            "(int)socket(2, 1, 0)", "(int)socket(10, 2, 0)", "(int)socket(1, 1, 0)", "(int)socket(17, 3, 0)")
        got = [int(n) for n in re.findall(r"^\$\d+ = (-?\d+)$", out, re.M)]
        assert len(got) == 20, out
        results = list(zip(got[::2], got[1::2]))
        allowed = [r >= 0 for r, _ in results]
        assert allowed == [os.path.exists("/etc/resolv.conf"), True] + 4 * [False] + [True, True, False, False], results
    with VM("-S", monitor=True) as m:
        assert "confined without a user network" in m.mon.cmd("netdev_add user,id=x")


def test_broker_ends(tmp_path):
    """The broker's process ends with the machine's, however that ends."""
    with VM("-S", monitor=True) as m:
        children = open(f"/proc/{m.p.pid}/task/{m.p.pid}/children").read().split()
        assert [open(f"/proc/{c}/comm").read() for c in children] == ["doppel-broker\n"]
        m.p.kill()
        wait_for(lambda: not os.path.exists(f"/proc/{children[0]}"))
