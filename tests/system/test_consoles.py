"""Text consoles: the monitor, serial and parallel port as screens of their own, chosen by Ctrl-Alt and a digit."""
import os
import re
import subprocess

import pytest

import rfb
from image import build
from test_vnc import Viewed, guest, picture  # noqa: F401: a fixture
from vm import DOPPEL, LIMIT, ROOT, VM, run, wait_for

pytestmark = pytest.mark.skipif("CONFIG_VNC" not in open(os.path.join(ROOT, "config.h")).read(),
                                reason="built without libvncserver")
CTRL, ALT, RETURN, UP, PAGE_UP, PAGE_DOWN = 0xffe3, 0xffe9, 0xff0d, 0xff52, 0xff55, 0xff56


def chord(c, *keysyms):
    keysyms = [ord(k) if isinstance(k, str) else k for k in keysyms]
    for k in keysyms:
        c.key(k, True)
    for k in reversed(keysyms):
        c.key(k, False)


class Person:
    """Somebody at a viewer with no other way to the machine."""

    def __init__(self, tmp, *args):
        self.tmp = tmp
        self.count = 0
        self.p = subprocess.Popen([DOPPEL, "-vnc", f"unix:{tmp}/vnc.sock", *map(str, args)],
                                  stdin=subprocess.DEVNULL)
        try:
            self.c = wait_for(self.connect)
            self.c.set_encodings(rfb.HEXTILE, rfb.DESKTOP_SIZE)
            self.c.full()
        except BaseException:
            self.__exit__()
            raise

    def connect(self):
        try:
            return rfb.Client(self.tmp / "vnc.sock")
        except (FileNotFoundError, ConnectionRefusedError):
            return None

    def __enter__(self):
        return self

    def __exit__(self, *exc):
        self.p.kill()
        self.p.wait()

    def show(self, n):
        chord(self.c, CTRL, ALT, str(n))

    def type(self, line):
        self.c.type(*line, RETURN)

    def text(self, n):
        """What console n shows, by a command typed at the monitor."""
        self.count += 1
        path = self.tmp / f"text{self.count}"
        self.type(f"screendump -c {n} -t {path}")
        wait_for(lambda: path.exists() and path.read_text().endswith("\n"))
        return path.read_text()


def test_default(tmp_path):
    """Monitor on 2, serial on 3, parallel on 4; what is typed goes to what is shown."""
    with Person(tmp_path, "-S") as p:
        p.show(2)
        p.c.until(lambda: (p.c.width, p.c.height) == (640, 384))
        text = p.text(2)
        assert re.match(r"QEMU \S+ monitor - type 'help' for more information\n\(qemu\) screendump", text)
        assert p.text(4).strip() == ""
        p.type("info chardev")
        assert "compat_monitor0: filename=vc\nserial0: filename=vc\nparallel0: filename=vc\n" in p.text(2)
        p.show(1)
        p.c.until(lambda: (p.c.width, p.c.height) == (640, 480))
        p.type("quit")  # goes to the guest
        p.show(2)
        p.c.type(*"quit")
        p.c.key(RETURN, True)
        assert p.p.wait(LIMIT) == 0


def test_picture(tmp_path):
    """What a viewer sees of a console equals its screen dump; the text is drawn."""
    with Viewed(tmp_path, None, "-chardev", "vc,id=con,cols=40,rows=5", "-mon", "con", "-vga", "none") as v, \
            v.client() as c:
        c.set_encodings(rfb.HEXTILE, rfb.DESKTOP_SIZE)
        c.full()
        assert (c.width, c.height) == (320, 80)  # without a card it is the first
        c.type(*"info status", RETURN)
        wait_for(lambda: "VM status: paused" in v.mon.cmd("screendump -c con -t"))
        v.mon.cmd(f"screendump {tmp_path}/a.ppm con")
        size, want = picture(v, tmp_path / "dump.ppm")
        c.until(lambda: c.pixels == want)
        assert size == (320, 80) and any(want)
        c.request()
        c.quiet()  # the cursor does not blink
        assert "Device 'x' not found" in v.mon.cmd(f"screendump {tmp_path}/b.ppm x")


def test_each_by_himself(tmp_path):
    """One looks at the monitor while the other goes on with the guest."""
    with Viewed(tmp_path, None, "-chardev", "vc,id=con", "-mon", "con") as v, v.client() as a, v.client() as b:
        for c in (a, b):
            c.set_encodings(rfb.HEXTILE, rfb.DESKTOP_SIZE)
            c.full()
        chord(a, CTRL, ALT, "2")
        a.until(lambda: a.height == 384)
        b.request()
        b.quiet()
        assert b.height == 480
        chord(a, CTRL, ALT, "9")  # there is none
        a.type(*"info name", RETURN)
        wait_for(lambda: "(qemu) info name" in v.mon.cmd("screendump -c 2 -t"))


@pytest.mark.parametrize("extended", [False, True])
def test_nothing_sticks(tmp_path, guest, extended):
    """The guest sees the modifiers go down, and up at the moment of the switch, and nothing of the rest."""
    args = "-chardev", "vc,id=con", "-mon", "con"
    with Viewed(tmp_path, guest(), *args) as v, v.client() as c:
        if extended:
            c.set_encodings(rfb.HEXTILE, rfb.EXTENDED_KEY)
            c.until(lambda: c.extended_keys)

            def key(keysym, code, down):
                c.code(code, down, keysym)
        else:
            def key(keysym, code, down):
                c.key(keysym, down)
        key(CTRL, 0x1d, True)
        v.bytes([0x14])
        key(ALT, 0x38, True)
        v.bytes([0x11])
        key(ord("2"), 3, True)
        v.bytes([0xf0, 0x14, 0xf0, 0x11])
        for down in (True, False):
            key(ord("q"), 0x10, down)
        key(ord("2"), 3, False)
        key(ALT, 0x38, False)
        key(CTRL, 0x1d, False)
        for k, code in ((ord("y"), 0x15), (RETURN, 0x1c)):
            key(k, code, True)
            key(k, code, False)
        wait_for(lambda: "unknown command: 'y'" in v.mon.cmd("screendump -c con -t"))
        for k, code, down in ((CTRL, 0x1d, 1), (ALT, 0x38, 1), (ord("1"), 2, 1), (ord("1"), 2, 0),
                              (CTRL, 0x1d, 0), (ALT, 0x38, 0), (ord("a"), 0x1e, 1), (ord("a"), 0x1e, 0)):
            key(k, code, down)
        v.bytes([0x1c, 0xf0, 0x1c])


def test_serial(tmp_path):
    """A serial line on a console: colours and UTF-8 come out, keys go in; scrolling back and forth."""
    echo = """
        PUT 27
        PUT '['
        PUT '3'
        PUT '1'
        PUT 'm'
        PUT 0xc3
        PUT 0xa4
        mov $600, %ecx
    1:  PUT '.'
        PUT 13
        PUT 10
        loop 1b
    again:
        mov $0x3fd, %dx
        in %dx, %al
        test $1, %al
        jz again
        mov $0x3f8, %dx
        in %dx, %al
        out %al, %dx
        jmp again
    """
    image, _ = build(tmp_path, "echo", echo)
    with VM("-kernel", image, "-vnc", f"unix:{tmp_path}/s", "-serial", "none", serial="vc:20Cx6C",
            monitor=True) as vm:
        def text():
            return vm.mon.cmd("screendump -t -c serial0")
        wait_for(lambda: text() == ".\n" * 5 + "\n")
        with rfb.Client(tmp_path / "s") as c:
            chord(c, CTRL, ALT, "2")
            c.type("h", "i", 0x20ac)
            wait_for(lambda: text() == ".\n" * 5 + "hi€\n")
            chord(c, CTRL, UP)
            wait_for(lambda: text() == ".\n" * 6)
            for _ in range(130):
                chord(c, CTRL, PAGE_UP)
            wait_for(lambda: text() == "ä.\n" + ".\n" * 5)
            vm.mon.cmd(f"screendump -c serial0 {tmp_path}/red.ppm")
            assert bytes((0xaa, 0, 0)) in open(tmp_path / "red.ppm", "rb").read()
            chord(c, CTRL, PAGE_DOWN)
            wait_for(lambda: text() == ".\n" * 6)
            c.type("!")  # typing goes to the end
            wait_for(lambda: text() == ".\n" * 5 + "hi€!\n")


def test_nodefaults(tmp_path):
    """-nodefaults: no console that was not asked for; a bad size is refused."""
    with VM("-S", "-nodefaults", "-vnc", f"unix:{tmp_path}/s", monitor=True) as vm:
        assert "vc" not in vm.mon.cmd("info chardev")
        assert "Device '2' not found" in vm.mon.cmd("screendump -c 2 -t")
    p = run("-S", "-serial", "vc:80Cx", "-display", "none")
    assert p.returncode == 1 and "80Cx24C" in p.stderr and p.stderr.count("\n") == 1
