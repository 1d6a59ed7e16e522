"""doppel-img measure, dd, bench, amend and resize, and doppel-io: against qemu-img and qemu-io where they are installed."""
import os
import re
import shutil
import subprocess
import time

import pytest

from vm import LIMIT, ROOT

IMG = os.path.join(ROOT, "doppel-img")
IO = os.path.join(ROOT, "doppel-io")
needs_qemu = pytest.mark.skipif(not shutil.which("qemu-img") or not shutil.which("qemu-io"),
                                reason="qemu-img or qemu-io is not installed")
MIB = 1 << 20


def run(*args, code=0):
    p = subprocess.run([str(a) for a in args], capture_output=True, text=True, timeout=LIMIT, stdin=subprocess.DEVNULL)
    assert p.returncode == code, (args, p.stdout, p.stderr)
    return p.stdout, re.sub(r"^(doppel|qemu)-(img|io): ", "", p.stderr, flags=re.M)


@pytest.fixture
def images(tmp_path):
    """A qcow2 image with data, zeros and a snapshot, and a raw one with holes."""
    q, r = tmp_path / "a.qcow2", tmp_path / "a.raw"
    run(IMG, "create", "-q", "-f", "qcow2", q, "1G")
    run(IO, "-c", "write -q -P 7 0 5M", "-c", "write -q -z 1M 64k", q)
    run(IMG, "snapshot", "-c", "s", q)
    run(IO, "-c", "write -q -P 8 100M 3M", q)
    with open(r, "wb") as f:
        f.write(os.urandom(3 * MIB))
        f.truncate(10 * MIB)
    return q, r


@needs_qemu
def test_measure(images, tmp_path):
    q, r = images
    for args in (["-O", "qcow2", "--size", "1G"], ["-O", "raw", "--size", "1G"], ["-O", "qcow2", "--size", 0],
                 ["--output=json", "-O", "qcow2", "--size", "7T"], ["-O", "qcow2", "--size", 10000001],
                 ["-O", "qcow2", "-o", "cluster_size=4k", r], ["--output=json", "-O", "raw", r], ["-O", "qcow2", r],
                 ["-O", "qcow2", "-o", "compat=0.10", r], ["-O", "qcow2", "-o", "preallocation=full", q],
                 ["-O", "qcow2", "-o", "refcount_bits=64,cluster_size=2M", "--size", "3T"], ["-O", "raw", q]):
        assert run(IMG, "measure", *args) == run("qemu-img", "measure", *args), args
    for args in ([], ["--size", "1", q], ["-O", "qcow2", "-o", "cluster_size=512", "--size", "3T"]):
        assert run(IMG, "measure", *args, code=1) == run("qemu-img", "measure", *args, code=1), args
    # what is measured is what convert makes
    out = tmp_path / "out.qcow2"
    run(IMG, "convert", "-O", "qcow2", r, out)
    need = int(re.search(r"required size: (\d+)", run(IMG, "measure", "-O", "qcow2", r)[0]).group(1))
    assert need - MIB < os.path.getsize(out) <= need


@needs_qemu
@pytest.mark.parametrize("operands", [["bs=1M", "count=2", "skip=1"], ["bs=4k"], ["bs=1M", "skip=99"], ["count=3"],
                                      ["bs=700", "count=3", "skip=1"]])
def test_dd(operands, images, tmp_path):
    q, r = images
    for src in (q, r) if operands[0] != "bs=4k" else (r,):
        ours, theirs = tmp_path / "ours", tmp_path / "theirs"
        run(IMG, "dd", *operands, f"if={src}", f"of={ours}")
        run("qemu-img", "dd", *operands, f"if={src}", f"of={theirs}")
        assert ours.stat().st_size == theirs.stat().st_size or operands[0] == "bs=700"
        n = min(ours.stat().st_size, theirs.stat().st_size)
        with open(ours, "rb") as a, open(theirs, "rb") as b:
            assert a.read(n) == b.read(n)
    for bad in (["foo=1"], ["if=x"], [f"if={q}", f"of={tmp_path}/x", "bs=foo"]):
        assert run(IMG, "dd", *bad, code=1)[1].split(":")[0] == run("qemu-img", "dd", *bad, code=1)[1].split(":")[0]


def test_bench(images):
    q, _ = images
    out, _ = run(IMG, "bench", "-c", 100, "-f", "qcow2", q)
    assert re.fullmatch(r"Sending 100 read requests, 4096 bytes each, 64 in parallel \(starting at offset 0, step size "
                        r"4096\)\nRun completed in \d+\.\d{3} seconds\.\n", out)
    out, _ = run(IMG, "bench", "-w", "-c", 64, "-d", 4, "-s", "64k", "--pattern", 5, "--flush-interval=16", "-t", "none", q)
    assert "Sending flush every 16 requests\n" in out
    run(IO, "-c", "read -q -P 5 0 4M", q)
    assert "only available in write tests" in run(IMG, "bench", "--flush-interval=16", q, code=1)[1]
    run(IMG, "check", "-q", q)


@pytest.mark.parametrize("fmt", ["raw", "qcow2"])
def test_resize(fmt, tmp_path):
    img = tmp_path / "x.img"
    run(IMG, "create", "-q", "-f", fmt, img, "4M")
    run(IO, "-f", fmt, "-c", "write -q -P 9 0 4M", img)
    err = run(IMG, "resize", "-f", fmt, img, "1M", code=1)[1]
    assert err.startswith("Use the --shrink option to perform a shrink operation.\nwarning: Shrinking an image will delete")
    assert run(IMG, "resize", "-f", fmt, "--shrink", img, "-1000k")[0] == "Image resized.\n"
    size = 4 * MIB - 1000 * 1024
    run(IMG, "resize", "-q", "-f", fmt, img, "+1000k")
    run(IO, "-f", fmt, "-c", f"read -q -P 9 0 {size}", "-c", f"read -q -P 0 {size} 1000k", img)  # it does not come back
    assert "must be positive" in run(IMG, "resize", "-f", fmt, img, "-4M", code=1)[1]
    if fmt == "qcow2":
        run(IMG, "check", "-q", img)


def test_shrink_with_a_snapshot(tmp_path):
    img = tmp_path / "x.qcow2"
    run(IMG, "create", "-q", "-f", "qcow2", img, "4M")
    run(IO, "-c", "write -q -P 9 0 4M", img)
    run(IMG, "snapshot", "-c", "s", img)
    run(IMG, "resize", "-q", "--shrink", img, "1M")
    run(IMG, "check", "-q", img)
    run(IMG, "snapshot", "-a", "s", img)
    run(IO, "-c", "read -q -P 9 0 4M", img)
    run(IMG, "check", "-q", img)


def test_shrink_that_is_refused(tmp_path):
    """Version 2 with a snapshot: nothing is lost."""
    img = tmp_path / "x.qcow2"
    run(IMG, "create", "-q", "-f", "qcow2", "-o", "compat=0.10", img, "4M")
    run(IO, "-c", "write -q -P 9 0 4M", img)
    run(IMG, "snapshot", "-c", "s", img)
    assert "cannot resize" in run(IMG, "resize", "--shrink", img, "1M", code=1)[1]
    run(IO, "-c", "read -q -P 9 0 4M", img)


def test_amend(images):
    q, _ = images
    run(IMG, "amend", "-f", "qcow2", "-o", "lazy_refcounts=on,size=2G", q)
    info = run(IMG, "info", q)[0]
    assert "lazy refcounts: true" in info and "virtual size: 2 GiB" in info
    assert "not supported yet" in run(IMG, "amend", "-o", "refcount_bits=8", q, code=1)[1]
    assert "Invalid parameter 'foo'" in run(IMG, "amend", "-o", "foo=1", q, code=1)[1]
    run(IMG, "check", "-q", q)


SESSION = ["write -P 0xab 0 64k", "read -P 0xab 0 64k", "read -P 1 0 1k", "read -v 0 32", "write 64k 64k", "discard 0 64k",
           "read -P 0 0 64k", "flush", "length", "truncate 20M", "length", "write 0 1G", "read 100 foo", "nosuch",
           "write -q 1M 1M", "readv -P 3 0 2k 2k", "writev -P 5 8k 4k 4k", "read -s 10 -l 20 -P 5 8k 4k", "write -c 2M 64k",
           "read 0", "write -f 0 512", "read -p 0 512", "write -u 0 512", "alloc 1 2 3", "length 1", "write 0x1000 0x200",
           "map", "alloc 64k 64k"]


@needs_qemu
def test_io_as_qemu(tmp_path):
    """Its output, but for how long things took and what goes to stderr."""
    got = []
    for program in (IO, "qemu-io"):
        img = tmp_path / "x.qcow2"
        run("qemu-img", "create", "-q", "-f", "qcow2", img, "16M")
        p = subprocess.run([program, *(x for c in SESSION for x in ("-c", c)), img], capture_output=True, text=True,
                           timeout=LIMIT)
        got.append((re.sub(r"[\d.]+ sec \(.*", "T", p.stdout), p.returncode))
        assert subprocess.run(["qemu-img", "check", "-q", img], timeout=LIMIT).returncode == 0
        run("qemu-io", "-r", "-c", "read -q -P 5 8k 8k", img)
    # a cluster that was discarded is not there to us, and is zeros to QEMU
    ours, theirs = (re.sub(r"^.* allocated at offset .*\n", "", g[0], flags=re.M) for g in got)
    assert ours == theirs and got[0][1] == got[1][1] == 1


def test_io_options(tmp_path):
    img = tmp_path / "x.qcow2"
    run(IMG, "create", "-q", "-f", "qcow2", img, "1M")
    assert "read-only" in run(IO, "-r", "-c", "write 0 512", img, code=1)[1]
    assert "can't open device /nonesuch" in run(IO, "/nonesuch", code=1)[1]
    before = img.read_bytes()
    run(IO, "-s", "-c", "write -q -P 1 0 64k", "-c", "read -q -P 1 0 64k", img)
    assert img.read_bytes() == before
    run(IO, "-n", "-m", "-c", "write -q -P 1 100 1000", "-c", "read -q -P 1 100 1000", img)
    source = tmp_path / "source"
    source.write_bytes(b"abc")
    run(IO, "-c", f"write -q -s {source} 0 9", img)
    assert "61 62 63 61 62 63 61 62 63" in run(IO, "-c", "read -v 0 9", img)[0]
    p = subprocess.run([IO], input=f"open {img}\nlength\nclose\nlength\nquit\n", capture_output=True, text=True, timeout=LIMIT)
    assert "1 MiB" in p.stdout and "no file open" in p.stderr
    run(IMG, "check", "-q", img)


@needs_qemu
@pytest.mark.parametrize("opts", [[], ["-o", "subformat=fixed"], ["-o", "force_size=on"]])
def test_vpc_both_ways(images, tmp_path, opts):
    """What we write qemu-img reads, and the reverse; the same sizes are made of the same ones."""
    q, r = images
    ours, theirs, back = tmp_path / "ours.vhd", tmp_path / "theirs.vhd", tmp_path / "back"
    for src, fmt in ((q, "qcow2"), (r, "raw")):
        run(IMG, "convert", "-O", "vpc", *opts, src, ours)
        run("qemu-img", "compare", "-q", "-f", fmt, "-F", "vpc", src, ours)
        run("qemu-img", "convert", "-O", "vpc", *opts, src, theirs)
        run(IMG, "compare", "-q", "-f", fmt, "-F", "vpc", src, theirs)
        run(IMG, "convert", "-f", "vpc", "-O", "raw", theirs, back)
        run("qemu-img", "compare", "-q", "-f", fmt, "-F", "raw", src, back)
        run(IO, "-f", "vpc", "-c", "write -q -P 5 2M 1M", "-c", "write -q -P 6 9M 512", "-c", "write -q -z 2M 64k", theirs)
        run("qemu-io", "-f", "vpc", "-c", "read -q -P 6 9M 512", "-c", "read -q -P 0 2M 64k", "-c", "write -q -P 7 5M 4k", theirs)
        run(IO, "-f", "vpc", "-c", "read -q -P 7 5M 4k", "-c", "read -q -P 5 2112k 960k", theirs)
    for size in ("1M", "5M", "10M", "100M", "3G", "100G", "200G"):
        if "subformat=fixed" in opts and size.endswith("G"):
            continue
        a, b = (run(p, "create", "-f", "vpc", *opts, tmp_path / "new.vhd", size)[0] for p in (IMG, "qemu-img"))
        assert a == b
        run(IMG, "create", "-q", "-f", "vpc", *opts, ours, size)
        got, want = (run(p, "info", "-f", "vpc", ours)[0] for p in (IMG, "qemu-img"))
        assert [x for x in got.splitlines() if "disk size" not in x] == [x for x in want.splitlines() if "disk size" not in x]
        run("qemu-img", "create", "-q", "-f", "vpc", *opts, theirs, size)
        assert run(IMG, "info", "-f", "vpc", theirs)[0].splitlines()[2] == want.splitlines()[2]


@needs_qemu
def test_vdi_both_ways(images, tmp_path):
    """What we write qemu-img reads, and the reverse; both compare and check."""
    q, r = images
    ours, theirs, back = tmp_path / "ours.vdi", tmp_path / "theirs.vdi", tmp_path / "back"
    for src, fmt in ((q, "qcow2"), (r, "raw")):
        run(IMG, "convert", "-O", "vdi", src, ours)
        run("qemu-img", "check", "-q", ours)
        run("qemu-img", "compare", "-q", "-f", fmt, "-F", "vdi", src, ours)
        run("qemu-img", "convert", "-O", "vdi", src, theirs)
        run(IMG, "compare", "-q", "-f", fmt, "-F", "vdi", src, theirs)
        run(IMG, "convert", "-O", "raw", theirs, back)
        run(IMG, "compare", "-q", "-f", fmt, "-F", "raw", src, back)
        run(IO, "-c", "write -q -P 5 2M 1M", "-c", "write -q -P 6 9M 512", "-c", "write -q -z 2M 64k", theirs)
        run("qemu-img", "check", "-q", theirs)
        run("qemu-io", "-f", "vdi", "-c", f"read -q -P 6 9M 512", "-c", "read -q -P 0 2M 64k", theirs)
    for opts in ([], ["-o", "static=on"]):
        a, b = (run(p, "create", "-f", "vdi", *opts, tmp_path / "new.vdi", "5M")[0] for p in (IMG, "qemu-img"))
        assert a == b
        run(IMG, "create", "-q", "-f", "vdi", *opts, ours, "5M")
        run("qemu-img", "check", "-q", ours)
        got, want = (run(p, "info", ours)[0].replace("disk size: 0 B", "") for p in (IMG, "qemu-img"))
        assert [x for x in got.splitlines() if "disk size" not in x] == [x for x in want.splitlines() if "disk size" not in x]


VMDK = ["monolithicSparse", "monolithicFlat", "twoGbMaxExtentSparse", "twoGbMaxExtentFlat", "streamOptimized"]


def vmdk_says(program, command, *args):
    """What it says, but for how much room the files take."""
    return [x for x in run(program, command, *args)[0].splitlines() if "disk size" not in x and "actual-size" not in x]


def vmdk_made(path):
    """What is in a new image, but for its random number, which has as many digits as it happens to need."""
    return re.sub(rb"CID=[0-9a-f]+", b"", path.read_bytes()).replace(b"\0", b"")


@needs_qemu
@pytest.mark.parametrize("kind", VMDK)
def test_vmdk_both_ways(kind, images, tmp_path):
    """What we write qemu-img reads, checks and describes the same, and the reverse; each writes to the other's."""
    q, r = images
    ours, theirs, back = tmp_path / "ours.vmdk", tmp_path / "theirs.vmdk", tmp_path / "back"
    opts = ["-O", "vmdk", "-o", f"subformat={kind}"]
    for src, fmt in ((q, "qcow2"), (r, "raw")):
        run(IMG, "convert", *opts, src, ours)
        run("qemu-img", "convert", *opts, src, theirs)
        run(IMG, "convert", "-O", "raw", theirs, back)
        run("qemu-img", "compare", "-q", "-f", fmt, "-F", "raw", src, back)
        for img in (ours, theirs):
            run("qemu-img", "compare", "-q", "-f", fmt, "-F", "vmdk", src, img)
            run(IMG, "compare", "-q", "-f", fmt, "-F", "vmdk", src, img)
            for command in (["info"], ["info", "--output=json"], ["check"], ["check", "--output=json"]):
                assert vmdk_says(IMG, *command, img) == vmdk_says("qemu-img", *command, img)
            if kind != "streamOptimized":
                assert run(IMG, "map", img)[0] == run("qemu-img", "map", img)[0]
            run(IO, "-c", "write -q -P 5 2M 1M", "-c", "write -q -P 6 9M 512", "-c", "write -q -z 2M 64k", img)
            run("qemu-img", "check", "-q", img)
            run("qemu-io", "-c", "read -q -P 6 9M 512", "-c", "read -q -P 0 2M 64k", "-c", "read -q -P 5 2112k 960k", img)
            if kind != "streamOptimized":
                run("qemu-io", "-c", "write -q -P 7 5M 4k", img)
                run(IO, "-c", "read -q -P 7 5M 4k", "-c", "read -q -P 5 2112k 960k", img)
            run(IMG, "check", "-q", img)
    new = tmp_path / "new.vmdk"
    for extra in ("", ",adapter_type=lsilogic,hwversion=6", ",compat6=on", ",toolsversion=7,adapter_type=ide"):
        a = run(IMG, "create", "-f", "vmdk", "-o", f"subformat={kind}{extra}", new, "5G")[0]
        text = vmdk_made(new)
        assert a == run("qemu-img", "create", "-f", "vmdk", "-o", f"subformat={kind}{extra}", new, "5G")[0]
        assert text == vmdk_made(new)
    for command in (["resize", new, "6G"], ["resize", "--shrink", new, "1G"], ["measure", "-O", "vmdk", "--size", "1G"]):
        assert run(IMG, *command, code=1) == run("qemu-img", *command, code=1)


@needs_qemu
def test_vmdk_behind(images, tmp_path):
    """An image in front of another; one whose parent has changed does not open; commit; extents that lead away."""
    base, top = tmp_path / "base.vmdk", tmp_path / "top.vmdk"
    run(IMG, "convert", "-O", "vmdk", "-o", "subformat=twoGbMaxExtentSparse", images[1], base)
    for opts in ([], ["-o", "zeroed_grain=on"], ["-o", "subformat=streamOptimized"]):
        a, b = (run(p, "create", "-f", "vmdk", *opts, "-b", "base.vmdk", "-F", "vmdk", top)[0] for p in ("qemu-img", IMG))
        assert a == b and re.search(rb'parentFileNameHint="base.vmdk"\n', top.read_bytes())
        assert vmdk_says(IMG, "info", top) == vmdk_says("qemu-img", "info", top)
        run(IO, "-c", "write -q -P 1 1M 5k", "-c", "write -q -z 2M 64k", "-c", "write -q -P 2 9M 64k", top)
        if "subformat" not in str(opts):
            run("qemu-io", "-c", "write -q -P 3 3M 1k", top)
        run("qemu-io", "-c", "read -q -P 1 1M 5k", "-c", "read -q -P 0 2M 64k", "-c", "read -q -P 2 9M 64k", top)
        flat = tmp_path / "flat.raw"
        run("qemu-img", "convert", "-O", "raw", top, flat)
        run(IMG, "compare", "-q", "-F", "raw", top, flat)
        run(IMG, "check", "-q", top)
    run(IMG, "commit", "-q", top)
    run("qemu-img", "compare", "-q", "-F", "raw", base, flat)
    run(IMG, "compare", "-q", "-F", "raw", top, flat)
    run(IO, "-c", "write -q -P 9 0 512", base)
    assert "has changed" in run(IMG, "info", top, code=1)[1]
    bad = tmp_path / "bad.vmdk"
    for name in ("/etc/passwd", "../base-s001.vmdk", "a/../../x", ""):
        bad.write_text(f'# Disk DescriptorFile\nversion=1\nCID=12345678\ncreateType="monolithicFlat"\nRW 1 FLAT "{name}" 0\n')
        assert "is not in its folder" in run(IMG, "info", bad, code=1)[1]
    for opts, why in (("adapter_type=foo", "foo"), ("subformat=monolithicFlat,zeroed_grain=on", "can't enable zeroed grain"),
                      ("compat6=on,hwversion=4", "compat6 cannot be enabled with hwversion set"), ("encrypt=on", "encrypt")):
        assert why in run(IMG, "create", "-f", "vmdk", "-o", opts, tmp_path / "x.vmdk", "1M", code=1)[1]


@needs_qemu
@pytest.mark.parametrize("opts", ["subformat=dynamic", "subformat=fixed", "block_size=1M",
                                  "block_size=2M,log_size=2M,block_state_zero=off"])
def test_vhdx_both_ways(opts, images, tmp_path):
    """What we write qemu-img reads and describes the same, and the reverse; each writes to the other's."""
    q, r = images
    ours, theirs = tmp_path / "ours.vhdx", tmp_path / "theirs.vhdx"
    for src, fmt in ((q, "qcow2"), (r, "raw")):
        run(IMG, "convert", "-O", "vhdx", "-o", opts, src, ours)
        run("qemu-img", "convert", "-O", "vhdx", "-o", opts, src, theirs)
        for img in (ours, theirs):
            run("qemu-img", "compare", "-q", "-f", fmt, "-F", "vhdx", src, img)
            run(IMG, "compare", "-q", "-f", fmt, "-F", "vhdx", src, img)
            for command in (["info"], ["info", "--output=json"], ["check"], ["check", "--output=json"]):
                assert vmdk_says(IMG, *command, img) == vmdk_says("qemu-img", *command, img)
            run(IO, "-c", "write -q -P 5 2M 1M", "-c", "write -q -P 6 9M 512", "-c", "write -q -z 2M 64k", img)
            run("qemu-img", "check", "-q", img)
            run("qemu-io", "-c", "read -q -P 6 9M 512", "-c", "read -q -P 0 2M 64k", "-c", "read -q -P 5 2112k 960k", img)
            run("qemu-io", "-c", "write -q -P 7 5M 4k", "-c", "write -q -P 8 7M 4k", img)
            run(IO, "-c", "read -q -P 7 5M 4k", "-c", "read -q -P 5 2112k 960k", "-c", "read -q -P 8 7M 4k", img)
            run(IMG, "check", "-q", img)
    new = tmp_path / "new.vhdx"
    for size in ("1M", "1025M", "101G", "33T"):
        if size == "33T" and ("1M" in opts or "fixed" in opts):
            continue
        a, b = (run(p, "create", "-f", "vhdx", "-o", opts, new, size)[0] for p in (IMG, "qemu-img"))
        assert a == b
        run(IMG, "create", "-q", "-f", "vhdx", "-o", opts, new, size)
        assert vmdk_says(IMG, "info", new) == vmdk_says("qemu-img", "info", new)
    for command in (["resize", new, "6T"], ["measure", "-O", "vhdx", "--size", "1G"],
                    ["create", "-q", "-f", "vhdx", "-o", "block_size=3M", new, "1M"], ["create", "-q", "-f", "vhdx", new, "65T"]):
        assert run(IMG, *command, code=1) == run("qemu-img", *command, code=1)


@needs_qemu
def test_vhdx_log(tmp_path):
    """Killed after a flush: the log is written again, by us and by qemu-img; read-only it is read through the log."""
    img, copy = tmp_path / "x.vhdx", tmp_path / "copy.vhdx"
    run(IMG, "create", "-q", "-f", "vhdx", "-o", "block_size=1M", img, "20M")
    p = subprocess.Popen([IO, img], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    p.stdin.write("write -q -P 5 2M 1M\nwrite -q -P 6 15M 4k\nflush\nlength\n")
    p.stdin.flush()
    while "20 MiB" not in p.stdout.readline():
        pass
    p.kill()
    p.wait(LIMIT)
    data = bytearray(img.read_bytes())
    assert any(data[at + 48:at + 64] != bytes(16) for at in (65536, 131072))
    at = int.from_bytes(data[196608 + 16 + 16:196608 + 16 + 24], "little")
    data[at:at + 4096] = bytes(4096)  # as if the power had gone before the table came to its place
    copy.write_bytes(data)
    look = ["-c", "read -q -P 5 2M 1M", "-c", "read -q -P 6 15M 4k", "-c", "read -q -P 0 3M 1M"]
    run(IO, "-r", *look, copy)
    assert copy.read_bytes() == data
    assert run("qemu-img", "check", "-q", copy, code=1)[1].find("log that needs to be replayed") > 0
    run("qemu-img", "check", "-q", "-r", "all", copy)
    run("qemu-io", *look, copy)
    copy.write_bytes(data)
    run(IO, "-c", "write -q -P 7 4M 4k", *look, copy)
    run("qemu-img", "check", "-q", copy)
    run("qemu-io", "-c", "read -q -P 7 4M 4k", *look, copy)
    data[2 << 20:3 << 20] = bytes(1 << 20)
    for off in (65536, 131072):  # a header that is not whole is not used; neither: it does not open
        data[off + 100] ^= 1
        copy.write_bytes(data)
        if off == 131072:
            assert "neither of its headers is whole" in run(IMG, "info", copy, code=1)[1]


SPELLINGS = [  # each has an image behind another (a.qcow2 on b.qcow2) and a raw one; what is said must be the same, too, where True
    (["info", "--format=qcow2", "--force-share", "a.qcow2"], False), (["check", "-T", "none", "-U", "a.qcow2"], True),
    (["check", "-r", "all", "-T", "writethrough", "-q", "a.qcow2"], True), (["check", "-T", "x", "a.qcow2"], False),
    (["map", "--start-offset=64k", "--max-length", "1M", "a.qcow2"], True), (["map", "-s", "96k", "-l", "100k", "--output=json", "b.qcow2"], True),
    (["map", "--start-offset", "1M", "--output=json", "b.qcow2"], True), (["map", "-l", "x", "a.qcow2"], False),
    (["compare", "-U", "-T", "none", "a.qcow2", "c.raw"], True), (["compare", "--force-share", "a.qcow2", "b.qcow2"], True),
    (["commit", "-t", "none", "-r", "100M", "a.qcow2"], True), (["commit", "-d", "-q", "-t", "writethrough", "a.qcow2"], True),
    (["commit", "-t", "x", "a.qcow2"], False), (["rebase", "-b", "c.raw", "-F", "raw", "-T", "none", "-t", "none", "-U", "a.qcow2"], True),
    (["rebase", "-u", "-b", "", "-t", "directsync", "a.qcow2"], True),
    (["convert", "--object", "secret,id=s,data=x", "--force-share", "a.qcow2", "o.raw"], True),
    (["info", "--object", "filter-dump,id=x", "a.qcow2"], False), (["convert", "--object=secret,id=s", "a.qcow2", "o.raw"], False),
    (["create", "-f", "raw", "-o", "nocow=on,extent_size_hint=1M", "o.raw", "1M"], True),
    (["create", "-f", "qcow2", "-o", "nocow=on", "o.qcow2", "1M"], True), (["create", "-f", "vmdk", "-o", "extent_size_hint=64k", "o.vmdk", "1M"], True),
    (["create", "-f", "qcow2", "-o", "encryption=on", "o.qcow2", "1M"], False),
    (["create", "-f", "qcow2", "-o", "encrypt.format=luks,encrypt.key-secret=s", "o.qcow2", "1M"], False),
    (["amend", "--force", "-o", "lazy_refcounts=on", "a.qcow2"], True), (["convert", "-h"], False), (["dd", "--help"], False),
    (["create", "-f", "vmdk", "-o", "help"], False), (["create", "-o", "help,x=y"], False), (["amend", "-f", "qcow2", "-o", "help"], False),
    (["create", "-f", "nothing", "-o", "help"], False), (["convert", "-O", "vhdx", "-o", "?", "a.qcow2", "o.vhdx"], False),
]


@needs_qemu
@pytest.mark.parametrize("args, words", SPELLINGS, ids=lambda x: " ".join(x) if isinstance(x, list) else "")
def test_spellings(args, words, tmp_path):
    """Exit code and words of each, in a folder of its own."""
    got = []
    for program in (IMG, "qemu-img"):
        folder = tmp_path / os.path.basename(program)
        folder.mkdir()
        for command in (["create", "-q", "-f", "qcow2", "b.qcow2", "2M"], ["create", "-q", "-f", "qcow2", "-b", "b.qcow2", "-F", "qcow2", "a.qcow2"],
                        ["create", "-q", "-f", "raw", "c.raw", "2M"]):
            subprocess.run(["qemu-img", *command], cwd=folder, check=True)
        subprocess.run(["qemu-io", "-c", "write -q -P 1 64k 384k", "b.qcow2"], cwd=folder, check=True)
        subprocess.run(["qemu-io", "-c", "write -q -P 2 192k 128k", "a.qcow2"], cwd=folder, check=True)
        p = subprocess.run([program, *args], cwd=folder, capture_output=True, text=True, timeout=LIMIT)
        got.append((p.returncode, p.stdout))
        assert p.returncode == 0 or p.stderr or args[0] == "compare"
    assert got[0][: 1 + words] == got[1][: 1 + words]


@pytest.mark.parametrize("fmt", ["raw", "qcow2", "vdi", "vpc", "vmdk", "vhdx"])
def test_help_of_options(fmt, tmp_path):
    """Each option that -o help lists is taken, with one of the values that it lists."""
    lines = run(IMG, "create", "-f", fmt, "-o", "help")[0].splitlines()
    assert lines[0] == f"Supported {fmt} options:" and len(lines) > 3
    samples = {"size": "1M", "file": tmp_path / "other", "format": fmt, "number": "16"}
    for line in lines[1:]:
        key, values = re.fullmatch(r"  (\w+)=<([^>]+)> - .+", line).groups()
        value = samples.get(values, values.split("|")[0])
        more = {"data_file_raw": ["-o", f"data_file={tmp_path}/other"], "backing_file": ["-u"], "backing_fmt": ["-u"]}.get(key, [])
        run(IMG, "create", "-q", "-f", fmt, tmp_path / "other", "1M")
        run(IMG, "create", "-q", "-f", fmt, "-o", f"{key}={value}", *more, tmp_path / "x", "1M")
    assert "unknown" in run(IMG, "create", "-f", fmt, "-o", "nothing=1", tmp_path / "x", "1M", code=1)[1]


def test_commit_rate(images, tmp_path):
    """3 MiB at 2 MiB a second: there is a wait of a second at least."""
    top = tmp_path / "top.qcow2"
    run(IMG, "create", "-q", "-f", "qcow2", "-b", images[0], "-F", "qcow2", top)
    run(IO, "-c", "write -q -P 5 0 3M", top)
    begun = time.monotonic()
    run(IMG, "commit", "-q", "-r", "2M", top)
    assert time.monotonic() - begun > 1
    run(IO, "-c", "read -q -P 5 0 3M", images[0])


def test_trace_option(images):
    assert run(IMG, "--trace", "help")[0].strip()
    assert "nothing_like_it" in run(IMG, "-T", "nothing_like_it", "info", images[0], code=1)[1]
