"""Debian's installers, started from CDs, seen over VNC: the language menu of both, its keys; the graphical one with its
pointer. Minutes each on the reference engine. DOPPEL_PICTURES=folder keeps a picture of each there."""
import os

import pytest

import media
import rfb
from test_vnc import picture, pytestmark as needs_vnc
from vm import BOOT, SLOW, STEP, VM, wait_for

GONE = media.missing("grub-mkrescue", "xorriso", media.ISOLINUX,
                     *(media.INSTALLER.format(a, k, "initrd.gz") for a in ("i386", "amd64") for k in ("text", "gtk")))
pytestmark = [pytest.mark.full, needs_vnc,
              pytest.mark.skipif(GONE is not None, reason=f"no {GONE} (packages debian-installer-12-netboot-*)")]
MENU = 900 * SLOW  # 180 s when nothing else runs
UP, DOWN, RETURN, TAB = 0xff52, 0xff54, 0xff0d, 0xff09


class Screen:
    """What a viewer sees of a machine, kept up to date."""

    def __init__(self, m, path):
        self.m, self.c = m, rfb.Client(path, limit=STEP)
        self.c.set_encodings(rfb.ZRLE, rfb.COPYRECT, rfb.DESKTOP_SIZE)
        self.c.full()

    def colours(self):
        """The pixels as numbers, row after row."""
        return memoryview(self.c.pixels).cast("I")

    def row(self, y):
        return self.colours()[y * self.c.width:(y + 1) * self.c.width].tolist()

    def share(self, *colours):
        """How much of the screen has one of the colours, 0 to 1; every seventh pixel is looked at."""
        some = self.colours().tolist()[::7]
        return sum(map(some.count, colours)) / len(some)

    def until(self, cond, limit):
        self.c.until(cond, limit)
        return cond()

    def settle(self, limit=MENU, quiet=8 * SLOW):
        """Until nothing changes for a while."""
        while True:
            self.c.request()
            self.c.s.settimeout(quiet)
            try:
                first = self.c.s.recv(1, 2)  # MSG_PEEK
            except TimeoutError:
                return self
            finally:
                self.c.s.settimeout(self.c.limit)
            assert first
            while self.c.message() != 0:
                pass

    def save(self, name):
        if folder := os.environ.get("DOPPEL_PICTURES"):
            assert self.m.mon.cmd(f"screendump -f png {os.path.abspath(folder)}/{name}.png") == ""


# ---- the menus of the text installer ----

BLUE, GREY, RED = 0x0000aa, 0xaaaaaa, 0xaa0000
LINE = 16  # pixels


def bar(s):
    """(first row, rows) of the highlighted line of a menu, or None: rows of at least 100 red pixels that follow each
    other."""
    rows = [y for y in range(s.c.height) if s.row(y).count(RED) >= 100]
    if not rows or rows[-1] - rows[0] + 1 != len(rows):
        return None
    return rows[0], len(rows)


def menu(s):
    """The place of the bar when the screen is a menu: a grey window on blue, one line in red."""
    return s.c.width >= 640 and s.share(GREY) > 0.6 and s.share(BLUE) > 0.02 and bar(s)


def text_installer(m, path, name):
    wait_for(lambda: os.path.exists(path))
    s = Screen(m, path)
    y, rows = s.until(lambda: menu(s), MENU)
    assert rows == LINE
    s.save(name)
    s.c.type(DOWN)
    s.until(lambda: bar(s) == (y + LINE, LINE), STEP)
    s.c.type(DOWN)
    s.until(lambda: bar(s) == (y + 2 * LINE, LINE), STEP)
    s.c.type(UP)
    s.until(lambda: bar(s) == (y + LINE, LINE), STEP)
    s.c.type(UP)
    s.until(lambda: bar(s) == (y, LINE), STEP)
    before = [s.row(n) for n in range(LINE, 2 * LINE)]  # the title
    s.c.type(RETURN)
    s.until(lambda: [s.row(n) for n in range(LINE, 2 * LINE)] != before and menu(s), MENU)
    m.mon.cmd("stop")
    size, want = picture(m, os.path.join(m.dir.name, "dump.ppm"))
    s.until(lambda: (s.c.width, s.c.height) == size and s.c.pixels == want, STEP)
    s.save(f"{name}-next")


@pytest.mark.parametrize("arch, cd", [("i386", media.isolinux_cd), ("amd64", media.grub_cd)])
def test_text(arch, cd, tmp_path):
    """The bar of the language menu goes down and up line by line; Return leads to the next question."""
    iso = cd(tmp_path, [media.installer(arch, "text")])
    with VM("-m", "512", "-cdrom", iso, "-vga", "std", "-vnc", f"unix:{tmp_path}/vnc", monitor=True) as m:
        text_installer(m, tmp_path / "vnc", f"installer-{arch}")
        assert m.stderr() == ""
