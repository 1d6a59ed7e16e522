"""Pixel for pixel: what an own client and TigerVNC's viewer (on Xvfb, whose frame buffer is read) show is what a screen
dump has, in each kind of mode. The programs that draw are those of test_vga_oracle.py."""
import os
import shutil
import struct
import subprocess

import pytest

import rfb
from test_screen import BIOS, read_ppm
from test_vga_oracle import CASES, rom
from test_vnc import pytestmark as needs_vnc
from vm import BOOT, LIMIT, VM, wait_for

VIEWER = shutil.which("xtigervncviewer")
pytestmark = [needs_vnc, pytest.mark.skipif(not os.path.exists(BIOS), reason=f"no {BIOS} (package seabios)")]
needs_viewer = pytest.mark.skipif(not (VIEWER and shutil.which("Xvfb")), reason="no xtigervncviewer or Xvfb (packages)")
MODES = ["text", "mode-12", "mode-13", "vbe-111", "vbe-112", "dispi-32"]  # text, 640x480x16, 320x200x256, 16, 24, 32 bits
WIDTH, HEIGHT = 1800, 1200  # of Xvfb: its pointer, in the middle, is beside the viewer's window


class Xvfb:
    """An X server whose frame buffer is a file in the format of xwd."""

    def __init__(self, folder):
        r, w = os.pipe()
        self.p = subprocess.Popen(["Xvfb", "-displayfd", str(w), "-screen", "0", f"{WIDTH}x{HEIGHT}x24", "-fbdir", folder,
                                   "-nolisten", "tcp"], pass_fds=[w], stdin=subprocess.DEVNULL,
                                  stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        os.close(w)
        with os.fdopen(r) as f:
            self.display = ":" + f.readline().strip()
        self.file = f"{folder}/Xvfb_screen0"

    def rows(self):
        """The rows of the screen, 4 bytes a pixel: blue, green, red, 0."""
        with open(self.file, "rb") as f:
            data = f.read()
        head = struct.unpack(">25I", data[:100])  # XWDFileHeader of X11/XWDFile.h
        assert (head[3], head[4], head[5], head[11]) == (24, WIDTH, HEIGHT, 32)
        assert head[7] == 0  # LSBFirst
        at, line = head[0] + head[19] * 12, head[12]
        pixels = bytearray(data[at:at + line * HEIGHT])
        pixels[3::4] = bytes(len(pixels) // 4)
        return [bytes(pixels[y * line:y * line + WIDTH * 4]) for y in range(HEIGHT)]

    def shows(self, width, height, pixels):
        """True when the picture is somewhere on the screen, unscaled."""
        want = [bytes(pixels[y * width * 4:(y + 1) * width * 4]) for y in range(height)]
        have = self.rows()
        for y in range(HEIGHT - height + 1):
            x = have[y].find(want[0])
            if x >= 0 and x % 4 == 0 and all(have[y + n][x:x + width * 4] == want[n] for n in range(height)):
                return True
        return False

    def close(self):
        self.p.terminate()
        self.p.wait(LIMIT)


@pytest.fixture(scope="module")
def xvfb(tmp_path_factory):
    x = Xvfb(str(tmp_path_factory.mktemp("xvfb")))
    yield x
    x.close()


def drawn(case, tmp_path):
    """A machine that shows the case's picture; (machine, address, (width, height), the dump's pixels)."""
    m = VM("-vga", "std", "-nodefaults", "-option-rom", rom(str(tmp_path), CASES[case]), "-vnc", f"unix:{tmp_path}/vnc",
           serial="stdio", monitor=True)
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
