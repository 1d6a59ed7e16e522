"""fat:FOLDER, against mtools, which read the same disk as a FAT file system, and qemu-img, which says how large it is."""
import filecmp
import hashlib
import os
import random
import shutil
import subprocess
import time

import pytest

from adapters import machine
from test_disks import answer, end, no_trouble
from vm import LIMIT, ROOT

IMG = os.path.join(ROOT, "doppel-img")
KINDS = {"": (63 * 512, 504 << 20), "16:": (63 * 512, 504 << 20), "12:": (63 * 512, 64512 * 512), "floppy:": (0, 5760 * 512),
         "floppy:12:": (0, 2880 * 512)}
needs_mtools = pytest.mark.skipif(not shutil.which("mcopy"), reason="mtools are not installed")


def run(*args, code=0):
    p = subprocess.run([str(a) for a in args], capture_output=True, text=True, timeout=LIMIT, env=dict(os.environ, MTOOLS_SKIP_CHECK="0"))
    assert p.returncode == code, (args, p.stdout, p.stderr)
    return p.stdout + p.stderr


@pytest.fixture
def folder(tmp_path):
    """Names of all kinds, sizes about those of clusters, folders in folders, 600 names in one."""
    rnd, top = random.Random(5), tmp_path / "folder"
    sizes = {"EMPTY": 0, "ONE.TXT": 1, "readme.txt": 511, "README.TXT.bak": 512, "a long name, with more.text": 8192, "b" * 200: 8193,
             "Größe.txt": 70001, ".hidden": 3, "two.dots.c": 1023, "x.html": 1024, "x.htm": 1025, "12345678.123": 5, "123456789.123": 6,
             "mixedCase": 7, "trail.": 8, "\u263a.txt": 9, "sp ace.t": 10}
    for where in ("", "SUB", "SUB/deeper and deeper", "many"):
        (top / where).mkdir()
        for name, size in sizes.items():
            (top / where / name).write_bytes(rnd.randbytes(size))
    for n in range(600):
        (top / "many" / f"file number {n:04}.data").write_bytes(b"%d" % n)
    os.symlink("SUB/ONE.TXT", top / "link")
    os.mkfifo(top / "pipe")
    return top


def same_tree(a, b):
    """What is a file or a folder in the one is in the other, and they hold the same."""
    names = {n for n in os.listdir(a) if n != "pipe"}
    assert names == set(os.listdir(b))
    for n in names:
        x, y = os.path.join(a, n), os.path.join(b, n)
        if os.path.isdir(x):
            same_tree(x, y)
        else:
            assert filecmp.cmp(x, y, shallow=False), n
            assert abs(os.stat(x).st_mtime - os.stat(y).st_mtime) <= 2


@needs_mtools
@pytest.mark.parametrize("kind", list(KINDS))
def test_tree(folder, kind, tmp_path):
    at, size = KINDS[kind]
    raw, copy = tmp_path / "raw", tmp_path / "copy"
    if kind == "floppy:12:":
        shutil.rmtree(folder / "many")
    copy.mkdir()
    run(IMG, "convert", "-O", "raw", f"fat:{kind}{folder}", raw)
    assert raw.stat().st_size == size
    run("mcopy", "-s", "-m", "-Q", "-n", "-i", f"{raw}@@{at}", "::*", copy)
    same_tree(folder, copy)
    assert "QEMU VVFAT" in run("mlabel", "-s", "-i", f"{raw}@@{at}")
    if shutil.which("qemu-img"):
        assert f"({size} bytes)" in run("qemu-img", "info", "-f", "raw", f"fat:{kind}{folder / 'SUB'}")
    assert run(IMG, "compare", "--image-opts", f"driver=raw,file.driver=file,file.filename={raw}",
               f"driver=raw,file.driver=vvfat,file.dir={folder},file.floppy={'on' if 'floppy' in kind else 'off'},"
               f"file.fat-type={12 if '12' in kind else 0}") == "Images are identical.\n"


@needs_mtools
def test_short_names(folder, tmp_path):
    """As DOS sees them; and a character that takes two places, of which mtools know nothing."""
    (folder / "many" / "\U0001f600.txt").touch()
    run(IMG, "convert", "-O", "raw", f"fat:{folder}", tmp_path / "raw")
    short = {line[:12].rstrip() for line in run("mdir", "-a", "-i", f"{tmp_path}/raw@@32256", "::").splitlines() if line[13:22].strip().isdigit()}
    assert short == {"EMPTY", "ONE      TXT", "README   TXT", "README~1 BAK", "ALONGN~1 TEX", "BBBBBB~1", "GR__E~1  TXT", "HIDDEN~1", "TWODOT~1 C",
                     "X~1      HTM", "X        HTM", "12345678 123", "123456~1 123", "MIXEDC~1", "TRAIL~1", "_~1      TXT", "SPACE~1  T", "LINK"}
    assert "\U0001f600.tx".encode("utf-16-le") in (tmp_path / "raw").read_bytes()


def test_many_alike(tmp_path):
    """Thousands of names that are the same as 8.3 take no time that one notices."""
    (tmp_path / "a" / "b").mkdir(parents=True)
    for n in range(4000):
        (tmp_path / "a" / "b" / f"the same beginning {n}").touch()
    begun = time.monotonic()
    run(IMG, "info", f"fat:{tmp_path}/a")
    assert time.monotonic() - begun < 10


def test_refusals(folder, tmp_path):
    bad = {f"fat:rw:{folder}": "only be read", f"fat:32:{folder}": "FAT12 and FAT16", f"fat:floppy:16:{folder}": "FAT12 only",
           f"fat:{folder}/EMPTY": "Not a directory", f"fat:{folder}/nothing": "No such file"}
    for name, why in bad.items():
        assert why in run(IMG, "info", name, code=1)
    assert "only be read" in run(IMG, "resize", "-f", "raw", f"fat:{folder}", "1G", code=1)
    with open(folder / "big", "wb") as f:
        f.truncate(505 << 20)
    assert "does not fit" in run(IMG, "info", f"fat:{folder}", code=1)
    os.unlink(folder / "big")
    os.symlink("..", folder / "SUB" / "up")
    assert "circle" in run(IMG, "info", f"fat:{folder}", code=1)
    os.unlink(folder / "SUB" / "up")
    for n in range(300):
        (folder / f"file number {n}").touch()
    assert "too many names" in run(IMG, "info", f"fat:{folder}", code=1)


@pytest.mark.usefixtures("guests")
def test_guest(folder, tmp_path):
    """From the start, and later, when the process is confined; one that is shorter by then has zeros at its end."""
    raw = tmp_path / "raw"
    run(IMG, "convert", "-O", "raw", f"fat:12:{folder}", raw)
    want = hashlib.sha256(raw.read_bytes()).hexdigest()
    with machine("-drive", f"file=fat:12:{folder},format=raw,if=virtio,readonly=on", "-device", "virtio-scsi-pci") as m:
        assert want in answer(m, "sha256sum /dev/vda")
        assert answer(m, "cat /sys/block/vda/ro").strip() == "1"
        run(IMG, "convert", "-O", "raw", f"fat:floppy:{folder / 'SUB'}", raw)
        m.mon.cmd(f"drive_add 0 if=none,id=b,file=fat:floppy:{folder / 'SUB'},format=raw,readonly=on")
        assert m.mon.cmd("device_add scsi-hd,drive=b") == ""
        answer(m, "while ! [ -b /dev/sda ]; do :; done")
        assert hashlib.sha256(raw.read_bytes()).hexdigest() in answer(m, "sha256sum /dev/sda")
        data = raw.read_bytes()
        at = data.index((folder / "SUB" / "Größe.txt").read_bytes())
        os.truncate(folder / "SUB" / "Größe.txt", 512)
        answer(m, "echo 3 >/proc/sys/vm/drop_caches")
        data = data[:at + 512] + bytes(70001 - 512) + data[at + 70001:]
        assert hashlib.sha256(data).hexdigest() in answer(m, "sha256sum /dev/sda")
        assert "whole path" in m.mon.cmd("drive_add 0 if=none,id=c,file=fat:tests,format=raw,readonly=on")
        no_trouble(m)
        end(m)
