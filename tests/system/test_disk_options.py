"""Drives as a guest and the monitor see them: snapshot=on and commit, discards, zeros, O_DIRECT, another size."""
import os
import re
import subprocess

import pytest

from test_disks import answer, end, machine, no_trouble, sha
from vm import LIMIT, ROOT, VM, run

IMG = os.path.join(ROOT, "doppel-img")
MIB = 1 << 20


def make(path, fmt="qcow2", size=16 * MIB):
    subprocess.run([IMG, "create", "-q", "-f", fmt, path, str(size)], check=True, timeout=LIMIT)
    return path


def used(path):
    return os.stat(path).st_blocks * 512


def clean(path):
    assert subprocess.run([IMG, "check", "-q", path], timeout=LIMIT).returncode == 0


def stats(m, name="ide0-hd0"):
    line = re.search(rf"^{name}: (.*)$", m.mon.cmd("info blockstats"), re.M).group(1)
    return {k: int(v) for k, v in (p.split("=") for p in line.split())}


@pytest.mark.usefixtures("guests")
@pytest.mark.parametrize("fmt", ["raw", "qcow2"])
def test_discard_and_zeros(fmt, tmp_path):
    """What the guest trims, or writes as zeros, takes no room on the host; the rest stays. Past the page cache."""
    disk = make(tmp_path / "disk.img", fmt)
    drive = f"file={disk},format={fmt},discard=unmap,detect-zeroes=unmap,cache=none,aio=native"
    with machine("-m", 192, "-drive", drive, monitor=True) as m:
        assert "Cache mode:       writeback, direct\n" in m.mon.cmd("info block")
        assert "Detect zeroes:    unmap\n" in m.mon.cmd("info block")
        assert answer(m, "cat /sys/block/sda/queue/discard_max_bytes").strip() != "0"
        answer(m, "dd if=/dev/urandom of=/data bs=64k count=128 2>/dev/null")
        sums = answer(m, "dd if=/data bs=64k count=32 2>/dev/null | sha256sum").split()[0]
        answer(m, "dd if=/data of=/dev/sda bs=64k conv=fsync 2>/dev/null")
        assert used(disk) >= 8 * MIB
        answer(m, f"blkdiscard -o {2 * MIB} -l {3 * MIB} /dev/sda; sync")
        answer(m, "dd if=/dev/zero of=/dev/sda bs=1M seek=5 count=3 conv=fsync 2>/dev/null; sync; "
               "echo 3 >/proc/sys/vm/drop_caches")
        assert answer(m, "dd if=/dev/sda bs=64k count=32 2>/dev/null | sha256sum").split()[0] == sums
        assert answer(m, "dd if=/dev/sda bs=1M skip=2 count=6 2>/dev/null | tr -d '\\000' | wc -c").strip() == "0"
        no_trouble(m)
        end(m)
    assert used(disk) < 3 * MIB
    if fmt == "qcow2":
        clean(disk)


@pytest.mark.usefixtures("guests")
def test_snapshot_and_commit(tmp_path):
    """With -snapshot the files stay as they were, until commit."""
    a, b = make(tmp_path / "a.qcow2"), make(tmp_path / "b.raw", "raw")
    before = sha(a), sha(b)
    with machine("-m", 192, "-snapshot", "-drive", f"file={a},format=qcow2", "-drive",
                 f"file={b},format=raw,index=1,snapshot=off", monitor=True,
                 env=dict(os.environ, TMPDIR=str(tmp_path))) as m:
        assert f"Backing file:     {a} (chain depth: 1)\n" in m.mon.cmd("info block ide0-hd0")
        assert f"ide0-hd1: {b} (raw)" in m.mon.cmd("info block ide0-hd1")
        assert not [f for f in os.listdir(tmp_path) if f.startswith("vl.")]
        # which of two disks is sda is a race in a slow guest
        answer(m, "a=/dev/$(ls /sys/bus/scsi/devices/0:0:0:0/block) b=/dev/$(ls /sys/bus/scsi/devices/0:0:1:0/block)")
        answer(m, "echo hello | dd of=$a conv=fsync 2>/dev/null; echo world | dd of=$b conv=fsync 2>/dev/null")
        assert sha(a) == before[0] and sha(b) != before[1]
        assert m.mon.cmd("commit all") == ""
        answer(m, "echo again | dd of=$a seek=9 conv=fsync 2>/dev/null")
        assert answer(m, "head -c 6 $a") == "hello\n"
        end(m)
    clean(a)
    raw = tmp_path / "out.raw"
    subprocess.run([IMG, "convert", a, raw], check=True, timeout=LIMIT)
    data = raw.read_bytes()
    assert data[:5] == b"hello" and b"again" not in data


@pytest.mark.usefixtures("guests")
def test_resize_and_statistics(tmp_path):
    disk = make(tmp_path / "disk.qcow2", size=4 * MIB)
    with machine("-m", 192, "-drive", f"file={disk},format=qcow2", monitor=True) as m:
        before = stats(m)
        answer(m, "dd if=/dev/urandom of=/dev/sda bs=64k count=16 conv=fsync 2>/dev/null")
        after = stats(m)
        assert after["wr_bytes"] - before["wr_bytes"] == MIB
        assert after["wr_operations"] > before["wr_operations"] and after["flush_operations"] > before["flush_operations"]
        assert after["wr_total_time_ns"] > before["wr_total_time_ns"]
        assert m.mon.cmd("block_resize ide0-hd0 6M") == ""
        answer(m, "echo 1 >/sys/block/sda/device/delete; echo '0 0 0' >/sys/class/scsi_host/host0/scan; "
               "while ! grep -q 12288 /sys/block/sda/size; do :; done; while ! head -c 1 /dev/sda >/dev/null 2>&1; do :; done")
        answer(m, "echo end | dd of=/dev/sda bs=1M seek=5 conv=fsync 2>/dev/null")
        end(m)
    clean(disk)
    assert "virtual size: 6 MiB" in run("info", disk, name=IMG).stdout


def test_locks(tmp_path):
    """file.locking=off takes no locks; force-share reads what another writes."""
    disk = make(tmp_path / "disk.qcow2")
    args = ("-S", "-nodefaults", "-display", "none")
    with VM(*args, "-drive", f"file={disk},format=qcow2", monitor=True) as m:
        assert m.mon.cmd("info status") == "VM status: paused (prelaunch)\n"
        other = run(*args, "-monitor", "stdio", "-drive", f"file={disk},format=qcow2")
        assert other.returncode == 1 and "lock" in other.stderr
        for key in ("file.locking=off", "read-only=on,force-share=on,if=none"):
            with VM(*args, "-drive", f"file={disk},format=qcow2,{key}", monitor=True) as other:
                assert str(disk) in other.mon.cmd("info block")
