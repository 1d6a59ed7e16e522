"""Networks in a real guest: Debian's kernel with its own drivers, busybox's tools.

What the guest sends and gets is compared with what the host sees, by sums and by the packets that filter-dump wrote.
"""
import hashlib
import os
import re
import shutil
import socket
import struct
import subprocess
import threading

import pytest

from vm import LIMIT, PROMPT, SLOW, STEP, linux, wait_for

MIB = 1 << 20


class Host:
    """A TCP server of the host: sends `data` to whoever connects, or collects what comes."""

    def __init__(self, data=None, family=socket.AF_INET):
        self.sock = socket.create_server(("::1" if family == socket.AF_INET6 else "127.0.0.1", 0), family=family)
        self.port = self.sock.getsockname()[1]
        self.data, self.got = data, None
        self.thread = threading.Thread(target=self.serve, daemon=True)
        self.thread.start()

    def serve(self):
        conn, _ = self.sock.accept()
        conn.settimeout(STEP)
        with conn:
            if self.data is not None:
                conn.sendall(self.data)
                return
            parts = []
            while part := conn.recv(1 << 16):
                parts.append(part)
            self.got = b"".join(parts)

    def result(self):
        self.thread.join(STEP)
        assert self.got is not None
        return self.got


def guest(*args, card="e1000", net="user,id=n", monitor=True, **kw):
    return linux("amd64", "-m", "256", "-netdev", net, "-device", f"{card},netdev=n,id=card", *args,
                 initrd="initrd-amd64-net", monitor=monitor, **kw)


def sh(vm, command, limit=STEP):
    """What a command of the guest's shell writes."""
    start = vm.serial.at
    vm.send(command + "; echo rc$?.\n")
    m = vm.expect(r"^rc(\d+)\.$", limit)
    text = vm.serial.text[start:m.start()]
    assert m[1] == "0", f"{command}: {m[1]}\n{text}"
    return text[text.index("\n") + 1:]


def ready(vm):
    vm.expect("DOPPEL-READY", STEP * 3)
    vm.expect(PROMPT)


def dhcp(vm, iface="eth0"):
    return sh(vm, f"ifconfig {iface} up && udhcpc -n -q -t 8 -i {iface} -s /etc/udhcpc.sh")


def packets(path):
    """The frames of a pcap file; its times do not run backwards."""
    data = path.read_bytes()
    magic, major, minor, _, _, snap, link = struct.unpack("<IHHiIII", data[:24])
    assert (magic, major, minor, link) == (0xa1b2c3d4, 2, 4, 1)
    at, frames, before = 24, [], 0
    while at < len(data):
        sec, usec, kept, full = struct.unpack("<IIII", data[at:at + 16])
        assert kept == min(full, snap) and sec * 10**6 + usec >= before
        before = sec * 10**6 + usec
        frames.append(data[at + 16:at + 16 + kept])
        at += 16 + kept
    assert at == len(data)
    return frames


CARDS = ["e1000"]


@pytest.mark.parametrize("card", CARDS)
def test_card(tmp_path, card):
    """DHCP, ping, TCP each way, a forwarded port, and a dump that tshark finds nothing wrong with."""
    data = os.urandom(4 * MIB)
    down, up = Host(data), Host()
    with guest("-object", f"filter-dump,id=d,netdev=n,file={tmp_path}/dump", card=card,
               net="user,id=n,hostname=guesty,domainname=example.org,dnssearch=a.example,dnssearch=b.example,"
                   "dhcpstart=10.0.2.20") as vm:
        ready(vm)
        text = dhcp(vm)
        assert "DHCP eth0 10.0.2.20 gw 10.0.2.2 dns 10.0.2.3 host guesty domain example.org" in text
        assert "3 packets received" in sh(vm, "ping -c 3 -i 0.2 10.0.2.2")
        assert "2 packets received" in sh(vm, "ping -c 2 -i 0.2 -s 4000 10.0.2.2")  # fragments
        sum_ = sh(vm, f"nc 10.0.2.2 {down.port} </dev/null | md5sum", STEP * 2)
        assert hashlib.md5(data).hexdigest() in sum_
        sum_ = sh(vm, f"dd if=/dev/urandom of=/tmp/f bs=64k count=64 2>/dev/null; nc 10.0.2.2 {up.port} </tmp/f; "
                      "md5sum /tmp/f", STEP * 2)
        got = up.result()
        assert len(got) == 4 * MIB and hashlib.md5(got).hexdigest() in sum_

        with socket.create_server(("127.0.0.1", 0)) as free:
            port = free.getsockname()[1]
        assert vm.mon.cmd(f"hostfwd_add tcp:127.0.0.1:{port}-:7") == ""
        assert f" {port} " in vm.mon.cmd("info usernet")
        sh(vm, "(nc -l -p 7 >/tmp/in </dev/null &) ; sleep 0.5")
        with socket.create_connection(("127.0.0.1", port), LIMIT) as s:
            s.sendall(data[:MIB])
        sum_ = sh(vm, "while [ $(stat -c %s /tmp/in) -lt 1048576 ]; do sleep 0.2; done; md5sum /tmp/in")
        assert hashlib.md5(data[:MIB]).hexdigest() in sum_
        assert "removed" in vm.mon.cmd(f"hostfwd_remove tcp:127.0.0.1:{port}")
        assert "not found" in vm.mon.cmd(f"hostfwd_remove tcp:127.0.0.1:{port}")
        assert socket.socket().connect_ex(("127.0.0.1", port)) != 0
        mac = sh(vm, "cat /sys/class/net/eth0/address").split()[-1]
        assert f"macaddr={mac}\n" in vm.mon.cmd("info network")
        vm.mon.send("quit\n")
        assert vm.wait() == 0
    frames = packets(tmp_path / "dump")
    assert sum(len(f) for f in frames) > 9 * MIB
    assert max(map(len, frames)) <= 1514
    if shutil.which("tshark"):
        bad = subprocess.run(["tshark", "-r", tmp_path / "dump", "-o", "tcp.check_checksum:TRUE", "-o",
                              "ip.check_checksum:TRUE", "-o", "udp.check_checksum:TRUE", "-Y",
                              "_ws.malformed or tcp.checksum_bad.expert or ip.checksum_bad.expert or "
                              "udp.checksum.bad"], capture_output=True, text=True, timeout=STEP)
        assert (bad.returncode, bad.stdout) == (0, ""), bad.stdout[:500] + bad.stderr


def test_link():
    """set_link on either end: the driver sees the cable, and traffic goes on when it is back."""
    with guest() as vm:
        ready(vm)
        dhcp(vm)
        for name in "card", "n":
            assert vm.mon.cmd(f"set_link {name} off") == ""
            sh(vm, "while [ $(cat /sys/class/net/eth0/carrier) = 1 ]; do sleep 0.1; done")
            assert "link=off" in vm.mon.cmd("info network")
            assert vm.mon.cmd(f"set_link {name} on") == ""
            sh(vm, "while [ $(cat /sys/class/net/eth0/carrier) = 0 ]; do sleep 0.1; done")
            assert "1 packets received" in sh(vm, "ping -c 1 -w 10 10.0.2.2")
        assert "not found" in vm.mon.cmd("set_link nonesuch off")


def test_addresses():
    """The user's address is kept; else it is made of the name or the uuid, the same at each start."""
    def macs(*args):
        with linux("amd64", "-S", *args, "-nic", "user", "-nic", "user", monitor=True) as vm:
            return re.findall(r"macaddr=(\S+)", vm.mon.cmd("info network"))

    one, two = macs("-name", "one"), macs("-name", "two")
    assert len(set(one + two)) == 4 and macs("-name", "one") == one
    uuid = macs("-name", "one", "-uuid", "12345678-1234-5678-1234-567812345678")
    assert not set(uuid) & set(one)
    assert macs() == ["52:54:00:12:34:56", "52:54:00:12:34:57"]
