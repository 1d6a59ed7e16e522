"""Every card in a Debian guest: addresses, names, streams, many connections, sizes, the cable, offloads, resets.

Everything happens in a network namespace of the test's own, with a name server of its own, so that neither the host's
network nor another test is in it. Long with --full: 256 MiB each way and 60 s of resets under load.
"""
import contextlib
import ctypes
import hashlib
import os
import re
import socket
import struct
import threading
import time

import pytest

from test_network import ALL_CARDS, MIB, Host, dhcp, guest, ready, sh
from test_tap import Namespace
from vm import LIMIT, STEP

LIBC = ctypes.CDLL(None, use_errno=True)
CLONE_NEWNET = 0x40000000
NAME, ADDRESS = "matrix.example.org", "192.0.2.77"


class Inside:
    """This thread's new sockets belong to the namespace while it lasts."""

    def __init__(self, name):
        self.home, self.there = open("/proc/self/ns/net"), open(f"/run/netns/{name}")

    @contextlib.contextmanager
    def __call__(self):
        assert LIBC.setns(self.there.fileno(), CLONE_NEWNET) == 0
        try:
            yield
        finally:
            assert LIBC.setns(self.home.fileno(), CLONE_NEWNET) == 0


def name_server(sock):
    """Answers each question for NAME's IPv4 address; nothing else has one."""
    with contextlib.suppress(OSError):
        while True:
            query, who = sock.recvfrom(512)
            at = query.index(0, 12)
            name, kind = query[12:at], struct.unpack(">H", query[at + 1:at + 3])[0]
            ours = name == b"".join(bytes([len(p)]) + p.encode() for p in NAME.split("."))
            known = ours and kind == 1
            answer = b"\xc0\x0c" + struct.pack(">HHIH", 1, 1, 60, 4) + socket.inet_aton(ADDRESS) if known else b""
            sock.sendto(query[:2] + (b"\x81\x80" if ours else b"\x81\x83") + struct.pack(">HHHH", 1, 1 if known else 0, 0, 0) + query[12:at + 5] + answer,
                        who)


class Crowd(Host):
    """Takes 64 connections, and answers when all of them are there."""

    def serve(self):
        self.sock.listen(64)
        conns = []
        self.sock.settimeout(STEP)
        while len(conns) < 64:
            conns.append(self.sock.accept()[0])
        for c in conns:
            c.settimeout(STEP)
            c.sendall(b"got " + c.recv(64))
            c.close()
        self.got = b"all"


@pytest.fixture
def net(tmp_path):
    n = Namespace(tmp_path)
    etc = f"/etc/netns/{n.name}"
    os.makedirs(etc)
    try:
        with open(f"{etc}/resolv.conf", "w") as f:
            f.write("nameserver 127.0.0.1\n")
        n.run("ip", "link", "set", "lo", "up")
        n.inside = Inside(n.name)
        with n.inside():
            dns = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
            dns.bind(("127.0.0.1", 53))
        threading.Thread(target=name_server, args=(dns,), daemon=True).start()
        yield n
        dns.close()
    finally:
        os.unlink(f"{etc}/resolv.conf")
        os.rmdir(etc)
        n.run("ip", "netns", "del", n.name, check=False)


def down(vm, net, size):
    data = os.urandom(MIB) * (size // MIB)
    with net.inside():
        host = Host(data)
    assert hashlib.md5(data).hexdigest() in sh(vm, f"nc 10.0.2.2 {host.port} </dev/null | md5sum", STEP * 4 + size / 1e5)


def upload(vm, net, size):
    with net.inside():
        host = Host()
    limit = STEP * 4 + size / 1e5
    sh(vm, "[ -e /tmp/f ] || dd if=/dev/urandom of=/tmp/f bs=64k count=16 2>/dev/null")
    times = size // MIB
    sum_ = sh(vm, f"pump() {{ n=0; while [ $n -lt {times} ]; do cat /tmp/f; n=$((n+1)); done; }}; "
                  f"pump | nc 10.0.2.2 {host.port}; pump | md5sum", limit)
    host.thread.join(limit)
    assert len(host.got) == size and hashlib.md5(host.got).hexdigest() in sum_


def forwarded(vm, net, family, rule, to):
    """A port of the host's that leads into the guest."""
    data = os.urandom(MIB)
    with net.inside(), socket.create_server((rule, 0), family=family) as free:
        port = free.getsockname()[1]
    shown = f"[{rule}]" if family == socket.AF_INET6 else rule
    assert vm.mon.cmd(f"hostfwd_add n tcp:{shown}:{port}-{to}:7") == ""
    sh(vm, "rm -f /tmp/in; (nc -l -p 7 >/tmp/in </dev/null &) ; while ! netstat -ltn | grep -q ':7 '; do sleep 0.1; done")
    with net.inside():
        s = socket.create_connection((rule, port), LIMIT)
    with s:
        s.sendall(data)
    got = sh(vm, f"while [ $(stat -c %s /tmp/in) -lt {MIB} ]; do sleep 0.2; done; md5sum /tmp/in")
    assert hashlib.md5(data).hexdigest() in got


def sizes(vm, net):
    """Frames of each size around the limits, fragments, and a smaller MTU."""
    for size in (0, 1, 17, 18, 19, 1471, 1472, 1473, 2944, 4000):
        assert "1 packets received" in sh(vm, f"ping -c 1 -w 10 -s {size} 10.0.2.2"), size
    for mtu in (600, 1280):
        sh(vm, f"ifconfig eth0 mtu {mtu}")
        assert "1 packets received" in sh(vm, "ping -c 1 -w 10 -s 3000 10.0.2.2")
        down(vm, net, MIB)
    sh(vm, "ifconfig eth0 mtu 1500")


def cable(vm):
    assert vm.mon.cmd("set_link card off") == ""
    assert " 0 packets received" in sh(vm, "ping -c 1 -w 2 10.0.2.2 || true")
    assert vm.mon.cmd("set_link card on") == ""
    sh(vm, "n=0; until ping -c 1 -w 2 10.0.2.2 >/dev/null; do n=$((n+1)); [ $n -lt 20 ] || false || break; done; [ $n -lt 20 ]")


def offloads(vm, net):
    """Whatever the card's driver can turn off and on: streams are whole in each case."""
    for state in "off", "on":
        sh(vm, f"for o in rx tx sg tso gso gro rxvlan txvlan; do ethtool -K eth0 $o {state} 2>/dev/null; done; true")
        assert f"generic-receive-offload: {state}" in sh(vm, "ethtool -k eth0")
        down(vm, net, MIB)
        upload(vm, net, MIB)


def resets(vm, net, seconds):
    """The driver resets the card over and over while streams run both ways; all is well afterwards."""
    with net.inside():
        source = socket.create_server(("127.0.0.1", 0))
        sink = socket.create_server(("127.0.0.1", 0))
    end = time.monotonic() + seconds

    def pour(server, sends):
        with server:
            server.settimeout(1)
            while time.monotonic() < end:
                with contextlib.suppress(OSError):
                    conn = server.accept()[0]
                    conn.settimeout(1)
                    with conn:
                        while time.monotonic() < end:
                            conn.sendall(bytes(1 << 16)) if sends else conn.recv(1 << 16) or time.sleep(0.05)

    threads = [threading.Thread(target=pour, args=a) for a in ((source, True), (sink, False))]
    for t in threads:
        t.start()
    sh(vm, "echo 1 >/tmp/go; "
           f"(while [ -e /tmp/go ]; do timeout 5 nc 10.0.2.2 {source.getsockname()[1]} </dev/null >/dev/null 2>&1; done) & "
           f"(while [ -e /tmp/go ]; do timeout 5 nc 10.0.2.2 {sink.getsockname()[1]} </dev/zero >/dev/null 2>&1; done) & true")
    count = 0
    while time.monotonic() < end:
        sh(vm, "ifconfig eth0 down; ifconfig eth0 up; route add default gw 10.0.2.2 dev eth0; sleep 0.2")
        count += 1
    sh(vm, "rm /tmp/go; wait", STEP * 2)
    for t in threads:
        t.join(LIMIT)
    assert count > 2
    down(vm, net, MIB)


def mac(vm):
    return re.search(r"^(\w\w:){5}\w\w", sh(vm, "cat /sys/class/net/eth0/address"), re.M)[0]


@pytest.mark.usefixtures("guests")
@pytest.mark.parametrize("card, size, seconds", [
    *(pytest.param(card, 8, 5, id=f"short-{card}") for card in ("e1000", "virtio-net-pci")),
    *(pytest.param(card, 256, 60, id=f"long-{card}", marks=pytest.mark.full) for card in ALL_CARDS)])
def test_matrix(net, card, size, seconds):
    with guest("-name", "matrix", card=card, program=net.program) as vm:
        ready(vm)
        assert "DHCP eth0 10.0.2.15" in dhcp(vm)
        assert "2 packets received" in sh(vm, "ping -c 2 -i 0.2 10.0.2.2")
        address = mac(vm)
        assert ADDRESS in sh(vm, f"nslookup {NAME} 10.0.2.3")
        assert "can't find" in sh(vm, "nslookup nonesuch.example.org 10.0.2.3 2>&1 || true")
        down(vm, net, size * MIB)
        upload(vm, net, size * MIB)
        with net.inside():
            crowd = Crowd()
        sh(vm, f"for n in $(seq 64); do (echo $n | nc 10.0.2.2 {crowd.port} >/tmp/c$n) & done; wait", STEP * 2)
        assert crowd.result() == b"all"
        assert re.search(r"^64$", sh(vm, "cat /tmp/c* | grep -c '^got '"), re.M)
        forwarded(vm, net, socket.AF_INET, "127.0.0.1", "")
        sh(vm, "while ! ip -6 addr show dev eth0 scope site | grep -v tentative | grep -q fec0; do sleep 0.2; done")
        v6 = re.search(r"fec0:[0-9a-f:]+", sh(vm, "ip -6 addr show dev eth0 scope site"))[0]
        forwarded(vm, net, socket.AF_INET6, "::1", f"[{v6}]")
        sizes(vm, net)
        cable(vm)
        offloads(vm, net)
        resets(vm, net, seconds)
        assert mac(vm) == address
        vm.mon.send("system_reset\n")
        ready(vm)
        assert mac(vm) == address
        assert "DHCP eth0 10.0.2.15" in dhcp(vm)
    with guest("-name", "matrix", card=card, program=net.program) as vm:
        ready(vm)
        assert mac(vm) == address


@pytest.mark.usefixtures("guests")
@pytest.mark.parametrize("how", ["-name image", "-uuid 12345678-1234-5678-1234-567812345678"])
def test_moved(how):
    """An image that is moved from one card to another finds the address that it had."""
    seen = []
    for card in "rtl8139", "virtio-net-pci":
        with guest(*how.split(), card=card) as vm:
            ready(vm)
            seen.append(mac(vm))
    assert seen[0] == seen[1] and seen[0] != "52:54:00:12:34:56"
