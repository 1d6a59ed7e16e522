"""The VNC server: viewers that behave and such that do not; keys and the pointer reach the guest."""
import multiprocessing
import os
import random
import re
import socket
import struct
import subprocess
import time

import pytest

import rfb
from image import EXIT_DEVICE, build
from vm import BOOT, DOPPEL, LIMIT, ROOT, STEP, VM, linux, run, wait_for

pytestmark = pytest.mark.skipif("CONFIG_VNC" not in open(os.path.join(ROOT, "config.h")).read(),
                                reason="built without libvncserver")

# Tells each byte from port 60h: K or M (mouse) and two hexadecimal digits, a line each. Byte `set` goes to
# the keyboard as the scan code set, which is then not translated.
GUEST = """
    mov $0x90000, %esp
    call empty
    mov $0x60, %al          # command byte: no translation, no interrupts, both ports on
    out %al, $0x64
    call empty
    mov $0x04, %al
    out %al, $0x60
.if SET != 2
    call empty
    mov $0xf0, %al
    out %al, $0x60
    call byte
    call empty
    mov $SET, %al
    out %al, $0x60
    call byte
.endif
.if SET == 3
    call empty
    mov $0xf8, %al          # all keys make and break
    out %al, $0x60
    call byte
.endif
.if LAMPS
    call empty
    mov $0xed, %al
    out %al, $0x60
    call byte
    call empty
    mov $LAMPS & 7, %al
    out %al, $0x60
    call byte
.endif
    call empty
    mov $0xd4, %al          # mouse: enable
    out %al, $0x64
    call empty
    mov $0xf4, %al
    out %al, $0x60
    call byte
    PUT 'R'
    PUT '\\n'
again:
    in $0x64, %al
    test $1, %al
    jz again
    mov %al, %ah
    in $0x60, %al
    mov %al, %bl
    mov $0x3f8, %dx
    mov $'K', %al
    test $0x20, %ah
    jz 1f
    mov $'M', %al
1:  out %al, %dx
    mov %bl, %al
    shr $4, %al
    call digit
    mov %bl, %al
    call digit
    PUT '\\n'
    jmp again
digit:
    and $15, %al
    add $'0', %al
    cmp $'9', %al
    jbe 1f
    add $39, %al
1:  out %al, %dx
    ret
empty:
    in $0x64, %al
    test $2, %al
    jnz empty
    ret
byte:
    in $0x64, %al
    test $1, %al
    jz byte
    in $0x60, %al
    ret
"""


@pytest.fixture(scope="module")
def guest(tmp_path_factory):
    folder = tmp_path_factory.mktemp("vnc")
    made = {}

    def make(codes=2, lamps=0):
        if (codes, lamps) not in made:
            made[codes, lamps] = build(folder, f"keys{codes}-{lamps}",
                                       f".set SET, {codes}\n.set LAMPS, {lamps}\n" + GUEST)[0]
        return made[codes, lamps]
    return make


class Viewed:
    """A machine with a VNC server on a socket, and its guest."""

    def __init__(self, tmp, image=None, *args, vnc="", ready=True, **kw):
        self.path = tmp / "vnc.sock"
        start = ["-kernel", image, *EXIT_DEVICE] if image else ["-S"]
        self.vm = VM(*start, "-vnc", f"unix:{self.path}{vnc}", *args, monitor=True, **kw)
        self.mon = self.vm.mon
        self.held = 0
        if image and ready:
            self.vm.expect("^R$", LIMIT)

    def client(self, **kw):
        return rfb.Client(self.path, **kw)

    def __enter__(self):
        return self

    def __exit__(self, *exc):
        self.vm.close()

    def bytes(self, want, kind="K"):
        """The guest got these bytes next, and no others but of a key that is held and repeats."""
        got = []
        while len(got) < len(want):
            m = self.vm.expect(r"^([KM])([0-9a-f]{2})$", LIMIT)
            byte = int(m.group(2), 16)
            assert m.group(1) == kind
            if byte == want[len(got)]:
                got.append(byte)
                self.held = byte
            else:
                assert byte == self.held, [hex(b) for b in [*got, byte]]


# ---- the screen ----

@pytest.mark.parametrize("version", [b"RFB 003.003\n", b"RFB 003.007\n", b"RFB 003.008\n",
                                     b"RFB 003.889\n", b"RFB 003.005\n"])
def test_versions(tmp_path, version):
    with Viewed(tmp_path, None, "-name", "me") as v, v.client(version=version) as c:
        assert (c.width, c.height) == (640, 480)
        assert c.name == "QEMU (me)"
        c.set_encodings()
        c.full()
        c.quiet()


@pytest.mark.parametrize("encoding", [rfb.RAW, rfb.RRE, rfb.HEXTILE, rfb.ZLIB, rfb.TIGHT, rfb.ZRLE])
def test_encodings(tmp_path, encoding):
    """The whole screen comes in each encoding, and decodes to the same."""
    with Viewed(tmp_path) as v, v.client() as c:
        c.set_encodings(encoding, rfb.COPYRECT, rfb.LAST_RECT, rfb.DESKTOP_SIZE)
        c.pixels = bytearray(b"\x55" * len(c.pixels))
        assert c.full() == bytes(len(c.pixels))
        assert encoding in c.seen
        c.request()
        c.quiet()  # nothing changes


def picture(v, path):
    """The pixels of a screen dump, as the client keeps them."""
    assert v.mon.cmd(f"screendump {path}") == ""
    head, size, _, data = open(path, "rb").read().split(b"\n", 3)
    assert head == b"P6"
    out = bytearray(len(data) // 3 * 4)
    out[0::4], out[1::4], out[2::4] = data[2::3], data[1::3], data[0::3]
    return tuple(map(int, size.split())), out


@pytest.mark.parametrize("encoding", [rfb.RAW, rfb.HEXTILE, rfb.ZLIB, rfb.TIGHT, rfb.ZRLE])
def test_picture(tmp_path, encoding):
    """The BIOS's text screen: the viewer follows the mode's size, and by updates gets what a screen dump has."""
    with Viewed(tmp_path, None, "-vga", "std") as v, v.client() as c:
        c.set_encodings(encoding, rfb.COPYRECT, rfb.LAST_RECT,
                        rfb.EXTENDED_SIZE if encoding == rfb.ZLIB else rfb.DESKTOP_SIZE)
        c.full()
        v.mon.cmd("cont")
        wait_for(lambda: "No bootable device" in v.mon.cmd("screendump -t"), STEP)
        v.mon.cmd("stop")  # the cursor stands still
        size, want = picture(v, tmp_path / "dump.ppm")
        c.until(lambda: (c.width, c.height) == size and c.pixels == want)
        assert c.resizes >= 1 and any(want)
        c.request()
        c.quiet()


def test_only_changes(tmp_path):
    """A blinking cursor costs a tile, not a screen."""
    with Viewed(tmp_path, None, "-vga", "std") as v, v.client() as c:
        v.mon.cmd("cont")
        wait_for(lambda: "No bootable device" in v.mon.cmd("screendump -t"), STEP)
        c.set_encodings(rfb.DESKTOP_SIZE)
        c.full()
        areas = []
        while len(areas) < 3:
            c.request()
            c.message()
            areas += [sum(w * h for _, _, w, h in c.rects)] if c.rects else []
        assert min(areas) <= 4 * 32 * 32


def test_info(tmp_path):
    """Who looks; the socket goes away with the machine."""
    with Viewed(tmp_path) as v:
        head = f"default:\n  Server: {v.path} (unix)\n    Auth: none (Sub: none)\n"
        assert v.mon.cmd("info vnc") == head
        with v.client():
            wait_for(lambda: v.mon.cmd("info vnc").count("  Client: ") == 1)
            with v.client():
                wait_for(lambda: v.mon.cmd("info vnc").count("  Client: ") == 2)
        wait_for(lambda: v.mon.cmd("info vnc") == head)
        v.mon.send("quit\n")
        assert v.vm.p.wait(LIMIT) == 0
        assert not v.path.exists()


def test_signal_with_clients(tmp_path):
    """SIGTERM ends the machine, whatever its clients do: one reads, one does not, one says nothing."""
    with Viewed(tmp_path) as v, v.client() as a, v.client() as b, v.client(start=False) as c:
        a.full()
        b.set_encodings()
        for _ in range(20):
            b.request(False)
        c.get(12)
        v.vm.p.terminate()
        assert v.vm.p.wait(LIMIT) == 0
        assert not v.path.exists()
        with pytest.raises(rfb.Error):
            a.message()


def tcp_port(mon):
    return int(re.search(r"Server: 127\.0\.0\.1:(\d+) \(ipv4\)", mon.cmd("info vnc")).group(1))


def test_tcp_and_to():
    """to= takes the next free port; a taken one without it is an error that names it."""
    with VM("-S", "-vnc", "127.0.0.1:30,to=90", monitor=True) as a:
        first = tcp_port(a.mon)
        assert 5930 <= first <= 5990
        with VM("-S", "-vnc", f"127.0.0.1:{first - 5900},to=95", monitor=True) as b:
            assert first < tcp_port(b.mon) <= 5995
            with rfb.Client(("127.0.0.1", tcp_port(b.mon))) as c:
                c.full()
        p = run("-S", "-vnc", f"127.0.0.1:{first - 5900}")
        assert p.returncode == 1 and str(first) in p.stderr and p.stderr.count("\n") == 1


def test_default_display(tmp_path):
    """Without a display option VNC is on the loopback and one line says where."""
    env = {k: v for k, v in os.environ.items() if k != "DISPLAY"}
    p = subprocess.Popen([DOPPEL, "-S", "-serial", "null", "-monitor", f"unix:{tmp_path}/m,server,nowait"],
                         stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                         env=env, text=True)
    try:
        line = p.stdout.readline()
        port = int(re.fullmatch(r"VNC server running on 127\.0\.0\.1:(\d+)\n", line).group(1))
        with rfb.Client(("127.0.0.1", port)) as c:
            c.full()
        p.terminate()
        assert p.communicate(timeout=LIMIT)[0] == "" and p.returncode == 0
    finally:
        p.kill()
        p.wait()
        p.stdout.close()
        p.stderr.close()


# ---- keys ----

def keys(c, v, pairs):
    """Press and release one after the other; what the guest must get for each."""
    for press, make, brk in pairs:
        press(True)
        v.bytes(make)
        press(False)
        v.bytes(brk)


def test_keysyms(tmp_path, guest):
    """Letters, a shifted one without Shift, a key of the cursor block, Pause."""
    with Viewed(tmp_path, guest()) as v, v.client() as c:
        def k(sym):
            sym = ord(sym) if isinstance(sym, str) else sym
            return lambda down: c.key(sym, down)
        keys(c, v, [(k("a"), [0x1c], [0xf0, 0x1c]),
                    (k("A"), [0x12, 0x1c, 0xf0, 0x12], [0xf0, 0x1c]),
                    (k("!"), [0x12, 0x16, 0xf0, 0x12], [0xf0, 0x16]),
                    (k(0xff52), [0xe0, 0x75], [0xe0, 0xf0, 0x75]),
                    (k(0xff13), [0xe1, 0x14, 0x77, 0xe1, 0xf0, 0x14, 0xf0, 0x77], []),
                    (k(0xff0d), [0x5a], [0xf0, 0x5a])])
        c.key(0xffe1, True)  # with Shift: no other
        v.bytes([0x12])
        c.key(ord("A"), True)
        v.bytes([0x1c])
        c.key(ord("a"), False)  # another name of it
        v.bytes([0xf0, 0x1c])
        c.key(ord("1"), True)  # and a character that must not have it
        v.bytes([0xf0, 0x12, 0x16, 0x12])
        c.key(ord("1"), False)
        c.key(0xffe1, False)
        v.bytes([0xf0, 0x16, 0xf0, 0x12])


def test_layout(tmp_path, guest):
    """-k de: z and y change places, AltGr, a dead key that stands for itself."""
    with Viewed(tmp_path, guest(), "-k", "de") as v, v.client() as c:
        for sym, want in (("z", [0x35, 0xf0, 0x35]),
                          ("@", [0xe0, 0x11, 0x15, 0xe0, 0xf0, 0x11, 0xf0, 0x15]),
                          ("^", [0x0e, 0xf0, 0x0e, 0x29, 0xf0, 0x29]),
                          ("ß", [0x4e, 0xf0, 0x4e])):
            c.type(sym)
            v.bytes(want)


def test_locks(tmp_path, guest):
    """With the guest's Caps Lock on an A needs no Shift and an a does; Num Lock follows the viewer's."""
    with Viewed(tmp_path, guest(lamps=4)) as v, v.client() as c:
        c.type("A", "a")
        v.bytes([0x1c, 0xf0, 0x1c, 0x12, 0x1c, 0xf0, 0x12, 0xf0, 0x1c])
        c.type(0xffb7)  # KP_7: Num Lock is off in the guest
        v.bytes([0x77, 0xf0, 0x77, 0x6c, 0xf0, 0x6c])
        c.type(0xffb8)  # it is on now, though the guest did not show it yet
        v.bytes([0x75, 0xf0, 0x75])


def test_extended_keys(tmp_path, guest):
    """Scan codes need no layout."""
    with Viewed(tmp_path, guest()) as v, v.client() as c:
        c.set_encodings(rfb.EXTENDED_KEY)
        c.until(lambda: c.extended_keys, ask=False)
        for code, make, brk in ((0x1e, [0x1c], [0xf0, 0x1c]), (0xc8, [0xe0, 0x75], [0xe0, 0xf0, 0x75]),
                                (0xe04b, [0xe0, 0x6b], [0xe0, 0xf0, 0x6b]),
                                (0xb8, [0xe0, 0x11], [0xe0, 0xf0, 0x11]),
                                (0xc6, [0xe1, 0x14, 0x77, 0xe1, 0xf0, 0x14, 0xf0, 0x77], []),
                                (0xb7, [0xe0, 0x12, 0xe0, 0x7c], [0xe0, 0xf0, 0x7c, 0xe0, 0xf0, 0x12])):
            c.code(code, True)
            v.bytes(make)
            c.code(code, False)
            v.bytes(brk)


# The 105 keys: keysym, set 1 (100h: prefix E0h), set 2, set 3. IBM PS/2 Hardware Interface Technical Reference, "Keyboard
# (101- and 102-key)", and Microsoft's keyboard scan code specification for the last three.
KEYS = [line.split() for line in """
ff1b 01 76 08 | ffbe 3b 05 07 | ffbf 3c 06 0f | ffc0 3d 04 17 | ffc1 3e 0c 1f | ffc2 3f 03 27 | ffc3 40 0b 2f
ffc4 41 83 37 | ffc5 42 0a 3f | ffc6 43 01 47 | ffc7 44 09 4f | ffc8 57 78 56 | ffc9 58 07 5e | ff14 46 7e 5f
60 29 0e 0e | 31 02 16 16 | 32 03 1e 1e | 33 04 26 26 | 34 05 25 25 | 35 06 2e 2e | 36 07 36 36 | 37 08 3d 3d
38 09 3e 3e | 39 0a 46 46 | 30 0b 45 45 | 2d 0c 4e 4e | 3d 0d 55 55 | ff08 0e 66 66 | ff09 0f 0d 0d
71 10 15 15 | 77 11 1d 1d | 65 12 24 24 | 72 13 2d 2d | 74 14 2c 2c | 79 15 35 35 | 75 16 3c 3c | 69 17 43 43
6f 18 44 44 | 70 19 4d 4d | 5b 1a 54 54 | 5d 1b 5b 5b | 5c 2b 5d 5c | ffe5 3a 58 14 | 61 1e 1c 1c | 73 1f 1b 1b
64 20 23 23 | 66 21 2b 2b | 67 22 34 34 | 68 23 33 33 | 6a 24 3b 3b | 6b 25 42 42 | 6c 26 4b 4b | 3b 27 4c 4c
27 28 52 52 | ff0d 1c 5a 5a | ffe1 2a 12 12 | 7a 2c 1a 1a | 78 2d 22 22 | 63 2e 21 21 | 76 2f 2a 2a | 62 30 32 32
6e 31 31 31 | 6d 32 3a 3a | 2c 33 41 41 | 2e 34 49 49 | 2f 35 4a 4a | ffe2 36 59 59 | ffe3 1d 14 11 | ffe9 38 11 19
20 39 29 29 | fe03 138 111 39 | ffe4 11d 114 58 | ff63 152 170 67 | ff50 147 16c 6e | ff55 149 17d 6f
ffff 153 171 64 | ff57 14f 169 65 | ff56 151 17a 6d | ff52 148 175 63 | ff51 14b 16b 61 | ff54 150 172 60
ff53 14d 174 6a | ff7f 45 77 76 | ffaf 135 14a 77 | ffaa 37 7c 7e | ffad 4a 7b 84 | ffab 4e 79 7c | ff8d 11c 15a 79
ffb0 52 70 70 | ffb1 4f 69 69 | ffb2 50 72 72 | ffb3 51 7a 7a | ffb4 4b 6b 6b | ffb5 4c 73 73 | ffb6 4d 74 74
ffb7 47 6c 6c | ffb8 48 75 75 | ffb9 49 7d 7d | ffae 53 71 71 | ffeb 15b 11f 8b | ffec 15c 127 8c | ff67 15d 12f 8d
0 56 61 13
""".replace("\n", "|").split("|") if line.strip()]
SPECIAL = {  # keysym, extended key code: what each set makes of it, and at the release
    (0xff61, 0xb7): ([0xe0, 0x2a, 0xe0, 0x37], [0xe0, 0xb7, 0xe0, 0xaa],
                     [0xe0, 0x12, 0xe0, 0x7c], [0xe0, 0xf0, 0x7c, 0xe0, 0xf0, 0x12], [0x57], [0xf0, 0x57]),
    (0xff13, 0xc6): ([0xe1, 0x1d, 0x45, 0xe1, 0x9d, 0xc5], [],
                     [0xe1, 0x14, 0x77, 0xe1, 0xf0, 0x14, 0xf0, 0x77], [], [0x62], [0xf0, 0x62]),
}


def all_keys(codes):
    for sym, *sets in KEYS:
        code = [int(c, 16) for c in sets]
        mine = code[codes - 1]
        head = [0xe0] if mine > 0xff and codes < 3 else []
        low = mine & 0xff
        brk = [low | 0x80] if codes == 1 else [0xf0, low]
        yield int(sym, 16), code[0] & 0x7f | (0x80 if code[0] > 0xff else 0), [*head, low], [*head, *brk]
    for (sym, ext), want in SPECIAL.items():
        yield sym, ext, want[2 * codes - 2], want[2 * codes - 1]


@pytest.mark.parametrize("codes", [1, 2, 3])
def test_all_keys(tmp_path, guest, codes):
    """Every key of the 105, by keysym and by extended key event, in all three sets of scan codes."""
    assert len(KEYS) + len(SPECIAL) == 105
    with Viewed(tmp_path, guest(codes), vnc=",key-delay-ms=0") as v, v.client() as c:
        c.set_encodings(rfb.EXTENDED_KEY)
        c.until(lambda: c.extended_keys, ask=False)
        for sym, ext, make, brk in all_keys(codes):
            if sym:
                c.key(sym, True)
                c.key(sym, False)
                v.bytes(make + brk)
            c.code(ext, True)
            c.code(ext, False)
            v.bytes(make + brk)


def test_gone_releases(tmp_path, guest):
    """A client that disappears lets go of its keys and buttons, and of no other's."""
    with Viewed(tmp_path, guest()) as v, v.client() as stays:
        with v.client() as goes:
            stays.key(0xffe3, True)
            v.bytes([0x14])
            goes.key(ord("x"), True)
            v.bytes([0x22])
        v.bytes([0xf0, 0x22])
        stays.key(0xffe3, False)
        v.bytes([0xf0, 0x14])


def test_paste(tmp_path, guest):
    """A long text typed at once arrives whole, in order."""
    text = "the quick brown fox jumps over the lazy dog " * 3
    with Viewed(tmp_path, guest(), vnc=",key-delay-ms=0") as v, v.client() as c:
        c.type(*text)
        makes = []
        while len(makes) < len(text):
            byte = v.vm.expect(r"^K(..)$", LIMIT).group(1)
            if byte == "f0":
                v.vm.expect(r"^K(..)$", LIMIT)
            else:
                makes.append(byte)
        codes = {ch: makes[n] for n, ch in enumerate(text)}
        assert makes == [codes[ch] for ch in text] and len(set(codes.values())) == 27


# ---- the pointer ----

def moved(v, want_dx, want_dy, buttons=0):
    """Packets until these sums are reached, exactly."""
    dx = dy = 0
    flags = 0
    while (dx, dy, flags & 7) != (want_dx, want_dy, buttons):
        flags, x, y = (int(v.vm.expect(r"^M(..)$", LIMIT).group(1), 16) for _ in range(3))
        dx += x - 256 * (flags >> 4 & 1)
        dy -= y - 256 * (flags >> 5 & 1)


def test_pointer(tmp_path, guest):
    """Differences are exact; a border homes the guest's pointer; buttons; two clients share it."""
    with Viewed(tmp_path, guest()) as v, v.client() as c:
        c.point(0, 0)
        moved(v, -640, -480)
        c.point(300, 200)
        moved(v, 300, 200)
        c.point(299, 201, 1)
        moved(v, -1, 1, 1)
        c.point(299, 201, 4)
        moved(v, 0, 0, 2)
        with v.client() as other:
            other.point(310, 201, 2)
            moved(v, 11, 0, 2 | 4)
        moved(v, 0, 0, 2)
        c.point(639, 201, 0)
        moved(v, 329 + 640, 0)
        for n in range(200):
            c.point(100 + n, 400 - n)
        moved(v, 299 - 639, 201 - 201)


def test_relative_pointer(tmp_path, guest):
    """A viewer that knows QEMU's pointer motion change sends differences."""
    with Viewed(tmp_path, guest()) as v, v.client() as c:
        c.set_encodings(rfb.POINTER_MOTION)
        c.until(lambda: c.relative, ask=False)
        c.point(0x7fff - 5, 0x7fff + 7)
        moved(v, -5, 7)


# ---- the monitor ----

def test_sendkey(tmp_path, guest):
    with Viewed(tmp_path, guest()) as v:
        assert v.mon.cmd("sendkey ctrl-alt-delete 5") == ""
        v.bytes([0x14, 0x11, 0xe0, 0x71, 0xe0, 0xf0, 0x71, 0xf0, 0x11, 0xf0, 0x14])
        assert v.mon.cmd("sendkey a") == "" and v.mon.cmd("send-key shift-b 1") == ""
        v.bytes([0x1c, 0xf0, 0x1c, 0x12, 0x32, 0xf0, 0x32, 0xf0, 0x12])
        assert "nonesuch" in v.mon.cmd("sendkey ctrl-nonesuch")
        assert "keys is missing" in v.mon.cmd("sendkey")
        assert "'x'" in v.mon.cmd("sendkey a x")
        assert "too many" in v.mon.cmd("sendkey " + "-".join("a" * 40))
        v.mon.cmd("stop")
        answers = [v.mon.cmd("sendkey a-b-c-d 60000") for _ in range(120)]
        assert answers[0] == "" and "too many" in answers[-1]


def test_mouse_commands(tmp_path, guest):
    with Viewed(tmp_path, guest()) as v:
        assert v.mon.cmd("info mice") == "* Mouse #2: QEMU PS/2 Mouse\n"
        assert v.mon.cmd("mouse_move 300 -7") == ""
        moved(v, 300, -7)
        v.mon.cmd("mouse_button 2")
        moved(v, 0, 0, 4)
        v.mon.cmd("mouse_button 0")
        moved(v, 0, 0)
        assert v.mon.cmd("mouse_set 2") == ""
        assert "'7'" in v.mon.cmd("mouse_set 7")
        assert "dy is missing" in v.mon.cmd("mouse_move 3")
        assert "state is missing" in v.mon.cmd("mouse_button")


# ---- viewers that do not behave ----

def replies(mon, count):
    """How long the monitor takes to answer, so many times."""
    times = []
    for _ in range(count):
        start = time.monotonic()
        mon.cmd("info status")
        times.append(time.monotonic() - start)
    return times


def p99(times):
    return sorted(times)[len(times) * 99 // 100 - 1]


def connects(v, count):
    for n in range(count):
        with v.client(start=False) as c:
            if n % 4:
                c.handshake(b"RFB 003.008\n", True)
            if n % 4 > 1:
                c.request(False)
            if n % 4 > 2:
                c.message()


def bothered(v, work, count=200):
    """The monitor's 99th percentile while `work` goes on."""
    t = multiprocessing.get_context("fork").Process(target=work)
    t.start()
    got = replies(v.mon, count)
    while t.is_alive():
        got += replies(v.mon, count)
    t.join(LIMIT)
    assert t.exitcode == 0
    return p99(got)


def test_rude(tmp_path):
    """Half a message, one that never reads, many connects: the others are served, the monitor answers."""
    with Viewed(tmp_path) as v, v.client() as half, v.client() as deaf, v.client() as good:
        half.s.sendall(b"\3\0\0")
        deaf.set_encodings()
        for _ in range(20):
            deaf.request(False)
        bothered(v, lambda: connects(v, 100), 20)
        good.full()
        half.s.sendall(bytes(3) + struct.pack(">HH", 640, 480))
        half.message()


@pytest.mark.full
def test_monitor_latency(tmp_path):
    """1,000 connects, a client that does not read and one in half a message cost the monitor little."""
    with Viewed(tmp_path) as v:
        alone = p99(replies(v.mon, 2000))
        with v.client() as half, v.client() as deaf:
            half.s.sendall(b"\3\0\0")
            for _ in range(20):
                deaf.request(False)
            stalled = p99(replies(v.mon, 2000))
            busy = bothered(v, lambda: connects(v, 1000))
        print(f"p99: alone {alone * 1e3:.2f} ms, stalled {stalled * 1e3:.2f} ms, "
              f"connects {busy * 1e3:.2f} ms")
        assert max(stalled, busy) <= max(2e-3, 1.5 * alone)


def test_limit(tmp_path):
    """Who stands in the door makes room; the limit of clients holds; then there is room again."""
    with Viewed(tmp_path) as v:
        door = [v.client(start=False) for _ in range(40)]
        with v.client(start=False) as late:
            wait_for(lambda: try_handshake(late, v))
        for c in door:
            c.close()
        inside = []
        while len(inside) < 32:
            try:
                inside.append(v.client())
            except (rfb.Error, ConnectionError):
                pass
        with pytest.raises((rfb.Error, ConnectionError)):
            v.client()
        for c in inside:
            c.close()
        wait_for(lambda: "Client" not in v.mon.cmd("info vnc"))
        with v.client() as c:
            c.full()


def try_handshake(c, v):
    try:
        with v.client():
            return True
    except (rfb.Error, ConnectionError):
        return False


def test_exclusive(tmp_path):
    """As QEMU: who does not want to share throws the others out, and nobody comes in until it is gone."""
    with Viewed(tmp_path) as v, v.client() as first:
        first.full()
        with v.client(shared=False) as alone:
            alone.full()
            with pytest.raises((rfb.Error, ConnectionError)):
                first.message()
            with pytest.raises((rfb.Error, ConnectionError)):
                v.client()
        wait_for(lambda: "Client" not in v.mon.cmd("info vnc"))
        with v.client() as c:
            c.full()


def test_force_shared(tmp_path):
    with Viewed(tmp_path, vnc=",share=force-shared") as v, v.client() as first:
        with pytest.raises((rfb.Error, ConnectionError)):
            v.client(shared=False)
        first.full()


@pytest.mark.parametrize("seed", range(4))
def test_garbage(tmp_path, seed):
    """Random bytes, before the handshake, in it and after: the server lives and serves the next."""
    rng = random.Random(seed)
    heads = [b"", b"RFB 003.008\n", b"RFB 003.008\n\1", b"RFB 003.008\n\1\1", b"RFB 003.003\n\1",
             b"GET / HTTP/1.1\r\n\r\n", b"\x16\x03\x01\2\0"]
    with Viewed(tmp_path) as v:
        for n in range(60):
            with v.client(start=False, limit=0.2) as c:
                kind = [0, 2, 3, 4, 5, 6, 251, 255, 7, 8, 10, 150, 248][n % 13]
                tail = bytes([kind]) + rng.randbytes(rng.choice((1, 7, 19, 63, 400, 5000)))
                try:
                    c.s.sendall((heads[3] if n % 3 else rng.choice(heads)) + tail)
                    if n % 5 == 0:
                        c.s.recv(65536)
                except (OSError, TimeoutError):
                    pass
        with v.client() as c:
            c.full()
        assert v.mon.cmd("info status").startswith("VM status")


# ---- with Linux ----

@pytest.mark.full
def test_typing_to_linux(tmp_path, guests):
    """What a viewer types arrives on the guest's console, capital letters and signs too."""
    with linux("amd64", "-vga", "std", "-vnc", f"unix:{tmp_path}/v",
               append="run=echo,TYPE;head,-n,1,</dev/tty1 do=poweroff") as m:
        m.expect("^TYPE", BOOT)
        with rfb.Client(tmp_path / "v") as c:
            c.full()
            c.type(*"Hello, VNC! (#42) [a|b] ~$", 0xff0d)
            m.expect(r"^Hello, VNC! \(#42\) \[a\|b\] ~\$$")
        assert m.wait() == 0


@pytest.mark.full
def test_pointer_in_linux(tmp_path, guests):
    """What Linux's PS/2 driver adds up, from a corner on, is where the viewer points, within two character cells."""
    rng = random.Random(5)
    with linux("amd64", "-M", "pc,vmport=off", "-m", "192", "-vga", "std", "-vnc", f"unix:{tmp_path}/v", initrd="initrd-amd64-mouse") as m:
        m.expect("^DOPPEL-READY", BOOT)
        m.expect("# ")
        m.send("stty -echo; dmesg -n 1; while ! grep -q mouse0 /proc/bus/input/devices; do sleep 1; done; echo MOUSE;"
               "hexdump -v -e '3/1 \" %02x\" \"\\n\"' /dev/input/mice\n")
        m.expect("^MOUSE$", BOOT)
        with rfb.Client(tmp_path / "v") as c:
            c.set_encodings(rfb.HEXTILE, rfb.DESKTOP_SIZE)
            c.until(lambda: c.width == 720)  # not the size before anybody looked
            # it listens; what came before is nowhere, and a pointer that stays in the corner moves no more
            wait_for(lambda: (c.point(9, 9), c.point(0, 0), m.serial.read(0.2)) and "\n " in m.serial.text[m.serial.at:])
            # what is left of it has come: the mouse and Linux add up what nobody read, also what goes past the border and back
            wait_for(lambda: (at := len(m.serial.text), m.serial.read(2)) and len(m.serial.text) == at)
            m.serial.at = len(m.serial.text)
            c.point(9, 9)  # so that the way to the first place is one
            x, y = c.width - 1, c.height - 1  # the far end: on the way home the border stops it
            places = [(0, 0)] + [(rng.randrange(c.width), rng.randrange(c.height)) for _ in range(12)]
            for to in places:
                c.point(*to)
                while abs(x - to[0]) > 2 * 8 or abs(y - to[1]) > 2 * 16:
                    flags, dx, dy = (int(v, 16) for v in m.expect(r"^ (\w\w) (\w\w) (\w\w)$", STEP).groups())
                    x = min(max(x + dx - 256 * (flags >> 4 & 1), 0), c.width - 1)
                    y = min(max(y - dy + 256 * (flags >> 5 & 1), 0), c.height - 1)
