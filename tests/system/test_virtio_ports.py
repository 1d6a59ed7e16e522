"""Virtio serial ports, consoles, balloon and input devices in a real guest."""
import hashlib
import os
import re
import socket
import struct

import pytest

import qmp
from test_hotplug import add, machine, remove, wait_guest
from test_network import ready, sh
from vm import STEP, VM, wait_for

MIB = 1 << 20


def connect(path):
    s = socket.socket(socket.AF_UNIX)
    wait_for(lambda: s.connect_ex(str(path)) == 0)
    s.settimeout(STEP)
    return s


def receive(s, count):
    data = b""
    while len(data) < count:
        part = s.recv(1 << 16)
        assert part
        data += part
    return data


@pytest.mark.usefixtures("guests")
def test_port(tmp_path):
    """Bytes each way, names, who is there at each end; a host that does not read stops nobody but the writer."""
    path, arg = qmp.address(tmp_path)
    with machine("-device", "virtio-serial-pci,id=vs", "-chardev", f"socket,id=c,path={tmp_path}/port,server=on,wait=off",
                 "-device", "virtserialport,chardev=c,name=org.test.0,id=p", "-qmp", arg) as vm, qmp.Qmp(path) as q:
        ready(vm)
        wait_guest(vm, "[ -e /dev/vport0p1 ]")
        assert "org.test.0" in sh(vm, "cat /sys/class/virtio-ports/vport0p1/name")
        s = connect(tmp_path / "port")
        sh(vm, "exec 5<>/dev/vport0p1")
        assert q.event("VSERPORT_CHANGE") == {"id": "p", "open": True}
        s.sendall(b"hello\n")
        assert "hello" in sh(vm, "head -n 1 <&5")
        sh(vm, "exec 5>&-")
        assert q.event("VSERPORT_CHANGE") == {"id": "p", "open": False}
        data = os.urandom(3 * MIB)
        (tmp_path / "d").write_bytes(data)
        sh(vm, "(md5sum /dev/vport0p1 >/tmp/sum) & true")
        assert q.event("VSERPORT_CHANGE") == {"id": "p", "open": True}
        s.sendall(data)
        s.close()
        wait_guest(vm, f"grep -q {hashlib.md5(data).hexdigest()} /tmp/sum")
        # nobody reads: the writer waits, the guest does not
        s = connect(tmp_path / "port")
        sh(vm, "(cat /dev/zero >/dev/vport0p1) & true")
        for _ in range(20):
            assert "alive" in sh(vm, "echo alive; sleep 0.1")
        assert receive(s, 8 * MIB).strip(b"\0") == b""
        assert "alive" in sh(vm, "echo alive")
        sh(vm, "killall cat; true")


@pytest.mark.usefixtures("guests")
def test_console(tmp_path):
    """A shell on /dev/hvc0; a console that nobody reads does not stop the guest."""
    with machine("-device", "virtio-serial", "-chardev", f"socket,id=c,path={tmp_path}/con,server=on,wait=off", "-device",
                 "virtconsole,chardev=c") as vm:
        ready(vm)
        wait_guest(vm, "[ -e /dev/hvc0 ]")
        s = connect(tmp_path / "con")
        sh(vm, "(setsid sh -i </dev/hvc0 >/dev/hvc0 2>&1) & true")
        s.sendall(b"echo $((6*7))-from-here\n")
        got = b""
        while b"42-from-here" not in got:
            got += s.recv(4096)
        sh(vm, "(dd if=/dev/zero of=/dev/hvc0 bs=4k count=500) & true")
        assert "alive" in sh(vm, "sleep 1; echo alive")


@pytest.mark.usefixtures("guests")
def test_ports_come_and_go(tmp_path):
    with machine("-chardev", "ringbuf,id=r0", "-chardev", "ringbuf,id=r1", "-device", "virtio-serial-pci,id=vs") as vm:
        ready(vm)
        for _ in range(3):
            add(vm, "virtserialport,chardev=r0,name=a,id=a,bus=vs.0")
            wait_guest(vm, "grep -q ^a /sys/class/virtio-ports/vport*/name")
            sh(vm, "echo to-host >/dev/vport0p1")
            add(vm, "virtserialport,chardev=r1,name=b,id=b,bus=vs.0")
            wait_guest(vm, "grep -q ^b /sys/class/virtio-ports/vport*/name")
            remove(vm, "a")
            wait_guest(vm, "[ ! -e /dev/vport0p1 ]")
            remove(vm, "b")
            wait_guest(vm, "[ ! -e /dev/vport0p2 ]")
        add(vm, "virtserialport,chardev=r0,name=a,id=a,nr=7")
        remove(vm, "vs")
        assert "virtserialport" not in vm.mon.cmd("info qtree")
        assert vm.mon.cmd("chardev-remove r0") == ""


@pytest.mark.usefixtures("guests")
def test_saved_state(tmp_path):
    args = ("-device", "virtio-serial-pci,id=vs", "-chardev", f"socket,id=c,path={tmp_path}/port,server=on,wait=off",
            "-device", "virtserialport,chardev=c,name=x,id=p")
    with machine(*args) as vm:
        ready(vm)
        s = connect(tmp_path / "port")
        sh(vm, "exec 5<>/dev/vport0p1; echo first >&5")
        assert receive(s, 6) == b"first\n"
        sh(vm, "(cat /dev/zero >&5) & sleep 0.3")  # full when it is saved
        assert vm.mon.cmd(f"migrate file:{tmp_path}/state") == ""
    with machine(*args, "-incoming", f"file:{tmp_path}/state") as vm:
        vm.mon.cmd("cont")
        vm.send("\n")
        s = connect(tmp_path / "port")
        receive(s, MIB)
        sh(vm, "killall cat; true")


@pytest.mark.usefixtures("guests")
def test_balloon(tmp_path):
    """Memory goes to the host and comes back; statistics; free pages are given back by themselves."""
    path, arg = qmp.address(tmp_path)
    with machine("-device", "virtio-balloon-pci,free-page-reporting=on,guest-stats-polling-interval=1", "-qmp", arg) as vm, \
            qmp.Qmp(path) as q:
        ready(vm)

        def total():
            return int(re.search(r"^total=(\d+)", sh(vm, "echo total=$(sed -n 's/MemTotal: *//p' /proc/meminfo)"), re.M)[1])

        def host():
            with open(f"/proc/{vm.p.pid}/smaps_rollup") as f:
                return int([line for line in f if line.startswith("Pss_Shmem")][0].split()[1])

        before = total()
        sh(vm, "dd if=/dev/zero of=/tmp/fill bs=1M count=64 2>/dev/null")
        filled = host()
        sh(vm, "rm /tmp/fill")
        wait_for(lambda: host() < filled - 50 * 1024, STEP)  # reported as free
        assert q.cmd("query-balloon") == {"actual": 256 * MIB}
        assert vm.mon.cmd("balloon 128") == ""
        wait_for(lambda: "actual=128" in vm.mon.cmd("info balloon"), STEP)
        assert q.event("BALLOON_CHANGE")["actual"] <= 256 * MIB
        wait_guest(vm, f"[ $(sed -n 's/MemTotal: *\\([0-9]*\\).*/\\1/p' /proc/meminfo) -lt {before - 120 * 1024} ]")
        wait_for(lambda: f"stat-total-memory {total() * 1024}" in vm.mon.cmd("info qtree"), STEP)
        q.cmd("balloon", value=256 * MIB)
        wait_for(lambda: "actual=256" in vm.mon.cmd("info balloon"), STEP)
        wait_guest(vm, f"[ $(sed -n 's/MemTotal: *\\([0-9]*\\).*/\\1/p' /proc/meminfo) -ge {before} ]")
        sh(vm, "dd if=/dev/zero of=/tmp/fill bs=1M count=64 2>/dev/null; rm /tmp/fill")
        assert q.error("balloon", value=0)[0] == "GenericError"


def test_no_balloon(tmp_path):
    path, arg = qmp.address(tmp_path)
    with VM("-S", "-qmp", arg) as _, qmp.Qmp(path) as q:
        assert q.error("query-balloon") == ("DeviceNotActive", "No balloon device has been activated")


@pytest.mark.usefixtures("guests")
def test_input():
    """What the user does comes to evdev, by the device that was plugged in last; the lamps come back."""
    with machine("-device", "virtio-keyboard-pci", "-device", "virtio-tablet-pci", "-device", "virtio-mouse-pci") as vm:
        ready(vm)
        text = sh(vm, "cat /proc/bus/input/devices")
        for name in ("Keyboard", "Mouse", "Tablet"):
            assert f"QEMU Virtio {name}" in text

        def reads(name, *commands):
            """The events, as type, code and value, of what the monitor does."""
            sh(vm, "e=$(grep -l 'Virtio %s' /sys/class/input/event*/device/name); e=${e%%/device/name}; e=${e##*/}; "
               "(dd if=/dev/input/$e bs=24 count=%d 2>/dev/null | hexdump -v -e '24/1 \"%%02x\" \"\\n\"' >/tmp/ev) & "
               "sleep 0.5" % (name, commands[0]))
            for c in commands[1:]:
                assert vm.mon.cmd(c) == ""
            lines = sh(vm, "wait; cat /tmp/ev").split("\n")[-commands[0] - 1:-1]
            return [struct.unpack("<HHi", bytes.fromhex(line)[16:]) for line in lines]

        sync = (0, 0, 0)
        assert reads("Keyboard", 4, "sendkey ret") == [(1, 28, 1), sync, (1, 28, 0), sync]
        assert reads("Mouse", 3, "mouse_move 5 -7") == [(2, 0, 5), (2, 1, -7), sync]
        assert reads("Mouse", 4, "mouse_button 1", "mouse_button 0") == [(1, 272, 1), sync, (1, 272, 0), sync]
        assert "QEMU Virtio Mouse" in vm.mon.cmd("info mice")
