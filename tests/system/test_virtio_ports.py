"""Virtio serial ports, consoles, balloon and input devices in a real guest."""
import hashlib
import os
import socket

import pytest

import qmp
from test_hotplug import add, machine, remove, wait_guest
from test_network import ready, sh
from vm import LIMIT, STEP, PROMPT, wait_for

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
