"""VNC for browsers: the web server and WebSockets by hand, and noVNC's page in Chromium."""
import base64
import http.client
import os
import re
import shutil
import socket
import struct

import pytest

import rfb
from browser import ALT, CONTROL, RETURN, Browser
from image import EXIT_DEVICE
from test_screen import BIOS
from test_vnc import guest  # noqa: F401: a fixture
from vm import BOOT, LIMIT, ROOT, VM, run, wait_for

CONFIG = open(os.path.join(ROOT, "config.h")).read()
pytestmark = pytest.mark.skipif("CONFIG_GNUTLS" not in CONFIG or "CONFIG_VNC" not in CONFIG,
                                reason="built without GnuTLS or libvncserver")
needs_pages = pytest.mark.skipif(not os.path.exists("/usr/share/novnc/vnc.html"), reason="no noVNC (package novnc)")
needs_browser = pytest.mark.skipif(not shutil.which("chromedriver"), reason="no chromedriver (package chromium-driver)")
KEY = "dGhlIHNhbXBsZSBub25jZQ=="  # RFC 6455, 1.3, with the answer to it
ACCEPT = "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="


def port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def ask(at, path, headers={}, method="GET"):
    c = http.client.HTTPConnection("127.0.0.1", at, timeout=LIMIT)
    c.request(method, path, headers=headers)
    r = c.getresponse()
    return r.status, dict(r.getheaders()), r.read()


def upgrade(at, path="/", **fields):
    """A socket and the answer to the request for a WebSocket on it."""
    s = socket.create_connection(("127.0.0.1", at), LIMIT)
    have = {"Host": f"127.0.0.1:{at}", "Upgrade": "websocket", "Connection": "keep-alive, Upgrade", "Sec-WebSocket-Key": KEY,
            "Sec-WebSocket-Version": "13", "Sec-WebSocket-Protocol": "binary"}
    have.update({k.replace("_", "-"): v for k, v in fields.items()})
    s.sendall((f"GET {path} HTTP/1.1\r\n" + "".join(f"{k}: {v}\r\n" for k, v in have.items() if v is not None) + "\r\n").encode())
    head = b""
    while not head.endswith(b"\r\n\r\n"):
        byte = s.recv(1)
        if not byte:
            break
        head += byte
    return s, head.decode()


def frame(opcode, data, fin=True, mask=b"\x12\x34\x56\x78"):
    n = len(data)
    size = bytes([0x80 | n]) if n < 126 else b"\xfe" + struct.pack(">H", n) if n < 65536 else b"\xff" + struct.pack(">Q", n)
    return bytes([(0x80 if fin else 0) | opcode]) + size + mask + bytes(b ^ mask[k % 4] for k, b in enumerate(data))


class WebSocket:
    """What rfb.Client needs of a socket, over frames; each byte of what is sent in a frame of its own if `tiny`."""

    def __init__(self, at, tiny=False, **fields):
        self.s, head = upgrade(at, **fields)
        assert head.startswith("HTTP/1.1 101 ") and f"Sec-WebSocket-Accept: {ACCEPT}\r\n" in head, head
        self.tiny = tiny
        self.data = b""

    def exactly(self, n):
        out = b""
        while len(out) < n:
            more = self.s.recv(n - len(out))
            if not more:
                raise ConnectionResetError
            out += more
        return out

    def frame(self):
        """opcode, data"""
        a, b = self.exactly(2)
        assert a & 0x70 == 0 and a & 0x80 and not b & 0x80
        n = b if b < 126 else struct.unpack(">H", self.exactly(2))[0] if b == 126 else struct.unpack(">Q", self.exactly(8))[0]
        return a & 15, self.exactly(n)

    def recv(self, n):
        while not self.data:
            opcode, data = self.frame()
            if opcode == 8:
                return b""
            if opcode == 2:
                self.data = data
        out, self.data = self.data[:n], self.data[n:]
        return out

    def sendall(self, data):
        if self.tiny:
            for k in range(len(data)):
                self.s.sendall(frame(2 if k == 0 else 0, data[k:k + 1], fin=k == len(data) - 1) + frame(9, b"p"))
        else:
            self.s.sendall(frame(2, data))

    def settimeout(self, limit):
        self.s.settimeout(limit)

    def fileno(self):
        return self.s.fileno()

    def close(self):
        self.s.close()


@pytest.mark.parametrize("tiny", [False, True])
def test_websocket(tiny, tmp_path):
    """RFB over frames of all sizes, with pings between them, shows what a screen dump has."""
    at = port()
    with VM("-S", "-vga", "std", "-vnc", f"none,websocket={at}", monitor=True) as vm:
        assert f"WebSocket: 127.0.0.1:{at}" in vm.mon.cmd("info vnc")
        with rfb.Client(WebSocket(at, tiny)) as c:
            c.set_encodings(rfb.RAW)
            assert c.full() == bytes(640 * 480 * 4)
            assert "Client: 127.0.0.1:" in vm.mon.cmd("info vnc")
        wait_for(lambda: "Client:" not in vm.mon.cmd("info vnc"))


def test_port_of_display(tmp_path):
    """websocket=on is at 5700 and the display's number."""
    with VM("-S", "-vnc", "127.0.0.1:50,to=90,websocket=on", monitor=True) as vm:
        m = re.search(r"Server: 127.0.0.1:(\d+) .*WebSocket: 127.0.0.1:(\d+)", vm.mon.cmd("info vnc"), re.S)
        assert int(m.group(1)) - 5900 == int(m.group(2)) - 5700
        WebSocket(int(m.group(2))).close()


def test_hostile(tmp_path):
    """What is not allowed ends the connection, and nothing else."""
    at = port()
    bad = [frame(1, b"text"), frame(0, b"continues nothing"), frame(2, b"x")[:1] + b"\x01x", b"\xc2\x81\0\0\0\0x",
           frame(9, b"x" * 126), frame(9, b"x", fin=False), frame(11, b""), b"\x82\xff\x80" + bytes(11),
           b"\x82\xfe\0\x7d" + bytes(129), frame(2, b"x", fin=False) + frame(2, b"y")]
    heads = [b"GET / HTTP/1.1\r\n" + b"A: " + b"b" * 9000 + b"\r\n\r\n", b"\0\r\n\r\n", b"GET /\r\n\r\n", b"GET  HTTP/1.1\r\n\r\n",
             b"GET / HTTP/1.1\r\n: x\r\n\r\n", b"GET x HTTP/1.1\r\n\r\n", b"RFB 003.008\n", b"\x16\x03\x01\r\n\r\n"]
    with VM("-S", "-vnc", f"none,websocket={at}", monitor=True) as vm:
        for data in bad:
            s, head = upgrade(at)
            assert head.startswith("HTTP/1.1 101 "), head
            s.sendall(data)
            s.settimeout(LIMIT)
            got = b""
            while more := s.recv(4096):
                got += more
            assert got in (b"", b"\x82\x0cRFB 003.008\n"), (data, got)
        for head in heads:
            with socket.create_connection(("127.0.0.1", at), LIMIT) as s:
                try:
                    s.sendall(head)
                    s.shutdown(socket.SHUT_WR)
                    assert s.recv(4096)[:12] in (b"", b"HTTP/1.1 400")
                except OSError:
                    pass  # it hung up on what it did not read
        for fields, status in [({"Sec_WebSocket_Version": "8"}, "426"), ({"Sec_WebSocket_Key": "short"}, "400"),
                               ({"Connection": "close"}, "400"), ({"Sec_WebSocket_Protocol": "base64"}, "400")]:
            assert upgrade(at, **fields)[1].split()[1] == status
        assert ask(at, "/vnc.html")[0] == 426
        assert ask(at, "/", method="POST")[0] == 405
        assert vm.mon.cmd("info status") == "VM status: paused (prelaunch)\n"
        WebSocket(at).close()


def url_of(vm):
    return re.search(r"Browser: (http://127\.0\.0\.1:(\d+)(/\?token=[0-9a-f]{32}))\n", vm.mon.cmd("info vnc"))


@needs_pages
def test_token():
    """The URL lets one browser in, once; files and screen are for who has its cookie, from pages that came from here."""
    with VM("-S", "-display", "web", monitor=True) as vm:
        m = url_of(vm)
        at, path = int(m.group(2)), m.group(3)
        vm.expect("^VNC in a browser: " + re.escape(m.group(1)) + "$")
        assert ask(at, "/vnc.html")[0] == 403
        assert ask(at, "/?token=" + "0" * 32)[0] == 403
        status, headers, _ = ask(at, path)
        cookie = headers["Set-Cookie"].split(";")[0]
        assert status == 302 and "HttpOnly" in headers["Set-Cookie"]
        assert ask(at, path)[0] == 403  # used up
        with_cookie = {"Cookie": f"a=b; {cookie}"}
        status, headers, page = ask(at, headers["Location"], with_cookie)
        assert (status, page) == (200, open("/usr/share/novnc/vnc.html", "rb").read())
        assert headers["Content-Type"] == "text/html; charset=utf-8"
        assert ask(at, "/app/ui.js", with_cookie)[1]["Content-Type"] == "text/javascript"
        for path in ("/../../../etc/passwd", "/app", "/app/", "/nonesuch", "//etc/passwd", "/app/%2e%2e/vnc.html", "/.x"):
            assert ask(at, path, with_cookie)[0] == 404, path
        origin = f"http://127.0.0.1:{at}"
        for fields, status in [({"Origin": origin}, "403"), ({"Cookie": cookie}, "403"),
                               ({"Cookie": cookie, "Origin": "http://elsewhere"}, "403"),
                               ({"Cookie": "doppel=" + "0" * 32, "Origin": origin}, "403"),
                               ({"Cookie": cookie, "Origin": origin}, "101")]:
            assert upgrade(at, "/websockify", **fields)[1].split()[1] == status, fields
        assert url_of(vm).group(3) != m.group(3)
        assert ask(at, url_of(vm).group(3))[0] == 302


def test_refused():
    for option, name in [("none,websocket=x", "websocket=x"), ("none,websocket=0", "websocket=0"),
                         ("none,websocket=1:70000", "70000"), (":1,web=on,websocket=off", "web=on"), ("none,web=maybe", "maybe")]:
        p = run("-vnc", option)
        assert p.returncode == 1 and name in p.stderr and len(p.stderr.splitlines()) == 1, p.stderr


# ---- a browser ----

CANVAS = """
    const c = document.querySelector('#noVNC_container canvas');
    if (!c || c.width !== arguments[0] || c.height !== arguments[1]) return null;
    const d = c.getContext('2d').getImageData(0, 0, c.width, c.height).data;
    let s = '';
    for (let k = 0; k < d.length; k += 4) s += String.fromCharCode(d[k + 2], d[k + 1], d[k], 0);
    return btoa(s);
"""


@needs_pages
@needs_browser
@pytest.mark.skipif(not os.path.exists(BIOS), reason=f"no {BIOS} (package seabios)")
def test_novnc(tmp_path, guest):
    """In Chromium: the screen is there, a key arrives, Ctrl-Alt-2 shows the monitor, which takes a line."""
    with VM("-kernel", guest(), *EXIT_DEVICE, "-name", "me", "-vga", "std", "-display", "web", "-chardev", "vc,id=con", "-mon",
            "con", monitor=True) as vm:
        vm.expect("^R$", BOOT)
        b = Browser()
        try:
            def shows(screen):
                vm.mon.cmd(f"screendump {tmp_path}/dump.ppm {screen}")
                (w, h), want = dump(tmp_path / "dump.ppm")
                got = b.run(CANVAS, w, h)
                return got is not None and base64.b64decode(got) == bytes(want)
            b.open(url_of(vm).group(1))
            wait_for(lambda: shows(""))
            b.keys("a")
            for byte in ("1c", "f0", "1c"):
                vm.expect(f"^K{byte}$")
            b.keys(CONTROL, ALT, "2")
            wait_for(lambda: shows("con"))
            for key in "info name":
                b.keys(key)
            b.keys(RETURN)
            wait_for(lambda: "\nme\n(qemu)" in vm.mon.cmd("screendump -c con -t"))
            wait_for(lambda: shows("con"))
            b.picture(tmp_path / "browser.png")
        finally:
            b.close()


def dump(path):
    head, size, _, data = open(path, "rb").read().split(b"\n", 3)
    out = bytearray(len(data) // 3 * 4)
    out[0::4], out[1::4], out[2::4] = data[2::3], data[1::3], data[0::3]
    return tuple(map(int, size.split())), out
