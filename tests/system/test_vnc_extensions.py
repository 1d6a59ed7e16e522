"""What viewers may ask for beyond pictures, keys and a pointer: lamps, bell, cut text, power, JPEG."""
import pytest

import rfb
from image import EXIT_DEVICE, build
from test_consoles import ALT, CTRL, RETURN, chord
from test_vga_oracle import CASES, rom
from test_vnc import Viewed, guest, pytestmark  # noqa: F401: a fixture
from vm import LIMIT, VM, wait_for

SHIFT, INSERT = 0xffe1, 0xff63


def listen(c, cond):
    """Until what is no picture has come."""
    c.request()
    while not cond():
        if c.message() == 0:
            c.request()


@pytest.mark.parametrize("lamps", [1, 2, 4, 7])
def test_lamps(tmp_path, guest, lamps):
    """The guest's lamps are told to who asks, also if he comes later; scroll, num and caps are bits 0, 1, 2."""
    with Viewed(tmp_path, guest(lamps=8 | lamps), ready=False) as v, v.client() as early:
        early.set_encodings(rfb.HEXTILE, rfb.LAMPS)
        early.request()
        early.until(lambda: early.lamps == lamps)
        with v.client() as late, v.client() as other:
            late.set_encodings(rfb.HEXTILE, rfb.LAMPS)
            late.until(lambda: late.lamps == lamps)
            other.set_encodings(rfb.HEXTILE)
            other.full()  # and would be an error there


def test_bell(tmp_path):
    """What rings on a text console is heard by those who look at it."""
    ring = """
        PUT 'x'
        PUT 7
        PUT 'y'
    1:  hlt
        jmp 1b
    """
    image, _ = build(tmp_path, "ring", ring)
    with VM("-S", "-kernel", image, "-vnc", f"unix:{tmp_path}/v", serial="vc", monitor=True) as vm, \
            rfb.Client(tmp_path / "v") as at_console, rfb.Client(tmp_path / "v") as at_guest:
        for c in (at_console, at_guest):
            c.set_encodings(rfb.HEXTILE, rfb.DESKTOP_SIZE)
            c.full()
        chord(at_console, CTRL, ALT, "2")
        at_console.until(lambda: at_console.height == 384)
        vm.mon.cmd("cont")
        listen(at_console, lambda: at_console.bells == 1)
        assert vm.mon.cmd("screendump -c serial0 -t").startswith("xy\n")
        at_guest.full()
        assert at_guest.bells == 0


@pytest.mark.parametrize("text, shown", [(b"info name\n", "info name\nme\n(qemu)"), (b"\xe9\xff \x1b[A\x07\x00x", "(qemu) \xe9\xff [A")])
def test_cut_text(tmp_path, text, shown):
    """Shift-Insert types the viewer's cut text into a text console, without what no key makes."""
    with Viewed(tmp_path, None, "-name", "me", "-chardev", "vc,id=con", "-mon", "con") as v, v.client() as c:
        c.cut_text(text)
        chord(c, CTRL, ALT, "2")
        chord(c, SHIFT, INSERT)
        wait_for(lambda: shown in v.mon.cmd("screendump -c con -t"))


def test_cut_text_and_guest(tmp_path, guest):
    """The guest gets the keys."""
    with Viewed(tmp_path, guest()) as v, v.client() as c:
        c.cut_text(b"text")
        c.cut_text(b"x" * (1 << 20))  # too much: left
        chord(c, SHIFT, INSERT)
        v.bytes([0x12, 0xe0, 0x70, 0xe0, 0xf0, 0x70, 0xf0, 0x12])


def test_power(tmp_path):
    """With power-control=on a viewer presses the button or resets; without, it is refused."""
    with Viewed(tmp_path, None, vnc=",power-control=on") as v, v.client() as c:
        c.set_encodings(rfb.HEXTILE, rfb.XVP)
        listen(c, lambda: c.xvp == [1])
        c.power(3)  # a reboot is not offered
        listen(c, lambda: c.xvp == [1, 0])
        c.power(4)
        c.power(2)
        c.full()
        assert c.xvp == [1, 0]
    with Viewed(tmp_path) as v, v.client() as c:
        c.set_encodings(rfb.HEXTILE, rfb.XVP)
        c.full()
        assert c.xvp == []
        c.power(4)
        with pytest.raises((rfb.Error, OSError)):
            c.full()


def test_power_resets(tmp_path):
    """The reset is one: the guest starts again."""
    start = """
        PUT 'S'
        PUT '\\n'
    1:  hlt
        jmp 1b
    """
    image, _ = build(tmp_path, "start", start)
    with VM("-kernel", image, *EXIT_DEVICE, "-vnc", f"unix:{tmp_path}/v,power-control=on", monitor=True) as vm, \
            rfb.Client(tmp_path / "v") as c:
        vm.expect("^S$", LIMIT)
        c.set_encodings(rfb.HEXTILE, rfb.XVP)
        listen(c, lambda: c.xvp == [1])
        c.power(4)
        vm.expect("^S$", LIMIT)


@pytest.mark.parametrize("lossy", [False, True])
def test_lossy(tmp_path, lossy):
    """JPEG comes to who asks for it where lossy=on, else nobody gets it."""
    with VM("-vga", "std", "-nodefaults", "-option-rom", rom(str(tmp_path), CASES["vbe-112"]), "-vnc",
            f"unix:{tmp_path}/v,lossy={'on' if lossy else 'off'}", monitor=True) as vm:
        vm.expect("D", 60)
        with rfb.Client(tmp_path / "v") as c:
            c.set_encodings(rfb.TIGHT, rfb.QUALITY_LOW, rfb.LAST_RECT)
            c.full()
            assert (c.jpegs > 0) == lossy
