"""Debian's installers, started from CDs, seen over VNC: the language menu of both, its keys; the graphical one with its
pointer. Minutes each on the reference engine. DOPPEL_PICTURES=folder keeps a picture of each there."""
import os
import shutil
import time

import pytest

import media
import rfb
from test_screen import read_ppm
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
        self.m, self.c = m, rfb.Client(path, limit=MENU)  # a loader may show nothing new for minutes
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


def rows_of(s):
    return [s.row(y) for y in range(s.c.height)]


def menu(s, window=0.6):
    """The place of the bar when the screen is a menu: a grey window of some size on blue, one line in red."""
    return s.c.width >= 640 and s.share(GREY) > window and s.share(BLUE) > 0.02 and bar(s)


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
    before = rows_of(s)
    s.c.type(RETURN)
    wait_for(lambda: rows_of(s.settle()) != before and menu(s, 0.2), MENU)
    m.mon.cmd("stop")
    size, want = picture(m, os.path.join(m.dir.name, "dump.ppm"))
    s.until(lambda: (s.c.width, s.c.height) == size and s.c.pixels == want, STEP)
    s.save(f"{name}-next")


@pytest.mark.parametrize("arch, cd", [("i386", media.isolinux_cd), ("amd64", media.grub_cd)])
def test_text(arch, cd, tmp_path):
    """The bar of the language menu goes down and up line by line; Return leads to the next question. (With 768 MiB amd64
    calls that little memory and asks no language.)"""
    iso = cd(tmp_path, [media.installer(arch, "text")])
    with VM("-m", "1024", "-cdrom", iso, "-vga", "std", "-vnc", f"unix:{tmp_path}/vnc", monitor=True) as m:
        text_installer(m, tmp_path / "vnc", f"installer-{arch}")
        assert m.stderr() == ""


# ---- the graphical installer ----

WHITE = 0xffffff
CELL = 8, 16


def picked(s):
    """(first row, rows) of the highlighted line of the list, or None: the rows of which most is in one dark colour."""
    w = s.c.width
    rows = []
    for y in range(s.c.height * 3 // 20, s.c.height * 37 // 40):
        line = s.row(y)[w // 2:w // 2 + w // 4]
        if line.count(line[0]) > w // 5 and line[0] >> 16 < 0x80 < (line[0] >> 8 & 0xff) + 0x20:
            rows.append(y)
    return (rows[0], len(rows)) if rows and rows[-1] - rows[0] + 1 == len(rows) and len(rows) >= 10 else None


def graphical_menu(s):
    """A white list with one line highlighted, and buttons below."""
    return s.c.width >= 640 and s.share(WHITE) > 0.4 and picked(s)


def differs(s, before):
    """The box around what is not as before: (left, top, right, bottom), or None."""
    w = s.c.width
    rows = [(y, r, b) for y, b in enumerate(before) if (r := s.row(y)) != b]
    xs = [x for _, r, b in rows for x in range(w) if r[x] != b[x]]
    return (min(xs), rows[0][0], max(xs), rows[-1][0]) if rows else None


def slowly(c, start, to):
    """The pointer in steps that are too small for the X server to accelerate."""
    steps = max(abs(to[0] - start[0]), abs(to[1] - start[1])) // 2
    for n in range(1, steps + 1):
        c.point(*(a + (b - a) * n // steps for a, b in zip(start, to)))
        time.sleep(0.02 * SLOW)


def graphical_installer(m, path, name, dump):
    s = Screen(m, path)
    y, rows = s.until(lambda: graphical_menu(s), MENU)
    s.settle()
    assert m.mon.cmd(f"screendump {dump}") == ""
    s.save(name)
    # the pointer follows: home, and from there to a place in the white of the list
    s.c.point(s.c.width - 1, 0)
    s.c.point(0, 0)
    before = rows_of(s.settle())
    where = s.c.width // 2 + 37, y + 3 * rows
    slowly(s.c, (0, 0), where)
    s.settle()
    s.c.point(where[0], where[1])
    left, top, right, bottom = pointer(s, before)
    assert abs(left - where[0]) <= 2 * CELL[0] and abs(top - where[1]) <= 2 * CELL[1], (left, top, where)
    assert right - left < 32 and bottom - top < 32
    # a click picks the line below it
    s.c.point(*where, 1)
    s.c.point(*where, 0)
    s.until(lambda: (p := picked(s)) and p[0] <= top < p[0] + p[1], STEP)
    here = picked(s.settle())[0]
    s.c.type(DOWN)
    s.until(lambda: (p := picked(s)) and p[0] > here and p[0] - here < 2 * rows, STEP)
    s.c.type(UP)
    s.until(lambda: (p := picked(s)) and abs(p[0] - here) < 4, STEP)
    s.save(f"{name}-picked")


def pointer(s, before):
    """The box of the pointer, which was in the left upper corner."""
    s.settle()
    now = differs(s, [s.row(y)[:32] + b[32:] if y < 32 else b for y, b in enumerate(before)])
    assert now, "no pointer"
    return now


def test_graphical(tmp_path):
    """Its first picture is QEMU's, pixel by pixel; pointer, click and keys do what they should."""
    iso = media.isolinux_cd(tmp_path, [media.installer("amd64", "gtk", "vga=788")])
    args = ["-m", "1024", "-cdrom", iso, "-vga", "std"]
    with VM(*args, "-vnc", f"unix:{tmp_path}/vnc", monitor=True) as m:
        graphical_installer(m, tmp_path / "vnc", "installer-graphical", tmp_path / "ours.ppm")
        assert m.stderr() == ""
    if qemu := shutil.which("qemu-system-x86_64"):
        ours = read_ppm(tmp_path / "ours.ppm")
        with VM(*args, "-net", "none", program=qemu, monitor=True) as m:
            def same():
                m.mon.cmd(f"screendump {tmp_path}/theirs.ppm")
                return read_ppm(tmp_path / "theirs.ppm") == ours
            wait_for(same, MENU)
