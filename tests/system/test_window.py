"""The window, on an X server of the test's own: pictures, keys, pointer, what is dropped on it, and its end."""
import os
import re
import shutil
import subprocess

import pytest

from image import build
from test_screen import BIOS, read_ppm
from test_vga_oracle import CASES, rom
from test_vnc import Viewed, guest, picture  # noqa: F401: a fixture
from test_viewers import MODES
from vm import BOOT, DOPPEL, LIMIT, ROOT, VM, run, wait_for
from xvfb import xvfb  # noqa: F401: a fixture

try:
    from Xlib import X, Xatom, display
    from Xlib.protocol import event
except ImportError:
    display = None

needs_window = pytest.mark.skipif(
    "CONFIG_SDL" not in open(os.path.join(ROOT, "config.h")).read() or
    not (shutil.which("Xvfb") and shutil.which("xdotool") and display),
    reason="built without SDL, or no Xvfb, xdotool or python3-xlib (packages)")
pytestmark = needs_window


def env(x):
    return {**os.environ, "DISPLAY": x.display, "SDL_VIDEODRIVER": "x11"}


class Person:
    """Somebody in front of the X server, and the window of doppel on it."""

    def __init__(self, x, name="doppel"):
        self.x = x
        self.id = int(wait_for(lambda: self.find(name)))
        self.do("windowfocus", "--sync", self.id)

    def do(self, *words):
        return subprocess.run(["xdotool", *map(str, words)], env=env(self.x), capture_output=True, text=True,
                              timeout=LIMIT).stdout

    def find(self, name):
        return self.do("search", "--onlyvisible", "--name", name).strip()

    def key(self, *names):
        self.do("key", *names)

    def type(self, line):
        self.do("type", "--delay", "1", line)
        self.key("Return")

    def title(self):
        return self.do("getwindowname", self.id).strip()

    def place(self):
        """x, y, width, height"""
        text = self.do("getwindowgeometry", "--shell", self.id)
        return [int(re.search(rf"^{k}=(-?\d+)$", text, re.M).group(1)) for k in ("X", "Y", "WIDTH", "HEIGHT")]

    def sees(self, size, pixels):
        x, y, w, h = self.place()
        return (w, h) == size and self.x.region(x, y, w, h) == bytes(pixels)


def viewed(tmp_path, x, image=None, *args, display="sdl", **kw):
    return Viewed(tmp_path, image, "-display", display, "-name", "me", *args, env=env(x), **kw)


# ---- the picture ----

@pytest.mark.skipif(not os.path.exists(BIOS), reason=f"no {BIOS} (package seabios)")
@pytest.mark.parametrize("case", MODES)
def test_modes(case, xvfb, tmp_path):
    """The window has the mode's size and, pixel for pixel, what a screen dump has."""
    with VM("-display", "sdl", "-vga", "std", "-nodefaults", "-option-rom", rom(str(tmp_path), CASES[case]), monitor=True,
            env=env(xvfb)) as m:
        m.expect("D", BOOT)
        m.mon.cmd(f"screendump {tmp_path}/dump.ppm")
        w, h, data = read_ppm(tmp_path / "dump.ppm")
        want = bytearray(w * h * 4)
        want[0::4], want[1::4], want[2::4] = data[2::3], data[1::3], data[0::3]
        p = Person(xvfb)
        wait_for(lambda: p.sees((w, h), want))


def test_scale(xvfb, tmp_path):
    """Ctrl-Alt-+ makes it a quarter larger, -u gives it its own size again."""
    with viewed(tmp_path, xvfb):
        p = Person(xvfb)
        wait_for(lambda: p.place()[2:] == [640, 480])
        p.key("ctrl+alt+plus")
        wait_for(lambda: p.place()[2:] == [800, 600])
        p.key("ctrl+alt+minus")
        p.key("ctrl+alt+minus")
        wait_for(lambda: p.place()[2:] == [480, 360])
        p.key("ctrl+alt+u")
        wait_for(lambda: p.place()[2:] == [640, 480])


# ---- consoles and keys ----

def test_monitor(xvfb, tmp_path):
    """Ctrl-Alt-2 is the monitor: it is drawn as dumped, takes lines, completes them, recalls them; -1 goes back."""
    with viewed(tmp_path, xvfb, None, "-chardev", "vc,id=con", "-mon", "con") as v:
        p = Person(xvfb)
        p.key("ctrl+alt+2")
        wait_for(lambda: p.place()[2:] == [640, 384])
        p.type("info name")
        wait_for(lambda: "\nme\n(qemu)" in v.mon.cmd("screendump -c con -t"))
        p.key("Up", "Return")
        wait_for(lambda: v.mon.cmd("screendump -c con -t").count("\nme\n(qemu)") == 2)
        p.do("type", "--delay", "1", "info mi")
        p.key("Tab", "Return")
        wait_for(lambda: "info mice" in v.mon.cmd("screendump -c con -t"))
        p.type("print 'A' + (1 < 2)*0x3e8")  # characters that Shift makes
        wait_for(lambda: "print 'A' + (1 < 2)*0x3e8" in v.mon.cmd("screendump -c con -t"))
        v.mon.cmd(f"screendump {tmp_path}/con.ppm con")
        w, h, data = read_ppm(tmp_path / "con.ppm")
        want = bytearray(w * h * 4)
        want[0::4], want[1::4], want[2::4] = data[2::3], data[1::3], data[0::3]
        wait_for(lambda: p.sees((w, h), want))
        p.key("ctrl+alt+1")
        wait_for(lambda: p.place()[2:] == [640, 480])


SET2 = {"a": [0x1c], "Return": [0x5a], "F5": [0x03], "Right": [0xe0, 0x74], "KP_Add": [0x79], "Insert": [0xe0, 0x70],
        "Print": [0xe0, 0x12, 0xe0, 0x7c]}


def up(make):
    """Each code after the other, the last one first."""
    codes = [[0xe0, b] for b in make[1::2]] if make[0] == 0xe0 else [make]
    return [b for code in reversed(codes) for b in [*code[:-1], 0xf0, code[-1]]]


def test_keys(xvfb, tmp_path, guest):
    """The guest gets places; what it holds is let go when another window has the keyboard."""
    with viewed(tmp_path, xvfb, guest()) as v:
        p = Person(xvfb)
        for name, make in SET2.items():
            p.key(name)
            v.bytes(make + up(make))
        p.do("keydown", "Control_L")
        v.bytes([0x14])
        p.do("keydown", "x")
        v.bytes([0x22])
        d = display.Display(xvfb.display)
        d.screen().root.set_input_focus(X.RevertToNone, X.CurrentTime)
        d.sync()
        wait_for(lambda: p.do("getwindowfocus").strip() != str(p.id))
        got = [int(v.vm.expect(r"^K([0-9a-f]{2})$", LIMIT).group(1), 16)]
        while len(got) < 4:
            byte = int(v.vm.expect(r"^K([0-9a-f]{2})$", LIMIT).group(1), 16)
            got += [byte] if got != [0x22] or byte != 0x22 else []
        while got[0] == 0x22:
            got = got[1:] + [int(v.vm.expect(r"^K([0-9a-f]{2})$", LIMIT).group(1), 16)]
        assert sorted([tuple(got[:2]), tuple(got[2:4])]) == [(0xf0, 0x14), (0xf0, 0x22)]
        p.do("keyup", "x")
        p.do("keyup", "Control_L")


def test_layout(xvfb, tmp_path, guest):
    """By -k a key is where that layout has the character that the host's makes of it."""
    with viewed(tmp_path, xvfb, guest(), "-k", "fr") as v:
        p = Person(xvfb)
        p.key("a")
        v.bytes([0x15, 0xf0, 0x15])  # where a French keyboard has the A


# ---- the pointer ----

def test_mouse(xvfb, tmp_path, guest):
    """A click takes the mouse, and is not the guest's; then it moves by what the hand does; Ctrl-Alt-G gives it back."""
    with viewed(tmp_path, xvfb, guest()) as v:
        p = Person(xvfb)
        x, y, _, _ = p.place()
        p.do("mousemove", x + 100, y + 100)
        wait_for(lambda: p.title() == "doppel (me)")  # named as it comes up
        p.do("click", 1)
        wait_for(lambda: p.title() == "doppel (me) - Press Ctrl-Alt-G to release the mouse")
        p.do("mousemove_relative", "--sync", "--", 10, 5)
        v.bytes([0x28, 10, 0x100 - 5], "M")  # sign of Y; up is positive
        p.do("mousedown", 3)
        v.bytes([0x0a, 0, 0], "M")
        p.do("mouseup", 3)
        v.bytes([0x08, 0, 0], "M")
        p.key("ctrl+alt+g")
        wait_for(lambda: p.title() == "doppel (me)")


# ---- what is dropped on it ----

class Drop:
    """A program that drops a file on a window: XDND version 5, https://freedesktop.org/wiki/Specifications/XDND."""

    def __init__(self, x, target, path):
        self.d = display.Display(x.display)
        self.target = self.d.create_resource_object("window", target)
        self.data = b"file://" + str(path).encode() + b"\r\n"
        self.w = self.d.screen().root.create_window(0, 0, 1, 1, 0, X.CopyFromParent)
        self.list = self.atom("text/uri-list")
        self.w.set_selection_owner(self.atom("XdndSelection"), X.CurrentTime)
        self.say("XdndEnter", 5 << 24, self.list, 0, 0)
        g = self.target.get_geometry()
        at = self.target.translate_coords(self.d.screen().root, 0, 0)
        self.say("XdndPosition", 0, (-at.x + g.width // 2) << 16 | (-at.y + g.height // 2), X.CurrentTime,
                 self.atom("XdndActionCopy"))
        self.until("XdndStatus")
        self.say("XdndDrop", 0, X.CurrentTime, 0, 0)
        self.until("XdndFinished")

    def atom(self, name):
        return self.d.intern_atom(name)

    def say(self, what, *data):
        e = event.ClientMessage(window=self.target, client_type=self.atom(what), data=(32, [self.w.id, *data]))
        self.target.send_event(e)
        self.d.flush()

    def until(self, what):
        """Answer requests for the data until the window says this."""
        while True:
            wait_for(self.d.pending_events)
            e = self.d.next_event()
            if e.type == X.ClientMessage and e.client_type == self.atom(what):
                return
            if e.type == X.SelectionRequest:
                e.requestor.change_property(e.property, e.target, 8, self.data)
                e.requestor.send_event(event.SelectionNotify(time=e.time, requestor=e.requestor, selection=e.selection,
                                                             target=e.target, property=e.property))
                self.d.flush()


def test_drop(xvfb, tmp_path):
    """A disc's image goes into the CD drive, a floppy's into that, another file nowhere."""
    disc, floppy, other = tmp_path / "disc one.iso", tmp_path / "floppy.img", tmp_path / "other"
    disc.write_bytes(bytes(0x8000) + b"\1CD001\1" + bytes(64 * 1024))
    floppy.write_bytes(bytes(1440 << 10))
    other.write_bytes(b"hello")
    with viewed(tmp_path, xvfb) as v:
        p = Person(xvfb)
        Drop(xvfb, p.id, str(disc).replace(" ", "%20"))
        wait_for(lambda: f"ide1-cd0: {disc} (raw" in v.mon.cmd("info block"))
        Drop(xvfb, p.id, floppy)
        wait_for(lambda: f"floppy0: {floppy} (raw" in v.mon.cmd("info block"))
        Drop(xvfb, p.id, other)
        wait_for(lambda: f"{other}: neither a CD's image nor a floppy's" in v.vm.stderr())


# ---- its end ----

def close(x, p):
    d = display.Display(x.display)
    w = d.create_resource_object("window", p.id)
    w.send_event(event.ClientMessage(window=w, client_type=d.intern_atom("WM_PROTOCOLS"),
                                     data=(32, [d.intern_atom("WM_DELETE_WINDOW"), X.CurrentTime, 0, 0, 0])))
    d.sync()


def test_close(xvfb, tmp_path):
    with viewed(tmp_path, xvfb) as v:
        close(xvfb, Person(xvfb))
        assert v.vm.p.wait(LIMIT) == 0


@pytest.mark.parametrize("args", [["-display", "sdl,window-close=off"], ["-sdl", "-no-quit"]])
def test_close_not(args, xvfb, tmp_path):
    """The window stays; SIGTERM ends it all the same."""
    with viewed(tmp_path, xvfb, None, *args) as v:
        p = Person(xvfb)
        close(xvfb, p)
        p.key("ctrl+alt+plus")  # comes after it
        wait_for(lambda: p.place()[2:] == [800, 600])
        v.vm.p.terminate()
        assert v.vm.p.wait(LIMIT) == 0


def test_default(xvfb, tmp_path):
    """Where there is a display, nobody asked for another and it can be opened, there is a window and no VNC server."""
    p = subprocess.Popen([DOPPEL, "-S", "-monitor", "stdio"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
                         env=env(xvfb))
    Person(xvfb)
    assert "VNC" not in p.communicate("info vnc\nquit\n", LIMIT)[0]
    assert p.returncode == 0
    p = subprocess.run([DOPPEL, "-S", "-monitor", "stdio"], input="quit\n", capture_output=True, text=True, timeout=LIMIT,
                       env={**os.environ, "DISPLAY": ":nonesuch"})
    assert p.returncode == 0 and "VNC server running on" in p.stdout


def test_refused(tmp_path):
    p = run("-display", "sdl", env={**os.environ, "DISPLAY": ":nonesuch", "SDL_VIDEODRIVER": "x11"})
    assert (p.returncode, p.stdout) == (1, "")
    assert re.fullmatch(r"doppel: cannot open a window: .*\n", p.stderr)
    for option, names in [("sdl,gl=maybe", "gl"), ("sdl,nonesuch=1", "nonesuch"), ("sdl,grab-mod=rctrl", "grab-mod=rctrl"),
                          ("gtk,show-tabs=on", "show-tabs=on"), ("curses", "curses")]:
        p = run("-display", option)
        assert p.returncode == 1 and names in p.stderr and len(p.stderr.splitlines()) == 1, p.stderr
