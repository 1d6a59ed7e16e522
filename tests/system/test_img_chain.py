"""doppel-img's commit, rebase and the rest of convert against qemu-img: same words, same content, both find it clean."""
import itertools
import json
import random
import shutil
import subprocess

import pytest

from test_img import IMG, QEMU, content, same, tool  # noqa: F401 (a fixture)

pytestmark = pytest.mark.skipif(QEMU is None, reason="qemu-img (package qemu-utils) is not installed")


def clean(path):
    for p in (IMG, QEMU):
        assert "No errors" in tool(p, "check", path)


def write(path, *commands):
    subprocess.run(["qemu-io", "-f", "qcow2", *itertools.chain(*(("-c", c) for c in commands)), path], check=True,
                   capture_output=True)


def flat(path, to):
    tool(QEMU, "convert", "-O", "raw", path, to)
    return to.read_bytes()


def chain(d, content, base_option=""):
    """base.qcow2 (24M) <- mid.qcow2 (24M) <- top.qcow2 (30M), each with data, zeros and holes of its own."""
    tool(QEMU, "convert", "-f", "raw", "-O", "qcow2", *(["-o", base_option] if base_option else []), content,
         d / "base.qcow2")
    tool(QEMU, "create", "-f", "qcow2", "-b", "base.qcow2", "-F", "qcow2", d / "mid.qcow2")
    write(d / "mid.qcow2", "write -P 5 1M 700k", "write -z 9M 1M", "write -P 6 20000k 100k")
    tool(QEMU, "create", "-f", "qcow2", "-o", "cluster_size=16k", "-b", "mid.qcow2", "-F", "qcow2", d / "top.qcow2",
         "30M")
    write(d / "top.qcow2", "write -P 7 1500k 1M", "write -z 3M 512k", "write -P 9 26M 1M", "discard 1M 64k")


@pytest.mark.parametrize("args", [(), ("-d",), ("-b", "base.qcow2"), ("-b", "mid.qcow2")])
def test_commit(tmp_path, content, args):  # noqa: F811
    said, got = [], []
    for n, program in enumerate((IMG, QEMU)):
        d = tmp_path / str(n)
        d.mkdir()
        chain(d, content)
        want = flat(d / "top.qcow2", d / "x")
        p = subprocess.run([program, "commit", *args, "top.qcow2"], cwd=d, capture_output=True, text=True)
        assert p.returncode == 0, p.stderr
        said.append(p.stdout)
        for f in ("base", "mid", "top"):
            clean(d / f"{f}.qcow2")
        target = "base.qcow2" if "base.qcow2" in args else "mid.qcow2"
        assert flat(d / target, d / "x") == want
        if not args or args == ("-d",):  # QEMU 7.2 leaves a top that shows the wrong thing when it skips images
            assert flat(d / "top.qcow2", d / "x") == want
        got.append({e["depth"] for e in json.loads(tool(QEMU, "map", "--output=json", d / "top.qcow2")) if e["data"]})
    assert said[0] == said[1] == "Image committed.\n"
    assert got[0] == got[1]


@pytest.mark.parametrize("to,base_option", [("base.qcow2", ""), ("", ""), ("other.raw", ""), ("mid.qcow2", "compat=0.10")])
def test_rebase(tmp_path, content, to, base_option):  # noqa: F811
    """Safe: the content stays, whatever is behind; unsafe: only the name."""
    for n, program in enumerate((IMG, QEMU)):
        d = tmp_path / str(n)
        d.mkdir()
        chain(d, content, base_option)
        (d / "other.raw").write_bytes(random.Random(3).randbytes(8 << 20))
        want = flat(d / "top.qcow2", d / "x")
        fmt = ["-F", to.split(".")[1]] if to else []
        assert tool(program, "rebase", "-b", to, *fmt, d / "top.qcow2") == ""
        assert flat(d / "top.qcow2", d / "x") == want
        clean(d / "top.qcow2")
        info = json.loads(tool(IMG, "info", "--output=json", d / "top.qcow2"))
        assert info.get("backing-filename") == (to or None)
        assert info.get("backing-filename-format") == (to.split(".")[1] if to else None)
        tool(program, "rebase", "-u", "-b", "a-longer-name-that-is-nowhere.qcow2", "-F", "qcow2", d / "top.qcow2")
        with open(d / "top.qcow2", "rb") as f:
            assert b"a-longer-name-that-is-nowhere.qcow2" in f.read(65536)
        tool(program, "rebase", "-u", "-b", to, *fmt, d / "top.qcow2")
        assert flat(d / "top.qcow2", d / "x") == want


@pytest.mark.parametrize("cluster,compat", itertools.product(("512", "4k", "64k", "2M"), ("0.10", "1.1")))
def test_names_of_any_length(tmp_path, cluster, compat):
    """A name behind is changed to a longer and a shorter one, and taken away, in every geometry."""
    path = tmp_path / "x.qcow2"
    tool(QEMU, "create", "-f", "qcow2", "-o", f"cluster_size={cluster},compat={compat}", path, "1M")
    for name in ("a", "b" * 250, "c/d", "", "e" * 100):
        tool(IMG, "rebase", "-u", "-b", name, *(["-F", "raw"] if name else []), path)
        info = json.loads(tool(QEMU, "info", "--output=json", path)) if not name else None
        with open(path, "rb") as f:
            head = f.read(65536)
        at, size = int.from_bytes(head[8:16], "big"), int.from_bytes(head[16:20], "big")
        assert head[at:at + size].decode() == name and (size != 0 or at == 0 or info is not None)
    tool(IMG, "rebase", "-u", "-b", "", path)
    clean(path)


def test_mistakes(tmp_path):
    tool(QEMU, "create", "-f", "raw", tmp_path / "r", "1M")
    tool(QEMU, "create", "-f", "qcow2", tmp_path / "q", "1M")
    for args in (("commit", "q"), ("commit", "-b", "nope", "q"), ("rebase", "-b", "x", "q"),
                 ("rebase", "-b", "nope", "-F", "raw", "q"), ("rebase", "-u", "-b", "x", "q"),
                 ("rebase", "-f", "raw", "-b", "", "r"), ("convert", "-m", "17", "q", "z"),
                 ("convert", "-c", "-O", "raw", "q", "z"), ("commit", "-f", "raw", "r")):
        said = []
        for p in (IMG, QEMU):
            got = subprocess.run([p, *args], capture_output=True, text=True, cwd=tmp_path)
            assert got.returncode == 1 and got.stdout == "", (p, args, got)
            said.append(got.stderr.splitlines()[-1].replace("doppel-img", "qemu-img"))
        assert said[0] == said[1], args


@pytest.mark.parametrize("option", ["", "compat=0.10", "compression_type=zstd", "cluster_size=512", "cluster_size=2M",
                                    "refcount_bits=1", "refcount_bits=2,cluster_size=4k"])
def test_convert_compressed(tmp_path, content, option):  # noqa: F811
    path = tmp_path / "c.qcow2"
    tool(IMG, "convert", "-c", "-f", "raw", "-O", "qcow2", *(["-o", option] if option else []), content, path)
    clean(path)
    same(content, "raw", path, "qcow2")
    sizes = [json.loads(tool(p, "check", "--output=json", path)).get("compressed-clusters", 0) for p in (IMG, QEMU)]
    assert sizes[0] == sizes[1] > 0
    write(path, "write -P 3 100k 1M", "discard 5M 3M")  # on top of compressed clusters, and the same by us
    data = flat(path, tmp_path / "x")
    tool(IMG, "convert", "-n", "-O", "qcow2", content, path)
    clean(path)
    same(content, "raw", path, "qcow2")
    assert data != content.read_bytes()


@pytest.mark.parametrize("args", [("-m", "1"), ("-m", "16"), ("-m", "16", "-W"), ("-S", "0"), ("-S", "64k")])
def test_convert_threads(tmp_path, content, args):  # noqa: F811
    tool(IMG, "convert", *args, "-f", "raw", "-O", "qcow2", content, tmp_path / "x.qcow2")
    clean(tmp_path / "x.qcow2")
    same(content, "raw", tmp_path / "x.qcow2", "qcow2")
    tool(IMG, "convert", *args, "-f", "qcow2", "-O", "raw", tmp_path / "x.qcow2", tmp_path / "back")
    assert (tmp_path / "back").read_bytes() == content.read_bytes()
    tool(IMG, "convert", *args, "-c", "-f", "raw", "-O", "qcow2", content, content, tmp_path / "two.qcow2")
    clean(tmp_path / "two.qcow2")
    assert flat(tmp_path / "two.qcow2", tmp_path / "back") == content.read_bytes() * 2


def test_convert_with_backing(tmp_path, content):  # noqa: F811
    chain(tmp_path, content)
    want = flat(tmp_path / "top.qcow2", tmp_path / "x")
    sizes = []
    for p, name in ((IMG, "a.qcow2"), (QEMU, "b.qcow2")):
        tool(p, "convert", "-O", "qcow2", "-B", "mid.qcow2", "-F", "qcow2", tmp_path / "top.qcow2", tmp_path / name)
        clean(tmp_path / name)
        assert flat(tmp_path / name, tmp_path / "x") == want
        sizes.append(json.loads(tool(QEMU, "check", "--output=json", tmp_path / name))["allocated-clusters"])
    assert sizes[0] == sizes[1]


def test_convert_snapshot(tmp_path, content):  # noqa: F811
    path = tmp_path / "s.qcow2"
    tool(IMG, "convert", "-f", "raw", "-O", "qcow2", content, path)
    tool(IMG, "snapshot", "-c", "one", path)
    write(path, "write -P 3 100k 9M")
    for arg in ("one", "snapshot.name=one"):
        tool(IMG, "convert", "-l", arg, "-O", "raw", path, tmp_path / "x")
        assert (tmp_path / "x").read_bytes() == content.read_bytes()
    tool(IMG, "convert", "-l", "nope", "-O", "raw", path, tmp_path / "x", code=1)
    shutil.rmtree(tmp_path)
