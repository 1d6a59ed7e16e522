"""IDE disks and CDs: Linux on raw images against checksums of the host, changed discs, SeaBIOS."""
import hashlib
import os
import re
import subprocess

import pytest

from image import EXIT_DEVICE, build_sector
from vm import BOOT, LIMIT, ROOT, STEP, VM, linux

READY = r"^DOPPEL-READY"
TROUBLE = r"lost interrupt|exception Emask|failed command|I/O error|DMA timeout"


def sha(path):
    with open(path, "rb") as f:
        return hashlib.file_digest(f, "sha256").hexdigest()


def tool(*cmd):
    subprocess.run([str(c) for c in cmd], check=True, capture_output=True, timeout=60)


def make_iso(folder, name, files):
    """An ISO image of {name: bytes}."""
    tree = folder / f"{name}.d"
    tree.mkdir()
    for n, data in files.items():
        (tree / n).write_bytes(data)
    iso = folder / f"{name}.iso"
    tool("xorriso", "-as", "mkisofs", "-quiet", "-V", name.upper(), "-R", "-o", iso, tree)
    return iso


def machine(*args, append="", **kw):
    """Linux with the modules for disks, at its shell."""
    m = linux("amd64", *args, initrd="initrd-amd64-disk", append=append, **kw)
    try:
        m.expect(READY, BOOT)
        m.expect(r"# ")
        m.send("stty -echo; PS1=; echo 0 >/proc/sys/kernel/printk\n")
        answer(m, "true")
    except BaseException:
        m.close()
        raise
    return m


def answer(m, command, limit=STEP):
    """What a command of the guest's shell writes; it must succeed."""
    m.send(f"{command}; echo DONE $?\n")
    got = m.expect(r"((?:.*\n)*?)DONE (\d+)\n", limit)
    assert got.group(2) == "0", f"{command}: {got.group(0)}"
    return got.group(1)


def no_trouble(m):
    log = answer(m, "dmesg")
    assert not re.search(TROUBLE, log), log[-3000:]


def end(m):
    m.send("poweroff -f\n")
    assert m.wait(STEP) == 0
    assert m.stderr() == ""


MATRIX = [(1, "dma"), (2, "pio"), pytest.param(2, "dma", marks=pytest.mark.full),
          pytest.param(1, "pio", marks=pytest.mark.full)]


@pytest.mark.usefixtures("guests")
@pytest.mark.parametrize("cpus, how", MATRIX)
def test_disk_and_cd(cpus, how, tmp_path):
    """Linux writes a disk and reads it back, and reads a CD, by DMA and by PIO; what is in the image
    afterwards is what it wrote."""
    disk = tmp_path / "disk.img"
    size = 4 << 20
    with open(disk, "wb") as f:
        f.truncate(size)
    iso = make_iso(tmp_path, "disc", {"data": os.urandom(1 << 20)})
    with machine("-smp", cpus, "-m", "192", "-drive", f"file={disk},format=raw", "-cdrom", iso,
                 append="libata.dma=0" if how == "pio" else "") as m:
        modes = answer(m, "cat /sys/class/ata_device/dev?.0/xfer_mode").split()
        assert modes == ["XFER_PIO_4" if how == "pio" else "XFER_MW_DMA_2"] * 2
        answer(m, f"dd if=/dev/urandom of=/tmp/x bs=65536 count={size >> 16} 2>/dev/null")
        wrote = answer(m, "sha256sum </tmp/x").split()[0]
        answer(m, "dd if=/tmp/x of=/dev/sda bs=65536 conv=fsync 2>/dev/null", 4 * STEP)
        answer(m, "echo 3 >/proc/sys/vm/drop_caches")
        assert answer(m, "sha256sum </dev/sda", 4 * STEP).split()[0] == wrote
        assert answer(m, "sha256sum </dev/sr0", 4 * STEP).split()[0] == sha(iso)
        no_trouble(m)
        end(m)
    assert sha(disk) == wrote


def disc_test(tmp_path, rounds):
    discs = [make_iso(tmp_path, f"disc{n}", {"number": b"this is disc %d\n" % n}) for n in range(3)]
    with machine("-cdrom", discs[0], monitor=True) as m:
        answer(m, "mkdir -p /cd")
        for n in range(rounds):
            assert answer(m, "mount -t iso9660 -o ro /dev/sr0 /cd && cat /cd/number") == \
                f"this is disc {n % 3}\n"
            if n == 0:  # a mounted disc is held
                assert m.mon.cmd("eject ide1-cd0") == \
                    "Error: Device 'ide1-cd0' is locked and force was not specified, wait for tray to " \
                    "open and try again\n"
                assert "Removable device: locked, tray closed" in m.mon.cmd("info block")
            answer(m, "umount /cd")
            assert m.mon.cmd(f"change ide1-cd0 {discs[(n + 1) % 3]} raw") == ""
        no_trouble(m)
        # the guest opens the tray itself, and finds it closed with a disc again
        answer(m, "echo 1 >/proc/sys/dev/cdrom/autoeject; head -c 2048 /dev/sr0 >/dev/null;"
               "echo 0 >/proc/sys/dev/cdrom/autoeject")
        assert "tray open" in m.mon.cmd("info block")
        assert m.mon.cmd(f"change ide1-cd0 {discs[1]} raw") == ""
        assert answer(m, "mount -t iso9660 -o ro /dev/sr0 /cd && cat /cd/number") == "this is disc 1\n"
        assert m.mon.cmd("eject -f ide1-cd0") == ""
        assert re.search(r"ide1-cd0: \[not inserted\]\n.*\n.*tray open", m.mon.cmd("info block"))
        end(m)


@pytest.mark.usefixtures("guests")
def test_change_disc(tmp_path):
    """A running guest reads each disc that is put in; a disc that it holds is not taken but by force."""
    disc_test(tmp_path, 4)


@pytest.mark.full
@pytest.mark.usefixtures("guests")
def test_change_disc_often(tmp_path):
    disc_test(tmp_path, 100)


# Says its name on the serial line, reads a sector by INT 13h and shows that, and the time stamp counter.
BOOT_SECTOR = """
.code16
start:
    xor %ax, %ax
    mov %ax, %ds
    mov %ax, %ss
    mov $0x7c00, %sp
    ljmp $0, $go
go: mov $hello, %si
    call puts
    mov $packet, %si
    mov $0x42, %ah
    int $0x13
    jc bad
    mov $0x8000, %si
    call puts
    rdtsc
    mov $8, %cx
    mov $0x3f8, %dx
1:  rol $4, %eax
    push %ax
    and $15, %al
    add $'A', %al
    out %al, %dx
    pop %ax
    loop 1b
    clc
bad:
    setc %al
    mov $0xf4, %dx
    out %al, %dx
    hlt
puts:
    push %dx
    mov $0x3f8, %dx
1:  lodsb
    test %al, %al
    jz 2f
    out %al, %dx
    jmp 1b
2:  pop %dx
    ret
hello: .asciz "HELLO\\n"
packet: .byte 16, 0
    .word 1, 0x8000, 0
    .quad SECTOR
.org 510
    .word 0xaa55
"""


def boot_sector(folder, sector):
    return build_sector(folder, BOOT_SECTOR.replace("SECTOR", str(sector)))


def boots(text, *args):
    """The time stamp behind the text."""
    with VM(*EXIT_DEVICE, *args) as m:
        got = m.expect("HELLO\n" + text + "([A-P]{8})", LIMIT)
        assert m.wait() == 1
        assert m.stderr() == ""
        return got.group(1)


def test_bios_boots_disk(tmp_path):
    disk = tmp_path / "disk.img"
    disk.write_bytes(boot_sector(tmp_path, 1) + b"SECOND SECTOR\n\0".ljust(512, b"\0") + bytes(1 << 20))
    boots("SECOND SECTOR\n", disk)
    boots("SECOND SECTOR\n", "-hdd", disk)
    other = tmp_path / "other.img"
    other.write_bytes(bytes(1 << 20))
    boots("SECOND SECTOR\n", "-hda", other, "-drive", f"file={disk},format=raw,if=none,id=d",
          "-device", "ide-hd,drive=d,bus=ide.0,unit=1,bootindex=0")


def test_bios_boots_qcow2(tmp_path):
    """From an image that doppel-img made, as a disk (guessed and named) and behind another one."""
    raw, disk, top = tmp_path / "raw", tmp_path / "disk.qcow2", tmp_path / "top.qcow2"
    raw.write_bytes(boot_sector(tmp_path, 1) + b"SECOND SECTOR\n\0".ljust(512, b"\0") + bytes(1 << 20))
    img = os.path.join(ROOT, "doppel-img")
    tool(img, "convert", "-f", "raw", "-O", "qcow2", raw, disk)
    tool(img, "create", "-f", "qcow2", "-b", disk, "-F", "qcow2", top)
    boots("SECOND SECTOR\n", disk)
    boots("SECOND SECTOR\n", "-drive", f"file={top},format=qcow2")


def test_same_time_with_icount(tmp_path):
    """A disk takes the same virtual time in each run."""
    disk = tmp_path / "disk.img"
    disk.write_bytes(boot_sector(tmp_path, 1) + b"SECOND SECTOR\n\0".ljust(512, b"\0") + bytes(1 << 20))
    stamps = {boots("SECOND SECTOR\n", disk, "-icount", "2", "-rtc", "base=2000-01-01,clock=vm") for _ in range(3)}
    assert len(stamps) == 1


def test_bios_boots_cd(tmp_path):
    """El Torito without emulation; block 16 is the volume descriptor, with CD001 from its second byte."""
    tree = tmp_path / "tree"
    tree.mkdir()
    (tree / "boot.bin").write_bytes(boot_sector(tmp_path, 16).ljust(2048, b"\0"))
    iso = tmp_path / "boot.iso"
    tool("xorriso", "-as", "mkisofs", "-quiet", "-o", iso, "-b", "boot.bin", "-no-emul-boot",
         "-boot-load-size", "4", tree)
    boots("\x01CD001\x01", "-cdrom", iso)
