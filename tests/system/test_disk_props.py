"""-device options that all disks have: what the guest is told, what is done when the host fails, who may write too."""
import os
import subprocess

import pytest

from adapters import drive, machine
from qmp import Qmp, address
from test_disk_full import SmallDisk, needs_mount, status
from test_disks import answer, no_trouble
from vm import DOPPEL, LIMIT, STEP

MIB = 1 << 20


def blank(path, size=16 * MIB):
    with open(path, "wb") as f:
        f.truncate(size)
    return path


def block(m, disk, *names):
    return [x.strip() for x in answer(m, "; ".join(f"cat /sys/block/{disk}/{n}" for n in names)).strip().split("\n")]


def by_size(m):
    """The guest's disks by how many MiB they have."""
    return {int(s) // 2048: d for d, s in (x.split() for x in answer(
        m, "for d in /sys/block/[sv]d?; do echo $(basename $d) $(cat $d/size); done").strip().split("\n"))}


@pytest.mark.usefixtures("guests")
def test_as_the_guest_sees_them(tmp_path):
    """Sizes, caches, and queues: as many as processors, unless they are said."""
    files = {n: blank(tmp_path / str(n), n * MIB) for n in range(16, 22)}
    with machine(
            "-smp", "3", *drive("a", files[16]), "-device", "ide-hd,drive=a,physical_block_size=4k,write-cache=off",
            *drive("b", files[17], "cache=writethrough"), "-device", "ide-hd,drive=b",
            *drive("c", files[18], "discard=unmap"), "-device", "virtio-scsi-pci", "-device",
            "scsi-hd,drive=c,logical_block_size=512,physical_block_size=4096,min_io_size=64k,opt_io_size=1M,discard_granularity=8k,"
            "write-cache=off",
            *drive("d", files[19], "discard=unmap"), "-device",
            "virtio-blk-pci,drive=d,physical_block_size=4096,min_io_size=32k,opt_io_size=256k,discard_granularity=64k,write-cache=off",
            *drive("e", files[20], "cache=writethrough,discard=unmap"), "-device",
            "virtio-blk-pci,drive=e,num-queues=2,write-cache=on,discard_granularity=0",
            *drive("f", files[21]), "-device", "virtio-scsi-pci,num_queues=2,id=t", "-device", "scsi-hd,drive=f,bus=t.0") as m:
        disks = by_size(m)
        assert block(m, disks[16], "queue/physical_block_size", "queue/logical_block_size", "queue/write_cache") == \
            ["4096", "512", "write through"]
        assert block(m, disks[17], "queue/physical_block_size", "queue/write_cache") == ["512", "write through"]
        assert block(m, disks[18], "queue/logical_block_size", "queue/physical_block_size", "queue/minimum_io_size",
                     "queue/optimal_io_size", "queue/discard_granularity", "queue/write_cache") == \
            ["512", "4096", "65536", "1048576", "8192", "write through"]
        assert block(m, disks[19], "queue/physical_block_size", "queue/minimum_io_size", "queue/optimal_io_size",
                     "queue/discard_granularity", "queue/write_cache") == ["4096", "32768", "262144", "65536", "write through"]
        assert block(m, disks[20], "queue/write_cache", "queue/discard_max_bytes") == ["write back", "0"]
        assert block(m, disks[21], "queue/write_cache") == ["write back"]
        for size, queues in ((18, 3), (19, 3), (20, 2), (21, 2)):
            assert int(answer(m, f"ls -d /sys/block/{disks[size]}/mq/* | wc -l")) == queues
        told = m.mon.cmd("info block")
        assert [x.split()[-1] for x in told.splitlines() if "Cache mode:" in x][:5] == \
            ["writethrough"] * 4 + ["writeback"]
        for size in files:  # and what is written comes to the file
            answer(m, f"dd if=/dev/urandom of=/data bs=64k count=16 2>/dev/null; dd if=/data of=/dev/{disks[size]} bs=64k "
                   "conv=fsync 2>/dev/null")
            assert answer(m, "sha256sum /data").split()[0] == \
                subprocess.run(["sha256sum"], input=files[size].read_bytes()[:MIB], capture_output=True).stdout.decode().split()[0]
        no_trouble(m)


@needs_mount
@pytest.mark.usefixtures("guests")
@pytest.mark.parametrize("device", ["ide-hd,drive=disk,werror=report", "virtio-blk-pci,drive=disk,werror=report"])
def test_device_decides(device, tmp_path):
    """The device's werror= counts, not the drive's."""
    small = SmallDisk(tmp_path, "raw")
    path, opt = address(tmp_path)
    m = machine("-drive", f"file={small.image},format=raw,if=none,id=disk,werror=stop", "-device", device, "-qmp", opt,
                program=small.program)
    with m, Qmp(path) as q:
        m.send(f"dd if=/dev/urandom of=/dev/{'sda' if 'ide' in device else 'vda'} bs=64k count=80 conv=fsync 2>/dev/null; "
               "echo DONE $?\n")
        m.expect(r"DONE 1\n", STEP)
        assert q.event("BLOCK_IO_ERROR", STEP)["action"] == "report"
        assert status(q) == ("running", True)


ARGS = ["-S", "-display", "none", "-serial", "none", "-monitor", "none", "-nodefaults", "-device", "virtio-scsi-pci"]


@pytest.mark.parametrize("device, why", [
    ("ide-hd,drive=d,logical_block_size=4096,physical_block_size=4096", "logical_block_size must be 512 for ide"),
    ("ide-hd,drive=d,discard_granularity=4096", "discard_granularity must be 512 for ide"),
    ("scsi-hd,drive=d,logical_block_size=4096", "logical_block_size > physical_block_size not supported"),
    ("scsi-hd,drive=d,min_io_size=1000", "min_io_size must be a multiple of logical_block_size"),
    ("scsi-hd,drive=d,opt_io_size=1000", "opt_io_size must be a multiple of logical_block_size"),
    ("virtio-blk-pci,drive=d,discard_granularity=1000", "discard_granularity must be a multiple of logical_block_size"),
    ("virtio-blk-pci,drive=d,min_io_size=100000k", "min_io_size must not exceed 65535 logical blocks"),
    ("virtio-blk-pci,drive=d,physical_block_size=3000", "powers of two"), ("scsi-hd,drive=d,physical_block_size=4M", "powers of two"),
    ("virtio-blk-pci,drive=d,werror=foo", "Parameter 'werror' does not accept value 'foo'"),
    ("scsi-cd,drive=d,rerror=foo", "Parameter 'rerror' does not accept value 'foo'"),
    ("ide-cd,drive=d,write-cache=foo", "Parameter 'write-cache' does not accept value 'foo'"),
    ("virtio-blk-pci,drive=d,num-queues=61", "1 to 60"),
])
def test_refused(device, why, tmp_path):
    p = subprocess.run([DOPPEL, *ARGS, *drive("d", blank(tmp_path / "d")), "-device", device], capture_output=True, text=True,
                       timeout=LIMIT)
    assert p.returncode == 1 and why in p.stderr


def test_share_rw(tmp_path):
    """Two machines write to one raw disk where both bear it; not where one does not, nor with tables of a format."""
    raw, qcow2 = blank(tmp_path / "d"), tmp_path / "q"
    subprocess.run([os.path.join(os.path.dirname(DOPPEL), "doppel-img"), "create", "-q", "-f", "qcow2", qcow2, "1M"], check=True)

    def start(*args):
        p = subprocess.Popen([DOPPEL, *ARGS[:5], "-monitor", "stdio", *ARGS[7:], *args], stdin=subprocess.PIPE,
                             stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        running.append(p)
        out = ""
        while "(doppel)" not in out and "(qemu)" not in out:  # the monitor's prompt, or the end
            c = p.stdout.read(1)
            if c == "":
                break
            out += c
        return p.poll() is None and "lock" not in out

    running = []
    try:
        for device in ("scsi-hd", "virtio-blk-pci", "ide-hd"):
            assert start(*drive("d", raw), "-device", f"{device},drive=d,share-rw=on")
        assert start("-blockdev", f"driver=file,filename={raw},node-name=n", "-device", "scsi-hd,drive=n,share-rw=on")
        assert not start(*drive("d", raw), "-device", "scsi-hd,drive=d")
        assert start(*drive("d", qcow2, fmt="qcow2"), "-device", "scsi-hd,drive=d,share-rw=on")
        assert not start(*drive("d", qcow2, fmt="qcow2"), "-device", "scsi-hd,drive=d,share-rw=on")
    finally:
        for p in running:
            p.kill()
            p.communicate()
