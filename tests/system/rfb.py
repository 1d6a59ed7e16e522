"""A strict RFB client (RFC 6143 and the community's extensions): what is not expected is an error.

The picture is kept as bytes of 4 a pixel, 0xRRGGBB little-endian, whatever the encoding.
"""
import socket
import struct
import subprocess
import time
import zlib

from vm import LIMIT

RAW, COPYRECT, RRE, HEXTILE, ZLIB, TIGHT, ZRLE = 0, 1, 2, 5, 6, 7, 16
DESKTOP_SIZE, EXTENDED_SIZE, LAST_RECT = -223, -308, -224
POINTER_MOTION, EXTENDED_KEY, LAMPS, XVP, QUALITY_LOW = -257, -258, -261, -309, -32
RGB32 = struct.pack(">BBBBHHHBBBxxx", 32, 24, 0, 1, 255, 255, 255, 16, 8, 0)


class Error(Exception):
    pass


def des(password, challenge):
    """RFC 6143, "VNC Authentication": each byte of the key with its bits in reverse. By openssl's program."""
    key = bytes(int(f"{b:08b}"[::-1], 2) for b in password.encode()[:8].ljust(8, b"\0"))
    return subprocess.run(["openssl", "enc", "-des-ecb", "-nopad", "-K", key.hex(), "-provider", "legacy",
                           "-provider", "default"], input=challenge, capture_output=True, check=True).stdout


class Client:
    password = None

    def __init__(self, address, version=b"RFB 003.008\n", shared=True, limit=LIMIT, start=True, password=None):
        self.password = password
        if isinstance(address, tuple):
            self.s = socket.create_connection(address, timeout=limit)
        elif hasattr(address, "recv"):
            self.s = address
        else:
            self.s = socket.socket(socket.AF_UNIX)
            self.s.settimeout(limit)
            self.s.connect(str(address))
        self.limit = limit
        self.inflate = {}
        self.encodings = {RAW}
        self.seen = set()     # encodings that came
        self.extended_keys = False
        self.relative = False
        self.resizes = 0
        self.lamps = None
        self.bells = self.jpegs = 0
        self.xvp = []         # codes of power control that came
        self.rects = []       # (x, y, w, h) of the last update
        if start:
            self.handshake(version, shared)

    # ---- bytes ----

    def get(self, n):
        out = bytearray()
        while len(out) < n:
            data = self.s.recv(min(n - len(out), 1 << 20))
            if not data:
                raise Error(f"the server hung up ({len(out)} of {n} bytes)")
            out += data
        return bytes(out)

    def unpack(self, fmt):
        return struct.unpack(">" + fmt, self.get(struct.calcsize(">" + fmt)))

    def send(self, fmt, *args):
        self.s.sendall(struct.pack(">" + fmt, *args))

    def close(self):
        self.s.close()

    def __enter__(self):
        return self

    def __exit__(self, *exc):
        self.close()

    # ---- handshake ----

    @property
    def want(self):
        return 1 if self.password is None else 2

    def handshake(self, version, shared):
        if self.get(12) != b"RFB 003.008\n":
            raise Error("no RFB 3.8 server")
        self.s.sendall(version)
        minor = {b"007": 7, b"008": 8}.get(version[8:11], 3)
        if minor >= 7:
            types = self.get(self.get(1)[0])
            if self.want not in types or len(set(types)) != len(types):
                raise Error(f"security types {types}")
            self.send("B", self.want)
        elif self.unpack("I") != (self.want,):
            raise Error("no such security type")
        if self.password is not None:
            self.s.sendall(des(self.password, self.get(16)))
        if (minor >= 8 or self.password is not None) and self.unpack("I") != (0,):
            why = self.get(self.unpack("I")[0]).decode() if minor >= 8 else ""
            raise Error(f"refused: {why}")
        self.send("B", shared)
        self.width, self.height = self.unpack("HH")
        self.server_format = self.get(16)
        self.name = self.get(self.unpack("I")[0]).decode()
        self.pixels = bytearray(self.width * self.height * 4)

    def set_encodings(self, *encodings, format=RGB32):
        self.encodings = {RAW, *encodings}
        self.s.sendall(b"\0\0\0\0" + format)
        self.send(f"BxH{len(encodings)}i", 2, len(encodings), *encodings)

    # ---- what the client does ----

    def request(self, incremental=True, x=0, y=0, w=None, h=None):
        self.send("BBHHHH", 3, incremental, x, y, self.width if w is None else w,
                  self.height if h is None else h)

    def key(self, keysym, down):
        self.send("BBxxI", 4, down, keysym)

    def type(self, *keysyms):
        for k in keysyms:
            k = ord(k) if isinstance(k, str) else k
            self.key(k, True)
            self.key(k, False)

    def code(self, code, down, keysym=0):
        if not self.extended_keys:
            raise Error("extended keys are not acknowledged")
        self.send("BBHII", 255, 0, down, keysym, code)

    def cut_text(self, text):
        self.send(f"BxxxI{len(text)}s", 6, len(text), text)

    def power(self, code):
        self.send("BxBB", 250, 1, code)

    def point(self, x, y, buttons=0):
        self.send("BBHH", 5, buttons, x, y)

    # ---- what the server sends ----

    def message(self):
        """One message; its type."""
        kind = self.get(1)[0]
        if kind == 0:
            self.update()
        elif kind == 2:
            self.bells += 1
        elif kind == 3:
            self.get(self.unpack("xxxI")[0])
        elif kind == 250:
            version, code = self.unpack("xBB")
            if XVP not in self.encodings or version != 1:
                raise Error("xvp was not asked for")
            self.xvp.append(code)
        else:
            raise Error(f"message {kind}")
        return kind

    def update(self):
        _, count = self.unpack("BH")
        self.rects = []
        n = 0
        while n < count:
            x, y, w, h, enc = self.unpack("HHHHi")
            if enc == LAST_RECT:
                if count != 0xffff:
                    raise Error("last rectangle of a counted update")
                return
            if enc not in self.encodings:
                raise Error(f"encoding {enc} was not asked for")
            self.seen.add(enc)
            if enc in (DESKTOP_SIZE, EXTENDED_SIZE):
                if enc == EXTENDED_SIZE:
                    self.get(16 * self.unpack("Bxxx")[0])
                self.resizes += (w, h) != (self.width, self.height)
                self.width, self.height = w, h
                self.pixels = bytearray(w * h * 4)
            elif enc == EXTENDED_KEY:
                self.extended_keys = True
            elif enc == LAMPS:
                self.lamps = self.get(1)[0]
            elif enc == POINTER_MOTION:
                self.relative = x == 0
            else:
                if x + w > self.width or y + h > self.height or not w or not h:
                    raise Error(f"rectangle {w}x{h} at {x},{y} of {self.width}x{self.height}")
                self.rects.append((x, y, w, h))
                {RAW: self.raw, COPYRECT: self.copyrect, RRE: self.rre, HEXTILE: self.hextile,
                 ZLIB: self.zlib, TIGHT: self.tight, ZRLE: self.zrle}[enc](x, y, w, h)
            n += 1

    def put(self, x, y, w, h, data):
        for line in range(h):
            at = ((y + line) * self.width + x) * 4
            self.pixels[at:at + w * 4] = data[line * w * 4:(line + 1) * w * 4]

    def fill(self, x, y, w, h, pixel):
        self.put(x, y, w, h, bytes(pixel) * (w * h))

    def raw(self, x, y, w, h):
        self.put(x, y, w, h, self.get(w * h * 4))

    def copyrect(self, x, y, w, h):
        sx, sy = self.unpack("HH")
        data = b"".join(self.line(sx, sy + n, w) for n in range(h))
        self.put(x, y, w, h, data)

    def line(self, x, y, w):
        at = (y * self.width + x) * 4
        return bytes(self.pixels[at:at + w * 4])

    def rre(self, x, y, w, h):
        count, pixel = self.unpack("I4s")
        self.fill(x, y, w, h, pixel)
        for _ in range(count):
            pixel, sx, sy, sw, sh = self.unpack("4sHHHH")
            self.fill(x + sx, y + sy, sw, sh, pixel)

    def hextile(self, x, y, w, h):
        back = fore = b"\0\0\0\0"
        for ty in range(0, h, 16):
            for tx in range(0, w, 16):
                tw, th = min(16, w - tx), min(16, h - ty)
                flags = self.get(1)[0]
                if flags & 1:
                    self.raw(x + tx, y + ty, tw, th)
                    continue
                back = self.get(4) if flags & 2 else back
                fore = self.get(4) if flags & 4 else fore
                self.fill(x + tx, y + ty, tw, th, back)
                for _ in range(self.get(1)[0] if flags & 8 else 0):
                    pixel = self.get(4) if flags & 16 else fore
                    at, size = self.get(2)
                    self.fill(x + tx + (at >> 4), y + ty + (at & 15), (size >> 4) + 1,
                              (size & 15) + 1, pixel)

    def stream(self, name, data):
        return self.inflate.setdefault(name, zlib.decompressobj()).decompress(data)

    def zlib(self, x, y, w, h):
        data = self.stream("zlib", self.get(self.unpack("I")[0]))
        if len(data) != w * h * 4:
            raise Error("zlib: length")
        self.put(x, y, w, h, data)

    def zrle(self, x, y, w, h):
        data = self.stream("zrle", self.get(self.unpack("I")[0]))
        at = 0

        def take(n):
            nonlocal at
            at += n
            if at > len(data):
                raise Error("zrle: too short")
            return data[at - n:at]

        def pixel():
            return take(3) + b"\0"

        def run():
            n = 1
            while (b := take(1)[0]) == 255:
                n += 255
            return n + b

        for ty in range(0, h, 64):
            for tx in range(0, w, 64):
                tw, th = min(64, w - tx), min(64, h - ty)
                sub = take(1)[0]
                out = b""
                palette = [pixel() for _ in range(sub & 127)] if sub not in (0, 128) else []
                if sub == 0:
                    out = b"".join(pixel() for _ in range(tw * th))
                elif sub == 1:
                    out = palette[0] * (tw * th)
                elif sub <= 16:
                    bits = 1 if sub == 2 else 2 if sub <= 4 else 4
                    for _ in range(th):
                        row = take((tw * bits + 7) // 8)
                        for n in range(tw):
                            v = row[n * bits // 8] >> (8 - bits - n * bits % 8) & ((1 << bits) - 1)
                            out += palette[v]
                elif sub == 128:
                    while len(out) < tw * th * 4:
                        p = pixel()
                        out += p * run()
                elif sub >= 130:
                    while len(out) < tw * th * 4:
                        v = take(1)[0]
                        out += palette[v & 127] * (run() if v & 128 else 1)
                else:
                    raise Error(f"zrle: {sub}")
                if len(out) != tw * th * 4:
                    raise Error("zrle: a tile's length")
                self.put(x + tx, y + ty, tw, th, out)
        if at != len(data):
            raise Error("zrle: too long")

    def compact(self):
        n = shift = 0
        for _ in range(3):
            b = self.get(1)[0]
            n |= (b & 127) << shift
            shift += 7
            if not b & 128:
                break
        return n

    def tight(self, x, y, w, h):
        control = self.get(1)[0]
        for n in range(4):
            if control >> n & 1:
                self.inflate.pop(("tight", n), None)
        kind = control >> 4
        if kind == 8:
            r, g, b = self.get(3)
            self.fill(x, y, w, h, (b, g, r, 0))
            return
        if kind > 8:
            if kind == 9 and QUALITY_LOW in self.encodings:
                self.jpegs += 1
                self.get(self.compact())
                return
            raise Error(f"tight: {kind} (JPEG was not asked for)")
        which = self.get(1)[0] if kind & 4 else 0
        palette = []
        if which == 1:
            palette = [self.get(3) for _ in range(self.get(1)[0] + 1)]
        elif which != 0:
            raise Error(f"tight: filter {which}")
        width = w * 3 if not palette else w if len(palette) > 2 else (w + 7) // 8
        size = width * h
        data = self.get(size) if size < 12 else self.stream(("tight", kind & 3), self.get(self.compact()))
        if len(data) != size:
            raise Error("tight: length")
        out = bytearray()
        for row in range(h):
            line = data[row * width:(row + 1) * width]
            for n in range(w):
                if not palette:
                    r, g, b = line[n * 3:n * 3 + 3]
                elif len(palette) > 2:
                    r, g, b = palette[line[n]]
                else:
                    r, g, b = palette[line[n // 8] >> (7 - n % 8) & 1]
                out += bytes((b, g, r, 0))
        self.put(x, y, w, h, out)

    # ---- waiting ----

    def until(self, cond, limit=None, ask=True):
        """Ask for updates until cond() holds."""
        end = time.monotonic() + (limit or self.limit)
        while not cond():
            if time.monotonic() > end:
                raise Error("it did not come in time")
            if ask:
                self.request()
            while self.message() != 0:
                pass

    def full(self):
        """The whole screen, anew."""
        self.request(False)
        while self.message() != 0 or not self.rects:
            pass
        return self.pixels

    def quiet(self, seconds=0.2):
        """Nothing comes for a while."""
        self.s.settimeout(seconds)
        try:
            data = self.s.recv(1)
        except TimeoutError:
            return
        finally:
            self.s.settimeout(self.limit)
        raise Error(f"unasked: {data!r}")
