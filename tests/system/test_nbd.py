"""doppel-nbd: what qemu-img, nbdinfo, nbdcopy and a client of our own see of it, next to qemu-nbd."""
import json
import os
import random
import shutil
import signal
import socket
import struct
import subprocess
import threading

import pytest

from nbdclient import (CACHE, Client, DF, Failed, FLUSH, FUA, NBD, NO_HOLE, OPT_MAGIC, QEMU_NBD, READ, REQ_ONE, served, STATUS,
                       TRIM, WRITE, ZEROES)
from vm import ROOT

IMG = os.path.join(ROOT, "doppel-img")
QEMU = shutil.which("qemu-img")
needs_qemu = pytest.mark.skipif(QEMU is None or QEMU_NBD is None, reason="qemu-utils is not installed")
needs_libnbd = pytest.mark.skipif(shutil.which("nbdinfo") is None, reason="libnbd-bin is not installed")
EPERM, EINVAL, ENOSPC = 1, 22, 28


def run(*args):
    p = subprocess.run([*map(str, args)], capture_output=True, text=True, timeout=60, stdin=subprocess.DEVNULL)
    assert p.returncode == 0, (args, p.stdout, p.stderr)
    return p.stdout


def raw(path, size, seed=1):
    """Data, zeros and holes."""
    rnd = random.Random(seed)
    with open(path, "wb") as f:
        f.truncate(size)
        for _ in range(12):
            f.seek(rnd.randrange(size - 200000) & ~0xffff)
            f.write(rnd.randbytes(rnd.randrange(512, 200000)) if rnd.random() < 0.7 else b"\0" * 70000)
    return path


@pytest.fixture
def chain(tmp_path):
    """A qcow2 image in front of another."""
    base, top = tmp_path / "base.qcow2", tmp_path / "top.qcow2"
    run(IMG, "convert", "-O", "qcow2", raw(tmp_path / "x.raw", 8 << 20), base)
    run(IMG, "create", "-f", "qcow2", "-b", base, "-F", "qcow2", top, "10M")
    with served(tmp_path, "-f", "qcow2", "--discard=unmap", top) as s:
        c = Client(s.path)
        c.call(WRITE, 3 << 20, data=b"top" * 50000)
        c.call(ZEROES, 5 << 20, 1 << 20)
        c.close()
        assert s.ended()  # nobody said -t
    return top


# ---- beside qemu-nbd ----


@needs_qemu
@needs_libnbd
@pytest.mark.parametrize("args", [(), ("-e", "3"), ("-r", "-D", "for people"), ("-A",)])
def test_described_as_by_qemu_nbd(tmp_path, chain, args):
    seen = []
    for program in (NBD, QEMU_NBD):
        with served(tmp_path, "-t", "-f", "qcow2", *args, chain, program=program) as s:
            about = json.loads(run("nbdinfo", "--json", "--list", s.uri))
            for e in about["exports"]:
                assert e.pop("can_fast_zero", None) in (True, False)  # ours promises nothing of that kind
            maps = [json.loads(run("nbdinfo", "--json", f"--map={c}", s.uri)) for c in
                    ["base:allocation"] + ["qemu:allocation-depth"] * ("-A" in args)]
            seen.append((about, maps))
    assert seen[0] == seen[1]
    assert len({e["type"] for e in seen[0][1][0]}) >= 2


@needs_qemu
@needs_libnbd
def test_copied_by_others(tmp_path):
    source, copy = raw(tmp_path / "source.raw", 40 << 20), tmp_path / "copy.raw"
    disk = tmp_path / "disk.qcow2"
    run(IMG, "create", "-f", "qcow2", disk, "40M")
    with served(tmp_path, "-t", "-e", "8", "--discard=unmap", "-f", "qcow2", disk) as s:
        run(QEMU, "convert", "-n", "-f", "raw", "-O", "raw", source, s.uri)
        assert "identical" in run(QEMU, "compare", "-f", "raw", "-F", "raw", source, s.uri)
        run("nbdcopy", s.uri, copy)
        assert "identical" in run(QEMU, "compare", "-f", "raw", "-F", "raw", source, copy)
        run("nbdcopy", raw(source, 40 << 20, seed=2), s.uri)
        assert json.loads(run(QEMU, "info", "--output=json", s.uri))["virtual-size"] == 40 << 20
    assert "No errors" in run(QEMU, "check", disk)
    assert "identical" in run(QEMU, "compare", "-f", "raw", "-F", "qcow2", source, disk)


@needs_qemu
def test_worked_by_qemu_io(tmp_path):
    disk = tmp_path / "disk.raw"
    disk.write_bytes(b"\x11" * (1 << 20))
    with served(tmp_path, "-t", "-f", "raw", "--discard=unmap", disk) as s:
        out = run("qemu-io", "-f", "raw", "-c", "write -P 5 5 100000", "-c", "read -P 5 5 100000", "-c", "read -P 17 0 5",
                  "-c", "write -z 300000 4000", "-c", "read -P 0 300000 4000", "-c", "discard 512k 64k",
                  "-c", "read -P 0 512k 64k", "-c", "write -f -P 7 1000k 24k", "-c", "flush", s.uri)
    assert "failed" not in out and out.count("wrote") == 3
    assert disk.read_bytes()[1000 << 10:] == b"\x07" * (24 << 10)


# ---- a model ----


def same(disk, fmt, model, tmp_path):
    flat = tmp_path / "model.raw"
    flat.write_bytes(model)
    return "identical" in run(IMG, "compare", "-f", fmt, "-F", "raw", disk, flat)


def work(clients, model, rnd, rounds):
    """Requests to bytes anywhere, several at a time, none of which overlap. Fewer of a client than it has threads there:
    nobody takes replies while it sends."""
    size = len(model)
    for _ in range(rounds):
        asked, want, at = [{} for _ in clients], {}, 0
        while at < size:
            at += rnd.choice([0, 1, 511, 4096, 100000, rnd.randrange(size // 4)])
            n = min(rnd.choice([1, 7, 512, 4096, 65536, 150000, rnd.randrange(1, size // 3)]), size - at)
            who = rnd.randrange(len(clients))
            if n <= 0 or len(asked[who]) == 6:
                break
            c, kind, flags = clients[who], rnd.choice([READ, READ, WRITE, WRITE, ZEROES, CACHE]), rnd.choice([0, 0, 0, FUA])
            data = b""
            if kind == WRITE:
                data = rnd.randbytes(n) if rnd.random() < 0.8 else bytes(n)
                model[at:at + n] = data
            elif kind == ZEROES:
                model[at:at + n] = bytes(n)
                flags |= rnd.choice([0, NO_HOLE])
            elif kind == READ:
                flags |= rnd.choice([0, DF]) if c.structured else 0
            cookie = c.send(kind, at, n, data, flags)
            asked[who][cookie] = (at, n) if kind == READ else (0, 0)
            if kind == READ:
                want[who, cookie] = bytes(model[at:at + n])
            at += n
        for who, c in enumerate(clients):
            for cookie, (error, data, _, _) in c.replies(asked[who]).items():
                assert error == 0
                if (who, cookie) in want:
                    assert bytes(data) == want[who, cookie]
    for c in clients:
        c.call(FLUSH)


@pytest.mark.parametrize("fmt,args", [
    ("raw", ("--discard=unmap",)), ("qcow2", ("--discard=unmap", "--detect-zeroes=unmap")), ("vdi", ("--detect-zeroes=on",)),
    ("vpc", ())])
def test_against_a_model(tmp_path, fmt, args, rounds=6):
    rnd = random.Random(fmt)
    disk = tmp_path / f"disk.{fmt}"
    run(IMG, "create", "-f", fmt, disk, "4M")
    size = json.loads(run(IMG, "info", "--output=json", "-f", fmt, disk))["virtual-size"]
    model = bytearray(size)
    with served(tmp_path, "-e", "0", "-f", fmt, *args, disk) as s:
        clients = [Client(s.path), Client(s.path)]
        assert all(c.size == size and c.flags & 256 for c in clients)
        work(clients, model, rnd, rounds)
        for c in clients:
            c.close()
        assert s.ended()
    assert same(disk, fmt, model, tmp_path)
    if fmt in ("qcow2", "vdi") and QEMU:
        assert "No errors" in run(QEMU, "check", disk)


@pytest.mark.full
@pytest.mark.parametrize("seed", range(8))
@pytest.mark.parametrize("fmt,args", [("raw", ("--cache=none",)), ("qcow2", ("--cache=none", "--discard=unmap")),
                                      ("qcow2", ("--cache=writethrough",))])
def test_against_a_model_for_long(tmp_path, fmt, args, seed):
    test_against_a_model(tmp_path, fmt, args, rounds=40)


def test_replies_without_structure(tmp_path):
    disk = raw(tmp_path / "disk.raw", 1 << 20)
    with served(tmp_path, "-t", "-f", "raw", disk) as s:
        for kind in (False, None):
            c = Client(s.path, structured=kind)
            assert c.size == 1 << 20 and not c.flags & 128  # no DF
            assert c.call(READ, 12345, 600000) == disk.read_bytes()[12345:612345]
            with pytest.raises(Failed, match=str(EINVAL)):
                c.call(READ, (1 << 20) - 1, 2)
            c.call(WRITE, 7, data=b"seven")
            assert c.call(READ, 7, 5) == b"seven"
            c.close()


def test_holes_and_status(tmp_path):
    disk = tmp_path / "disk.qcow2"
    run(IMG, "create", "-f", "qcow2", disk, "1G")
    with served(tmp_path, "-t", "-A", "-f", "qcow2", disk) as s:
        c = Client(s.path, contexts=[b"base:allocation", b"qemu:allocation-depth", b"other:thing"])
        assert sorted(c.contexts.values()) == [b"base:allocation", b"qemu:allocation-depth"]
        c.call(WRITE, 1 << 20, data=b"\1" * 65536)
        assert c.status(0, 1 << 30) == {
            b"base:allocation": [(1 << 20, 3), (65536, 0), ((1 << 30) - (1 << 20) - 65536, 3)],
            b"qemu:allocation-depth": [(1 << 20, 0), (65536, 1), ((1 << 30) - (1 << 20) - 65536, 0)]}
        assert c.status(0, 1 << 30, REQ_ONE)[b"base:allocation"] == [(1 << 20, 3)]
        assert c.status(1 << 20, 100, REQ_ONE)[b"base:allocation"] == [(100, 0)]
        c.call(READ, 0, 2 << 20)
        assert [k for k, _ in c.chunks] == [2, 1, 2]
        c.call(READ, 0, 2 << 20, flags=DF)
        assert [k for k, _ in c.chunks] == [1]
        for offset, length in ((0, 0), (1 << 30, 1), (1, 1 << 30)):
            with pytest.raises(Failed, match=str(EINVAL)):
                c.call(STATUS, offset, length)
        c.close()


# ---- what may not be ----


def test_read_only(tmp_path):
    disk = raw(tmp_path / "disk.raw", 1 << 20)
    before = disk.read_bytes()
    disk.chmod(0o444)
    with served(tmp_path, "-t", "-r", "-f", "raw", disk) as s:
        c = Client(s.path)
        assert c.flags & 2
        for kind, data in ((WRITE, b"x" * 70000), (TRIM, b""), (ZEROES, b"")):
            with pytest.raises(Failed, match=f"^{EPERM}$"):
                c.call(kind, 0, 512, data)
        c.call(FLUSH)
        assert c.call(READ, 0, 1 << 20) == before
        c.close()
    assert disk.read_bytes() == before


def test_requests_out_of_bounds(tmp_path):
    disk = raw(tmp_path / "disk.raw", 1 << 20)
    with served(tmp_path, "-t", "-f", "raw", disk) as s:
        c = Client(s.path)
        for kind, offset, length, flags, error in (
                (READ, 1 << 20, 1, 0, EINVAL), (READ, 2**64 - 1, 2, 0, EINVAL), (READ, 0, 2**32 - 1, 0, EINVAL),
                (ZEROES, 1, 1 << 20, 0, ENOSPC), (TRIM, 2**63, 2**31, 0, EINVAL), (CACHE, 0, (1 << 20) + 1, 0, EINVAL),
                (READ, 0, 1, NO_HOLE, EINVAL), (FLUSH, 0, 0, 0x80, EINVAL), (11, 0, 0, 0, EINVAL), (STATUS, 0, 1, 0, EINVAL)):
            with pytest.raises(Failed, match=f"^{error}$"):
                c.call(kind, offset, length, flags=flags)
        with pytest.raises(Failed, match=f"^{ENOSPC}$"):
            c.call(WRITE, (1 << 20) - 3, data=b"four")
        assert c.call(READ, 0, 0) == b""
        c.call(WRITE, 0, 0)
        c.call(WRITE, (1 << 20) - 4, data=b"four")
        c.send(WRITE, 0, 33 << 20)  # what nobody would buffer
        with pytest.raises((EOFError, ConnectionError)):
            c.get(1)
        Client(s.path).close()


def option(number, data=b"", size=None):
    return OPT_MAGIC + struct.pack(">II", number, len(data) if size is None else size) + data


def name(text):
    return struct.pack(">I", len(text)) + text


HELLO = struct.pack(">I", 3)
HOSTILE = [
    b"", b"\0", b"\xff" * 100, struct.pack(">I", 0x80000003), HELLO + b"X" * 16, HELLO + option(7, b"", 2**32 - 1),
    HELLO + option(1, b"nothing of that name"), HELLO + option(1, b"x" * 70000), struct.pack(">I", 0) + option(3),
    HELLO + option(7, name(b"")), HELLO + option(7, name(b"")[:3]), HELLO + option(7, struct.pack(">I", 2**32 - 1) + b"xy\0\0"),
    HELLO + option(7, name(b"") + b"\xff\xff" + b"\0\3" * 5), HELLO + option(10, name(b"") + b"\0\0\0\0"),
    HELLO + option(8) + option(10, name(b"") + struct.pack(">I", 2**32 - 1) + name(b"base:allocation")),
    HELLO + option(8) + option(10, name(b"") + struct.pack(">I", 3000) + name(b"base:allocation") * 3000),
    HELLO + option(9, name(b"") + struct.pack(">I", 1) + name(b"base:")), HELLO + option(3, b"data"), HELLO + option(5) * 50,
    HELLO + option(99, b"y" * 70000), HELLO + option(99, b"y" * 100, 1 << 21), HELLO + option(8, b"z") + option(2),
    HELLO + option(7, name(b"") + b"\0\0") + b"\x25\x60\x95\x14" + b"\0" * 24,
    HELLO + option(7, name(b"") + b"\0\0") + struct.pack(">IHHQQI", 0x25609513, 0, 1, 1, 0, 1 << 20) + b"half",
    HELLO + option(7, name(b"") + b"\0\0") + struct.pack(">IHHQQI", 0x25609513, 0, 0, 1, 0, 1 << 20) * 200,
]


def test_hostile_clients(tmp_path):
    """Each loses its connection at worst; what is on the disk stays, and the next client finds all well."""
    disk = raw(tmp_path / "disk.raw", 1 << 20)
    before = disk.read_bytes()
    with served(tmp_path, "-t", "-e", "0", "-f", "raw", disk) as s:
        for words in HOSTILE:
            sock = socket.socket(socket.AF_UNIX)
            sock.connect(s.path)
            try:
                sock.sendall(words)
                sock.shutdown(socket.SHUT_WR)
                sock.settimeout(10)
                while words.count(b"\x25\x60\x95\x13") < 100 and sock.recv(1 << 16):
                    pass
            except ConnectionError:
                pass
            sock.close()
        c = Client(s.path)
        assert c.call(READ, 0, 1 << 20)[:1 << 19] == before[:1 << 19]
        c.close()
        with open(f"/proc/{s.pid}/status") as f:
            rss = int([ln for ln in f if ln.startswith("VmRSS")][0].split()[1])
        assert rss < 100 << 10
    assert disk.read_bytes() == before


# ---- the program ----


def test_clients_wait_for_each_other(tmp_path):
    disk = raw(tmp_path / "disk.raw", 1 << 20)
    with served(tmp_path, "-f", "raw", disk) as s:
        first = Client(s.path)
        assert not first.flags & 256
        late = socket.socket(socket.AF_UNIX)
        late.connect(s.path)
        late.settimeout(0.2)
        with pytest.raises(socket.timeout):
            late.recv(8)
        done = []
        t = threading.Thread(target=lambda: done.append(first.call(READ, 0, 512)))
        t.start()
        t.join(10)
        assert len(done) == 1
        late.close()
        first.close()
        assert s.ended() and not os.path.exists(s.path)


@needs_qemu
def test_killed_server(tmp_path):
    """What was flushed is there, and the image can be used."""
    disk = tmp_path / "disk.qcow2"
    run(IMG, "create", "-f", "qcow2", disk, "64M")
    with served(tmp_path, "-t", "-f", "qcow2", disk) as s:
        c = Client(s.path)
        c.call(WRITE, 5 << 20, data=b"A" * 300000)
        c.call(FLUSH)
        c.call(WRITE, 15 << 20, data=b"B" * 300000, flags=FUA)
        for n in range(20):
            c.send(WRITE, (20 + n) << 20, 1 << 19, b"C" * (1 << 19))
        os.kill(s.pid, signal.SIGKILL)
        assert s.ended()
    assert subprocess.run([QEMU, "check", "-q", disk], capture_output=True, check=False).returncode in (0, 3)
    with served(tmp_path, "-f", "qcow2", disk) as s:
        c = Client(s.path)
        assert c.call(READ, 5 << 20, 300000) == b"A" * 300000 and c.call(READ, 15 << 20, 300000) == b"B" * 300000
        c.close()


def test_end_by_signal(tmp_path):
    disk = raw(tmp_path / "disk.raw", 1 << 20)
    p = subprocess.Popen([NBD, "-t", "-v", "-f", "raw", "-k", tmp_path / "s", disk], stderr=subprocess.PIPE, text=True)
    while not os.path.exists(tmp_path / "s"):
        assert p.poll() is None
    try:
        c = Client(str(tmp_path / "s"))
        c.call(WRITE, 0, data=b"last")
        p.terminate()
        assert "a client has come" in p.communicate(timeout=10)[1]
    finally:
        p.kill()
    assert p.returncode == 0 and not os.path.exists(tmp_path / "s")
    assert disk.read_bytes()[:4] == b"last"


@needs_qemu
def test_ways_to_show_an_image(tmp_path):
    """-s, -l, -o, -x, --image-opts, TCP."""
    disk = tmp_path / "disk.qcow2"
    run(IMG, "create", "-f", "qcow2", disk, "1M")
    run("qemu-io", "-c", "write -P 1 0 1M", disk)
    run(IMG, "snapshot", "-c", "then", disk)
    run("qemu-io", "-c", "write -P 2 0 1M", disk)
    for args, want in ((("-s",), 2), (("-l", "then"), 1), (("-l", "snapshot.name=then"), 1), (("-o", "512k"), 2)):
        with served(tmp_path, "-f", "qcow2", *args, disk) as s:
            c = Client(s.path)
            assert c.size == (1 << 20 if args[0] != "-o" else 1 << 19)
            assert c.call(READ, 100, 1000) == bytes([want]) * 1000
            if args[0] == "-l":
                with pytest.raises(Failed, match=str(EPERM)):
                    c.call(WRITE, 0, data=b"x")
            else:
                c.call(WRITE, 100, data=b"x")
            c.close()
    for opts in ("driver=qcow2,read-only=on,", ""):
        with served(tmp_path, "--image-opts", "-x", "it", f"{opts}file.filename={disk}") as s:
            with pytest.raises(Failed):
                Client(s.path)
            c = Client(s.path, b"it")
            assert bool(c.flags & 2) == bool(opts)
            assert c.call(READ, 0, 4) == b"\2\2\2\2" and c.call(READ, (1 << 19) + 100, 1) == b"x"
            c.close()
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    p = subprocess.Popen([NBD, "-b", "127.0.0.1", "-p", str(port), "-f", "qcow2", "-v", disk], stderr=subprocess.PIPE)
    try:
        for _ in range(200):
            out = subprocess.run([QEMU, "info", f"nbd://127.0.0.1:{port}"], capture_output=True, text=True, check=False)
            if out.returncode == 0:
                break
        assert "1 MiB" in out.stdout
        assert p.wait(10) == 0
    finally:
        p.kill()
        p.communicate()


@pytest.mark.parametrize("args,words", [
    (("-c", "/dev/nbd0", "x"), "--connect needs the kernel's NBD client"), (("--tls-creds=a", "x"), "--tls-creds is not supported"),
    (("nowhere.raw",), "nowhere.raw'"), ((), "one image"), (("-e", "-1", "x"), "Invalid shared device number: '-1'"),
    (("--cache=some", "x"), "Invalid cache mode: 'some'"), (("--bogus", "x"), "unknown option '--bogus'"),
    (("-k", "/a", "-p", "1", "x"), "no sense"), (("-p",), "argument is missing")])
def test_refused(args, words):
    p = subprocess.run([NBD, *args], capture_output=True, text=True, timeout=10, check=False)
    assert p.returncode == 1 and words in p.stderr and len(p.stderr.splitlines()) == 1


def test_help_and_manual():
    text = run(NBD, "--help")
    with open(os.path.join(ROOT, "build", "doppel-nbd.1")) as f:
        page = f.read().replace("\\-", "-")
    for line in text.splitlines():
        if line.startswith("-"):
            assert all(word in page for word in line.split())
