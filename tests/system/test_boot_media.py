"""Debian's kernel from CDs, a disk and a floppy, started by GRUB, ISOLINUX and SYSLINUX under SeaBIOS; what chooses
the device: -boot, bootindex, the boot menu. In CI the first line of the kernel's real-mode code is enough (a whole
boot is most of a minute on the reference engine), and it is the installer's i386 kernel, the smallest."""
import hashlib
import os
import re

import pytest

import media
from test_disks import TROUBLE, answer, boot_sector, end, machine, no_trouble
from vm import BOOT, GUESTS, LIMIT, STEP, VM, wait_for

GONE = media.missing("grub-mkrescue", "grub-mkimage", "xorriso", "mformat", "syslinux", media.GRUB, media.ISOLINUX,
                     media.MEMTEST.format("ia32"))
pytestmark = [pytest.mark.usefixtures("guests"),
              pytest.mark.skipif(GONE is not None, reason=f"no {GONE} (packages.txt)")]


def kernel(arch):
    return "linux", {"kernel": f"{GUESTS}/vmlinuz-{arch}", "initrd": f"{GUESTS}/initrd-{arch}",
                     "append": "console=ttyS0 earlyprintk=serial,ttyS0,115200 debug do=poweroff"}


def grub_cd(folder, arch, bits=""):
    return ["-cdrom", media.grub_cd(folder, [kernel(arch)], bits=bits)]


def grub_cd_as_disk(folder, arch):
    return ["-drive", f"file={media.grub_cd(folder, [kernel(arch)])},format=raw,if=ide,index=0,media=disk"]


def grub_disk(folder, arch, bits=""):
    return ["-drive", f"file={media.grub_disk(folder, [kernel(arch)], bits=bits)},format=raw"]


def isolinux_cd(folder, arch, bits=""):
    return ["-cdrom", media.isolinux_cd(folder, [kernel(arch)])]


def syslinux_floppy(folder, arch, bits=""):
    """Debian's kernels are larger than any floppy: SYSLINUX starts GRUB's core from it, and that takes the kernel from
    the disk."""
    floppy = media.syslinux_floppy(folder, [("grub", {"kernel": media.grub_kernel(folder)})])
    return [*grub_disk(folder, arch, bits), "-drive", f"file={floppy},format=raw,if=floppy", "-boot", "a"]


MEDIA = [grub_cd, grub_cd_as_disk, grub_disk, isolinux_cd, syslinux_floppy]


@pytest.mark.parametrize("medium", [m for m in MEDIA if m != grub_cd_as_disk])
def test_kernel_starts(medium, tmp_path):
    with VM("-m", "256", *medium(tmp_path, "i386", bits="16")) as m:
        if medium == syslinux_floppy:
            m.expect("^SYSLINUX 6", BOOT)
        m.expect("early console in setup code", BOOT)


@pytest.mark.parametrize("kib", [1440, 2880])
def test_floppy_alone(kib, tmp_path):
    """SYSLINUX waits at its prompt for what is typed, and starts a kernel that fits on the floppy: memtest86+, in
    bzImage's format."""
    floppy = media.syslinux_floppy(tmp_path, [("other", {"kernel": media.MEMTEST.format("x64")}),
                                              ("memtest", {"kernel": media.MEMTEST.format("ia32")})], prompt=True, kib=kib)
    with VM("-m", "32", "-drive", f"file={floppy},format=raw,if=floppy", monitor=True) as m:
        wait_for(lambda: "boot:" in m.mon.cmd("screendump -t"))
        for key in "memtest":
            m.mon.cmd(f"sendkey {key}")
        wait_for(lambda: "boot: memtest" in m.mon.cmd("screendump -t"))
        m.mon.cmd("sendkey ret")
        wait_for(lambda: re.search(r"6\.\d+\.\w+\.x32", m.mon.cmd("screendump -t")))


@pytest.mark.full
@pytest.mark.parametrize("cpus", [1, 2])
@pytest.mark.parametrize("arch", ["i386", "amd64"])
@pytest.mark.parametrize("medium", MEDIA)
def test_kernel_boots(medium, arch, cpus, tmp_path):
    """To the shell of the initial RAM disk and off again."""
    with VM("-m", "256", "-smp", cpus, *medium(tmp_path, arch)) as m:
        got = m.expect(r"^DOPPEL-GUEST (\S+) cpus (\d+) ", 2 * BOOT)
        assert got.groups() == ({"i386": "i686", "amd64": "x86_64"}[arch], str(cpus))
        assert m.wait(STEP) == 0
        assert m.stderr() == ""
        assert not re.search(TROUBLE, m.serial.text)


# ---- what SeaBIOS chooses ----

def named_sector(folder, name):
    """A boot sector that tells its name."""
    code = folder / name
    code.mkdir()
    return boot_sector(code, 0).replace(b"HELLO\n", f"IS-{name[:2]}\n".encode())


@pytest.fixture(scope="module")
def shelf(tmp_path_factory):
    """A floppy, two disks and a CD, each telling its name when started: FL, D1, D2, CD."""
    folder = tmp_path_factory.mktemp("shelf")
    for name, size in ("FL", 1440 << 10), ("D1", 1 << 20), ("D2", 1 << 20):
        (folder / f"{name}.img").write_bytes(named_sector(folder, name).ljust(size, b"\0"))
    tree = folder / "tree"
    tree.mkdir()
    (tree / "boot.bin").write_bytes(named_sector(folder, "CD").ljust(2048, b"\0"))
    media.tool("xorriso", "-as", "mkisofs", "-quiet", "-o", folder / "CD.img", "-b", "boot.bin", "-no-emul-boot",
               "-boot-load-size", "4", tree)
    return folder


def devices(shelf, index=None):
    """The options for all four, with bootindex by {name: number}."""
    args = []
    for name, driver, where in (("D1", "ide-hd", "bus=ide.0,unit=0"), ("D2", "ide-hd", "bus=ide.0,unit=1"),
                                ("CD", "ide-cd", "bus=ide.1,unit=0")):
        last = f",bootindex={index[name]}" if index and name in index else ""
        args += ["-drive", f"file={shelf}/{name}.img,format=raw,if=none,id={name},readonly={'on' if name == 'CD' else 'off'}",
                 "-device", f"{driver},drive={name},{where}{last}"]
    return [*args, "-drive", f"file={shelf}/FL.img,format=raw,if=floppy"]


def started(m, limit=LIMIT):
    return m.expect(r"IS-(\w\w)$", limit).group(1)


@pytest.mark.parametrize("boot, want", [(None, "D1"), ("c", "D1"), ("a", "FL"), ("d", "CD"), ("order=dc", "CD"),
                                        ("order=ca,menu=off", "D1"), ("once=d,order=c", "CD")])
def test_boot_order(shelf, boot, want):
    with VM(*devices(shelf), *(["-boot", boot] if boot else [])) as m:
        assert started(m) == want


@pytest.mark.parametrize("index, want", [({"D2": 0}, "D2"), ({"CD": 1, "D2": 2}, "CD"), ({"D1": 7, "D2": 3, "CD": 5}, "D2")])
def test_bootindex(shelf, index, want):
    with VM(*devices(shelf, index)) as m:
        assert started(m) == want


def test_boot_once(shelf):
    """The first start takes the CD, a reset the order."""
    with VM(*devices(shelf), "-boot", "once=d,order=c", monitor=True) as m:
        assert started(m) == "CD"
        m.mon.cmd("system_reset")
        assert started(m) == "D1"


def test_boot_set(shelf):
    """boot_set of the monitor holds from the next reset."""
    with VM(*devices(shelf), monitor=True) as m:
        assert started(m) == "D1"
        m.mon.cmd("boot_set a")
        m.mon.cmd("system_reset")
        assert started(m) == "FL"


def menu(m, count, want):
    """Opens the boot menu, which has so many entries; the key of the one with these words (the last may be half painted)."""
    wait_for(lambda: "for boot menu" in m.mon.cmd("screendump -t"))
    m.mon.cmd("sendkey esc")
    lines = wait_for(lambda: len(got := re.findall(r"^(\d+)\. (.*\S) *$", m.mon.cmd("screendump -t"), re.M)) >= count
                     and any(want in title for _, title in got) and got)
    assert len(lines) == count and [k for k, _ in lines] == [str(n + 1) for n in range(count)]
    return next(key for key, title in lines if want in title)


@pytest.mark.parametrize("choose, want", [("Floppy", "FL"), ("DVD/CD", "CD"), ("ata0-1", "D2")])
def test_boot_menu(shelf, choose, want):
    """ESC opens the menu, a digit chooses."""
    with VM(*devices(shelf), "-boot", "menu=on,splash-time=20000", monitor=True) as m:
        key = menu(m, 4, choose)
        m.mon.cmd(f"sendkey {key}")
        assert started(m) == want


IPXE = "/usr/lib/ipxe/82540em.rom"


@pytest.mark.skipif(not os.path.exists(IPXE), reason=f"no {IPXE} (package ipxe)")
def test_option_rom(shelf):
    """iPXE in an option ROM has an entry in the menu, and starts from there."""
    with VM(*devices(shelf), "-option-rom", IPXE, "-boot", "menu=on,splash-time=20000", monitor=True) as m:
        key = menu(m, 5, "iPXE (PCI ")
        m.mon.cmd(f"sendkey {key}")
        wait_for(lambda: "Open Source Network Boot Firmware" in m.mon.cmd("screendump -t"))


# ---- a whole CD ----

@pytest.mark.full
@pytest.mark.parametrize("cpus", [1, 2])
def test_read_whole_cd(cpus, tmp_path):
    """600 MB read by the guest come out equal."""
    tree = tmp_path / "tree"
    tree.mkdir()
    for n in range(6):
        (tree / f"part{n}").write_bytes(os.urandom(100 << 20))
    iso = tmp_path / "big.iso"
    media.tool("xorriso", "-as", "mkisofs", "-quiet", "-R", "-o", iso, tree)
    size = os.path.getsize(iso)
    assert size >= 600 << 20
    with open(iso, "rb") as f:
        want = hashlib.file_digest(f, "md5").hexdigest()
    with machine("-smp", cpus, "-m", "192", "-cdrom", iso) as m:
        assert int(answer(m, "cat /sys/block/sr0/size")) * 512 == size
        assert answer(m, "dd if=/dev/sr0 bs=65536 2>/dev/null | md5sum", 30 * STEP).split()[0] == want
        no_trouble(m)
        end(m)
