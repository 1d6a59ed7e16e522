"""Pixel for pixel: what an own client and TigerVNC's viewer (on Xvfb, whose frame buffer is read) show is what a screen
dump has, in each kind of mode. The programs that draw are those of test_vga_oracle.py."""
import os
import re
import shutil
import subprocess

import pytest

import rfb
from test_screen import BIOS, read_ppm
from test_vga_oracle import CASES, rom
from test_vnc import pytestmark as needs_vnc
from vm import BOOT, LIMIT, VM, wait_for
from xvfb import xvfb  # noqa: F401: a fixture

VIEWER = shutil.which("xtigervncviewer")
GTK_VIEWER = shutil.which("gvncviewer")
pytestmark = [needs_vnc, pytest.mark.skipif(not os.path.exists(BIOS), reason=f"no {BIOS} (package seabios)")]
needs_viewer = pytest.mark.skipif(not (VIEWER and shutil.which("Xvfb")), reason="no xtigervncviewer or Xvfb (packages)")
MODES = ["text", "mode-12", "mode-13", "vbe-111", "vbe-112", "dispi-32"]  # text, 640x480x16, 320x200x256, 16, 24, 32 bits


def drawn(case, tmp_path, *args):
    """A machine that shows the case's picture; (machine, address, (width, height), the dump's pixels)."""
    m = VM("-vga", "std", "-nodefaults", "-option-rom", rom(str(tmp_path), CASES[case]), "-vnc", f"unix:{tmp_path}/vnc",
           *args, serial="stdio", monitor=True)
    try:
        m.expect("D", BOOT)
        m.mon.cmd(f"screendump {tmp_path}/dump.ppm")
        w, h, data = read_ppm(tmp_path / "dump.ppm")
        out = bytearray(w * h * 4)
        out[0::4], out[1::4], out[2::4] = data[2::3], data[1::3], data[0::3]
        assert len(set(data)) > 2
    except BaseException:
        m.close()
        raise
    return m, tmp_path / "vnc", (w, h), bytes(out)


@pytest.mark.parametrize("case", MODES)
def test_own_client(case, tmp_path):
    m, path, (w, h), want = drawn(case, tmp_path)
    with m:
        for encoding in rfb.RAW, rfb.RRE, rfb.HEXTILE, rfb.ZLIB, rfb.TIGHT, rfb.ZRLE:
            with rfb.Client(path) as c:
                c.set_encodings(encoding, rfb.COPYRECT, rfb.LAST_RECT, rfb.DESKTOP_SIZE)
                assert (c.width, c.height) == (w, h)
                assert c.full() == want, encoding
                assert c.seen <= {encoding, rfb.RAW}  # RRE and Hextile give up on noise


@needs_viewer
@pytest.mark.parametrize("encoding", ["Tight", "ZRLE", "Hextile", "Raw"])
@pytest.mark.parametrize("case", MODES)
def test_tigervnc(case, encoding, xvfb, tmp_path):
    m, path, size, want = drawn(case, tmp_path)
    with m:
        log = open(tmp_path / "viewer.log", "w")
        p = subprocess.Popen([VIEWER, "-AutoSelect=0", f"-PreferredEncoding={encoding}", "-FullColor=1", "-NoJPEG=1",
                              "-RemoteResize=0", "-Log=*:stderr:30", str(path)], stdin=subprocess.DEVNULL, stdout=log,
                             stderr=log, env={**os.environ, "DISPLAY": xvfb.display, "HOME": str(tmp_path)})
        try:
            wait_for(lambda: p.poll() is None and xvfb.shows(*size, want))
        finally:
            p.terminate()
            p.wait(LIMIT)
            log.close()


@pytest.mark.skipif(not (GTK_VIEWER and shutil.which("Xvfb")), reason="no gvncviewer or Xvfb (packages)")
@pytest.mark.parametrize("case", MODES)
def test_gvncviewer(case, xvfb, tmp_path):
    """In the encodings that GTK's viewer asks for."""
    m, _, size, want = drawn(case, tmp_path, "-vnc", "127.0.0.1:60,to=99,id=tcp")
    with m:
        port = int(re.search(r"tcp:\n  Server: 127.0.0.1:(\d+)", m.mon.cmd("info vnc")).group(1))
        p = subprocess.Popen([GTK_VIEWER, f"127.0.0.1:{port - 5900}"], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                             stderr=subprocess.DEVNULL, env={**os.environ, "DISPLAY": xvfb.display, "HOME": str(tmp_path),
                                                             "GDK_BACKEND": "x11", "NO_AT_BRIDGE": "1"})
        try:
            wait_for(lambda: p.poll() is None and xvfb.shows(*size, want))
        finally:
            p.terminate()
            p.wait(LIMIT)
