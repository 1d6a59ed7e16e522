"""An X server without a display, whose pictures a test can look at."""
import os
import struct
import subprocess

import pytest

from vm import LIMIT

WIDTH, HEIGHT = 1800, 1200  # its pointer, in the middle, is beside a small window


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

    def region(self, x, y, width, height):
        """The pixels of a part of the screen."""
        return b"".join(row[x * 4:(x + width) * 4] for row in self.rows()[y:y + height])

    def picture(self, path):
        """What is on it, as a file to look at."""
        with open(path, "wb") as f:
            f.write(b"P6\n%d %d\n255\n" % (WIDTH, HEIGHT))
            for row in self.rows():
                out = bytearray(WIDTH * 3)
                out[0::3], out[1::3], out[2::3] = row[2::4], row[1::4], row[0::4]
                f.write(out)

    def close(self):
        self.p.terminate()
        self.p.wait(LIMIT)


@pytest.fixture(scope="module")
def xvfb(tmp_path_factory):
    x = Xvfb(str(tmp_path_factory.mktemp("xvfb")))
    yield x
    x.close()
