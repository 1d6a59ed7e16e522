"""Virtio disks and entropy in a real guest, by each kind of driver; cards are in test_network.py."""
import hashlib
import os
import re
import subprocess

import pytest

from test_disks import boot_sector, boots
from test_network import Host, dhcp, ready, sh
from test_virtio_ports import connect, receive
from vm import DOPPEL, LIMIT, STEP, VM, linux, wait_for

MIB = 1 << 20
TRANSPORTS = ["", ",disable-legacy=on", ",disable-modern=on,vectors=0", ",event_idx=off,indirect_desc=off,num-queues=2",
              ",disable-modern=on,queue-size=16", ",packed=on,indirect_desc=off,queue-size=16",
              *[pytest.param(t, marks=pytest.mark.full) for t in (",packed=on", ",packed=on,event_idx=off,num-queues=2",
                                                                  ",packed=on,disable-modern=on")]]


def sha(data):
    return hashlib.sha256(data).hexdigest()


def machine(*args, **kw):
    return linux("amd64", "-m", "256", *args, initrd="initrd-amd64-virtio", monitor=True, **kw)


@pytest.mark.usefixtures("guests")
@pytest.mark.parametrize("transport", TRANSPORTS)
def test_disk(tmp_path, transport):
    """What the guest reads is in the file, what it writes comes there, with what was flushed at the latest when it says so."""
    data, new = bytearray(os.urandom(16 * MIB)), os.urandom(3 * MIB)
    (tmp_path / "disk").write_bytes(data)
    (tmp_path / "other").write_bytes(new)
    with machine("-drive", f"if=none,id=d,file={tmp_path}/disk,format=raw", "-device",
                 "virtio-blk-pci,drive=d,serial=a-serial" + transport, "-drive",
                 f"if=none,id=o,file={tmp_path}/other,format=raw,readonly=on", "-device", "virtio-blk-pci,drive=o", "-d",
                 "guest_errors") as vm:
        ready(vm)
        sh(vm, 'test "$(cat /sys/block/vda/serial)" = a-serial')
        assert sha(data) in sh(vm, "sha256sum /dev/vda")
        sh(vm, "dd if=/dev/vdb of=/dev/vda bs=512 seek=4099 conv=notrunc,fsync 2>/dev/null")
        data[4099 * 512:4099 * 512 + len(new)] = new
        assert (tmp_path / "disk").read_bytes() == data
        assert sha(data) in sh(vm, "echo 3 >/proc/sys/vm/drop_caches; sha256sum /dev/vda")
        assert "1" in sh(vm, "cat /sys/block/vdb/ro")
        assert "broke the rules" not in vm.stderr()


@pytest.mark.usefixtures("guests")
def test_with_ide(tmp_path):
    """Data on IDE and virtio disks at once, and a discard that gives room back."""
    (tmp_path / "a").write_bytes(os.urandom(8 * MIB))
    subprocess.run([os.path.join(os.path.dirname(DOPPEL), "doppel-img"), "convert", "-f", "raw", "-O", "qcow2",
                    tmp_path / "a", tmp_path / "b"], check=True)
    used = os.stat(tmp_path / "b").st_blocks
    with machine("-drive", f"if=virtio,file={tmp_path}/b,discard=unmap", "-device", "virtio-rng-pci") as vm:
        ready(vm)
        sh(vm, "blkdiscard /dev/vda")
        assert sh(vm, "cat /sys/class/misc/hw_random/rng_current").split()[-1] == "virtio_rng.0"
        first, again = (sh(vm, "dd if=/dev/hwrng bs=64 count=4 2>/dev/null | sha256sum").split()[-2] for _ in range(2))
        assert first != again
        assert sha(bytes(8 * MIB)) in sh(vm, "sha256sum /dev/vda")
        vm.mon.send("quit\n")
        assert vm.wait() == 0
    assert os.stat(tmp_path / "b").st_blocks < used / 10


@pytest.mark.usefixtures("guests")
def test_saved_state(tmp_path):
    """A machine that is saved and loaded in another process reads and writes on, and its card still works."""
    data = os.urandom(4 * MIB)
    (tmp_path / "disk").write_bytes(data)
    args = ("-drive", f"if=virtio,file={tmp_path}/disk,format=raw", "-netdev", "user,id=n", "-device",
            "virtio-net-pci,netdev=n", "-device", "virtio-rng-pci")
    with machine(*args) as vm:
        ready(vm)
        dhcp(vm)
        sh(vm, "dd if=/dev/vda of=/dev/null bs=64k count=3 2>/dev/null")
        assert vm.mon.cmd(f"migrate file:{tmp_path}/state") == ""
        vm.mon.send("quit\n")
        assert vm.wait() == 0
    with machine(*args, "-incoming", f"file:{tmp_path}/state") as vm:
        wait_for(lambda: "inmigrate" not in vm.mon.cmd("info status"))
        vm.mon.cmd("cont")
        vm.send("\n")
        assert sha(data) in sh(vm, "echo 3 >/proc/sys/vm/drop_caches; sha256sum /dev/vda")
        assert "2 packets received" in sh(vm, "ping -c 2 -i 0.2 10.0.2.2")
        sh(vm, "dd if=/dev/zero of=/dev/vda bs=1M count=1 conv=notrunc,fsync 2>/dev/null")
    assert (tmp_path / "disk").read_bytes() == bytes(MIB) + data[MIB:]


def test_boots(tmp_path):
    """SeaBIOS starts from a virtio disk, by its own driver; bootindex picks one."""
    disk, other = tmp_path / "disk.img", tmp_path / "other.img"
    disk.write_bytes(boot_sector(tmp_path, 1) + b"SECOND SECTOR\n\0".ljust(512, b"\0") + bytes(MIB))
    other.write_bytes(bytes(MIB))
    boots("SECOND SECTOR\n", "-drive", f"if=virtio,file={disk},format=raw")
    boots("SECOND SECTOR\n", "-hda", other, "-drive", f"if=none,id=d,file={disk},format=raw", "-device",
          "virtio-blk-pci,drive=d,bootindex=0,disable-legacy=on")


@pytest.mark.usefixtures("guests")
@pytest.mark.parametrize("count", [8, pytest.param(24, marks=pytest.mark.full)])
def test_many_disks(tmp_path, count):
    args = []
    for n in range(count):
        (tmp_path / f"d{n}").write_bytes(f"disk {n}\n".encode().ljust(MIB, b"\0"))
        args += ["-drive", f"if=virtio,file={tmp_path}/d{n},format=raw,index={n}"]
    with machine(*args) as vm:
        ready(vm)
        text = sh(vm, "for d in /dev/vd?; do head -n 1 $d; done", STEP * 2)
        assert text.split("\n")[-count - 1:-1] == [f"disk {n}" for n in range(count)]


REFUSED = [
    ("virtio-blk-pci", "drive property not set"), ("virtio-blk-pci,drive=d,num-queues=0", "num-queues=0: 1 to"),
    ("virtio-blk-pci,drive=d,queue-size=3", "a power of two"), ("virtio-blk-pci,drive=d,logical_block_size=1000", "powers of two"),
    ("virtio-blk-pci,drive=d,disable-legacy=on,disable-modern=on", "no driver is left"),
    ("virtio-blk-pci,drive=d,disable-legacy=x", "want on, off or auto"), ("virtio-rng-pci,vectors=1000", "at most 128"),
    ("virtio-net-pci,tx=now", "want bh or timer"), ("virtio-net-pci,x-txburst=0", "at least 1"),
    ("virtio-net-pci,packed=x", "packed"),
]


@pytest.mark.parametrize("device,says", REFUSED)
def test_refused(tmp_path, device, says):
    (tmp_path / "d").write_bytes(bytes(MIB))
    p = subprocess.run([DOPPEL, "-S", "-display", "none", "-drive", f"if=none,id=d,file={tmp_path}/d,format=raw", "-device",
                        device], capture_output=True, text=True, timeout=LIMIT)
    assert p.returncode == 1 and says in p.stderr and p.stderr.count("\n") == 1, p.stderr


PACKED = ["virtio-blk-pci,drive=d", "virtio-net-pci,netdev=n", "virtio-scsi-pci,id=hba", "virtio-serial-pci,id=vs",
          "virtio-balloon-pci,guest-stats-polling-interval=1", "virtio-rng-pci", "virtio-keyboard-pci", "virtio-tablet-pci"]


@pytest.mark.usefixtures("guests")
@pytest.mark.parametrize("how", ["", pytest.param(",event_idx=off,indirect_desc=off,vectors=0", marks=pytest.mark.full)])
def test_packed(tmp_path, how):
    """Each device with packed rings, some thousand times around; then in another process, where it was."""
    data, more = os.urandom(8 * MIB), os.urandom(2 * MIB)
    (tmp_path / "d").write_bytes(data)
    (tmp_path / "s").write_bytes(data)
    args = ["-netdev", "user,id=n", "-drive", f"if=none,id=d,file={tmp_path}/d,format=raw", "-drive",
            f"if=none,id=s,file={tmp_path}/s,format=raw", "-chardev", f"socket,id=c,path={tmp_path}/p,server=on,wait=off",
            "-d", "guest_errors"]
    for d in PACKED:
        args += ["-device", d + ",packed=on" + how]
    args += ["-device", "scsi-hd,drive=s,bus=hba.0", "-device", "virtserialport,chardev=c,name=x,bus=vs.0"]

    def work(vm):
        for disk in "vda", "sda":
            assert sha(data) in sh(vm, f"echo 3 >/proc/sys/vm/drop_caches; dd if=/dev/{disk} bs=4k 2>/dev/null | sha256sum")
        assert "300 packets received" in sh(vm, "ping -A -c 300 -s 1000 10.0.2.2")
        down, up = Host(more), Host()
        assert hashlib.md5(more).hexdigest() in sh(vm, f"nc 10.0.2.2 {down.port} </dev/null | md5sum")
        sh(vm, f"dd if=/dev/vda bs=1M count=4 2>/dev/null | nc 10.0.2.2 {up.port}")
        assert up.result() == data[:4 * MIB]
        sh(vm, "dd if=/dev/hwrng bs=512 count=64 of=/dev/null 2>/dev/null")
        s = connect(tmp_path / "p")
        sh(vm, "exec 5<>/dev/vport3p1")
        s.sendall(b"line\n" * 1000)
        assert hashlib.md5(b"line\n" * 1000).hexdigest() in sh(vm, "head -n 1000 <&5 | md5sum")
        sh(vm, "seq 2000 >&5; exec 5>&-")
        assert receive(s, 8893).split() == [str(n + 1).encode() for n in range(2000)]
        s.close()
        assert vm.mon.cmd("balloon 200") == ""
        wait_for(lambda: "actual=200" in vm.mon.cmd("info balloon"), STEP)
        wait_for(lambda: "stat-total-memory" in vm.mon.cmd("info qtree"), STEP)
        sh(vm, "e=$(grep -l 'Virtio Keyboard' /sys/class/input/event*/device/name); e=${e%/device/name}; exec 6</dev/input/${e##*/}")
        for _ in range(8):  # no more at once than the queue and evdev's buffer hold, 64: the guest may not run for a while
            for _ in range(12):
                assert vm.mon.cmd("sendkey ret 1") == ""
            assert "1152" in sh(vm, "dd bs=24 count=48 <&6 2>/dev/null | wc -c")
        assert vm.mon.cmd("balloon 256") == ""
        wait_for(lambda: "actual=256" in vm.mon.cmd("info balloon"), STEP)

    with linux("amd64", "-m", "256", *args, initrd="initrd-amd64-plug", monitor=True) as vm:
        ready(vm)
        dhcp(vm)
        bits = re.findall(r"^[01]{64}$", sh(vm, "cat /sys/bus/virtio/devices/*/features"), re.M)
        assert [b[32] + b[34] for b in bits] == ["11"] * len(PACKED)  # VERSION_1, RING_PACKED
        work(vm)
        assert "broke the rules" not in vm.stderr()
        assert vm.mon.cmd(f"migrate file:{tmp_path}/state") == ""
        vm.mon.send("quit\n")
        assert vm.wait() == 0
    with linux("amd64", "-m", "256", *args, "-incoming", f"file:{tmp_path}/state", initrd="initrd-amd64-plug", monitor=True) as vm:
        wait_for(lambda: "inmigrate" not in vm.mon.cmd("info status"))
        vm.mon.cmd("cont")
        vm.send("\n")
        work(vm)
        assert "broke the rules" not in vm.stderr()


@pytest.mark.usefixtures("guests")
@pytest.mark.parametrize("tx", ["bh", "timer,x-txtimer=1000000,x-txburst=4"])
def test_tx(tx):
    """Both ways of sending send; info qtree says which it is."""
    with machine("-netdev", "user,id=n", "-device", f"virtio-net-pci,netdev=n,tx={tx}") as vm:
        ready(vm)
        dhcp(vm)
        assert "5 packets received" in sh(vm, "ping -c 5 -i 0.1 10.0.2.2")
        assert "20 packets received" in sh(vm, "ping -A -c 20 10.0.2.2")
        assert f'tx = "{tx.split(",")[0]}"' in vm.mon.cmd("info qtree")
