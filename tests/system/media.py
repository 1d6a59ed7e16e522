"""Boot media made at test time from Debian's packages: CDs with GRUB and ISOLINUX, a disk with GRUB, a floppy with
SYSLINUX. An entry is (title, {"kernel": path, "initrd": path or None, "append": line})."""
import os
import shutil
import struct
import subprocess

GRUB = "/usr/lib/grub/i386-pc"
SYSLINUX = "/usr/lib/syslinux/modules/bios"
ISOLINUX = "/usr/lib/ISOLINUX/isolinux.bin"
MEMTEST = "/boot/memtest86+{}.bin"  # x64, ia32: bzImages as well
MEMTEST_CD = "/usr/lib/memtest86+/memtest86+{}.iso"
INSTALLER = "/usr/lib/debian-installer/images/12/{0}/{1}/debian-installer/{0}/{2}"
MIB = 1 << 20
GRUB_MODULES = ["biosdisk", "part_msdos", "fat", "normal", "linux", "linux16", "configfile"]


def missing(*paths):
    """The first package's file or program that is not there, or None."""
    return next((p for p in paths if not (os.path.exists(p) if p[0] == "/" else shutil.which(p))), None)


def tool(*cmd, **kw):
    p = subprocess.run([str(c) for c in cmd], capture_output=True, text=True, timeout=120, **kw)
    assert p.returncode == 0, f"{cmd}: {p.stderr}"
    return p.stdout


def installer(arch, kind, append="", title="Install"):
    """An entry for Debian's installer; kind is text or gtk."""
    return title, {"kernel": INSTALLER.format(arch, kind, "linux"),
                   "initrd": INSTALLER.format(arch, kind, "initrd.gz"), "append": append}


def put_files(tree, entries):
    """Copies the entries' files into the tree; [(title, kernel's name, initrd's name or None, append)]."""
    out = []
    for n, (title, e) in enumerate(entries):
        names = []
        for kind in ("kernel", "initrd"):
            names.append(f"{kind}{n}" if e.get(kind) else None)
            if e.get(kind):
                shutil.copy(e[kind], tree / names[-1])
        out.append((title, *names, e.get("append", "")))
    return out


def grub_config(files, timeout, bits=""):
    """bits 16 enters the kernel as older loaders do, by its real-mode code."""
    text = f"set timeout={timeout}\nset default=0\n"
    for title, kernel, initrd, append in files:
        text += f"menuentry '{title}' {{\n  linux{bits} /{kernel} {append}\n"
        text += f"  initrd{bits} /{initrd}\n}}\n" if initrd else "}\n"
    return text


def grub_cd(folder, entries, timeout=0, bits=""):
    """A CD as grub-mkrescue makes it; it is a hard disk's image as well (hybrid)."""
    tree = folder / "grub-cd"
    (tree / "boot/grub").mkdir(parents=True)
    (tree / "boot/grub/grub.cfg").write_text(grub_config(put_files(tree, entries), timeout, bits))
    tool("grub-mkrescue", "-d", GRUB, "-o", f"{tree}.iso", "--fonts=", "--locales=", "--themes=", tree)
    return f"{tree}.iso"


def fat(path, offset=0, files=(), size=None):
    """Makes a file system of all behind the offset in the image, and puts {name: path} on it."""
    at = f"{path}@@{offset}"
    with open(path, "ab") as f:
        f.truncate(size or os.path.getsize(path))
    if offset:
        tool("mformat", "-i", at, "-T", (os.path.getsize(path) - offset) // 512, "-h", 255, "-s", 63, "-H", offset // 512, "::")
    for name, source in dict(files).items():
        folder = os.path.dirname(name)
        if folder:
            for n in range(folder.count("/") + 1):
                tool("mmd", "-D", "s", "-i", at, "::" + "/".join(folder.split("/")[:n + 1]))
        tool("mcopy", "-i", at, source, f"::{name}")


def core(folder, prefix, config, modules):
    """GRUB's core image with a configuration inside."""
    cfg = folder / "core.cfg"
    cfg.write_text(config)
    out = folder / "core.img"
    tool("grub-mkimage", "-d", GRUB, "-O", "i386-pc", "-p", prefix, "-c", cfg, "-o", out, *modules)
    return out


def grub_disk(folder, entries, timeout=0, bits=""):
    """A disk: GRUB's boot.img in the MBR, its core behind that, and a FAT partition from 1 MiB."""
    tree = folder / "disk-files"
    tree.mkdir()
    cfg = tree / "grub.cfg"
    cfg.write_text(grub_config(put_files(tree, entries), timeout, bits))
    size = MIB + sum(f.stat().st_size for f in tree.iterdir()) // MIB * MIB + 16 * MIB
    code = core(folder, "(hd0,msdos1)/boot/grub", "", GRUB_MODULES).read_bytes()
    assert len(code) < MIB - 512
    with open(f"{GRUB}/boot.img", "rb") as f:
        boot = bytearray(f.read(512))
    # one active partition, FAT16 with LBA; core.img is wanted at sector 1, which is boot.img's default
    boot[446:462] = struct.pack("<B3sB3sII", 0x80, b"\xfe\xff\xff", 0x0e, b"\xfe\xff\xff", MIB // 512, (size - MIB) // 512)
    boot[462:512] = bytes(48) + b"\x55\xaa"
    disk = folder / "grub-disk.img"
    disk.write_bytes(bytes(boot) + code)
    fat(disk, MIB, {"boot/grub/grub.cfg": cfg,
                    **{f.name: f for f in sorted(tree.iterdir()) if f != cfg}}, size)
    return disk


def syslinux_config(files, timeout, prompt):
    text = f"DEFAULT {files[0][0]}\nPROMPT {int(prompt)}\nTIMEOUT {timeout * 10}\nSERIAL 0 115200\nSAY DOPPEL-LOADER\n"
    for title, kernel, initrd, append in files:
        text += f"LABEL {title}\n  KERNEL {kernel}\n"
        text += f"  INITRD {initrd}\n" if initrd else ""
        text += f"  APPEND {append}\n" if append else ""
    return text


def isolinux_cd(folder, entries, timeout=0, prompt=False):
    tree = folder / "isolinux-cd"
    (tree / "isolinux").mkdir(parents=True)
    files = put_files(tree, entries)
    files = [(t, f"/{k}", i and f"/{i}", a) for t, k, i, a in files]
    (tree / "isolinux/isolinux.cfg").write_text(syslinux_config(files, timeout, prompt))
    for f in (ISOLINUX, f"{SYSLINUX}/ldlinux.c32"):
        shutil.copy(f, tree / "isolinux")
    tool("xorriso", "-as", "mkisofs", "-quiet", "-R", "-V", "DOPPEL", "-o", f"{tree}.iso", "-b", "isolinux/isolinux.bin",
         "-c", "isolinux/boot.cat", "-no-emul-boot", "-boot-load-size", "4", "-boot-info-table", tree)
    return f"{tree}.iso"


def syslinux_floppy(folder, entries, timeout=0, prompt=False, kib=1440):
    """A FAT floppy with SYSLINUX on it."""
    tree = folder / "floppy-files"
    tree.mkdir()
    cfg = tree / "syslinux.cfg"
    cfg.write_text(syslinux_config(put_files(tree, entries), timeout, prompt))
    disk = folder / "syslinux.img"
    with open(disk, "wb") as f:
        f.truncate(kib << 10)
    tool("mformat", "-i", disk, "-f", kib, "::")
    tool("syslinux", "--install", disk)
    fat(disk, 0, {f.name: f for f in sorted(tree.iterdir())})
    return disk


def grub_kernel(folder):
    """GRUB itself as a kernel that other loaders start; it goes on with the first disk's configuration."""
    out = folder / "grub.lkrn"
    config = "set root=(hd0,msdos1)\nconfigfile /boot/grub/grub.cfg\n"
    image = core(folder, "(hd0,msdos1)/boot/grub", config, GRUB_MODULES)
    with open(f"{GRUB}/lnxboot.img", "rb") as f:
        out.write_bytes(f.read() + image.read_bytes())
    return out
