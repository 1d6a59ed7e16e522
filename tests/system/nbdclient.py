"""A client of the NBD protocol that says what it is told to, and servers to say it to."""
import contextlib
import os
import shutil
import signal
import socket
import struct
import subprocess
import time

from vm import ROOT

NBD = os.environ.get("DOPPEL_NBD", os.path.join(ROOT, "doppel-nbd"))
QEMU_NBD = shutil.which("qemu-nbd")

READ, WRITE, DISC, FLUSH, TRIM, CACHE, ZEROES, STATUS = range(8)
FUA, NO_HOLE, DF, REQ_ONE = 1, 2, 4, 8
OPT_MAGIC = b"IHAVEOPT"


class Server:
    def __init__(self, program, args, path, pid_file):
        self.path, self.uri = path, f"nbd+unix:///?socket={path}"
        subprocess.run([program, "--fork", "--pid-file", pid_file, "-k", path, *map(str, args)], check=True, timeout=20,
                       stdin=subprocess.DEVNULL)
        with open(pid_file) as f:
            self.pid = int(f.read())
        os.unlink(pid_file)

    def alive(self):
        """The locks on its files are there until the last of its threads has gone."""
        try:
            with open(f"/proc/{self.pid}/stat") as f:
                return f.read().rsplit(")", 1)[1].split()[0] != "Z" or len(os.listdir(f"/proc/{self.pid}/task")) > 1
        except (FileNotFoundError, ProcessLookupError):
            return False

    def ended(self, seconds=10):
        end = time.monotonic() + seconds
        while self.alive() and time.monotonic() < end:
            time.sleep(0.01)
        return not self.alive()

    def stop(self, sig=signal.SIGTERM):
        with contextlib.suppress(ProcessLookupError):
            os.kill(self.pid, sig)
        assert self.ended()


@contextlib.contextmanager
def served(tmp_path, *args, program=NBD):
    s = Server(program, args, str(tmp_path / "nbd.sock"), str(tmp_path / "nbd.pid"))
    try:
        yield s
    finally:
        if s.alive():
            s.stop()


class Failed(Exception):
    """The server's error number."""


class Client:
    """@structured None: the oldest way of negotiation."""

    def __init__(self, path, name=b"", structured=True, contexts=()):
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(20)
        self.sock.connect(path)
        self.cookie, self.structured = 0, bool(structured)
        self.contexts = {}
        assert self.get(16) == b"NBDMAGIC" + OPT_MAGIC
        assert struct.unpack(">H", self.get(2))[0] & 3 == 3
        self.sock.sendall(struct.pack(">I", 3))
        if structured is None:
            self.sock.sendall(OPT_MAGIC + struct.pack(">II", 1, len(name)) + name)
            self.size, self.flags = struct.unpack(">QH", self.get(10))
            return
        if structured:
            assert self.option(8)[-1][0] == 1
        if contexts:
            asked = b"".join(struct.pack(">I", len(c)) + c for c in contexts)
            for kind, data in self.option(10, struct.pack(">I", len(name)) + name + struct.pack(">I", len(contexts)) + asked):
                if kind == 4:
                    self.contexts[struct.unpack(">I", data[:4])[0]] = data[4:]
        for kind, data in self.option(7, struct.pack(">I", len(name)) + name + b"\0\0"):
            if kind == 3 and data[:2] == b"\0\0":
                self.size, self.flags = struct.unpack(">QH", data[2:])
            if kind >> 31:
                raise Failed(kind & 0x7fffffff)

    def get(self, n):
        out = b""
        while len(out) < n:
            more = self.sock.recv(n - len(out))
            if not more:
                raise EOFError
            out += more
        return out

    def option(self, number, data=b""):
        """All replies to it, as (type, data)."""
        self.sock.sendall(OPT_MAGIC + struct.pack(">II", number, len(data)) + data)
        out = []
        while True:
            magic, echo, kind, size = struct.unpack(">QIII", self.get(20))
            assert (magic, echo) == (0x3e889045565a9, number)
            out.append((kind, self.get(size)))
            if kind == 1 or kind >> 31:
                return out

    def send(self, kind, offset=0, length=0, data=b"", flags=0):
        self.cookie += 1
        self.sock.sendall(struct.pack(">IHHQQI", 0x25609513, flags, kind, self.cookie, offset, length) + data)
        return self.cookie

    def chunk(self):
        """The next piece: (cookie, last, error, type, payload)."""
        magic, = struct.unpack(">I", self.get(4))
        if magic == 0x67446698:
            error, cookie = struct.unpack(">IQ", self.get(12))
            return cookie, True, error, None, b""
        assert magic == 0x668e33ef
        flags, kind, cookie, size = struct.unpack(">HHQI", self.get(16))
        payload = self.get(size)
        error = struct.unpack(">I", payload[:4])[0] if kind & 0x8000 else 0
        return cookie, flags & 1, error, kind, payload

    def replies(self, asked):
        """Wait for all of @asked, {cookie: (offset, length)}: {cookie: (error, bytes, chunks)}."""
        out = {c: [0, bytearray(n), [], n] for c, (_, n) in asked.items()}
        left = set(asked)
        while left:
            cookie, last, error, kind, payload = self.chunk()
            assert cookie in left
            r = out[cookie]
            r[0] = r[0] or error
            r[2].append((kind, payload))
            if kind == 1:
                at = struct.unpack(">Q", payload[:8])[0] - asked[cookie][0]
                assert 0 <= at and at + len(payload) - 8 <= asked[cookie][1]
                r[1][at:at + len(payload) - 8] = payload[8:]
                r[3] -= len(payload) - 8
            elif kind == 2:
                r[3] -= struct.unpack(">QI", payload)[1]
            if last:
                left.remove(cookie)
        for r in out.values():
            assert r[0] or r[3] == 0  # every byte came once
        return out

    def call(self, kind, offset=0, length=0, data=b"", flags=0):
        cookie = self.send(kind, offset, len(data) if data else length, data, flags)
        if kind == READ and not self.structured:
            _, _, error, _, _ = self.chunk()
            if not error:
                return self.get(length)
        else:
            r = self.replies({cookie: (offset, length if kind == READ and length <= 32 << 20 else 0)})[cookie]
            error = r[0]
            self.chunks = r[2]
            if not error:
                return bytes(r[1])
        raise Failed(error)

    def status(self, offset, length, flags=0):
        """{context: [(length, flags), ...]}"""
        self.call(STATUS, offset, length, flags=flags)
        out = {}
        for kind, payload in self.chunks:
            assert kind == 5
            words = struct.unpack(f">{len(payload) // 4}I", payload)
            out[self.contexts[words[0]]] = list(zip(words[1::2], words[2::2]))
        return out

    def close(self):
        self.send(DISC)
        self.sock.close()
