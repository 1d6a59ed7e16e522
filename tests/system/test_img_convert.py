"""doppel-img: names of images as options and in JSON, convert's rarer options, progress, preallocation of what is added; beside
qemu-img (Debian's)."""
import json
import os
import random
import re
import signal
import struct
import subprocess
import time

import pytest

from test_img import IMG, QEMU, content, same, tool  # noqa: F401 (content is a fixture)

pytestmark = pytest.mark.skipif(QEMU is None, reason="qemu-img (package qemu-utils) is not installed")


@pytest.fixture
def qcow2(content, tmp_path, monkeypatch):  # noqa: F811
    """content as q.qcow2 of the current directory; the raw one."""
    monkeypatch.chdir(tmp_path)
    tool(QEMU, "convert", "-f", "raw", "-O", "qcow2", content, "q.qcow2")
    return content


@pytest.mark.parametrize("name", [["--image-opts", "driver=qcow2,file.driver=file,file.filename=q.qcow2"],
                                  ["--image-opts", "driver=qcow2,file.filename=q.qcow2"], ["--image-opts", "file.filename=q.qcow2"],
                                  ['json:{"driver": "qcow2", "file": {"driver": "file", "filename": "q.qcow2"}}'],
                                  ['json:{"file": {"filename": "q.qcow2"}}']])
def test_names(qcow2, name):
    """The same image, however it is called."""
    assert tool(IMG, "info", *name, "--output=json") == tool(IMG, "info", "q.qcow2", "--output=json")
    tool(IMG, "convert", *name, "-O", "raw", "out.raw")
    same("out.raw", "raw", qcow2, "raw")
    assert tool(IMG, "map", *name) == tool(IMG, "map", "q.qcow2")


@pytest.mark.parametrize("args, said", [
    (["info", "--image-opts", "driver=qcow3,file.filename=q.qcow2"], "'driver' does not accept value 'qcow3'"),
    (["info", "--image-opts", "driver=qcow2,file.filename=q.qcow2,bla=1"], "'bla' is unexpected"),
    (["info", "--image-opts", "-f", "qcow2", "file.filename=q.qcow2"], "--image-opts and --format are mutually exclusive"),
    (["info", "--image-opts", "driver=qcow2,file.filename=none"], "Could not open 'none'"),
    (["info", 'json:{"driver": "qcow2"'], "JSON parse error"),
    (["info", "-f", "qcow2", 'json:{"file": {"filename": "q.qcow2"}}'], "a format beside a name in JSON"),
    (["create", "--image-opts", "-f", "raw", "o", "1M"], "create: --image-opts is for images that are there"),
    (["info", "--object", "tls-creds-x509,id=a", "q.qcow2"], "tls-creds-x509"),
    (["info", "--progress=x", "q.qcow2"], "none, percent, line or json"),
    (["convert", "--target-is-zero", "q.qcow2", "o"], "--target-is-zero requires use of -n flag"),
    (["convert", "--target-image-opts", "q.qcow2", "o"], "--target-image-opts requires use of -n flag"),
    (["convert", "-C", "-S", "4k", "q.qcow2", "o"], "Cannot enable copy offloading when -S is used"),
    (["convert", "-C", "-c", "-O", "qcow2", "q.qcow2", "o"], "Cannot enable copy offloading when -c is used"),
    (["convert", "-r", "x", "q.qcow2", "o"], "Invalid image size specified: 'x'"),
    (["resize", "--preallocation=x", "q.qcow2", "1G"], "Invalid preallocation mode 'x'"),
    (["resize", "--preallocation=full", "--shrink", "q.qcow2", "1M"], "Preallocation can only be used for growing images"),
])
def test_refused(qcow2, args, said):
    text = tool(IMG, *args, code=1)
    assert said in text and text.count("\n") == 1, text
    assert not os.path.exists("o")


def test_names_inside_are_names(qcow2):
    """What an image names as the one behind it is never read as options or JSON."""
    tool(QEMU, "create", "-q", "-u", "-f", "qcow2", "-F", "qcow2", "-b", 'json:{"driver": "qcow2", "file.filename": "q.qcow2"}',
         "top.qcow2", "1M")
    assert "Could not open" in tool(IMG, "convert", "-O", "raw", "top.qcow2", "out.raw", code=1)


def test_target(qcow2):
    """Into what is there, by options; without --target-is-zero its own bytes go, with it they stay where the source has none."""
    for zero in [], ["--target-is-zero"]:
        tool(QEMU, "create", "-q", "-f", "qcow2", "t.qcow2", "24M")
        subprocess.run(["qemu-io", "-c", f"write -P 7 {(24 << 20) - 65536} 64k", "t.qcow2"], check=True, stdout=subprocess.DEVNULL)
        tool(IMG, "convert", "-n", *zero, "--target-image-opts", "-f", "raw", qcow2, "driver=qcow2,file.filename=t.qcow2")
        text = tool(QEMU, "compare", "-f", "qcow2", "-F", "raw", "t.qcow2", qcow2, code=1 if zero else 0)
        assert ("Content mismatch at offset %d!" % ((24 << 20) - 65536) if zero else "identical") in text


def test_offload(qcow2):
    """-C: what lies in the source as it is, the host copies."""
    tool(IMG, "convert", "-C", "-f", "qcow2", "-O", "raw", "q.qcow2", "out.raw")
    same("out.raw", "raw", qcow2, "raw")
    tool(IMG, "convert", "-C", "-O", "qcow2", "q.qcow2", "out.qcow2")
    same("out.qcow2", "qcow2", qcow2, "raw")


def test_salvage(tmp_path, monkeypatch):
    """What cannot be read is zeros and is said, the rest is there; as with qemu-img."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "raw").write_bytes(b"".join(bytes([n]) * 65536 for n in range(1, 33)))
    tool(QEMU, "convert", "-c", "-f", "raw", "-O", "qcow2", "raw", "q.qcow2")
    whole = bytearray((tmp_path / "q.qcow2").read_bytes())
    l1, = struct.unpack_from(">Q", whole, 40)  # qcow2.txt, "Header", "L1 table entry", "Compressed Clusters Descriptor"
    l2 = struct.unpack_from(">Q", whole, l1)[0] & 0x00fffffffffffe00
    entry, = struct.unpack_from(">Q", whole, l2 + 5 * 8)
    assert entry >> 62 == 1
    at = entry & ((1 << 54) - 1)
    whole[at:at + 8] = b"\xff" * 8
    (tmp_path / "q.qcow2").write_bytes(whole)
    assert "Input/output error" in tool(IMG, "convert", "-O", "raw", "q.qcow2", "out.raw", code=1)
    assert not os.path.exists("out.raw")
    p = subprocess.run([IMG, "convert", "--salvage", "-O", "raw", "q.qcow2", "out.raw"], capture_output=True, text=True)
    assert p.returncode == 0 and "warning: error while reading offset" in p.stderr
    tool(QEMU, "convert", "--salvage", "-q", "-O", "raw", "q.qcow2", "theirs.raw")
    same("out.raw", "raw", "theirs.raw", "raw")
    p = subprocess.run([IMG, "convert", "-q", "--salvage", "-O", "raw", "q.qcow2", "out.raw"], capture_output=True, text=True)
    assert (p.returncode, p.stdout, p.stderr) == (0, "", "")


def test_rate_and_progress(tmp_path, monkeypatch):
    """A rate is kept; how far it is goes to whoever asked, in his form."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "raw").write_bytes(random.Random(1).randbytes(8 << 20))
    start = time.monotonic()
    text = tool(IMG, "convert", "--progress=json", "-r", "4M", "-f", "raw", "-O", "qcow2", "raw", "out")
    took = time.monotonic() - start
    assert took > 7.5 / 4  # the last piece is not waited for
    lines = [json.loads(line) for line in text.splitlines()]
    assert len(lines) > 2 and all(n["total"] == 8 << 20 for n in lines) and lines[-1]["done"] == 8 << 20
    assert [n["done"] for n in lines] == sorted(n["done"] for n in lines) and lines[-1]["seconds-left"] == 0
    text = tool(IMG, "convert", "--progress=line", "-r", "4M", "-f", "raw", "raw", "out")
    assert re.fullmatch(r"(\s*[\d.]+ %, [\d.]+ \wi?B of 8 MiB, [\d.]+ \wi?B/s, 0:0\d left\n)+", text), text
    assert tool(IMG, "convert", "-f", "raw", "raw", "out") == "" == tool(IMG, "convert", "-p", "-q", "-f", "raw", "raw", "out")
    text = tool(IMG, "convert", "-p", "-f", "raw", "raw", "out")
    assert text.endswith("    (100.00/100%)\n") and "\n    (" in text  # "\r", as Python reads it


def test_progress_signal(tmp_path, monkeypatch):
    """SIGUSR1 is answered on stderr, as qemu-img does."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "raw").write_bytes(random.Random(1).randbytes(6 << 20))
    p = subprocess.Popen([IMG, "convert", "--progress=json", "-r", "2M", "-f", "raw", "raw", "out"], stdout=subprocess.PIPE,
                         stderr=subprocess.PIPE, text=True)
    p.stdout.readline()  # it is under way
    p.send_signal(signal.SIGUSR1)
    out, err = p.communicate(timeout=60)
    assert p.returncode == 0 and re.fullmatch(r"    \(\d+\.\d\d/100%\)\n", err), err


@pytest.mark.parametrize("fmt, how", [("qcow2", "metadata"), ("qcow2", "falloc"), ("qcow2", "full"), ("raw", "falloc"), ("raw", "full")])
def test_resize_preallocates(tmp_path, monkeypatch, fmt, how):
    """What is added has its place; clusters that were given back before show nothing of what they held."""
    monkeypatch.chdir(tmp_path)
    for program in IMG, QEMU:
        tool(IMG, "create", "-q", "-f", fmt, "x", "4M")
        subprocess.run(["qemu-io", "-f", fmt, "-d", "unmap", "-c", "write -P 5 0 4M", "-c", "discard 0 2M", "x"], check=True,
                       stdout=subprocess.DEVNULL)
        tool(program, "resize", "-q", "-f", fmt, f"--preallocation={how}", "x", "+6M")
        if fmt == "qcow2":
            tool(QEMU, "check", "-q", "x")
        there = json.loads(tool(QEMU, "map", "-f", fmt, "--output=json", "x"))
        assert fmt == "raw" or all("offset" in e for e in there if e["start"] + e["length"] > 4 << 20)
        assert how == "metadata" or os.stat("x").st_blocks * 512 >= 8 << 20
        tool(QEMU, "convert", "-f", fmt, "-O", "raw", "x", "x.raw")
        with open("x.raw", "rb") as f:
            data = f.read()
        assert data[2 << 20:] == b"\5" * (2 << 20) + bytes(6 << 20)
