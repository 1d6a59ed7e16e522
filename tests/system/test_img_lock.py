"""Locks on images: doppel, doppel-img and QEMU's programs keep each other out, and say who has the image."""
import json
import subprocess
import time

import pytest

from test_img import IMG, QEMU, tool
from vm import DOPPEL

pytestmark = pytest.mark.skipif(QEMU is None, reason="qemu-img (package qemu-utils) is not installed")


def locked(path, count):
    """Wait until somebody has so many locked ranges on the file."""
    inode = f":{path.stat().st_ino} "
    end = time.monotonic() + 20
    while sum(inode in line for line in open("/proc/locks")) < count:
        assert time.monotonic() < end
        time.sleep(0.02)


@pytest.fixture(params=["doppel", "qemu-io", "qemu-io -r"])
def user(request, tmp_path):
    """A process that has x.qcow2 open, and whether it writes."""
    path = tmp_path / "x.qcow2"
    tool(QEMU, "create", "-f", "qcow2", path, "4M")
    if request.param == "doppel":
        args = [DOPPEL, "-S", "-display", "none", "-serial", "none", "-monitor", "none", "-drive",
                f"file={path},format=qcow2"]
    else:
        args = [*request.param.split(), path]
    p = subprocess.Popen(args, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
    locked(path, 3)
    yield p, path, "-r" not in request.param
    p.kill()
    p.wait()


def test_kept_out(user):
    p, path, writes = user
    for program in (IMG, QEMU):
        for args in (("snapshot", "-c", "x", path), ("resize", path, "8M"), ("check", "-r", "all", path),
                     ("create", "-f", "qcow2", path, "1M"), ("create", "-f", "raw", path, "1M"),
                     ("rebase", "-u", "-b", "", path)):
            said = tool(program, *args, code=1)
            assert "lock" in said.lower(), (program, args, said)
            if program == IMG:
                assert f"process {p.pid} (" in said and "x.qcow2" in said
        for args in (("info", path), ("check", path), ("map", path), ("convert", "-O", "raw", path, path.with_suffix(".o"))):
            said = tool(program, *args, code=1 if writes else 0)
            assert not writes or 'Failed to get shared "write" lock' in said
        assert json.loads(tool(program, "info", "-U", "--output=json", path))["virtual-size"] == 4 << 20
    got = subprocess.run([DOPPEL, "-S", "-display", "none", "-monitor", "none", "-drive", f"file={path},format=qcow2"],
                         capture_output=True, text=True, timeout=30)
    assert got.returncode == 1 and f"process {p.pid} (" in got.stderr
    assert p.poll() is None


def test_behind(tmp_path):
    """An image behind a live one can be read, and not be written to."""
    tool(QEMU, "create", "-f", "qcow2", tmp_path / "base.qcow2", "4M")
    tool(IMG, "create", "-f", "qcow2", "-b", "base.qcow2", "-F", "qcow2", tmp_path / "x.qcow2")
    args = [DOPPEL, "-S", "-display", "none", "-serial", "none", "-monitor", "none", "-drive",
            f"file={tmp_path / 'x.qcow2'},format=qcow2"]
    p = subprocess.Popen(args)
    try:
        locked(tmp_path / "base.qcow2", 3)
        for program in (IMG, QEMU):
            tool(program, "info", tmp_path / "base.qcow2")
            assert 'Failed to get "write" lock' in tool(program, "resize", tmp_path / "base.qcow2", "8M", code=1)
    finally:
        p.kill()
        p.wait()
    assert tool(IMG, "commit", tmp_path / "x.qcow2") == "Image committed.\n"
