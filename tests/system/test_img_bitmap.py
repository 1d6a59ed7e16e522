"""Persistent dirty bitmaps of qcow2 images: doppel-img bitmap, convert --bitmaps, and who writes keeps them up; against
qemu-img and qemu-nbd, which says what bits are set."""
import json
import os
import random
import re
import shutil
import signal
import subprocess

import pytest

from vm import LIMIT, ROOT, wait_for

IMG = os.path.join(ROOT, "doppel-img")
IO = os.path.join(ROOT, "doppel-io")
pytestmark = pytest.mark.skipif(not all(map(shutil.which, ("qemu-img", "qemu-io", "qemu-nbd"))), reason="qemu-utils is not installed")
MIB = 1 << 20


def run(*args, code=0):
    p = subprocess.run([str(a) for a in args], capture_output=True, text=True, timeout=LIMIT, stdin=subprocess.DEVNULL)
    assert p.returncode == code, (args, p.stdout, p.stderr)
    return p.stdout, re.sub(r"^(doppel|qemu)-(img|io): ", "", p.stderr, flags=re.M)


def clean(path):
    run("qemu-img", "check", "-q", path)
    run(IMG, "check", "-q", path)


def bitmaps(path):
    """By name: flags and granularity; both programs say the same of the image."""
    ours, theirs = (json.loads(run(img, "info", "--output=json", path)[0]) for img in (IMG, "qemu-img"))
    assert ours["format-specific"] == theirs["format-specific"]
    ours, theirs = (run(img, "info", path)[0].partition("Format specific")[2] for img in (IMG, "qemu-img"))
    assert ours.split("Child node")[0].strip() == theirs.split("Child node")[0].strip()
    said = json.loads(run(IMG, "info", "--output=json", path)[0])["format-specific"]["data"].get("bitmaps", [])
    return {b["name"]: (b["flags"], b["granularity"]) for b in said}


def bits(path, name, tmp):
    """What is set, as a set of the granules' numbers, by QEMU."""
    sock, granule = tmp / "nbd.sock", bitmaps(path)[name][1]
    server = subprocess.Popen(["qemu-nbd", "-r", "-B", name, "-f", "qcow2", "-k", str(sock), str(path)])
    try:
        wait_for(sock.exists)
        text, _ = run("qemu-img", "map", "--output=json", "--image-opts",
                      f"driver=nbd,server.type=unix,server.path={sock},x-dirty-bitmap=qemu:dirty-bitmap:{name}")
        server.wait(LIMIT)  # it ends with its only client
    finally:
        server.kill()
        server.wait()
        sock.unlink(missing_ok=True)
    dirty = [(m["start"], m["start"] + m["length"]) for m in json.loads(text) if not m["data"]]
    return {n for a, b in dirty for n in range(a // granule, (b + granule - 1) // granule)}


@pytest.mark.parametrize("maker", [IMG, "qemu-img"])
@pytest.mark.parametrize("granule,cluster", [(512, 512), (65536, 65536), (1 << 20, 4096), (4096, 2 << 20)])
def test_bits_follow_what_is_written(tmp_path, maker, granule, cluster):
    path, size, want = tmp_path / "a.qcow2", 8 * MIB - 512, set()
    rnd = random.Random(granule + cluster)
    run(maker, "create", "-q", "-f", "qcow2", "-o", f"cluster_size={cluster}", path, size)
    run(maker, "bitmap", "--add", "-g", granule, path, "all")
    run(maker, "bitmap", "--add", "--disable", "-g", granule, path, "none")
    for _ in range(4):
        commands = []
        for _ in range(8):
            at = rnd.randrange(0, size, 512)
            n = min(rnd.choice([512, 4096, 70000 & ~511, 300 * 1024]), size - at)
            commands += ["-c", rnd.choice([f"write -q -P {rnd.randrange(255)} {at} {n}", f"write -q -z {at} {n}",
                                           f"discard -q {at} {n}"])]
            want |= set(range(at // granule, (at + n - 1) // granule + 1))
        run(IO, *commands, path)
        clean(path)
    assert bits(path, "all", tmp_path) == want
    assert bits(path, "none", tmp_path) == set()
    run("qemu-io", "-c", "write -q 0 512", path)  # and QEMU goes on with it
    assert bits(path, "all", tmp_path) == want | {0}
    assert bitmaps(path) == {"all": (["auto"], granule), "none": ([], granule)}


def test_edit(tmp_path):
    path = tmp_path / "a.qcow2"
    run(IMG, "create", "-q", "-f", "qcow2", path, "16M")
    run(IMG, "bitmap", "--add", path, "a")
    run(IO, "-c", "write -q 1M 64k", path)
    run(IMG, "bitmap", "--disable", path, "a")
    run(IO, "-c", "write -q 5M 64k", path)
    assert bits(path, "a", tmp_path) == {16}
    run(IMG, "bitmap", "--add", "--merge", "a", "-g", "4k", path, "b")
    assert bits(path, "b", tmp_path) == set(range(256, 272))
    run(IMG, "bitmap", "--clear", "--enable", path, "a")
    run(IO, "-c", "write -q 6M 512", path)
    assert (bits(path, "a", tmp_path), bits(path, "b", tmp_path)) == ({96}, set(range(256, 272)) | {1536})
    clean(path)
    run(IMG, "resize", "-q", path, "20M")
    run(IO, "-c", "write -q 19M 64k", path)
    assert bits(path, "a", tmp_path) == {96, 304}
    run(IMG, "resize", "-q", "--shrink", path, "6M")
    assert bits(path, "a", tmp_path) == set()
    run(IMG, "snapshot", "-c", "s", path)
    run(IMG, "bitmap", "--clear", path, "b")
    run(IMG, "snapshot", "-a", "s", path)
    assert bits(path, "b", tmp_path) == set(range(1536))  # all may differ from what it was
    clean(path)
    run(IMG, "rebase", "-q", "-u", "-b", tmp_path / "x", "-F", "raw", path)  # the header's other contents move
    run(IMG, "rebase", "-q", "-u", "-b", "", path)
    for name in "ab":
        run(IMG, "bitmap", "--remove", path, name)
    clean(path)
    assert bitmaps(path) == {}


def test_between_images(tmp_path):
    a, b = tmp_path / "a.qcow2", tmp_path / "b.qcow2"
    for img in (a, b):
        run(IMG, "create", "-q", "-f", "qcow2", img, "16M")
    run(IMG, "bitmap", "--add", a, "x")
    run("qemu-img", "bitmap", "--add", "--disable", a, "y")
    run(IO, "-c", "write -q 2M 1M", a)
    run(IMG, "bitmap", "--add", "--merge", "x", "-b", a, "-F", "qcow2", b, "z")
    assert bits(b, "z", tmp_path) == set(range(32, 48))
    for img in (IMG, "qemu-img"):
        run(img, "convert", "-O", "qcow2", "--bitmaps", a, tmp_path / "c.qcow2")
        clean(tmp_path / "c.qcow2")
        assert bitmaps(tmp_path / "c.qcow2") == bitmaps(a)
        assert bits(tmp_path / "c.qcow2", "x", tmp_path) == set(range(32, 48))
    for opts in ([], ["--output=json"], ["-o", "cluster_size=4k"]):
        assert run(IMG, "measure", "-O", "qcow2", *opts, a) == run("qemu-img", "measure", "-O", "qcow2", *opts, a)


def test_writer_killed(tmp_path):
    """A bitmap in use when its writer died is good for nothing but to be removed, and says so."""
    path = tmp_path / "a.qcow2"
    run(IMG, "create", "-q", "-f", "qcow2", path, "16M")
    run(IMG, "bitmap", "--add", path, "a")
    run(IMG, "bitmap", "--add", "--disable", path, "b")
    p = subprocess.Popen([IO, path], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    p.stdin.write("write 0 64k\n")
    p.stdin.flush()
    assert any("wrote" in line for line in p.stdout)
    p.send_signal(signal.SIGKILL)
    p.wait(LIMIT)
    run(IO, "-c", "write -q 1M 64k", path)
    clean(path)
    assert bitmaps(path) == {"a": (["in-use", "auto"], 65536), "b": ([], 65536)}
    for what in ("--clear", "--enable", "--disable"):
        assert "Bitmap 'a' is inconsistent and cannot be used" in run(IMG, "bitmap", what, path, "a", code=1)[1]
    assert "inconsistent" in run(IMG, "convert", "-O", "qcow2", "--bitmaps", path, tmp_path / "c", code=1)[1]
    assert not (tmp_path / "c").exists()
    run(IMG, "convert", "-O", "qcow2", "--bitmaps", "--skip-broken-bitmaps", path, tmp_path / "c")
    assert list(bitmaps(tmp_path / "c")) == ["b"]
    run(IMG, "bitmap", "--remove", path, "a")
    clean(path)
    assert list(bitmaps(path)) == ["b"]


REFUSED = [
    (["--add", "A", "b0"], "Bitmap already exists: b0"), (["--remove", "A", "zz"], "Dirty bitmap 'zz' not found"),
    (["--add", "-g", "1000", "A", "q"], "Granularity must be power of 2"), (["--add", "-g", "256", "A", "q"], "at least 512"),
    (["--add", "-g", "4G", "A", "q"], "Granularity must be power of 2"), (["--add", "A"], "Expecting filename and bitmap name"),
    (["--clear", "A", "b0", "c"], "Expecting filename and bitmap name"), (["A", "b0"], "Need at least one of --add"),
    (["--merge", "zz", "A", "b0"], "'zz' not found"), (["--clear", "-g", "64k", "A", "b0"], "only supported with --add"),
    (["--add", "-f", "raw", "A", "b"], "raw"), (["--clear", "-b", "x", "A", "b0"], "only supported with --merge"),
    (["--clear", "-F", "raw", "A", "b0"], "-F only supported with -b"), (["--add", "V2", "b"], "qcow2 v2"),
    (["--merge", "b0", "-b", "SMALL", "A", "b0"], "different sizes"), (["--add", "A", "x" * 1024], "name"),
]


@pytest.mark.parametrize("img", [IMG, "qemu-img"])
def test_refused(tmp_path, img):
    names = {"A": tmp_path / "a.qcow2", "V2": tmp_path / "v2.qcow2", "SMALL": tmp_path / "small.qcow2"}
    run(IMG, "create", "-q", "-f", "qcow2", names["A"], "16M")
    run(IMG, "create", "-q", "-f", "qcow2", "-o", "compat=0.10", names["V2"], "16M")
    run(IMG, "create", "-q", "-f", "qcow2", names["SMALL"], "8M")
    for name in ("A", "SMALL"):
        run(IMG, "bitmap", "--add", names[name], "b0")
    for args, says in REFUSED:
        _, err = run(img, "bitmap", *(names.get(a, a) for a in args), code=1)
        assert img != IMG or (says in err and err.count("\n") == 1), (args, err)
    assert list(bitmaps(names["A"])) == ["b0"]


def test_bad_directories(tmp_path):
    """Each field of the extension, the directory and the table, made senseless, is an error or does no harm."""
    path, bad = tmp_path / "a.qcow2", tmp_path / "bad.qcow2"
    run(IMG, "create", "-q", "-f", "qcow2", path, "16M")
    run(IMG, "bitmap", "--add", path, "a")
    run(IO, "-c", "write -q 0 1M", path)
    data = path.read_bytes()
    ext = data.index(bytes.fromhex("23852875"), 104)
    directory = int.from_bytes(data[ext + 24:ext + 32], "big")
    table = int.from_bytes(data[directory:directory + 8], "big")
    for at in [ext + n for n in range(4, 32)] + [directory + n for n in range(32)] + [table + n for n in range(8)]:
        for value in (0xff, 0x80, 1):
            bad.write_bytes(data[:at] + bytes([data[at] ^ value]) + data[at + 1:])
            for cmd in ([IMG, "check", "-q"], [IMG, "info"], [IO, "-c", "write -q 2M 64k"]):
                p = subprocess.run([*cmd, str(bad)], capture_output=True, text=True, errors="replace", timeout=LIMIT,
                                   stdin=subprocess.DEVNULL)
                assert p.returncode in (0, 1, 2, 3), (at, value, cmd, p.stderr)
