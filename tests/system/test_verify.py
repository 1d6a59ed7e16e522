"""A verifier in the guest (verify.c), behind each kind of adapter, one operation at a time and many; what it must have left
is in the images afterwards. VERIFY_SECONDS=n makes test_sector_63 longer (make soak)."""
import hashlib
import os
import struct
import subprocess
import time

import pytest

from adapters import ADAPTERS, adapter, drive, machine, machine_loaded
from test_disks import answer, end, no_trouble, tool
from vm import GUESTS, ROOT, STEP, initrd_with

IMG = os.path.join(ROOT, "doppel-img")
HERE = os.path.dirname(os.path.abspath(__file__))
BLOCKS = 4000  # of 4 KiB; each disk is some larger, by which it is known
SECONDS = int(os.environ.get("VERIFY_SECONDS", "0"))
OPERATIONS = 1000  # a round of test_sector_63


@pytest.fixture(scope="module")
def verifier(tmp_path_factory):
    """The program, and an initrd that has it."""
    folder = tmp_path_factory.mktemp("verify")
    tree = folder / "tree"
    (tree / "bin").mkdir(parents=True)
    tool("cc", "-O2", "-static", "-o", tree / "bin" / "verify", os.path.join(HERE, "verify.c"))
    initrd_with(tree, "initrd-amd64-disks", folder / "initrd")
    return tree / "bin" / "verify", os.path.relpath(folder / "initrd", GUESTS)


def size_of(n):
    return (16 + n) << 20


def verify(verifier, tmp_path, kinds, depth, fmt, more, operations, seed):
    program, initrd = verifier
    args = []
    for n, kind in enumerate(kinds):
        image = tmp_path / f"{kind}.img"
        subprocess.run([IMG, "create", "-q", "-f", fmt, image, str(size_of(n))], check=True)
        args += [*drive(f"d{n}", image, *more, fmt=fmt), *adapter(kind, f"d{n}")]
    how = f"{operations} {depth} {seed} 50"
    with machine(*args, initrd=initrd) as m:
        for n, kind in enumerate(kinds):
            answer(m, f"for d in /sys/block/[sv]d*; do [ $(cat $d/size) != {size_of(n) // 512} ] || ln -s /dev/${{d##*/}} /{kind}; done")
        runs = " ".join(f"verify run /{kind} {BLOCKS} {how} >/out.{kind} 2>&1 &" for kind in kinds)
        answer(m, f"({runs} wait)", 20 * STEP)
        for kind in kinds:
            assert answer(m, f"cat /out.{kind}") == "VERIFY OK\n", kind
        no_trouble(m)
        end(m)
    for kind in kinds:
        raw = tmp_path / f"{kind}.raw"
        subprocess.run([IMG, "convert", "-f", fmt, "-O", "raw", tmp_path / f"{kind}.img", raw], check=True)
        got = subprocess.run([program, "check", raw, str(BLOCKS), *how.split()], capture_output=True, text=True)
        assert got.stdout == "VERIFY OK\n", kind
        if fmt == "qcow2":
            assert subprocess.run(["qemu-img", "check", "-q", tmp_path / f"{kind}.img"]).returncode == 0


def needs_direct(folder):
    (folder / "x").touch()
    try:
        os.close(os.open(folder / "x", os.O_RDONLY | os.O_DIRECT))
    except OSError:
        pytest.skip("no O_DIRECT here")


@pytest.mark.usefixtures("guests")
def test_all_at_once(verifier, tmp_path):
    verify(verifier, tmp_path, list(ADAPTERS), 32, "qcow2", [], 3000, 20)


@pytest.mark.usefixtures("guests")
@pytest.mark.parametrize("fmt", ["raw", "qcow2"])
@pytest.mark.parametrize("more", [["aio=io_uring"], ["cache=none", "aio=native"]])
def test_engines(verifier, tmp_path, fmt, more):
    """The kernel's rings, from inside of the confinement."""
    if "cache=none" in more:
        needs_direct(tmp_path)
    verify(verifier, tmp_path, ["virtio-blk", "ahci"], 32, fmt, more, 3000, 21)


@pytest.mark.usefixtures("guests")
@pytest.mark.parametrize("kind", ["virtio-blk", *(pytest.param(k, marks=pytest.mark.full) for k in ADAPTERS if k != "virtio-blk")])
def test_sector_63(verifier, kind, tmp_path):
    """A partition as DOS made them, on a sparse file past the page cache: each of the guest's blocks has parts of two of the
    host's, which neighbours that are under way share. Again and again where it was discarded, which are holes."""
    program, initrd = verifier
    needs_direct(tmp_path)
    first, begun, seed = 63, time.monotonic(), 0
    image, part = tmp_path / "disk.raw", tmp_path / "part.raw"
    with open(image, "wb") as f:
        f.truncate((first + BLOCKS * 8) * 512)
        f.seek(446)
        f.write(struct.pack("<8B2I", 0, 1, 1, 0, 0x83, 0xfe, 0xff, 0xff, first, BLOCKS * 8).ljust(64, b"\0") + b"\x55\xaa")
    args = (*drive("d", image, "cache=none", "aio=native", "discard=unmap"), *adapter(kind, "d"))
    with machine(*args, initrd=initrd) as m:
        answer(m, "p=/dev/$(cd /sys/class/block; ls -d [sv]da1)")
        assert answer(m, "cat /sys/class/block/${p##*/}/start").strip() == "63"
        while seed == 0 or time.monotonic() - begun < SECONDS:
            seed += 1
            how = f"{BLOCKS} {OPERATIONS} 32 {seed} 100"
            assert answer(m, f"blkdiscard $p && verify run $p {how} 2>&1", 20 * STEP) == "VERIFY OK\n"
        no_trouble(m)
        end(m)
    assert image.stat().st_blocks * 512 < image.stat().st_size  # there were holes to the end
    tool(IMG, "dd", "-f", "raw", "-O", "raw", f"if={image}", f"of={part}", "bs=512", f"skip={first}")
    assert subprocess.run([program, "check", part, *how.split()], capture_output=True, text=True).stdout == "VERIFY OK\n"
    print(f"done: {seed} rounds of {OPERATIONS} operations")


@pytest.mark.full
@pytest.mark.usefixtures("guests")
@pytest.mark.parametrize("kind", list(ADAPTERS))
@pytest.mark.parametrize("depth", [1, 32])
@pytest.mark.parametrize("fmt, more", [("raw", ["cache=none", "aio=native"]), ("qcow2", ["aio=io_uring"]), ("qcow2", []), ("qcow2", ["cache=writethrough"])])
def test_verify(verifier, kind, depth, fmt, more, tmp_path):
    verify(verifier, tmp_path, [kind], depth, fmt, more, 10000, 7)


@pytest.mark.usefixtures("guests")
@pytest.mark.parametrize("kind", ["ahci", "virtio-scsi"])
def test_saved_state(kind, tmp_path):
    """A machine that is saved and loaded in another process reads and writes on."""
    data = os.urandom(4 << 20)
    (tmp_path / "disk").write_bytes(data)
    args = (*drive("a", tmp_path / "disk"), *adapter(kind, "a"))
    with machine(*args) as m:
        answer(m, "dd if=/dev/sda of=/dev/null bs=64k count=3 2>/dev/null")
        assert m.mon.cmd(f"migrate file:{tmp_path}/state") == ""
        m.mon.send("quit\n")
        assert m.wait() == 0
    with machine_loaded(*args, "-incoming", f"file:{tmp_path}/state") as m:
        assert hashlib.sha256(data).hexdigest() in answer(m, "echo 3 >/proc/sys/vm/drop_caches; sha256sum /dev/sda")
        answer(m, "dd if=/dev/zero of=/dev/sda bs=1M count=1 conv=notrunc,fsync 2>/dev/null")
        no_trouble(m)
    assert (tmp_path / "disk").read_bytes() == bytes(1 << 20) + data[1 << 20:]
