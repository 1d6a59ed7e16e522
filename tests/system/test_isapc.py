"""The board isapc: SeaBIOS starts its disk, CD and floppy, Linux runs on it and finds its chips, states are saved, and what
needs a PCI bus is refused by name."""
import re
import subprocess

import pytest

from image import build_sector
from vm import BOOT, LIMIT, STEP, VM, initrd_modules, linux, run

# Says Q on COM1; then, for each character that comes there, the first byte of the disk's second sector and that character.
ECHO = """
.code16
.globl start
start:
    xor %ax, %ax
    mov %ax, %ds
    mov %ax, %es
    mov %dl, drive
    mov $'Q', %al
    call say
next:
    mov $0x3fd, %dx
1:  in %dx, %al
    test $1, %al
    jz 1b
    mov $0x3f8, %dx
    in %dx, %al
    push %ax
    mov $0x0201, %ax
    mov $0x7e00, %bx
    mov $2, %cx
    mov $0, %dh
    mov drive, %dl
    int $0x13
    mov 0x7e00, %al
    call say
    pop %ax
    call say
    jmp next
say:
    mov $0x3f8, %dx
    out %al, %dx
    mov $10, %al
    out %al, %dx
    ret
drive: .byte 0
.org 510
    .byte 0x55, 0xaa
"""
SIZE = 1440 << 10


@pytest.fixture
def medium(tmp_path):
    """A disk's or floppy's image."""
    path = tmp_path / "disk.img"
    path.write_bytes((build_sector(tmp_path, ECHO) + b"D").ljust(SIZE, b"\0"))
    return path


def isapc(*args, **kw):
    return VM("-M", "isapc", "-m", "16", *args, **kw)


def echoes(vm, char):
    vm.send(char)
    vm.expect(rf"^D\n{char}$")


def test_disk_and_state(medium, tmp_path):
    """The BIOS reads a disk through the ISA channel, also in a machine that goes on from a saved state."""
    args = ["-drive", f"file={medium},format=raw"]
    with isapc(*args, monitor=True) as vm:
        vm.expect("^Q$", BOOT)
        echoes(vm, "a")
        vm.mon.cmd("stop")
        vm.mon.cmd(f"migrate file:{tmp_path}/state")
    with isapc(*args, "-incoming", f"file:{tmp_path}/state") as vm:
        echoes(vm, "b")
        assert "Q" not in vm.serial.text, "it booted again"


@pytest.mark.full
@pytest.mark.parametrize("place", [["-fda", "{m}"], ["-hdb", "{m}"], ["-drive", "file={m},format=raw,index=3"]])
def test_places(place, medium):
    with isapc(*[p.format(m=medium) for p in place]) as vm:
        vm.expect("^Q$", BOOT)
        echoes(vm, "c")


@pytest.mark.full
def test_cd(medium, tmp_path):
    tree = tmp_path / "tree"
    tree.mkdir()
    (tree / "boot.bin").write_bytes(medium.read_bytes()[:2048])
    subprocess.run(["xorriso", "-as", "mkisofs", "-quiet", "-b", "boot.bin", "-no-emul-boot", "-boot-load-size", "4", "-o",
                    tmp_path / "cd.iso", tree], check=True, timeout=LIMIT)
    with isapc("-cdrom", tmp_path / "cd.iso") as vm:
        vm.expect("^Q$", BOOT)


MODULES = ("crc64 crct10dif_common crct10dif_generic crc-t10dif crc64_rocksoft_generic crc64-rocksoft t10-pi scsi_common scsi_mod "
           "libata pata_legacy sd_mod 8390p ne").split()


@pytest.fixture
def initrd(guests, tmp_path):
    """That of i386 with drivers of ISA disks and cards."""
    return initrd_modules(tmp_path, "linux-image-686-pae", "initrd-i386", MODULES)


@pytest.mark.full
@pytest.mark.parametrize("cpu", ["pentium3", "max"])
def test_linux(cpu, initrd, tmp_path):
    """Linux reads its disk and finds its card; nothing tells it of them but their ports."""
    disk = tmp_path / "disk.img"
    disk.write_bytes(b"This is sector 0".ljust(1 << 20, b"\0"))
    args = ["-M", "isapc", "-cpu", cpu, "-m", "256", "-drive", f"file={disk},format=raw", "-nic", "user"]
    with linux("i386pae", *args, initrd=initrd, append="ne.io=0x300 ne.irq=9") as vm:
        vm.expect(r"^DOPPEL-READY", BOOT)
        vm.expect("# ")
        for line, answer in [("head -c 16 /dev/sda", r"^This is sector 0"),
                             ("grep -cE 'pata_legacy|eth0|i8042' /proc/interrupts", "^[1-9]"),
                             ("cat /sys/class/net/eth0/address", "^52:54:00:12:34:56"),
                             ("ls -d /sys/firmware/acpi/tables /sys/bus/pci/devices/* | wc -l", "^0")]:
            vm.send(line + "\n")
            vm.expect(answer, STEP)


@pytest.mark.parametrize("args, text", [
    (["-device", "e1000"], "No 'PCI' bus found for device 'e1000'"),
    (["-nic", "user,model=virtio"], "No 'PCI' bus found for device 'virtio-net-pci'"),
    (["-usb"], "the board isapc has no PCI bus for a USB controller"),
    (["-usbdevice", "tablet"], "the board isapc has no PCI bus for a USB controller"),
    (["-smp", "2"], "Invalid SMP CPUs 2. The max CPUs supported by machine 'isapc' is 1"),
    (["-machine", "hpet=on"], "-machine hpet=on: the board isapc has none"),
    (["-machine", "acpi=on"], "-machine acpi=on: the board isapc has none"),
    (["-drive", "if=pflash,file=/nowhere,format=raw"], "the board isapc has no flash"),
])
def test_refused(args, text):
    got = run("-M", "isapc", "-display", "none", "-S", *args)
    assert got.returncode == 1 and text in got.stderr and got.stderr.count("\n") == 1


def test_listed():
    assert re.search(r"^isapc +ISA-only PC$", run("-M", "help").stdout, re.M)


def test_chips():
    """What QEMU's board has, and no more: its ports, as its own monitor shows them."""
    with isapc("-S", monitor=True, defaults=True) as vm:
        ports = vm.mon.cmd("info mtree").split("I/O")[1]
        tree, regs = vm.mon.cmd("info qtree"), vm.mon.cmd("info pci")
        for first in (0x20, 0x40, 0x60, 0x70, 0xa0, 0x170, 0x1ce, 0x1f0, 0x300, 0x376, 0x378, 0x3c0, 0x3f6, 0x3f8, 0x4d0, 0x510):
            assert f"{first:016x}-" in ports, ports
        assert "cf8" not in ports and regs == ""
        for absent in ("hpet", "ioapic", "PIIX", "pci"):
            assert absent not in tree, tree
