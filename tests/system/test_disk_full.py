"""The host's disk is full: the machine stops and says why, goes on when there is space, and nothing is lost."""
import hashlib
import json
import os
import subprocess

import pytest

from adapters import adapter, machine
from qmp import Qmp, address
from test_disks import answer, end, no_trouble
from vm import LIMIT, ROOT, STEP, VM, run, wait_for

IMG = os.path.join(ROOT, "doppel-img")
# A small file system of its own, which is gone with the machine: "$@" runs on it, in $DIR.
SMALL = 'mount -t tmpfs -o size=$SIZE none "$DIR" && cp -a "$DIR.files/." "$DIR" && exec "$@"'


def namespaces():
    """How to have a mount of one's own here, or None."""
    for how in (["unshare", "-m"], ["unshare", "-rm"]):
        if subprocess.run([*how, "mount", "-t", "tmpfs", "none", "/mnt"], capture_output=True).returncode == 0:
            return how
    return None


HOW = namespaces()
needs_mount = pytest.mark.skipif(HOW is None, reason="no file system can be mounted here")


class SmallDisk:
    """A folder that the machine sees as a file system with 2 MiB less than the disk, 4 of which a ballast takes."""

    def __init__(self, tmp, fmt, name="disk.img", mib=8):
        self.dir = tmp / "small"
        self.dir.mkdir()
        files = tmp / "small.files"
        files.mkdir()
        (files / "ballast").write_bytes(os.urandom(4 << 20))
        subprocess.run([IMG, "create", "-q", "-f", fmt, files / name, f"{mib}M"], check=True, timeout=LIMIT)
        self.image = self.dir / name
        wrapper = tmp / "doppel-small"
        wrapper.write_text(f'#!/bin/sh\nDIR={self.dir} SIZE={mib - 2}m; export DIR SIZE\nexec {" ".join(HOW)} sh -c \'{SMALL}\' sh '
                           f'{ROOT}/doppel "$@"\n')
        wrapper.chmod(0o755)
        self.program = str(wrapper)

    def path(self, m, name):
        """A file there, from outside."""
        return f"/proc/{m.p.pid}/root{self.dir}/{name}"

    def leave(self, m, room):
        """The ballast takes what is there, but for `room` bytes."""
        with open(self.path(m, "ballast"), "r+b") as f:
            free = os.statvfs(f.fileno())
            size = max(0, os.fstat(f.fileno()).st_size + free.f_bavail * free.f_frsize - room)
            f.truncate(size)
            os.posix_fallocate(f.fileno(), 0, max(1, size))

    def drop_ballast(self, m):
        os.unlink(self.path(m, "ballast"))


def status(q):
    got = q.cmd("query-status")
    return got["status"], got["running"]


def attached(small, fmt, kind, more=""):
    return ["-drive", f"file={small.image},format={fmt},if=none,id=disk{more}", *adapter(kind, "disk")]


KINDS = [("raw", "ide"), ("qcow2", "ide"), ("qcow2", "ahci"), ("qcow2", "virtio-blk"), ("raw", "virtio-scsi"),
         *(pytest.param(fmt, kind, marks=pytest.mark.full) for fmt, kind in
           (("raw", "ahci"), ("raw", "virtio-blk"), ("qcow2", "virtio-scsi")))]


@needs_mount
@pytest.mark.usefixtures("guests")
@pytest.mark.parametrize("fmt, kind", KINDS)
def test_stops_and_goes_on(fmt, kind, tmp_path):
    small = SmallDisk(tmp_path, fmt)
    path, opt = address(tmp_path)
    dev = "/dev/vda" if kind == "virtio-blk" else "/dev/sda"
    m = machine(*attached(small, fmt, kind), "-qmp", opt, program=small.program)
    with m, Qmp(path) as q:
        answer(m, "dd if=/dev/urandom of=/data bs=64k count=80 2>/dev/null")  # 5 MiB
        sums = answer(m, "sha256sum </data").split()[0]
        m.send(f"dd if=/data of={dev} bs=64k conv=fsync 2>/dev/null; echo DONE $?\n")
        got = q.event("BLOCK_IO_ERROR", STEP)
        reason = got.pop("reason")
        assert got == {"device": "disk", "operation": "write", "action": "stop", "nospace": True}
        assert reason == "No space left on device"
        q.event("STOP", STEP)
        assert status(q) == ("io-error", False)
        assert m.mon.cmd("info status") == "VM status: paused (io-error)\n"
        assert "    I/O status:       nospace\n" in m.mon.cmd("info block")
        assert q.cmd("query-block")[0]["io-status"] == "nospace"
        refused = m.mon.cmd(f"migrate file:{tmp_path}/state")
        assert "a disk's request waits" in refused, refused
        for _ in range(5):  # and there is no space yet
            q.events.clear()
            m.mon.cmd("cont")
            q.event("STOP", STEP)  # BLOCK_IO_ERROR comes once in a second at most
        assert status(q) == ("io-error", False)
        small.drop_ballast(m)
        q.events.clear()
        m.mon.cmd("cont")
        q.event("RESUME", STEP)
        m.expect(r"DONE 0\n", STEP)
        assert status(q) == ("running", True)
        assert "I/O status" not in m.mon.cmd("info block")
        assert answer(m, f"dd if={dev} bs=64k count=80 2>/dev/null | sha256sum").split()[0] == sums
        no_trouble(m)
        answer(m, "sync")
        with open(small.path(m, "disk.img"), "rb") as f:
            data = f.read()
        end(m)
    copy = tmp_path / "copy.img"
    copy.write_bytes(data)
    raw = tmp_path / "copy.raw"
    subprocess.run([IMG, "convert", "-f", fmt, "-O", "raw", copy, raw], check=True, timeout=LIMIT)
    assert hashlib.sha256(raw.read_bytes()[:5 << 20]).hexdigest() == sums
    if fmt == "qcow2":
        assert subprocess.run([IMG, "check", "-q", copy], timeout=LIMIT).returncode in (0, 3)


CYCLES, PIECE, LEFT = 100, 512 << 10, 128 << 10


@needs_mount
@pytest.mark.usefixtures("guests")
@pytest.mark.parametrize("fmt, kind", [("qcow2", "virtio-blk"), *(pytest.param(fmt, kind, marks=pytest.mark.full) for fmt, kind in (
    ("raw", "ide"), ("qcow2", "ide"), ("raw", "ahci"), ("qcow2", "ahci"), ("raw", "virtio-blk")))])
def test_again_and_again(fmt, kind, tmp_path):
    """The disk is full in the middle of each of a hundred pieces, and each time there is space for that one only."""
    small = SmallDisk(tmp_path, fmt, mib=64)
    path, opt = address(tmp_path)
    dev = "/dev/vda" if kind == "virtio-blk" else "/dev/sda"
    m = machine(*attached(small, fmt, kind), "-qmp", opt, program=small.program)
    with m, Qmp(path) as q:
        answer(m, f"dd if=/dev/urandom of=/data bs=64k count={CYCLES * PIECE >> 16} 2>/dev/null")
        sums = answer(m, "sha256sum </data").split()[0]
        for n in range(CYCLES):
            small.leave(m, LEFT)
            q.events.clear()
            where = f"bs=64k skip={n * PIECE >> 16} seek={n * PIECE >> 16} count={PIECE >> 16}"
            m.send(f"dd if=/data of={dev} {where} conv=fsync,notrunc 2>/dev/null; echo DONE $?\n")
            q.event("STOP", STEP)
            assert status(q) == ("io-error", False)
            small.leave(m, PIECE + (1 << 20))
            m.mon.cmd("cont")
            m.expect(r"DONE 0\n", STEP)
        answer(m, "echo 3 >/proc/sys/vm/drop_caches")
        assert answer(m, f"dd if={dev} bs=64k count={CYCLES * PIECE >> 16} 2>/dev/null | sha256sum").split()[0] == sums
        no_trouble(m)
        answer(m, "sync")
        subprocess.run(["cp", "--sparse=always", small.path(m, "disk.img"), tmp_path / "copy.img"], check=True, timeout=LIMIT)
        end(m)
    subprocess.run([IMG, "convert", "-f", fmt, "-O", "raw", tmp_path / "copy.img", tmp_path / "copy.raw"], check=True, timeout=LIMIT)
    with open(tmp_path / "copy.raw", "rb") as f:
        assert hashlib.sha256(f.read(CYCLES * PIECE)).hexdigest() == sums


@needs_mount
@pytest.mark.usefixtures("guests")
@pytest.mark.parametrize("kind", ["ide", "ahci", pytest.param("virtio-scsi", marks=pytest.mark.full)])
@pytest.mark.parametrize("policy, action, code", [("report", "report", 1), ("ignore", "ignore", 0)])
def test_the_guest_is_told_or_not(policy, action, code, kind, tmp_path):
    small = SmallDisk(tmp_path, "raw")
    path, opt = address(tmp_path)
    m = machine(*attached(small, "raw", kind, f",werror={policy}"), "-qmp", opt, program=small.program)
    with m, Qmp(path) as q:
        m.send("dd if=/dev/urandom of=/dev/sda bs=64k count=80 conv=fsync 2>/dev/null; echo DONE $?\n")
        m.expect(rf"DONE {code}\n", STEP)
        assert q.event("BLOCK_IO_ERROR", STEP)["action"] == action
        assert status(q) == ("running", True)


@needs_mount
@pytest.mark.usefixtures("guests")
@pytest.mark.parametrize("kind", ["ide", "ahci", "virtio-scsi"])
def test_reset_and_quit_while_it_waits(kind, tmp_path):
    """A request that is held back holds up neither a reset nor the end."""
    small = SmallDisk(tmp_path, "raw")
    path, opt = address(tmp_path)
    m = machine(*attached(small, "raw", kind), "-qmp", opt, program=small.program)
    with m, Qmp(path) as q:
        fill = "dd if=/dev/urandom of=/dev/sda bs=64k count=80 conv=fsync 2>/dev/null\n"
        m.send(fill)
        q.event("STOP", STEP)
        m.mon.cmd("system_reset")
        q.event("RESET", STEP)
        m.mon.cmd("cont")
        m.expect(r"^DOPPEL-READY", STEP * 3)
        m.expect(r"# ")
        q.events.clear()
        m.send(fill)
        q.event("STOP", STEP)
        m.mon.send("quit\n")
        assert m.wait(STEP) in (0, 1)
