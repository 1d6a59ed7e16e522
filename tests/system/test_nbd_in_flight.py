"""An NBD client with several commands under way on a connection: answers in any order, connections that are lost, and servers
that lie."""
import random
import struct
import time

import pytest

from nbdclient import Client, FLUSH, READ, served, WRITE
from nbdserver import Cut, MULTI, Server, shuffled
from test_nbd import IMG, raw, run
from test_nbd_client import fails, unbuilt

pytestmark = pytest.mark.skipif(unbuilt(), reason="built without libnbd")

SIZE = 16 << 20


def pattern(size, seed=1):
    return random.Random(seed).randbytes(size)


@pytest.mark.parametrize("structured", [True, False])
def test_answers_in_any_order(tmp_path, structured):
    """Eight on one connection, as there are threads."""
    data, copy = pattern(SIZE), tmp_path / "copy.raw"
    with Server(tmp_path / "s", data, shuffled(), collect=8, structured=structured) as s:
        run(IMG, "convert", "-m", "8", "-W", "-S", "0", "-f", "raw", "-O", "raw", s.uri(), copy)
        assert (s.most, s.links) == (8, 1)
        assert copy.read_bytes() == data
        (tmp_path / "new.raw").write_bytes(pattern(SIZE, 2))
        s.most = 0
        run(IMG, "convert", "-n", "-m", "8", "-W", "-f", "raw", "-O", "raw", tmp_path / "new.raw", s.uri())
        assert (s.most, s.links) == (8, 2)
        assert bytes(s.disk) == pattern(SIZE, 2)


def test_flush_covers_what_was_written(tmp_path):
    """It is asked for when all writes were answered."""
    seen, open_writes = [], set()

    def answer(link, requests):
        open_writes.update(r.cookie for r in requests if r.kind == WRITE)
        for r in requests:
            if r.kind == FLUSH:
                seen.append(len(open_writes - {r.cookie}))
        for r in requests:
            link.reply(r)
            open_writes.discard(r.cookie)
    source = raw(tmp_path / "source.raw", SIZE)
    with Server(tmp_path / "s", bytes(SIZE), answer, collect=8) as s:
        run(IMG, "convert", "-n", "-m", "8", "-W", "-f", "raw", "-O", "raw", source, s.uri())
        assert bytes(s.disk) == source.read_bytes()
    assert seen and set(seen) == {0}


@pytest.mark.parametrize("flags", [0, MULTI])
def test_lost_with_commands_under_way(tmp_path, flags):
    """Again and again: each is said again, on the next connection."""
    rnd, data = random.Random(3), pattern(3 * SIZE, 3)

    def answer(link, requests):
        for r in requests:
            if rnd.random() < 0.2:
                raise Cut
            if rnd.random() < 0.1 and r.kind == READ:  # in the middle of one
                link.sock.sendall(struct.pack(">IIQ", 0x67446698, 0, r.cookie) + bytes(100))
                raise Cut
            link.reply(r)
    new, copy = tmp_path / "new.raw", tmp_path / "copy.raw"
    new.write_bytes(data)
    with Server(tmp_path / "s", bytes(len(data)), answer, collect=4, patience=0.05, structured=False, flags=flags) as s:
        run(IMG, "convert", "-n", "-m", "8", "-W", "-S", "0", "-f", "raw", "-O", "raw", new, s.uri("&reconnect-delay=30"))
        assert bytes(s.disk) == data
        run(IMG, "convert", "-m", "8", "-W", "-f", "raw", "-O", "raw", s.uri("&reconnect-delay=30"), copy)
        assert copy.read_bytes() == data and s.links > 4


def lies():
    def head(cookie, error=0):
        return struct.pack(">IIQ", 0x67446698, error, cookie)

    def chunk(r, kind, data, flags=1):
        return struct.pack(">IHHQI", 0x668e33ef, flags, kind, r.cookie, len(data)) + data
    return {
        "a magic number that is none": lambda r: b"\xff" * 64,
        "an answer to nothing": lambda r: head(r.cookie ^ 0x5555) + bytes(r.length),
        "an answer twice": lambda r: (head(r.cookie) + bytes(r.length)) * 2,
        "no more than a head": lambda r: head(r.cookie)[:9],
        "a chunk though none was agreed on": lambda r: chunk(r, 1, struct.pack(">Q", r.offset) + bytes(r.length)),
        "an error": lambda r: head(r.cookie, 5),
    }, {
        "too many bytes": lambda r: chunk(r, 1, struct.pack(">Q", r.offset) + bytes(r.length + 4096)),
        "bytes from elsewhere": lambda r: chunk(r, 1, struct.pack(">Q", r.offset + r.length) + bytes(r.length)),
        "a length of 4 GiB": lambda r: struct.pack(">IHHQI", 0x668e33ef, 1, 1, r.cookie, 0xffffffff),
        "a hole that is too large": lambda r: chunk(r, 2, struct.pack(">QI", r.offset, 0xffffffff)),
        "an error whose text is longer than it is": lambda r: chunk(r, 0x8001, struct.pack(">IH", 5, 60000)),
    }


@pytest.mark.parametrize("structured,what", [(n == 1, what) for n, kind in enumerate(lies()) for what in kind])
def test_hostile_servers(tmp_path, structured, what):
    """With eight under way: one line, soon."""
    lie = lies()[structured][what]

    def answer(link, requests):
        for n, r in enumerate(requests):
            link.sock.sendall(lie(r) if n % 3 == 2 else b"")
            if n % 3 != 2:
                link.reply(r)
        if "no more" in what:
            raise Cut
    with Server(tmp_path / "s", bytes(SIZE), answer, collect=8, structured=structured) as s:
        begun = time.monotonic()
        fails(".", IMG, "bench", "-q", "-d", "8", "-c", "200", "-f", "raw", s.uri())
        assert time.monotonic() - begun < 20


def test_no_room_for_one_more(tmp_path):
    """The server says that several may come, and lets in one."""
    with Server(tmp_path / "s", bytes(SIZE), collect=1, flags=MULTI, links=1) as s:
        begun = time.monotonic()
        run(IMG, "bench", "-q", "-d", "8", "-c", "400", "-f", "raw", s.uri())
        assert time.monotonic() - begun < 10


def test_server_that_is_gone_for_all(tmp_path):
    """Eight wait for it, none for longer than was said."""
    def answer(link, requests):
        s.sock.shutdown(2)
        s.sock.close()
        raise Cut
    s = Server(tmp_path / "s", bytes(SIZE), answer, collect=8)
    begun = time.monotonic()
    fails("Input/output error", IMG, "bench", "-q", "-d", "8", "-c", "64", "-f", "raw", s.uri("&reconnect-delay=1"))
    assert 0.9 < time.monotonic() - begun < 8


def test_our_server_answers_out_of_order(tmp_path):
    """What can be answered is, while another waits for the disk, which lies on a server that holds that one back."""
    held = []

    def answer(link, requests):
        for r in requests:
            if r.offset == 0 and r.kind == READ:
                held.append((link, r))
            else:
                link.reply(r)
            if r.offset == SIZE // 2:
                for late in held:
                    late[0].reply(late[1])
    with Server(tmp_path / "s", pattern(SIZE), answer) as s, served(tmp_path, "-t", "-f", "raw", s.uri()) as ours:
        c = Client(ours.path)
        asked = {c.send(READ, at, 65536): (at, 65536) for at in range(0, SIZE // 2, SIZE // 8)}
        first, *others = asked
        got = c.replies({cookie: asked[cookie] for cookie in others})  # fails if the first is among them
        asked[c.send(READ, SIZE // 2, 512)] = (SIZE // 2, 512)
        got |= c.replies({cookie: at for cookie, at in asked.items() if cookie not in got})
        assert first in got
        for cookie, (at, n) in asked.items():
            assert (got[cookie][0], bytes(got[cookie][1])) == (0, pattern(SIZE)[at:at + n])
        c.close()
