"""Disks on NBD servers: the tools and a guest on qemu-nbd's exports, and on our own."""
import json
import os
import random
import re
import signal
import socket
import subprocess
import threading
import time

import pytest

from adapters import machine
from nbdclient import NBD, QEMU_NBD, served
from test_disks import answer, boot_sector, boots, end
from test_nbd import IMG, needs_qemu, QEMU, raw, run
from vm import ROOT, run as doppel

IO = os.path.join(ROOT, "doppel-io")


def unbuilt():
    p = subprocess.run([IMG, "info", "nbd:unix:/nowhere"], capture_output=True, text=True, check=False)
    return "without libnbd" in p.stderr


pytestmark = pytest.mark.skipif(unbuilt(), reason="built without libnbd")


def fails(words, *args):
    p = subprocess.run([*map(str, args)], capture_output=True, text=True, timeout=30, check=False)
    assert p.returncode == 1 and len(p.stderr.splitlines()) == 1
    assert re.search(words, p.stderr), p.stderr


# ---- tools ----


@needs_qemu
@pytest.mark.parametrize("program,args", [(QEMU_NBD, ()), (QEMU_NBD, ("-e", "4")), (NBD, ("-e", "4", "--discard=unmap")),
                                          (NBD, ("-n",))])
def test_doppel_img(tmp_path, program, args):
    source, disk = raw(tmp_path / "source.raw", 24 << 20), tmp_path / "disk.qcow2"
    run(IMG, "create", "-f", "qcow2", disk, "24M")
    with served(tmp_path, "-t", "-f", "qcow2", *args, disk, program=program) as s:
        run(IMG, "convert", "-n", "-f", "raw", "-O", "raw", source, s.uri)
        for name in (s.uri, f"nbd:unix:{s.path}"):
            assert "identical" in run(IMG, "compare", "-f", "raw", "-F", "raw", source, name)
            assert run(IMG, "info", name).split("\n")[1:] == run(QEMU, "info", name).split("\n")[1:]
            seen = [[(e["start"], e["length"]) for e in json.loads(run(p, "map", "--output=json", name)) if e["data"]]
                    for p in (IMG, QEMU)]
            assert seen[0] == seen[1] and len(seen[0]) > 3
        run(IMG, "convert", "-m", "4", "-O", "qcow2", s.uri, tmp_path / "copy.qcow2")
        assert "identical" in run(QEMU, "compare", "-F", "raw", tmp_path / "copy.qcow2", source)
        fails("does not support image creation", IMG, "create", "-f", "qcow2", s.uri, "1M")
        fails("resize|not supp", IMG, "resize", "-f", "raw", "--shrink", s.uri, "12M")
    assert "identical" in run(QEMU, "compare", "-F", "raw", disk, source)
    assert "No errors" in run(QEMU, "check", disk)


@needs_qemu
@pytest.mark.parametrize("program,fmt,kind", [(QEMU_NBD, "raw", "raw"), (NBD, "raw", "raw"), (QEMU_NBD, "raw", "qcow2"),
                                              (NBD, "qcow2", "raw")])
def test_doppel_io_against_a_model(tmp_path, program, fmt, kind):
    """Byte ranges, on servers that take whole sectors alone and on others; @kind is a format on the export."""
    rnd, size = random.Random(f"{fmt}{kind}"), 2 << 20
    disk = tmp_path / "disk"
    run(IMG, "create", "-f", fmt if kind == "raw" else kind, disk, size)
    if kind != "raw":
        os.truncate(disk, 8 << 20)  # room to grow: an export does not
    model, commands = bytearray(size), []
    for _ in range(60):
        at = rnd.randrange(size)
        n = min(rnd.choice([1, 512, 4096, 70000, rnd.randrange(1, size // 2)]), size - at)
        pattern = rnd.randrange(1, 256)
        what = rnd.choice(["write", "write", "zero", "read"])
        if what == "read":
            start = model[at]
            n = next((k for k in range(n) if model[at + k] != start), n)
            commands.append(f"read -P {start} {at} {n}")
        else:
            model[at:at + n] = bytes([pattern if what == "write" else 0]) * n
            commands.append(f"write -P {pattern} {at} {n}" if what == "write" else f"write -z {rnd.choice(['', '-u '])}{at} {n}")
    commands.append("flush")
    with served(tmp_path, "-t", "-f", fmt, disk, program=program) as s:
        out = run(IO, "-f", kind, *[w for c in commands for w in ("-c", c)], s.uri)
        assert "fail" not in out
        flat = tmp_path / "flat.raw"
        flat.write_bytes(model)
        assert "identical" in run(IMG, "compare", "-f", kind, "-F", "raw", s.uri, flat)
    assert "identical" in run(QEMU, "compare", "-f", fmt if kind == "raw" else kind, "-F", "raw", disk, flat)


@needs_qemu
def test_names(tmp_path):
    disk = raw(tmp_path / "disk.raw", 2 << 20)
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    p = subprocess.Popen([NBD, "-t", "-r", "-b", "127.0.0.1", "-p", str(port), "-x", "a b/c", "-f", "raw", disk])
    try:
        names = [f"nbd:127.0.0.1:{port}:exportname=a b/c", f"nbd://127.0.0.1:{port}/a%20b/c", f"nbd+tcp://localhost:{port}/a b%2fc"]
        for n, name in enumerate(names):
            for _ in range(200 if n == 0 else 1):
                r = subprocess.run([IMG, "compare", "-f", "raw", "-F", "raw", name, disk], capture_output=True, check=False)
                if r.returncode == 0:
                    break
            assert r.returncode == 0, r
        fails("export", IMG, "info", f"nbd://127.0.0.1:{port}/other")
        fails("the export is read-only", IO, "-f", "raw", "-c", "write 0 512", names[1])
    finally:
        p.terminate()
        p.wait()
    fails("Connection refused|cannot connect", IMG, "info", names[1])


@pytest.mark.parametrize("name,words", [
    ("nbd:foo", "host name or port missing"), ("nbd://", "host is missing"), ("nbd+unix:///", "socket= is missing"),
    ("nbd+unix:///?socket=", "path= is empty"), ("nbd+unix:///?socket=/nowhere", "cannot connect to unix:/nowhere"),
    ("nbd://h/%zz", "name is no good"), ("nbd://h/?bogus=1", "'bogus=1' is no good"), ("nbds://h", "protocol 'nbds' is not supported"),
    ("nbd+tcp:x", "'//' is missing"), ("nbd:unix:" + "x" * 200, "too long"), ("nbd://h/" + "x" * 5000, "longer than 4096")])
def test_names_that_are_none(name, words):
    fails(re.escape(words), IMG, "info", name)


def test_hostile_servers(tmp_path):
    """What is no server, or says too much: one line, soon."""
    says = [b"", b"HTTP/1.0 200 OK\r\n\r\n", b"NBDMAGICIHAVEOPT\0\3" + b"\xff" * 4096, b"NBDMAGIC" + b"\0" * 200,
            b"NBDMAGIC\x00\x00\x42\x02\x81\x86\x12\x53" + b"\xff" * 8 + b"\0" * 200]
    path = str(tmp_path / "s")
    with socket.socket(socket.AF_UNIX) as srv:
        srv.bind(path)
        srv.listen(8)

        def serve():
            for words in says:
                c, _ = srv.accept()
                try:
                    c.sendall(words)
                    c.shutdown(socket.SHUT_WR)
                    while c.recv(4096):
                        pass
                except OSError:
                    pass
                c.close()

        t = threading.Thread(target=serve, daemon=True)
        t.start()
        for _ in says:
            fails("Could not open", IMG, "info", f"nbd:unix:{path}")
        t.join(10)


# ---- guests ----


@needs_qemu
def test_bios_boots(tmp_path):
    """By each way to name the export."""
    disk = tmp_path / "disk.raw"
    disk.write_bytes(boot_sector(tmp_path, 1) + b"SECOND SECTOR\n\0".ljust(512, b"\0") + bytes(1 << 20))
    with served(tmp_path, "-t", "-e", "4", "-x", "it", "-f", "raw", disk, program=QEMU_NBD) as s:
        server = f"server.type=unix,server.path={s.path},export=it"
        for args in (["-drive", f"file=nbd:unix:{s.path}:exportname=it,format=raw"],
                     ["-hda", f"nbd+unix:///it?socket={s.path}"],
                     ["-drive", f"driver=nbd,{server},if=virtio"],
                     ["-drive", f"if=virtio,format=raw,file.driver=nbd,file.path={s.path},file.export=it"],
                     ["-blockdev", f"driver=nbd,node-name=d,{server},reconnect-delay=3", "-device", "virtio-blk-pci,drive=d"],
                     ["-blockdev", json.dumps({"driver": "raw", "node-name": "d", "file": {
                         "driver": "nbd", "server": {"type": "unix", "path": s.path}, "export": "it"}}),
                      "-device", "ide-hd,drive=d"]):
            boots("SECOND SECTOR\n", *args)
        p = doppel("-drive", f"driver=nbd,server.type=vsock,{server.replace('type=unix', 'path=x')}")
        assert p.returncode == 1 and "server.type=vsock is not supported" in p.stderr


@needs_qemu
@pytest.mark.usefixtures("guests")
def test_linux_and_a_server_that_comes_back(tmp_path):
    """In the sandbox: the socket to the new server is the broker's."""
    disk = tmp_path / "disk.qcow2"
    run(IMG, "create", "-f", "qcow2", disk, "64M")
    with served(tmp_path, "-t", "-f", "qcow2", disk, program=QEMU_NBD) as s:
        with machine("-sandbox", "on", "-blockdev",
                     f"driver=nbd,node-name=d,server.type=unix,server.path={s.path},reconnect-delay=60",
                     "-device", "virtio-blk-pci,drive=d") as m:
            answer(m, "dd if=/dev/zero bs=1M count=2 | tr '\\0' A | dd of=/dev/vda bs=1M conv=fsync 2>/dev/null")
            os.kill(s.pid, signal.SIGTERM)
            assert s.ended()
            m.send("dd if=/dev/zero bs=1M count=2 | tr '\\0' B | dd of=/dev/vda bs=1M seek=2 conv=fsync 2>/dev/null; echo DONE $?\n")
            time.sleep(0.5)
            with served(tmp_path, "-t", "-f", "qcow2", disk):  # another server, at the same place
                assert m.expect(r"DONE (\d+)\n").group(1) == "0"
                answer(m, "echo 3 >/proc/sys/vm/drop_caches")
                sums = answer(m, "dd if=/dev/vda bs=1M count=4 2>/dev/null | md5sum")
                end(m)
    want = subprocess.run(["md5sum"], input=b"A" * (2 << 20) + b"B" * (2 << 20), capture_output=True, check=True).stdout
    assert sums.split()[0] == want.decode().split()[0]
    assert subprocess.run([QEMU, "check", "-q", disk], check=False).returncode in (0, 3)


def test_server_that_came_back_unnoticed(tmp_path):
    """A request after that finds it, though none waits."""
    disk = raw(tmp_path / "disk.raw", 1 << 20)
    with served(tmp_path, "-t", "-f", "raw", disk) as s:
        p = subprocess.Popen([IO, "-f", "raw", s.uri], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        try:
            def read():
                p.stdin.write("read 0 512\n")
                p.stdin.flush()
                line = p.stdout.readline()
                if "failed" not in line:
                    p.stdout.readline()
                return line

            assert "read 512/512" in read()
            s.stop()
            assert "read failed" in read()
            with served(tmp_path, "-t", "-f", "raw", disk) as again:
                assert "read 512/512" in read()
                again.stop()
                with served(tmp_path, "-t", "-f", "raw", disk):
                    assert "read 512/512" in read()
                    p.communicate("quit\n", timeout=20)
        finally:
            p.kill()


@needs_qemu
@pytest.mark.full
@pytest.mark.usefixtures("guests")
def test_server_that_is_gone(tmp_path):
    """The guest is told, and the machine ends at once though requests would wait."""
    disk = raw(tmp_path / "disk.raw", 8 << 20)
    with served(tmp_path, "-t", "-f", "raw", disk) as s:
        with machine("-drive", f"if=none,id=d,format=raw,file=nbd:unix:{s.path},rerror=report,werror=report", "-device",
                     "virtio-blk-pci,drive=d") as m:
            answer(m, "dd if=/dev/vda of=/dev/null bs=1M count=1 2>/dev/null")
            os.kill(s.pid, signal.SIGKILL)
            assert s.ended()
            answer(m, "! dd if=/dev/vda of=/dev/null bs=1M skip=4 count=1 2>/dev/null")
            answer(m, "dmesg | grep -q 'I/O error'")
            os.unlink(s.path)
            with served(tmp_path, "-t", "-f", "raw", disk):
                answer(m, "dd if=/dev/vda of=/dev/null bs=1M skip=4 count=1 2>/dev/null")
