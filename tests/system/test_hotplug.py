"""Cards and disks that come and go in a real guest, by ACPI: Debian's kernel with acpiphp and its own drivers."""
import os
import re

import pytest

import qmp
from test_network import dhcp, ready, sh
from vm import STEP, VM, linux, wait_for

MIB = 1 << 20
CARDS = {"e1000": "8086:100e", "rtl8139": "10ec:8139", "ne2k_pci": "10ec:8029", "pcnet": "1022:2000",
         "virtio-net-pci": "1af4:1000"}


def machine(*args, **kw):
    return linux("amd64", "-m", "256", *args, initrd="initrd-amd64-plug", monitor=True, **kw)


def wait_guest(vm, condition, limit=STEP):
    """Until a test of the guest's shell holds."""
    sh(vm, f"n=0; until {condition}; do n=$((n+1)); [ $n -lt 1000 ] || false || break; sleep 0.05; done; {condition}", limit)


def add(vm, text):
    assert vm.mon.cmd(f"device_add {text}") == ""


def add_drive(vm, tmp_path):
    """The drive of the last disk went with that."""
    assert vm.mon.cmd(f"drive_add 0 if=none,id=d,file={tmp_path}/disk,format=raw") == "OK\n"


def remove(vm, name):
    assert vm.mon.cmd(f"device_del {name}") == ""
    wait_for(lambda: f'id "{name}"' not in vm.mon.cmd("info qtree"), STEP)


@pytest.mark.usefixtures("guests")
@pytest.mark.parametrize("card", CARDS)
def test_card(card):
    """A card comes, gets an address, and goes; its network takes the next one."""
    with machine("-netdev", "user,id=n", "-d", "guest_errors") as vm:
        ready(vm)
        for n in range(3):
            add(vm, f"{card},netdev=n,id=card")
            wait_guest(vm, "[ -e /sys/class/net/eth0 ]")
            assert "10.0.2.15" in dhcp(vm)
            assert "2 packets received" in sh(vm, "ping -c 2 -i 0.2 10.0.2.2")
            if n == 1:
                sh(vm, "ping -A 10.0.2.2 >/dev/null 2>&1 & true")  # it is busy when it goes
            remove(vm, "card")
            wait_guest(vm, "[ ! -e /sys/class/net/eth0 ]")
        assert vm.mon.cmd("netdev_del n") == ""


@pytest.mark.usefixtures("guests")
def test_disk(tmp_path):
    """A disk comes and goes, once while it is written to."""
    data = os.urandom(4 * MIB)
    (tmp_path / "disk").write_bytes(data)
    with machine() as vm:
        ready(vm)
        for n in range(3):
            add_drive(vm, tmp_path)
            add(vm, "virtio-blk-pci,drive=d,id=disk,serial=s%d" % n)
            wait_guest(vm, f'[ "$(cat /sys/block/vda/serial 2>/dev/null)" = s{n} ]')
            assert f"{4 * MIB}" in sh(vm, "cat /dev/vda | wc -c")
            if n == 1:
                sh(vm, "(while [ -b /dev/vda ] && dd if=/dev/zero of=/dev/vda bs=4k count=900 conv=fsync; do :; done) >/dev/null 2>&1 & true")
            remove(vm, "disk")
            wait_guest(vm, "[ ! -e /sys/block/vda ]")
            sh(vm, "wait; rm -f /dev/vda")


@pytest.mark.usefixtures("guests")
def test_many(tmp_path):
    """As many as there are slots, at once; and all of them go."""
    models = ["virtio-rng-pci", "e1000", "rtl8139", "virtio-net-pci"]
    with machine("-device", "virtio-rng-pci,id=first") as vm:
        ready(vm)
        for n in range(28):
            add(vm, f"{models[n % 4]},id=c{n}")
        assert "no free slot" in vm.mon.cmd("device_add virtio-rng-pci,id=one-more")
        wait_guest(vm, "[ $(ls /sys/bus/pci/devices | wc -l) = 34 ]", STEP * 2)
        for n in range(28):
            assert vm.mon.cmd(f"device_del c{n}") == ""
        wait_for(lambda: not re.search(r'id "c\d+"', vm.mon.cmd("info qtree")), STEP * 2)
        wait_guest(vm, "[ $(ls /sys/bus/pci/devices | wc -l) = 6 ]")
        remove(vm, "first")  # what was there at the start may go too


AGAIN = [*CARDS, "virtio-blk-pci,drive=d"]
OTHERS = ["virtio-scsi-pci", "virtio-serial-pci", "virtio-balloon-pci", "virtio-rng-pci", "virtio-keyboard-pci", "virtio-tablet-pci",
          "virtio-net-pci,packed=on", "virtio-blk-pci,drive=d,packed=on"]


@pytest.mark.usefixtures("guests")
@pytest.mark.parametrize("what, count", [*[(w, 8) for w in AGAIN],
                                         *[pytest.param(w, 50, marks=pytest.mark.full) for w in AGAIN + OTHERS]])
def test_again_and_again(tmp_path, what, count):
    (tmp_path / "disk").write_bytes(bytes(MIB))
    with machine() as vm:
        ready(vm)
        for n in range(count):
            slot = 3 + n % 9
            if "drive=" in what:
                add_drive(vm, tmp_path)
            add(vm, f"{what},id=x,addr={slot:x}")
            seen = "/sys/block/vda" if "blk" in what else f"/sys/bus/pci/devices/0000:00:{slot:02x}.0/driver"
            wait_guest(vm, f"[ -e {seen} ]" if what in OTHERS or "blk" in what else "[ -e /sys/class/net/eth0 ]")
            remove(vm, "x")
        wait_guest(vm, f"[ ! -e {seen} ]")
        assert "MemAvailable" in sh(vm, "cat /proc/meminfo")


@pytest.mark.usefixtures("guests")
@pytest.mark.parametrize("count", [6, pytest.param(40, marks=pytest.mark.full)])
def test_busy(tmp_path, count):
    """An rtl8139 comes and goes, in use, while two processors have no time for it: nothing ends, nothing else stops."""
    (tmp_path / "disk").write_bytes(bytes(8 * MIB))
    args = ("-smp", "2", "-netdev", "user,id=n", "-netdev", "user,id=m,net=10.0.3.0/24", "-device", "virtio-net-pci,netdev=m",
            "-drive", f"if=virtio,file={tmp_path}/disk,format=raw")
    with machine(*args) as vm:
        ready(vm)
        dhcp(vm)
        sh(vm, "echo 1 >/tmp/go; (while [ -e /tmp/go ]; do dd if=/dev/vda of=/dev/vda bs=64k conv=fsync,notrunc; done) "
               ">/dev/null 2>&1 & (ping -A -s 1400 10.0.3.2 >/dev/null 2>&1) & "
               "for n in 1 2 3; do (while [ -e /tmp/go ]; do :; done) & done; true")
        for n in range(count):
            add(vm, f"rtl8139,netdev=n,id=x,addr={5 + n % 5:x}")
            if n % 3 < 2:  # now and then it goes before the guest has looked at it
                wait_guest(vm, "[ -e /sys/class/net/eth1 ]")
            if n % 3 == 0:
                dhcp(vm, "eth1")
                sh(vm, "ping -A 10.0.2.2 >/dev/null 2>&1 & true")
            remove(vm, "x")
            wait_guest(vm, "[ ! -e /sys/class/net/eth1 ]")
        sh(vm, "rm /tmp/go; killall ping; true", STEP * 2)
        assert "3 packets received" in sh(vm, "ping -c 3 -i 0.2 10.0.3.2")
        assert vm.p.poll() is None


@pytest.mark.usefixtures("guests")
def test_qmp(tmp_path):
    """Events, errors by class; a guest without a driver for it keeps its card until it is reset."""
    path, arg = qmp.address(tmp_path)
    with machine("-qmp", arg, "-device", "VGA,id=vga2,addr=9", "-usb") as vm, qmp.Qmp(path) as q:
        ready(vm)
        assert q.cmd("device_add", driver="virtio-rng-pci", id="rng", bus="pci.0", addr="0x5") == {}
        assert q.error("device_add", driver="virtio-rng-pci", id="rng") == ("GenericError", "Duplicate device ID 'rng'")
        wait_guest(vm, "[ -e /sys/bus/pci/devices/0000:00:05.0/driver ]")
        assert q.cmd("device_del", id="rng") == {}
        assert q.event("DEVICE_DELETED", STEP) == {"device": "rng", "path": "/machine/peripheral/rng"}
        assert q.error("device_del", id="rng") == ("DeviceNotFound", "Device 'rng' not found")
        assert q.error("device_del", id="vga2")[1] == "Device 'VGA' does not support hotplugging"
        assert q.error("device_add", driver="virtio-rng-pci", addr="9.1")[1] == "slot 9 of bus 'pci.0' does not support hotplugging"
        assert q.error("device_add", driver="isa-serial")[1] == "Bus 'isa.0' does not support hotplugging"
        assert q.error("device_add", driver="ide-hd")[1] == "Bus 'ide.0' does not support hotplugging"
        assert "no device model" in q.error("device_add", driver="nonesuch")[1]
        assert q.error("device_add", driver="virtio-rng-pci", bus="pci.7")[1] == "Bus 'pci.7' not found"
        assert q.error("device_add", driver="virtio-rng-pci", addr="1")[0] == "GenericError"
        assert q.cmd("device_add", driver="usb-tablet", id="tab") == {}  # no steps: it is pulled out
        assert q.cmd("device_del", id="/machine/peripheral/tab") == {}
        assert q.event("DEVICE_DELETED")["device"] == "tab"


@pytest.mark.parametrize("acpi", ["", ",acpi=off"])
def test_no_guest(tmp_path, acpi):
    """Nobody lets go of it before an operating system runs: it goes with the next reset."""
    path, arg = qmp.address(tmp_path)
    with VM("-S", "-nodefaults", "-M", "pc" + acpi, "-qmp", arg, "-device", "e1000,id=card") as vm, qmp.Qmp(path) as q:
        if acpi:
            assert "does not support hotplugging" in q.error("device_del", id="card")[1]
            return
        assert q.cmd("device_del", id="card") == {}
        assert q.error("device_del", id="card")[1] == "Device card is already in the process of unplug"
        assert q.cmd("device_add", driver="rtl8139", id="other") == {}
        q.cmd("system_reset")
        assert q.event("DEVICE_DELETED")["device"] == "card"
        slots = [d["qdev_id"] for d in q.cmd("query-pci")[0]["devices"]]
        assert "card" not in slots and "other" in slots


@pytest.mark.usefixtures("guests")
def test_saved_state(tmp_path):
    """What came while it ran is in the saved state; the machine that loads it has it from the start, in its own order."""
    with machine("-netdev", "user,id=n", "-device", "virtio-rng-pci,id=a,addr=5") as vm:
        ready(vm)
        add(vm, "virtio-net-pci,netdev=n,id=card,addr=7")
        wait_guest(vm, "[ -e /sys/class/net/eth0 ]")
        dhcp(vm)
        assert vm.mon.cmd(f"migrate file:{tmp_path}/state") == ""
    with machine("-netdev", "user,id=n", "-device", "virtio-net-pci,netdev=n,id=card,addr=7", "-device",
                 "virtio-rng-pci,id=a,addr=5", "-incoming", f"file:{tmp_path}/state") as vm:
        vm.mon.cmd("cont")
        vm.send("\n")
        assert "2 packets received" in sh(vm, "ping -c 2 -i 0.2 10.0.2.2")
        remove(vm, "card")
        remove(vm, "a")
        wait_guest(vm, "[ $(ls /sys/bus/pci/devices | wc -l) = 5 ]")


@pytest.mark.usefixtures("guests")
def test_scsi(tmp_path):
    """An adapter that goes takes its disks with it; a disk may come and go alone."""
    (tmp_path / "disk").write_bytes(bytes(MIB))
    path, arg = qmp.address(tmp_path)
    with machine("-qmp", arg) as vm, qmp.Qmp(path) as q:
        ready(vm)
        for _ in range(2):
            q.cmd("device_add", driver="virtio-scsi-pci", id="hba")
            add_drive(vm, tmp_path)
            q.cmd("device_add", driver="scsi-hd", drive="d", id="disk", bus="hba.0")
            q.cmd("device_del", id="disk")
            assert q.event("DEVICE_DELETED")["device"] == "disk"
            add_drive(vm, tmp_path)
            q.cmd("device_add", driver="scsi-hd", drive="d", id="disk", bus="hba.0")
            wait_guest(vm, "[ -e /sys/bus/pci/devices/0000:00:03.0 ]")
            q.cmd("device_del", id="hba")
            assert [q.event("DEVICE_DELETED", STEP)["device"] for _ in range(2)] == ["disk", "hba"]
