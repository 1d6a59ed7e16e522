"""A server of the NBD protocol that answers when and as it is told to: for tests of clients."""
import random
import socket
import struct
import threading

from nbdclient import DISC, FLUSH, OPT_MAGIC, READ, STATUS, TRIM, WRITE, ZEROES

HAS_FLAGS, SEND_FLUSH, SEND_TRIM, SEND_ZEROES, MULTI = 1, 4, 32, 64, 256


class Cut(Exception):
    """The connection ends here."""


class Request:
    def __init__(self, link, kind, cookie, offset, length, data):
        self.link, self.kind, self.cookie, self.offset, self.length, self.data = link, kind, cookie, offset, length, data


class Link:
    """A connection: reads what comes until `patience` seconds bring nothing, and hands that many requests on."""

    def __init__(self, server, sock):
        self.server, self.sock = server, sock
        self.structured = False

    def get(self, n):
        out = b""
        while len(out) < n:
            more = self.sock.recv(n - len(out))
            if not more:
                raise Cut
            out += more
        return out

    def negotiate(self):
        s = self.server
        self.sock.sendall(b"NBDMAGIC" + OPT_MAGIC + struct.pack(">H", 3))
        self.get(4)
        while True:
            assert self.get(8) == OPT_MAGIC
            option, size = struct.unpack(">II", self.get(8))
            self.get(size)
            head = struct.pack(">QI", 0x3e889045565a9, option)
            if option == 8 and s.structured:
                self.structured = True
                self.sock.sendall(head + struct.pack(">II", 1, 0))
            elif option == 7:
                about = struct.pack(">HQH", 0, len(s.disk), HAS_FLAGS | SEND_FLUSH | SEND_TRIM | SEND_ZEROES | s.flags)
                self.sock.sendall(head + struct.pack(">II", 3, len(about)) + about + head + struct.pack(">II", 1, 0))
                return
            else:
                self.sock.sendall(head + struct.pack(">II", 0x80000001, 0))

    def request(self):
        magic, _, kind, cookie, offset, length = struct.unpack(">IHHQQI", self.get(28))
        assert magic == 0x25609513
        if kind == DISC:
            raise Cut
        return Request(self, kind, cookie, offset, length, self.get(length) if kind == WRITE else b"")

    def serve(self):
        s = self.server
        try:
            self.negotiate()
            waiting = []
            while True:
                self.sock.settimeout(s.patience if waiting else 60)
                try:
                    waiting.append(self.request())
                    if len(waiting) < s.collect:
                        continue
                except TimeoutError:
                    pass
                self.sock.settimeout(60)
                s.most = max(s.most, len(waiting))
                s.answer(self, waiting)
                waiting = []
        except (Cut, OSError):
            pass
        finally:
            self.sock.close()

    def reply(self, r):
        """As it should be; what is written is on the disk."""
        disk, end, data = self.server.disk, r.offset + r.length, b""
        if r.kind == WRITE:
            disk[r.offset:end] = r.data
        elif r.kind == ZEROES:
            disk[r.offset:end] = bytes(r.length)
        elif r.kind == READ:
            data = bytes(disk[r.offset:end])
        else:
            assert r.kind in (FLUSH, TRIM) and r.kind != STATUS
        if r.kind == READ and self.structured:  # in two pieces
            half = len(data) // 2
            for flags, at, part in ((0, 0, data[:half]), (1, half, data[half:])):
                self.sock.sendall(struct.pack(">IHHQI", 0x668e33ef, flags, 1, r.cookie, 8 + len(part)) +
                                  struct.pack(">Q", r.offset + at) + part)
        else:
            self.sock.sendall(struct.pack(">IIQ", 0x67446698, 0, r.cookie) + data)


class Server:
    """@collect: so many requests are waited for, or until none has come for @patience seconds, before @answer(link, requests)."""

    def __init__(self, path, disk, answer=None, collect=1, patience=0.3, structured=True, flags=0, links=None):
        self.path, self.disk, self.collect, self.patience = str(path), bytearray(disk), collect, patience
        self.structured, self.flags = structured, flags
        self.answer = answer or (lambda link, requests: [link.reply(r) for r in requests])
        self.most = self.links = 0
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.bind(self.path)
        self.sock.listen(16)
        self.accepting = links
        self.thread = threading.Thread(target=self.accept, daemon=True)
        self.thread.start()

    def accept(self):
        while self.accepting is None or self.links < self.accepting:
            try:
                c, _ = self.sock.accept()
            except OSError:
                return
            self.links += 1
            threading.Thread(target=Link(self, c).serve, daemon=True).start()

    def uri(self, query=""):
        return f"nbd+unix:///?socket={self.path}{query}"

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.sock.shutdown(socket.SHUT_RDWR)
        self.sock.close()


def shuffled(seed=1):
    """All are answered, in any order."""
    rnd = random.Random(seed)

    def answer(link, requests):
        for r in rnd.sample(requests, len(requests)):
            link.reply(r)
    return answer
