"""Pointers and keyboards on USB and at VMware's port, in Linux: what arrives is what the viewer did."""
import os
import random
import re
from contextlib import contextmanager

import pytest

import rfb
from vm import BOOT, PROMPT, ROOT, STEP, VM, linux, wait_for

pytestmark = pytest.mark.skipif("CONFIG_VNC" not in open(os.path.join(ROOT, "config.h")).read(),
                                reason="built without libvncserver")

EV_KEY, EV_REL, EV_ABS = 1, 2, 3
BTN_LEFT, BTN_RIGHT = 0x110, 0x111
# Linux asks VMware's port only where it believes in VMware, or has KVM.
VMWARE = ("-cpu", "max,-hypervisor", "-smbios", "type=1,serial=VMware-0")


@contextmanager
def guest(tmp_path, device, *args, **kw):
    """Linux with a viewer, and the device's events as they come: "=type code value"."""
    with linux("amd64", "-m", "192", "-vga", "std", "-vnc", f"unix:{tmp_path}/v", *args,
               initrd="initrd-amd64-usb", monitor=True, **kw) as m:
        m.expect("^DOPPEL-READY", BOOT)
        m.expect(PROMPT)
        m.send("stty -echo; dmesg -n 1; d() { grep -A4 \"$1\" /proc/bus/input/devices | grep -m1 -o 'event[0-9]*'; };"
               f"while ! d '{device}'; do sleep 1; done; hexdump -v -e '16/1 \"%02x\" 1/2 \"=%u\" 1/2 \" %u\" 1/4 \" %d\\n\"' "
               f"/dev/input/$(d '{device}') &\n")
        m.expect("^event", BOOT)
        with rfb.Client(tmp_path / "v") as c:
            c.set_encodings(rfb.HEXTILE, rfb.DESKTOP_SIZE)
            c.until(lambda: c.width == 720)  # 80 by 25 characters
            yield m, c


def event(m, *kinds):
    """The next event of these kinds."""
    while True:
        got = tuple(int(v) for v in m.expect(r"=(\d+) (\d+) (-?\d+)\n", STEP).groups())
        if got[0] in kinds and not (got[0] == EV_KEY and got[2] == 2):  # it repeats
            return got


def awake(m, act):
    """Acts until the guest hears it: what comes while it opens the device, it throws away."""
    wait_for(lambda: (act(), m.serial.read(0.3)) and re.search(r"=\d+ ", m.serial.text[m.serial.at:]), STEP)


def follows(m, c, name, span):
    """A device that has the viewer's positions: ten of them, a click, within a pixel."""
    rng = random.Random(7)
    at = {}
    wait_for(lambda: re.search(rf"^\* Mouse #\d: {name} \(absolute\)$", m.mon.cmd("info mice"), re.M), STEP)
    places = [(0, 0), (c.width - 1, c.height - 1)]
    places += [(rng.randrange(1, c.width - 1), rng.randrange(1, c.height - 1)) for _ in range(8)]
    some = iter(range(5, 1000))
    awake(m, lambda: c.point(next(some), 5))
    for x, y in places:
        c.point(x, y)
        while at.get(0, -1) * c.width // span != x or at.get(1, -1) * c.height // span != y:
            _, code, value = event(m, EV_ABS)  # one that never comes is an error after a while
            at[code] = value
        c.point(x, y, 1)
        assert event(m, EV_KEY) == (EV_KEY, BTN_LEFT, 1)
        c.point(x, y)
        assert event(m, EV_KEY) == (EV_KEY, BTN_LEFT, 0)


def test_usb_tablet(tmp_path, guests):
    with guest(tmp_path, "USB Tablet", "-usb", "-device", "usb-tablet") as (m, c):
        follows(m, c, "QEMU HID Tablet", 0x8000)
        c.point(9, 9, 8)  # the wheel, away from the user
        c.point(9, 9)
        while (got := event(m, EV_REL))[1] != 8:
            pass
        assert got == (EV_REL, 8, 1)
        # another mouse is asked for, and the tablet again
        mice = dict(re.findall(r"Mouse #(\d): (.*?)$", m.mon.cmd("info mice"), re.M))
        number = {name: n for n, name in mice.items()}
        m.mon.cmd(f"mouse_set {number['QEMU PS/2 Mouse']}")
        assert "* Mouse #" + number["QEMU PS/2 Mouse"] in m.mon.cmd("info mice")
        m.mon.cmd(f"mouse_set {number['QEMU HID Tablet (absolute)']}")
        m.mon.cmd("mouse_button 4")
        assert event(m, EV_KEY) == (EV_KEY, BTN_RIGHT, 1)


def test_vmmouse(tmp_path, guests):
    with guest(tmp_path, "VMMouse", *VMWARE) as (m, c):
        follows(m, c, "vmmouse", 0x10000)


def test_usb_mouse(tmp_path, guests):
    with guest(tmp_path, "USB Mouse", "-usb", "-device", "usb-mouse", "-M", "vmport=off") as (m, c):
        wait_for(lambda: "* Mouse #3: QEMU HID Mouse\n" in m.mon.cmd("info mice"), STEP)
        awake(m, lambda: m.mon.cmd("mouse_move 1 1"))
        m.mon.cmd("mouse_button 2")
        m.mon.cmd("mouse_button 0")
        while event(m, EV_KEY)[2] != 0:
            pass
        m.mon.cmd("mouse_move 40 -30")
        assert event(m, EV_REL) == (EV_REL, 0, 40)
        assert event(m, EV_REL) == (EV_REL, 1, -30)
        m.mon.cmd("mouse_button 1")
        assert event(m, EV_KEY) == (EV_KEY, BTN_LEFT, 1)
        m.mon.cmd("mouse_button 0")
        # the viewer's pointer goes to a corner, which is home, and from there by what it moves
        sums = [c.width - 1, c.height - 1]
        for x, y in ((0, 0), (100, 50), (c.width - 1, 51), (300, 300)):
            c.point(x, y)
            while sums != [x, y]:
                _, code, value = event(m, EV_REL)
                side = (c.width, c.height)[code]
                sums[code] = min(max(sums[code] + value, 0), side - 1)


def test_usb_keyboard_behind_hub(tmp_path, guests):
    """Typed at the viewer, on a machine without any other keyboard."""
    with guest(tmp_path, "USB Keyboard", "-M", "pc,i8042=off", "-usb", "-device", "usb-hub,port=2", "-device",
               "usb-kbd,port=2.3") as (m, c):
        assert "Port 2.3, Speed 12 Mb/s, Product USB Keyboard" in m.mon.cmd("info usb")
        awake(m, lambda: m.mon.cmd("sendkey x 1"))
        m.mon.cmd("sendkey y 1")
        while event(m, EV_KEY) != (EV_KEY, 21, 0):
            pass
        for sym, code in (("d", 32), ("o", 24), (0xffe1, 42), ("P", 25)):  # 0xffe1: Shift
            c.key(sym if isinstance(sym, int) else ord(sym), True)
            assert event(m, EV_KEY) == (EV_KEY, code, 1)
        m.mon.cmd("sendkey ctrl-alt-f2")
        seen = [event(m, EV_KEY)[1:] for _ in range(6)]
        assert seen == [(29, 1), (56, 1), (60, 1), (60, 0), (56, 0), (29, 0)]


def test_usb_keyboard_in_the_bios(guests):
    """SeaBIOS' boot menu, by USB alone; and the BIOS hands the keyboard back."""
    with VM("-vga", "std", "-M", "pc,i8042=off", "-usb", "-device", "usb-kbd", "-boot", "menu=on,splash-time=60000",
            monitor=True) as m:
        wait_for(lambda: "boot menu" in m.mon.cmd("screendump -t"), STEP)
        m.mon.cmd("sendkey esc")
        wait_for(lambda: "Select boot device" in m.mon.cmd("screendump -t"), STEP)


def test_saved(tmp_path, guests):
    """A machine that was saved with its tablet goes on with it."""
    state = tmp_path / "state"
    args = ("-usb", "-device", "usb-tablet")
    with guest(tmp_path, "USB Tablet", *args) as (m, c):
        some = iter(range(5, 1000))
        awake(m, lambda: c.point(next(some), 5))
        m.mon.cmd("stop")
        m.mon.cmd(f"migrate file:{state}", STEP)
    with linux("amd64", "-m", "192", "-vga", "std", "-vnc", f"unix:{tmp_path}/w", *args, "-incoming", f"file:{state}",
               initrd="initrd-amd64-usb", monitor=True) as m:
        assert "QEMU HID Tablet (absolute)" in m.mon.cmd("info mice")
        with rfb.Client(tmp_path / "w") as c:
            c.set_encodings(rfb.HEXTILE, rfb.DESKTOP_SIZE)
            c.until(lambda: c.width == 720)
            m.mon.cmd("cont")
            follows(m, c, "QEMU HID Tablet", 0x8000)
