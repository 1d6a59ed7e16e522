"""A QMP client for tests: of doppel, and of the QEMU that it is compared with."""
import json
import os
import select
import socket
import time

from vm import LIMIT, wait_for


class Qmp:
    def __init__(self, path, ready=True):
        self.sock = socket.socket(socket.AF_UNIX)
        wait_for(lambda: self.sock.connect_ex(str(path)) == 0)
        self.data = b""
        self.events = []
        self.greeting = self.next()
        if ready:
            assert self.cmd("qmp_capabilities") == {}

    def next(self, limit=LIMIT):
        """The next message; None at the end of the line."""
        end = time.monotonic() + limit
        while b"\n" not in self.data:
            left = end - time.monotonic()
            assert left > 0 and select.select([self.sock], [], [], left)[0], f"no answer; {self.data!r}"
            got = self.sock.recv(65536)
            if not got:
                return None
            self.data += got
        line, _, self.data = self.data.partition(b"\n")
        assert line.isascii()
        return json.loads(line)

    def reply(self):
        """The next that is no event; those before it are kept."""
        while "event" in (msg := self.next()):
            self.events.append(msg)
        return msg

    def send(self, text):
        self.sock.sendall(text if isinstance(text, bytes) else text.encode())

    def ask(self, name, **args):
        msg = {"execute": name}
        if args:
            msg["arguments"] = {k.replace("_", "-") if k != "_" else k: v for k, v in args.items()}
        self.send(json.dumps(msg) + "\n")
        return self.reply()

    def cmd(self, name, **args):
        got = self.ask(name, **args)
        assert "return" in got, (name, args, got)
        return got["return"]

    def error(self, name, **args):
        got = self.ask(name, **args)
        assert "error" in got, (name, args, got)
        return got["error"]["class"], got["error"]["desc"]

    def event(self, name, limit=LIMIT):
        """The next event of that name, also one that came already; its data."""
        while True:
            while self.events:
                e = self.events.pop(0)
                if e["event"] == name:
                    assert abs(e["timestamp"]["seconds"] - time.time()) < 600
                    assert 0 <= e["timestamp"]["microseconds"] < 1000000
                    return e.get("data")
            self.events.append(self.next(limit))

    def close(self):
        self.sock.close()

    def __enter__(self):
        return self

    def __exit__(self, *exc):
        self.close()


def address(folder, n=0):
    path = os.path.join(str(folder), f"qmp{n}")
    return path, f"unix:{path},server=on,wait=off"
