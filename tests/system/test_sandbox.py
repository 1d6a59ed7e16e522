"""-sandbox on: each thread is confined, what an intruder would call is stopped in each, and what users do still works."""
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


def status(pid, thread, field):
    return re.search(rf"^{field}:\t(\d+)", open(f"/proc/{pid}/task/{thread}/status").read(), re.M).group(1)


@pytest.mark.usefixtures("guests")
def test_machine(tmp_path):
    """Linux, its disc, another disc, a viewer, a picture, a saved state; each thread has filters and no new privileges."""
    discs = [make_iso(tmp_path, name, {"name": name.encode()}) for name in ("first", "second")]
    with machine("-sandbox", "on", "-vga", "std", "-vnc", f"unix:{tmp_path}/v", "-cdrom", discs[0], monitor=True) as m, \
            rfb.Client(tmp_path / "v") as c:
        c.full()
        answer(m, "mkdir /cd; mount -t iso9660 -o ro /dev/sr0 /cd && grep -q first /cd/name && umount /cd")
        assert m.mon.cmd(f"change ide1-cd0 {discs[1]}") == ""
        answer(m, "mount -t iso9660 -o ro /dev/sr0 /cd && grep -q second /cd/name && umount /cd")
        assert m.mon.cmd(f"screendump {tmp_path}/x.png -f png") == "" and (tmp_path / "x.png").stat().st_size > 0
        assert "Could not open" in m.mon.cmd("change ide1-cd0 /proc/self/mem")
        assert "Could not open" in m.mon.cmd("change ide1-cd0 /nonesuch")
        have = threads(m.p.pid)
        assert sorted(n for n in have.values() if n in ("block", "vnc")) == ["block"] * 4 + ["vnc"]
        for t in have:
            assert (status(m.p.pid, t, "NoNewPrivs"), status(m.p.pid, t, "Seccomp")) == ("1", "2"), have[t]
        m.mon.cmd(f"migrate file:{tmp_path}/state")
        assert (tmp_path / "state").stat().st_size > 1 << 20
        m.mon.send("quit\n")
        assert m.wait() == 0


CALLS = {  # what it answers: -1 and EPERM, or the process's end
    "open": '(int)open("/etc/passwd", 0)',
    "socket": "(int)socket(2, 1, 0)",
    "exec": '(int)execl("/bin/true", "true", (char *)0)',
    "ptrace": "(int)ptrace(0, 0, 0, 0)",
}


@pytest.mark.skipif(not shutil.which("gdb"), reason="no gdb (package)")
@pytest.mark.parametrize("call", CALLS)
@pytest.mark.parametrize("thread", ["loop", "processor", "block", "vnc"])
def test_intruder(tmp_path, thread, call):
    """A debugger makes a thread call what an intruder would: it is refused, or ends the process."""
    disk = tmp_path / "disk"
    disk.write_bytes(bytes(1 << 20))
    with VM("-sandbox", "on", "-vnc", f"unix:{tmp_path}/v", "-hda", disk, monitor=True) as m, rfb.Client(tmp_path / "v") as c:
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
        out = subprocess.run(["gdb", "-batch", "-nx", "-p", str(m.p.pid), "-ex", "set confirm off", "-ex", "python\n"
                              f"[x.switch() for x in gdb.selected_inferior().threads() if x.ptid[1] == {t}]\nend",
                              "-ex", f"print {CALLS[call]}", "-ex", "print (int)*(int *)__errno_location()"],
                             capture_output=True, text=True, timeout=2 * LIMIT).stdout
        if call in ("exec", "ptrace"):
            assert m.p.wait(LIMIT) == -signal.SIGSYS, out
        else:
            assert re.search(r"\$1 = -1\n\$2 = 1\n", out), out


def test_broker_ends(tmp_path):
    """The broker's process ends with the machine's, however that ends."""
    with VM("-S", "-sandbox", "on", monitor=True) as m:
        children = open(f"/proc/{m.p.pid}/task/{m.p.pid}/children").read().split()
        assert [open(f"/proc/{c}/comm").read() for c in children] == ["doppel-broker\n"]
        m.p.kill()
        wait_for(lambda: not os.path.exists(f"/proc/{children[0]}"))
