"""A person who has nothing but a screen, over VNC and in the window, works with Linux and its monitor: Ctrl-Alt-2, a key
that he cannot press himself, another disc, help, and back."""
import pytest

import rfb
from test_consoles import ALT, CTRL, RETURN, UP, chord
from test_disks import answer, end, machine, make_iso
from test_vnc import pytestmark as needs_vnc
from test_window import Person, env, needs_window
from test_web import dump
from vm import STEP, wait_for
from xvfb import xvfb  # noqa: F401: a fixture

TAB = 0xff09


class AtViewer:
    """Over VNC."""

    def __init__(self, path, xvfb):
        self.c = rfb.Client(path)
        self.c.set_encodings(rfb.HEXTILE, rfb.DESKTOP_SIZE)
        self.c.full()

    def show(self, n):
        chord(self.c, CTRL, ALT, str(n))

    def type(self, text):
        self.c.type(*text)

    def press(self, key):
        self.c.type({"Return": RETURN, "Tab": TAB, "Up": UP}[key])

    def sees(self, size, pixels):
        self.c.request()
        self.c.until(lambda: (self.c.width, self.c.height) == size and self.c.pixels == pixels)
        return True

    def close(self):
        self.c.close()


class AtWindow:
    def __init__(self, path, xvfb):
        self.p = Person(xvfb)

    def show(self, n):
        self.p.key(f"ctrl+alt+{n}")

    def type(self, text):
        self.p.do("type", "--delay", "1", text)

    def press(self, key):
        self.p.key(key)

    def sees(self, size, pixels):
        return self.p.sees(size, pixels)

    def close(self):
        pass


@pytest.mark.parametrize("way", [pytest.param(AtViewer, marks=needs_vnc), pytest.param(AtWindow, marks=needs_window)])
@pytest.mark.usefixtures("guests")
def test_monitor(way, xvfb, tmp_path):
    discs = [make_iso(tmp_path, name, {"name": name.encode()}) for name in ("first", "second")]
    display = ["-display", "sdl"] if way is AtWindow else ["-vnc", f"unix:{tmp_path}/v"]
    with machine("-vga", "std", *display, "-chardev", "vc,id=con", "-mon", "con", "-cdrom", discs[0],
                 append="console=tty0 console=ttyS0", monitor=True, env=env(xvfb)) as m:
        me = way(tmp_path / "v", xvfb)

        def shown():
            return m.mon.cmd("screendump -c con -t")

        def line(text):
            me.type(text)
            me.press("Return")

        answer(m, "mkdir /cd; mount -t iso9660 -o ro /dev/sr0 /cd && grep -q first /cd/name && umount /cd")
        answer(m, "exec 5>/dev/tty2")  # else there is no such console
        assert answer(m, "cat /sys/class/tty/tty0/active") == "tty1\n"
        me.show(2)
        line("sendkey ctrl-alt-f2")
        wait_for(lambda: answer(m, "cat /sys/class/tty/tty0/active") == "tty2\n", STEP)
        me.type("chan")
        me.press("Tab")
        line(f"ide1-cd0 {discs[1]}")
        wait_for(lambda: f"ide1-cd0: {discs[1]} (raw" in m.mon.cmd("info block"))
        answer(m, "mount -t iso9660 -o ro /dev/sr0 /cd && grep -q second /cd/name && umount /cd")
        line("help change")
        wait_for(lambda: "change [-f] device filename" in shown())
        line("info status")
        wait_for(lambda: "VM status: running" in shown())
        me.press("Up")
        me.press("Up")
        wait_for(lambda: shown().rstrip().endswith("(qemu) help change"))
        m.mon.cmd(f"screendump {tmp_path}/con.ppm con")
        wait_for(lambda: me.sees(*dump(tmp_path / "con.ppm")))
        me.show(1)
        answer(m, "printf 'back again\\n' >/dev/tty2")
        wait_for(lambda: "back again" in m.mon.cmd("screendump -t"))
        m.mon.cmd(f"screendump {tmp_path}/guest.ppm")
        answer(m, "printf '\\033[?25l' >/dev/tty2")  # its cursor blinks

        def same():
            m.mon.cmd(f"screendump {tmp_path}/guest.ppm")
            return me.sees(*dump(tmp_path / "guest.ppm"))
        wait_for(same)
        me.close()
        end(m)
