"""Pointers on serial lines: a guest reads COM2 while a viewer moves."""
import os

import pytest

import rfb
from image import EXIT_DEVICE, build
from vm import BOOT, LIMIT, PROMPT, ROOT, STEP, VM, linux, wait_for

pytestmark = pytest.mark.skipif("CONFIG_VNC" not in open(os.path.join(ROOT, "config.h")).read(),
                                reason="built without libvncserver")

# Opens COM2 with 9600 8O1, sends "zb", "a" and "F@b" and shows what comes, a byte a line.
GUEST = """
    mov $0x90000, %esp
    mov $0x2fb, %edx
    mov $0x8b, %al          # DLAB, 8 data bits, odd parity
    out %al, %dx
    mov $0x2f8, %edx
    mov $12, %al
    out %al, %dx
    mov $0x2f9, %edx
    xor %al, %al
    out %al, %dx
    mov $0x2fb, %edx
    mov $0x0b, %al
    out %al, %dx
    mov $0x2fc, %edx
    mov $3, %al             # DTR, RTS
    out %al, %dx
    mov $0x2f8, %edx
    mov $script, %esi
1:  lodsb
    test %al, %al
    jz again
    out %al, %dx
    jmp 1b
again:
    mov $0x2fd, %edx
    in %dx, %al
    test $1, %al
    jz again
    mov $0x2f8, %edx
    in %dx, %al
    mov %al, %bl
    mov $0x3f8, %edx
    shr $4, %al
    call digit
    mov %bl, %al
    and $15, %al
    call digit
    PUT '\\n'
    jmp again
digit:
    add $'0', %al
    cmp $'9', %al
    jbe 1f
    add $39, %al
1:  out %al, %dx
    ret
script: .asciz "@SCRIPT@"
"""


def take(vm, count):
    return [int(vm.expect(r"^([0-9a-f]{2})$", LIMIT).group(1), 16) for _ in range(count)]


def test_summa(tmp_path):
    """The tablet's area is the screen's; the buttons are the viewer's; `info mice` tells."""
    image, _ = build(tmp_path, "summa", GUEST.replace("@SCRIPT@", "0bzba@"))
    with VM("-kernel", image, *EXIT_DEVICE, "-vga", "std", "-serial", "summa", "-vnc", f"unix:{tmp_path}/s",
            monitor=True) as vm:
        config = take(vm, 5)
        assert config[0] & 0x98 == 0x98
        high = config[1] | config[2] << 7
        assert high == config[3] | config[4] << 7 == 6000
        take(vm, 5)
        wait_for(lambda: "* Mouse #1: SummaSketch tablet (absolute)\n" in vm.mon.cmd("info mice"))
        with rfb.Client(tmp_path / "s") as c:
            c.set_encodings(rfb.HEXTILE, rfb.DESKTOP_SIZE)
            c.until(lambda: c.width == 720)  # the BIOS's text mode
            for x, y, buttons in ((0, 0, 0), (c.width - 1, c.height - 1, 0), (400, 300, 1), (17, 301, 4), (300, 5, 0)):
                if (x, y, buttons) == (0, 0, 0):
                    c.point(50, 50)
                    take(vm, 5)
                c.point(x, y, buttons)
                flags, *rest = take(vm, 5)
                assert flags == 0x98 | {0: 0, 1: 1, 4: 2}[buttons]
                # X.Org's driver scales what it reads to the screen's width
                assert (rest[0] | rest[1] << 7) * c.width // high == x
                assert (rest[2] | rest[3] << 7) * c.height // high == y


def test_msmouse(tmp_path):
    image, _ = build(tmp_path, "mouse", GUEST.replace("@SCRIPT@", ""))
    with VM("-kernel", image, *EXIT_DEVICE, "-serial", "msmouse", monitor=True) as vm:
        assert take(vm, 2) == [ord("M"), ord("3")]
        assert "* Mouse #1: Microsoft serial mouse\n" in vm.mon.cmd("info mice")
        vm.mon.cmd("mouse_move 10 -1")
        assert take(vm, 3) == [0x4c, 10, 0x3f]
        vm.mon.cmd("mouse_button 1")
        assert take(vm, 3) == [0x60, 0, 0]


@pytest.mark.parametrize("machine", ["pc", "pc,i8042=off"])
def test_gpm(tmp_path, guests, machine):
    """Linux's console mouse on the tablet: its pointer is at the viewer's, and a click is one; also where no
    PS/2 mouse is."""
    with linux("amd64", "-M", machine, "-m", "256", "-vga", "std", "-summa", "-vnc", f"unix:{tmp_path}/s",
               initrd="initrd-amd64-gpm", monitor=True) as m:
        m.expect("^DOPPEL-READY", BOOT)
        m.expect(PROMPT)
        m.send("gpm -m /dev/ttyS1 -t summa -D >/tmp/gpm 2>&1 &\n")
        with rfb.Client(tmp_path / "s") as c:
            c.set_encodings(rfb.HEXTILE, rfb.DESKTOP_SIZE)
            wait_for(lambda: "* Mouse #1: SummaSketch tablet" in m.mon.cmd("info mice"), STEP)
            c.until(lambda: c.width == 720)  # 80 by 25 characters
            m.expect(PROMPT)
            m.send("setsid sh -c 'exec mev </dev/tty1 >/dev/ttyS0 2>&1' &\n")
            m.expect("mouse: event", STEP)
            for k in range(1, 11):
                x, y = (k * 71 - 5) % 720, (k * 37 + 3) % 400
                c.point(x, y)
                m.expect("event 0x01, at", STEP)
                c.point(x, y, 1)
                got = m.expect(r"event 0x[12]4, at +(\d+), *(\d+) .*buttons 4", STEP)
                # gpm's columns begin a part of a cell early, its rows stretch over one less
                assert abs(int(got.group(1)) - (x // 9 + 1)) <= 1
                assert abs(int(got.group(2)) - (y // 16 + 1)) <= 1
                c.point(x, y)
                m.expect(r"event 0x[12]8, at", STEP)
