"""SCSI disks and CDs behind virtio-scsi: real guests on images, against checksums of the host; SeaBIOS."""
import hashlib
import os

import pytest

from adapters import drive, machine
from test_disks import answer, boot_sector, boots, make_iso, no_trouble, sha, tool
from vm import STEP, run

MIB = 1 << 20


TRANSPORTS = ["", ",disable-legacy=on,num_queues=4", ",disable-modern=on,vectors=0,virtqueue_size=16"]


@pytest.mark.usefixtures("guests")
@pytest.mark.parametrize("transport", TRANSPORTS)
def test_disk_and_cd(transport, tmp_path):
    """What the guest reads is in the files, what it writes comes there; a disk of 4096-byte blocks, and the pages that
    say what a disk is."""
    data, new = bytearray(os.urandom(16 * MIB)), os.urandom(3 * MIB)
    (tmp_path / "a").write_bytes(data)
    (tmp_path / "b").write_bytes(new)
    iso = make_iso(tmp_path, "disc", {"data": os.urandom(MIB)})
    with machine("-device", "virtio-scsi-pci,id=s" + transport, *drive("a", tmp_path / "a"), "-device",
                 "scsi-hd,drive=a,bus=s.0,scsi-id=3,lun=2,serial=a-serial,wwn=0x5000c50015ea71ac,rotation_rate=1",
                 *drive("b", tmp_path / "b", "readonly=on"), "-device",
                 "scsi-hd,drive=b,logical_block_size=4096,physical_block_size=4096,vendor=ACME,product=Disk,ver=7",
                 *drive("c", iso, "media=cdrom"), "-device", "scsi-cd,drive=c,channel=0,scsi-id=3,lun=1") as m:
        disks = {}
        for line in answer(m, "for d in /sys/block/sd?; do echo $(basename $d) $(basename $(readlink $d/device)); done").split("\n"):
            if line:
                disks[line.split()[1].split(":", 1)[1]] = line.split()[0]
        assert sorted(disks) == ["0:0:0", "0:3:2"]
        a, b = disks["0:3:2"], disks["0:0:0"]
        assert sha(tmp_path / "a") in answer(m, f"sha256sum /dev/{a}")
        assert sha(iso) in answer(m, "sha256sum /dev/sr0")
        assert "a-serial" in answer(m, f"cat /sys/block/{a}/device/vpd_pg80; echo")
        assert answer(m, f"cat /sys/block/{a}/device/wwid /sys/block/{a}/queue/rotational") == "naa.5000c50015ea71ac\n0\n"
        assert answer(m, f"cd /sys/block/{b}; cat ro queue/logical_block_size device/vendor device/model device/rev").split() == \
            ["1", "4096", "ACME", "Disk", "7"]
        assert "write back" in answer(m, f"cat /sys/block/{a}/device/scsi_disk/*/cache_type")
        answer(m, f"dd if=/dev/{b} of=/dev/{a} bs=512 seek=4099 conv=notrunc,fsync 2>/dev/null")
        data[4099 * 512:4099 * 512 + len(new)] = new
        assert (tmp_path / "a").read_bytes() == data
        assert hashlib.sha256(data).hexdigest() in answer(m, f"echo 3 >/proc/sys/vm/drop_caches; sha256sum /dev/{a}")
        answer(m, f"for f in /sys/block/{a}/device/scsi_disk/*/cache_type; do echo write through >$f; done")
        assert "write through" in answer(m, f"cat /sys/block/{a}/device/scsi_disk/*/cache_type")
        no_trouble(m)


@pytest.mark.usefixtures("guests")
def test_change_disc_and_size(tmp_path):
    """A running guest reads each disc that is put in, holds it while it is mounted, and is told of a disk that grew."""
    discs = [make_iso(tmp_path, f"disc{n}", {"number": b"this is disc %d\n" % n}) for n in range(2)]
    (tmp_path / "a").write_bytes(bytes(MIB))
    with machine("-device", "virtio-scsi-pci,id=s", *drive("c", discs[0], "media=cdrom"), "-device", "scsi-cd,drive=c",
                 *drive("a", tmp_path / "a"), "-device", "scsi-hd,drive=a,scsi-id=7") as m:
        answer(m, "mkdir -p /cd")
        for n in range(4):
            assert answer(m, "mount -t iso9660 -o ro /dev/sr0 /cd && cat /cd/number") == f"this is disc {n % 2}\n"
            assert "is locked" in m.mon.cmd("eject c")
            answer(m, "umount /cd")
            assert m.mon.cmd(f"change c {discs[(n + 1) % 2]} raw") == ""
        answer(m, "echo 1 >/proc/sys/dev/cdrom/autoeject; head -c 2048 /dev/sr0 >/dev/null; echo 0 >/proc/sys/dev/cdrom/autoeject")
        assert "tray open" in m.mon.cmd("info block")
        assert m.mon.cmd("block_resize a 3M") == ""
        answer(m, "while [ $(cat /sys/block/sda/size) != 6144 ]; do sleep 0.1; done")
        no_trouble(m)


@pytest.mark.usefixtures("guests")
@pytest.mark.parametrize("count", [32, pytest.param(255, marks=pytest.mark.full)])
def test_many_disks(count, tmp_path):
    args = ["-device", "virtio-scsi-pci"]
    for n in range(count):
        (tmp_path / f"d{n}").write_bytes(f"disk {n}\n".encode().ljust(MIB, b"\0"))
        args += [*drive(f"d{n}", tmp_path / f"d{n}"), "-device", f"scsi-hd,drive=d{n}"]
    with machine(*args) as m:
        text = answer(m, "for d in /sys/block/sd*; do head -n 1 /dev/${d##*/}; done", STEP * 2)
        assert sorted(text.split("\n")[:-1]) == sorted(f"disk {n}" for n in range(count))


def test_bios_boots(tmp_path):
    """SeaBIOS starts from a disk and from a CD on the adapter; bootindex picks one."""
    disk, other = tmp_path / "disk.img", tmp_path / "other.img"
    disk.write_bytes(boot_sector(tmp_path, 1) + b"SECOND SECTOR\n\0".ljust(512, b"\0") + bytes(MIB))
    other.write_bytes(bytes(MIB))
    boots("SECOND SECTOR\n", "-device", "virtio-scsi-pci", *drive("d", disk), "-device", "scsi-hd,drive=d")
    boots("SECOND SECTOR\n", "-device", "virtio-scsi-pci,disable-legacy=on", *drive("o", other), "-device",
          "scsi-hd,drive=o", *drive("d", disk), "-device", "scsi-hd,drive=d,scsi-id=5,lun=3,bootindex=0")
    tree = tmp_path / "tree"
    tree.mkdir()
    (tree / "boot.bin").write_bytes(boot_sector(tmp_path, 16).ljust(2048, b"\0"))
    make_iso_boot = ["xorriso", "-as", "mkisofs", "-quiet", "-o", tmp_path / "boot.iso", "-b", "boot.bin", "-no-emul-boot",
                     "-boot-load-size", "4", tree]
    tool(*make_iso_boot)
    boots("\x01CD001\x01", "-device", "virtio-scsi-pci", *drive("c", tmp_path / "boot.iso", "media=cdrom"), "-device",
          "scsi-cd,drive=c")


REFUSED = [
    (["scsi-hd,drive=d"], "No 'SCSI' bus found for device 'scsi-hd'"), (["virtio-scsi-pci", "scsi-hd"], "drive property not set"),
    (["virtio-scsi-pci", "scsi-hd,drive=d,bus=x.0"], "Bus 'x.0' not found"),
    (["virtio-scsi-pci", "scsi-hd,drive=d,channel=1"], "bad scsi channel id: 1"),
    (["virtio-scsi-pci", "scsi-hd,drive=d,scsi-id=256"], "bad scsi device id: 256"),
    (["virtio-scsi-pci", "scsi-hd,drive=d,lun=16384"], "bad scsi device lun: 16384"),
    (["virtio-scsi-pci", "scsi-hd,drive=d,scsi-id=0,lun=0", "scsi-hd,drive=e,scsi-id=0,lun=0"], "lun already used by"),
    (["virtio-scsi-pci", "scsi-hd,drive=d,logical_block_size=1000"], "powers of two"),
    (["virtio-scsi-pci", "scsi-hd,drive=d,serial=" + "x" * 37], "36 characters"),
    (["virtio-scsi-pci,num_queues=61"], "num_queues=61: 1 to 60"), (["virtio-scsi-pci,virtqueue_size=3"], "a power of two"),
    (["virtio-scsi-pci,max_sectors=0"], "at least 1"), (["scsi-disk,drive=d"], "there is no device model 'scsi-disk'"),
]


@pytest.mark.parametrize("devices, says", REFUSED)
def test_refused(devices, says, tmp_path):
    for n in "de":
        (tmp_path / n).write_bytes(bytes(MIB))
    args = [a for d in devices for a in ("-device", d)]
    p = run("-S", "-display", "none", *drive("d", tmp_path / "d"), *drive("e", tmp_path / "e"), *args)
    assert p.returncode == 1 and says in p.stderr and p.stderr.count("\n") == 1, p.stderr


def test_if_scsi(tmp_path):
    """This board has no adapter of its own."""
    (tmp_path / "d").write_bytes(bytes(MIB))
    p = run("-S", "-display", "none", "-drive", f"if=scsi,file={tmp_path}/d,format=raw")
    assert p.returncode == 1 and "machine type does not support if=scsi,bus=0,unit=0" in p.stderr, p.stderr
