"""SATA disks and CDs behind AHCI: real guests on images, against checksums of the host; SeaBIOS."""
import hashlib
import os

import pytest

from adapters import drive, machine
from test_disks import answer, boot_sector, boots, make_iso, no_trouble, sha, tool
from vm import STEP, run

MIB = 1 << 20


@pytest.mark.usefixtures("guests")
@pytest.mark.parametrize("append, queued", [("", True), ("libata.force=noncq", False)])
def test_disk_and_cd(append, queued, tmp_path):
    """What the guest reads is in the files, what it writes comes there, with queued commands and without."""
    data, new = bytearray(os.urandom(16 * MIB)), os.urandom(3 * MIB)
    (tmp_path / "a").write_bytes(data)
    (tmp_path / "b").write_bytes(new)
    iso = make_iso(tmp_path, "disc", {"data": os.urandom(MIB)})
    with machine("-device", "ahci,id=ahci", *drive("a", tmp_path / "a"), "-device",
                 "ide-hd,drive=a,bus=ahci.0,serial=a-serial,rotation_rate=1", *drive("b", tmp_path / "b"), "-device",
                 "ide-hd,drive=b,bus=ahci.5", *drive("c", iso, "media=cdrom"), "-device", "ide-cd,drive=c,bus=ahci.2",
                 append=append) as m:
        assert "32 slots 6 ports 1.5 Gbps 0x3f impl" in answer(m, "dmesg")
        assert sha(tmp_path / "a") in answer(m, "sha256sum /dev/sda")
        assert sha(iso) in answer(m, "sha256sum /dev/sr0")
        assert answer(m, "cat /sys/block/sda/device/queue_depth /sys/block/sda/queue/rotational").split() == \
            ["32" if queued else "1", "0"]
        answer(m, "dd if=/dev/sdb of=/dev/sda bs=512 seek=4099 conv=notrunc,fsync 2>/dev/null")
        data[4099 * 512:4099 * 512 + len(new)] = new
        assert (tmp_path / "a").read_bytes() == data
        assert hashlib.sha256(data).hexdigest() in answer(m, "echo 3 >/proc/sys/vm/drop_caches; sha256sum /dev/sda")
        no_trouble(m)


@pytest.mark.usefixtures("guests")
def test_change_disc(tmp_path):
    discs = [make_iso(tmp_path, f"disc{n}", {"number": b"this is disc %d\n" % n}) for n in range(2)]
    with machine("-device", "ahci", *drive("c", discs[0], "media=cdrom"), "-device", "ide-cd,drive=c,bus=ide.2") as m:
        answer(m, "mkdir -p /cd")
        for n in range(4):
            assert answer(m, "mount -t iso9660 -o ro /dev/sr0 /cd && cat /cd/number") == f"this is disc {n % 2}\n"
            assert "is locked" in m.mon.cmd("eject c")
            answer(m, "umount /cd")
            assert m.mon.cmd(f"change c {discs[(n + 1) % 2]} raw") == ""
        no_trouble(m)


@pytest.mark.usefixtures("guests")
def test_reset(tmp_path):
    """A reset of the link, and a drive that is given up and found again."""
    (tmp_path / "a").write_bytes(os.urandom(MIB))
    with machine("-device", "ahci,id=s", *drive("a", tmp_path / "a"), "-device", "ide-hd,drive=a,bus=s.0") as m:
        answer(m, "echo 1 >/sys/block/sda/device/delete; for h in /sys/class/scsi_host/host*; do echo - - - >$h/scan; done")
        answer(m, "while [ ! -e /dev/sda ] && [ ! -e /dev/sdb ]; do sleep 0.1; done", STEP)
        assert sha(tmp_path / "a") in answer(m, "cat /dev/sd? | sha256sum")
        no_trouble(m)


def test_bios_boots(tmp_path):
    """SeaBIOS starts from a disk and from a CD on the controller; bootindex picks one."""
    disk, other = tmp_path / "disk.img", tmp_path / "other.img"
    disk.write_bytes(boot_sector(tmp_path, 1) + b"SECOND SECTOR\n\0".ljust(512, b"\0") + bytes(MIB))
    other.write_bytes(bytes(MIB))
    boots("SECOND SECTOR\n", "-device", "ahci,id=s", *drive("d", disk), "-device", "ide-hd,drive=d,bus=s.0")
    boots("SECOND SECTOR\n", "-device", "ahci,id=s", *drive("o", other), "-device", "ide-hd,drive=o,bus=s.0",
          *drive("d", disk), "-device", "ide-hd,drive=d,bus=s.4,bootindex=0")
    tree = tmp_path / "tree"
    tree.mkdir()
    (tree / "boot.bin").write_bytes(boot_sector(tmp_path, 16).ljust(2048, b"\0"))
    tool("xorriso", "-as", "mkisofs", "-quiet", "-o", tmp_path / "boot.iso", "-b", "boot.bin", "-no-emul-boot",
         "-boot-load-size", "4", tree)
    boots("\x01CD001\x01", "-device", "ahci,id=s", *drive("c", tmp_path / "boot.iso", "media=cdrom"), "-device",
          "ide-cd,drive=c,bus=s.1")


REFUSED = [
    (["ahci,id=s", "ide-hd,drive=d,bus=s.6"], "Bus 's.6' not found"),
    (["ahci,id=s", "ide-hd,drive=d,bus=s.0,unit=1"], "bus supports only 1 units"),
    (["ahci,id=s", "ide-hd,drive=d,bus=s.0", "ide-hd,drive=e,bus=s.0"], "Bus 's.0' is full"),
]


@pytest.mark.parametrize("devices, says", REFUSED)
def test_refused(devices, says, tmp_path):
    for n in "de":
        (tmp_path / n).write_bytes(bytes(MIB))
    args = [a for d in devices for a in ("-device", d)]
    p = run("-S", "-display", "none", *drive("d", tmp_path / "d"), *drive("e", tmp_path / "e"), *args)
    assert p.returncode == 1 and says in p.stderr and p.stderr.count("\n") == 1, p.stderr
