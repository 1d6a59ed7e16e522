"""VNC passwords: who is let in, when, and how they are set."""
import os
import shutil
import subprocess
import time

import pytest

import rfb
from vm import DOPPEL, LIMIT, ROOT, VM, run, wait_for

pytestmark = [pytest.mark.skipif("CONFIG_VNC" not in open(os.path.join(ROOT, "config.h")).read(),
                                 reason="built without libvncserver"),
              pytest.mark.skipif(shutil.which("openssl") is None, reason="no openssl to encrypt with")]


def served(tmp, *args, vnc=",password=on"):
    return VM("-S", "-vnc", f"unix:{tmp}/s{vnc}", *args, monitor=True)


def enters(tmp, password, **kw):
    try:
        with rfb.Client(tmp / "s", password=password, **kw) as c:
            c.full()
            return True
    except rfb.Error as e:
        assert "refused" in str(e)
        return False


@pytest.mark.parametrize("version", [b"RFB 003.003\n", b"RFB 003.007\n", b"RFB 003.008\n"])
def test_versions(tmp_path, version):
    with served(tmp_path) as vm:
        assert vm.mon.cmd("set_password vnc tOp%5cret") == ""
        assert enters(tmp_path, "tOp%5cret", version=version)
        assert not enters(tmp_path, "tOp%5cr", version=version)
        assert enters(tmp_path, "tOp%5cretXYZ", version=version)  # eight characters count
        with pytest.raises(rfb.Error, match="security type"):
            rfb.Client(tmp_path / "s", version=version)
        assert "Auth: vnc (Sub: none)" in vm.mon.cmd("info vnc")


def test_set_and_expire(tmp_path):
    """Nobody comes in before there is a password, nor after it expired; those inside stay."""
    with served(tmp_path) as vm:
        assert not enters(tmp_path, "")
        vm.mon.cmd("set_password vnc one")
        with rfb.Client(tmp_path / "s", password="one") as c:
            c.full()
            vm.mon.cmd("change vnc password two")
            assert not enters(tmp_path, "one") and enters(tmp_path, "two")
            vm.mon.cmd("expire_password vnc now")
            assert not enters(tmp_path, "two")
            vm.mon.cmd("expire_password vnc +1000")
            assert enters(tmp_path, "two")
            vm.mon.cmd(f"expire_password vnc {int(time.time()) - 1}")
            assert not enters(tmp_path, "two")
            vm.mon.cmd("expire_password vnc never -d default")
            assert enters(tmp_path, "two")
            c.full()
        for bad in ("set_password spice x", "set_password vnc x -d other", "expire_password vnc soon",
                    "set_password vnc", "set_password vnc x disconnect"):
            assert vm.mon.cmd(bad).startswith("Error: "), bad
        assert enters(tmp_path, "two")
    with served(tmp_path, vnc="") as vm:
        assert "password=on" in vm.mon.cmd("set_password vnc x")


def test_asked(tmp_path):
    """`change vnc password` asks, and does not show what is typed."""
    with served(tmp_path) as vm:
        m = vm.mon
        m.send("change vnc password\n")
        m.expect(r"^Password: $", LIMIT)
        m.send("wrong\x15se crex\x7ft\n")
        m.expect(r"\n\(qemu\) $", LIMIT)
        assert "crex" not in m.text and "wrong" not in m.text
        assert enters(tmp_path, "se cret")
        m.send("change vnc password\n")
        m.expect(r"^Password: $", LIMIT)
        m.send("x\x03")
        m.expect(r"\n\(qemu\) $", LIMIT)
        assert enters(tmp_path, "se cret") and m.cmd("info name") is not None
        m.send("\x10\x10")
        m.expect("change vnc password$", LIMIT)  # the history has commands only


def test_slowed(tmp_path):
    """Each wrong password in a row is answered later; another client is served meanwhile."""
    with served(tmp_path) as vm:
        vm.mon.cmd("set_password vnc right")
        times = []
        for _ in range(3):
            start = time.monotonic()
            assert not enters(tmp_path, "guess")
            times.append(time.monotonic() - start)
        assert times[0] >= 0.25 and times[1] >= 0.5 and times[2] >= 1
        start = time.monotonic()
        assert enters(tmp_path, "right") and time.monotonic() - start < 1 + LIMIT / 10


def test_secret(tmp_path):
    (tmp_path / "pw").write_text("ZnJvbWZpbGU=")  # "fromfile"
    with served(tmp_path, "-object", f"secret,id=pw,file={tmp_path}/pw,format=base64",
                vnc=",password-secret=pw"):
        assert enters(tmp_path, "fromfile") and not enters(tmp_path, "ZnJvbWZp")
    p = run("-S", "-vnc", "none,password-secret=nonesuch")
    assert p.returncode == 1 and "nonesuch" in p.stderr and p.stderr.count("\n") == 1


def test_change_display(tmp_path):
    """change vnc DISPLAY: at the new place with the old password; a place that cannot be leaves all as it was."""
    with served(tmp_path) as vm:
        vm.mon.cmd("set_password vnc pw")
        assert "Error: " in vm.mon.cmd(f"change vnc unix:{tmp_path}/no/such")
        assert "Error: " in vm.mon.cmd("change vnc nonesuch")
        assert enters(tmp_path, "pw")
        assert vm.mon.cmd(f"change vnc unix:{tmp_path}/t,password=on") == ""
        assert not (tmp_path / "s").exists()
        (tmp_path / "t").rename(tmp_path / "s")
        assert enters(tmp_path, "pw")
        assert vm.mon.cmd("info vnc").count("Server:") == 1


def test_change_display_often(tmp_path):
    """Each change hangs up on viewers whose threads end after it."""
    with VM("-S", "-vnc", f"unix:{tmp_path}/v", monitor=True) as vm:
        for _ in range(20):
            clients = [rfb.Client(tmp_path / "v") for _ in range(5)]
            for c in clients:
                c.full()
            assert vm.mon.cmd(f"change vnc unix:{tmp_path}/v") == ""
        assert vm.mon.cmd("info status") == "VM status: paused (prelaunch)\n"


@pytest.mark.skipif(shutil.which("vncviewer") is None or shutil.which("Xvfb") is None, reason="no TigerVNC viewer")
def test_tigervnc(tmp_path):
    """Another's implementation of the password."""
    hide = bytes((23, 82, 107, 6, 35, 78, 88, 7)).decode("latin-1")  # the key of its password files
    (tmp_path / "passwd").write_bytes(rfb.des(hide, b"pass1234"))
    with VM("-S", "-vnc", "127.0.0.1:40,to=90,password=on", monitor=True) as vm:
        vm.mon.cmd("set_password vnc pass1234")
        port = vm.mon.cmd("info vnc").split("127.0.0.1:")[1].split()[0]
        with open(tmp_path / "display", "w+") as d:
            x = subprocess.Popen(["Xvfb", "-displayfd", str(d.fileno()), "-nolisten", "tcp"],
                                 pass_fds=[d.fileno()], stderr=subprocess.DEVNULL)
            v = None
            try:
                display = wait_for(lambda: open(d.name).read().strip())
                v = subprocess.Popen(["vncviewer", "-passwd", tmp_path / "passwd", f"127.0.0.1::{port}"],
                                     env={**os.environ, "DISPLAY": f":{display}"}, stdout=subprocess.DEVNULL,
                                     stderr=subprocess.DEVNULL)
                wait_for(lambda: "Client: " in vm.mon.cmd("info vnc"))
            finally:
                for p in filter(None, (v, x)):
                    p.kill()
                    p.wait()
