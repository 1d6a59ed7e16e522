"""doppel-img against qemu-img (Debian's): what one makes the other reads, checks and finds the same."""
import itertools
import json
import os
import random
import re
import shutil
import subprocess

import pytest

from vm import DOPPEL, ROOT

IMG = os.environ.get("DOPPEL_IMG", os.path.join(ROOT, "doppel-img"))
QEMU = shutil.which("qemu-img")
pytestmark = pytest.mark.skipif(QEMU is None, reason="qemu-img (package qemu-utils) is not installed")


def tool(program, *args, code=0):
    p = subprocess.run([program, *map(str, args)], capture_output=True, text=True, timeout=120)
    assert p.returncode == code, (args, p.stdout, p.stderr)
    return p.stdout if code == 0 else p.stdout + p.stderr


@pytest.fixture(scope="module")
def content(tmp_path_factory):
    """A raw image with data, zeros and holes."""
    path = tmp_path_factory.mktemp("img") / "content.raw"
    rnd = random.Random(7)
    with open(path, "wb") as f:
        f.truncate(24 << 20)
        for _ in range(40):
            f.seek(rnd.randrange(0, 23 << 20) & ~511)
            f.write(rnd.randbytes(rnd.randrange(512, 200000) & ~511) if rnd.random() < 0.7 else b"\0" * 70000)
    return path


def same(a, fa, b, fb):
    for program in (IMG, QEMU):
        assert "identical" in tool(program, "compare", "-f", fa, "-F", fb, a, b)


def same_maps(path):
    """Of the ranges that hold data, and in words."""
    maps = [json.loads(tool(p, "map", "--output=json", path)) for p in (IMG, QEMU)]
    for m in maps:
        assert sum(e["length"] for e in m) == json.loads(tool(QEMU, "info", "--output=json", path))["virtual-size"]
    keep = [[{k: e.get(k) for k in ("start", "length", "depth", "zero", "offset")} for e in m if e["data"]]
            for m in maps]
    assert keep[0] == keep[1]
    assert tool(IMG, "map", path) == tool(QEMU, "map", path)


OPTIONS = ["", "compat=0.10", "cluster_size=512", "cluster_size=2M", "refcount_bits=1", "refcount_bits=64",
           "preallocation=metadata", "preallocation=falloc", "preallocation=full", "lazy_refcounts=on",
           "compression_type=zstd,cluster_size=4k", "extended_l2=on", "extended_l2=on,cluster_size=16k,preallocation=metadata",
           "data_file=d.data", "data_file=d.data,data_file_raw=on", "extended_l2=on,data_file=d.data"]


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    """Names of data files are relative to where one is."""
    monkeypatch.chdir(tmp_path)


@pytest.mark.parametrize("option", OPTIONS)
def test_create_as_qemu(tmp_path, option):
    """The same words on standard output, the same description; both find it clean and empty."""
    got = []
    for program, name in ((IMG, "a"), (QEMU, "b")):
        path = tmp_path / f"{name}.qcow2"
        opts = ["-o", option] if option else []
        out = tool(program, "create", "-f", "qcow2", *opts, path, "20M")
        info = [tool(p, "info", path).replace(str(path), "X") for p in (IMG, QEMU)]
        info = [re.sub(r"disk size: .*\n", "", i) for i in info]
        assert info[0] == info[1]
        for p in (IMG, QEMU):
            assert "No errors" in tool(p, "check", path)
        got.append((out.replace(str(path), "X"), info[0]))
    assert got[0] == got[1]
    if option != "preallocation=falloc":  # whose clusters are holes to us, and data to qemu-img
        same_maps(tmp_path / "a.qcow2")


def test_glued_options(tmp_path):
    path = tmp_path / "disk.qcow2"
    out = tool(IMG, "create", "-f", "qcow2", "-opreallocation=metadata", "-ocluster_size=2M", path, "20G")
    assert "cluster_size=2097152" in out and "preallocation=metadata" in out
    assert "No errors" in tool(QEMU, "check", path)
    assert json.loads(tool(IMG, "info", "--output=json", path))["cluster-size"] == 2 << 20


@pytest.mark.parametrize("maker,option", itertools.product((IMG, QEMU), ("", "compat=0.10", "cluster_size=512",
                                                                        "cluster_size=2M,preallocation=metadata",
                                                                        "extended_l2=on", "data_file=d.data",
                                                                        "data_file=d.data,data_file_raw=on")))
def test_convert_both_ways(tmp_path, content, maker, option):
    reader = QEMU if maker == IMG else IMG
    opts = ["-o", option] if option else []
    tool(maker, "convert", "-f", "raw", "-O", "qcow2", *opts, content, tmp_path / "x.qcow2")
    for p in (IMG, QEMU):
        assert "No errors" in tool(p, "check", tmp_path / "x.qcow2")
    same(content, "raw", tmp_path / "x.qcow2", "qcow2")
    same_maps(tmp_path / "x.qcow2")
    if "raw=on" in option:
        assert (tmp_path / "d.data").read_bytes() == content.read_bytes()
    tool(reader, "convert", "-f", "qcow2", "-O", "raw", tmp_path / "x.qcow2", tmp_path / "back.raw")
    assert (tmp_path / "back.raw").read_bytes() == content.read_bytes()


@pytest.mark.parametrize("option", ["extended_l2=on", "data_file=d.data", "data_file=d.data,data_file_raw=on",
                                    "extended_l2=on,cluster_size=16k", "extended_l2=on,data_file=d.data"])
def test_alternately(tmp_path, option):
    """Written to by one and the other in turns; after each both find it clean and the same."""
    path, rnd = tmp_path / "x.qcow2", random.Random(3)
    io = {IMG: os.path.join(ROOT, "doppel-io"), QEMU: shutil.which("qemu-io")}
    tool(QEMU, "create", "-q", "-f", "qcow2", "-o", option, path, "8M")
    for n in range(24):
        program = (IMG, QEMU)[n % 2]
        at, size = rnd.randrange(0, 15000) * 512, rnd.randrange(1, 500) * 512
        size = min(size, (8 << 20) - at)
        what = ("write -P %d" % (n + 1), "write -P %d" % (n + 1), "write -z", "discard")[n % 4 if n % 8 < 4 else n % 3]
        tool(io[program], "-c", f"{what} {at} {size}", path)
        for p in (IMG, QEMU):
            assert "No errors" in tool(p, "check", path)
        shown = []
        for p, name in ((IMG, "a.raw"), (QEMU, "b.raw")):
            tool(p, "convert", "-O", "raw", path, tmp_path / name)
            shown.append((tmp_path / name).read_bytes())
        assert shown[0] == shown[1]
        if "raw=on" in option and program == IMG:
            assert (tmp_path / "d.data").read_bytes() == shown[0]
    for p, size in ((IMG, "9M"), (QEMU, "10M")):
        tool(p, "resize", path, size)
        for q in (IMG, QEMU):
            assert "No errors" in tool(q, "check", path)
        same_maps(path)


def test_data_file_refused(tmp_path):
    """What cannot be; and a name in an image is a file's name, whatever it looks like."""
    path = tmp_path / "x.qcow2"
    (tmp_path / "y").write_bytes(bytes(512))
    for option, why in (("data_file_raw=on", "data-file-raw requires data-file"),
                        ("data_file=d,compat=0.10", "External data files are only supported with compatibility level 1.1"),
                        ("extended_l2=on,compat=0.10", "Extended L2 entries are only supported with compatibility level 1.1"),
                        ("extended_l2=on,cluster_size=8k", "cluster sizes of at least 16384 bytes"),
                        ("data_file=d,data_file_raw=on,backing_file=y,backing_fmt=raw", "cannot be used at the same time")):
        for p in (IMG, QEMU):
            assert why in tool(p, "create", "-f", "qcow2", "-o", option, path, "1M", code=1), option
    tool(IMG, "create", "-f", "qcow2", "-o", "data_file=d.data", path, "1M")
    for p in (IMG, QEMU):
        tool(p, "snapshot", "-c", "x", path, code=1)
    for name in ("nbd:x:10", "json:{}", "/nope"):
        image = bytearray(path.read_bytes())
        at = image.index(b"ATAD"[::-1])
        assert image[at:at + 8] == b"DATA\0\0\0\6"
        image[at + 7] = len(name)
        image[at + 8:at + 16] = name.encode().ljust(8, b"\0")
        (tmp_path / "bad.qcow2").write_bytes(image)
        assert f"Could not open '{name}': No such file or directory" in tool(IMG, "info", tmp_path / "bad.qcow2", code=1)


@pytest.mark.parametrize("option", ["compression_type=zlib", "compression_type=zstd", "cluster_size=512",
                                    "extended_l2=on", "cluster_size=2M"])
def test_compressed(tmp_path, content, option):
    path = tmp_path / "c.qcow2"
    tool(QEMU, "convert", "-c", "-f", "raw", "-O", "qcow2", "-o", option, content, path)
    same(content, "raw", path, "qcow2")
    assert "No errors" in tool(IMG, "check", path)
    tool(IMG, "convert", "-n", "-f", "raw", "-O", "qcow2", content, path)  # written over
    for p in (IMG, QEMU):
        assert "No errors" in tool(p, "check", path)
    same(content, "raw", path, "qcow2")


def test_backing_chain(tmp_path, content):
    (tmp_path / "sub").mkdir()
    shutil.copy(content, tmp_path / "base.raw")
    tool(IMG, "create", "-f", "qcow2", "-b", "../base.raw", "-F", "raw", tmp_path / "sub" / "one.qcow2")
    tool(QEMU, "create", "-f", "qcow2", "-b", "sub/one.qcow2", "-F", "qcow2", tmp_path / "two.qcow2", "30M")
    same(content, "raw", tmp_path / "sub" / "one.qcow2", "qcow2")
    chains = [json.loads(tool(p, "info", "--backing-chain", "--output=json", tmp_path / "two.qcow2"))
              for p in (IMG, QEMU)]
    keys = ("filename", "format", "virtual-size", "backing-filename", "full-backing-filename",
            "backing-filename-format")
    assert [{k: e.get(k) for k in keys} for e in chains[0]] == [{k: e.get(k) for k in keys} for e in chains[1]]
    tool(QEMU, "convert", "-f", "qcow2", "-O", "raw", tmp_path / "two.qcow2", tmp_path / "q.raw")
    tool(IMG, "convert", "-f", "qcow2", "-O", "raw", tmp_path / "two.qcow2", tmp_path / "d.raw")
    assert (tmp_path / "q.raw").read_bytes() == (tmp_path / "d.raw").read_bytes()
    assert "without backing format" in tool(IMG, "create", "-f", "qcow2", "-b", "base.raw", tmp_path / "n", code=1)
    assert "No such file" in tool(IMG, "create", "-f", "qcow2", "-b", "gone", "-F", "raw", tmp_path / "n", code=1)
    os.symlink("loop.qcow2", tmp_path / "l")
    tool(QEMU, "create", "-u", "-f", "qcow2", "-b", "loop.qcow2", "-F", "qcow2", tmp_path / "loop.qcow2", "1M")
    assert "circle" in tool(IMG, "info", tmp_path / "loop.qcow2", code=1)


def test_snapshots_are_kept(tmp_path, content):
    """Writing to an image that has an internal snapshot leaves the snapshot as it was."""
    path = tmp_path / "s.qcow2"
    tool(QEMU, "convert", "-f", "raw", "-O", "qcow2", content, path)
    tool(QEMU, "snapshot", "-c", "before", path)
    other = tmp_path / "other.raw"
    data = bytearray(content.read_bytes())
    for at in range(0, len(data), 1 << 18):
        data[at:at + 5000] = b"new" * 1667
    other.write_bytes(data[:len(content.read_bytes())])
    tool(IMG, "convert", "-n", "-f", "raw", "-O", "qcow2", other, path)
    for p in (IMG, QEMU):
        assert "No errors" in tool(p, "check", path)
    same(other, "raw", path, "qcow2")
    tool(QEMU, "snapshot", "-a", "before", path)
    same(content, "raw", path, "qcow2")


def show_snapshots(path):
    shown = [tool(p, "snapshot", "-l", path) for p in (IMG, QEMU)]
    infos = [json.loads(tool(p, "info", "--output=json", path)).get("snapshots") for p in (IMG, QEMU)]
    words = [tool(p, "info", path) for p in (IMG, QEMU)]
    assert shown[0] == shown[1] and infos[0] == infos[1] and words[0] == words[1]
    return [s["name"] for s in infos[0] or []]


@pytest.mark.parametrize("maker,option", itertools.product((IMG, QEMU), ("", "compat=0.10", "cluster_size=512",
                                                                        "cluster_size=2M,preallocation=metadata",
                                                                        "refcount_bits=4", "extended_l2=on")))
def test_snapshots(tmp_path, content, maker, option):
    """Made by one, applied and deleted by the other, alternately, with writes between; both find all clean."""
    other = QEMU if maker == IMG else IMG
    path, shot = tmp_path / "s.qcow2", tmp_path / "shot.raw"
    tool(QEMU, "convert", "-f", "raw", "-O", "qcow2", *(["-o", option] if option else []), content, path)
    for n, program in enumerate((maker, other)):
        tool(program, "snapshot", "-c", f"s{n}", path)
        tool(QEMU, "convert", "-O", "raw", path, shot)
        shutil.copy(shot, tmp_path / f"s{n}.raw")
        for p in (IMG, QEMU):
            assert "No errors" in tool(p, "check", path)
        subprocess.run(["qemu-io", "-c", f"write -P {n + 5} {n * 700}k 900k", "-c", "write -z 5M 1M", "-c",
                        "discard 12M 2M", path], check=True, capture_output=True)
        for p in (IMG, QEMU):
            assert "No errors" in tool(p, "check", path)
    assert show_snapshots(path) == ["s0", "s1"]
    for program, name in ((other, "s0"), (maker, "s1"), (maker, "s0"), (other, "s1")):
        tool(program, "snapshot", "-a", name, path)
        for p in (IMG, QEMU):
            assert "No errors" in tool(p, "check", path)
        same(tmp_path / f"{name}.raw", "raw", path, "qcow2")
    tool(other, "snapshot", "-d", "s0", path)
    for p in (IMG, QEMU):
        assert "No errors" in tool(p, "check", path)
    same(tmp_path / "s1.raw", "raw", path, "qcow2")
    tool(maker, "snapshot", "-d", "s1", path)
    for p in (IMG, QEMU):
        assert "No errors" in tool(p, "check", path)
    assert show_snapshots(path) == []
    same(tmp_path / "s1.raw", "raw", path, "qcow2")


def test_snapshot_mistakes(tmp_path, content):
    tool(QEMU, "create", "-f", "qcow2", "-o", "refcount_bits=1", tmp_path / "x.qcow2", "10M")
    subprocess.run(["qemu-io", "-c", "write -P 3 0 1M", tmp_path / "x.qcow2"], check=True, capture_output=True)
    for args in (("-c", "x", "x.qcow2"), ("-a", "nope", "x.qcow2"), ("-d", "nope", "x.qcow2"), ("-c", "x", "r"),
                 ("-a", "x", "r"), ("-d", "x", "r")):
        shutil.copy(content, tmp_path / "r")
        said = []
        for p in (IMG, QEMU):
            got = subprocess.run([p, "snapshot", *args], capture_output=True, text=True, cwd=tmp_path)
            assert got.returncode == 1 and got.stdout == "", (p, args)
            said.append(got.stderr.splitlines()[-1].replace("doppel-img", "qemu-img"))  # QEMU warns of raw before
            if p == IMG:
                assert "No errors" in tool(QEMU, "check", tmp_path / "x.qcow2")
            else:
                tool(QEMU, "check", "-r", "leaks", tmp_path / "x.qcow2")  # it leaks a cluster
        assert said[0] == said[1], args
    assert tool(IMG, "snapshot", "-l", tmp_path / "r") == ""


def test_resize(tmp_path, content):
    path = tmp_path / "r.qcow2"
    tool(IMG, "convert", "-f", "raw", "-O", "qcow2", "-o", "cluster_size=512", content, path)
    assert tool(IMG, "resize", path, "+40G") == "Image resized.\n"  # the L1 table moves
    assert json.loads(tool(QEMU, "info", "--output=json", path))["virtual-size"] == (24 << 20) + (40 << 30)
    for p in (IMG, QEMU):
        assert "No errors" in tool(p, "check", path)
    same(content, "raw", path, "qcow2")
    assert "--shrink" in tool(IMG, "resize", path, "1M", code=1)


def test_repair(tmp_path, content):
    """A leak and a count that is too small, made by hand; found and mended as qemu-img agrees."""
    path = tmp_path / "d.qcow2"
    tool(QEMU, "convert", "-f", "raw", "-O", "qcow2", content, path)
    data = bytearray(path.read_bytes())
    reftable = int.from_bytes(data[48:56], "big")
    block = int.from_bytes(data[reftable:reftable + 8], "big")
    data[block + 2 * 10:block + 2 * 10 + 2] = b"\0\0"
    data[block + 2 * 1000:block + 2 * 1000 + 2] = b"\0\1"
    path.write_bytes(data)
    got = tool(IMG, "check", path, code=2)
    assert "cluster 10 " in got and "cluster 1000 " in got
    tool(QEMU, "check", path, code=2)
    assert "repaired" in tool(IMG, "check", "-r", "all", path)
    for p in (IMG, QEMU):
        assert "No errors" in tool(p, "check", path)
    same(content, "raw", path, "qcow2")


def test_mistakes(tmp_path):
    for args, says in (((), "Not enough"), (("nonesuch",), "Command not found"), (("crate",), "did you mean create"),
                       (("create",), "Expecting"), (("create", "-f", "qed", "x", "1M"), "qed"),
                       (("create", "-f", "nonesuch", "x", "1M"), "Unknown driver"),
                       (("create", "-f", "qcow2", "x", "big"), "Invalid image size"),
                       (("create", "-f", "qcow2", "-o", "cluster_size=3000", "x", "1M"), "power of two"),
                       (("create", "-f", "qcow2", "-o", "nonesuch=1", "x", "1M"), "nonesuch"),
                       (("create", "-f", "qcow2", "x"), "size"), (("info", "/nonexistent/x"), "No such file"),
                       (("info", tmp_path), "directory"), (("snapshot", "-l", "x"), "No such file"),
                       (("snapshot", "-l", "-c", "a", "x"), "Cannot mix"), (("bitmap", "x"), "Expecting filename and bitmap name"),
                       (("info", "--output=xml", "x"), "human or json")):
        p = subprocess.run([IMG, *map(str, args)], capture_output=True, text=True, cwd=tmp_path, timeout=30)
        assert p.returncode == 1 and p.stdout == "", (args, p)
        assert says in p.stderr and len(p.stderr.splitlines()) == 1, (args, p.stderr)
    assert not os.listdir(tmp_path)
    assert tool(IMG, "--version").split()[2] == "9.2.0"
