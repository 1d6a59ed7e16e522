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

from vm import GUESTS, LIMIT, PROMPT, STEP, VM, linux, run, wait_for

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


CARDS = ["e1000", "rtl8139", "ne2k_pci", "pcnet", "virtio-net-pci"]
ALL_CARDS = [*CARDS, "e1000-82545em"]


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


@pytest.mark.usefixtures("guests")
def test_default_card(tmp_path):
    """Without an option a machine has a card on a user network, as QEMU's; options about networks leave it out."""
    def cards(*args):
        p = run("-display", "none", "-S", "-serial", "null", "-monitor", "stdio", *args, input="info network\nquit\n")
        return [m[1] for m in re.finditer(r"model=(\S+),macaddr=", p.stdout)]

    assert cards() == ["e1000"] and cards("-device", "e1000") == ["e1000", "e1000"]
    for none in ("-nic none", "-net none", "-nodefaults", "-netdev user,id=n", "-icount shift=1"):
        assert cards(*none.split()) == [], none
    kernel = ("-kernel", f"{GUESTS}/vmlinuz-amd64", "-initrd", f"{GUESTS}/initrd-amd64-net", "-append", "console=ttyS0 quiet")
    vm = VM("-m", "256", *kernel, defaults=True)
    with vm:
        ready(vm)
        assert "DHCP eth0 10.0.2.15" in dhcp(vm)


def test_default_card_and_disk(tmp_path):
    """A disk that can be booted from goes first: nobody waits for the network."""
    from test_disks import boot_sector
    disk = tmp_path / "disk.img"
    disk.write_bytes(boot_sector(tmp_path, 1) + b"SECOND SECTOR\n\0".ljust(512, b"\0") + bytes(MIB))
    with VM("-hda", disk, "-device", "isa-debug-exit,iobase=0xf4", defaults=True) as vm:
        vm.expect("SECOND SECTOR", STEP)
        assert "iPXE" not in vm.serial.text or "DHCP" not in vm.serial.text


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


def two_guests(first, second, dump=None):
    """Two guests on one network of their own ping each other and copy a file; the sums agree."""
    extra = ["-object", f"filter-dump,id=d,netdev=n,file={dump}"] if dump else []
    with guest(net=f"socket,id=n,{first}", *extra) as a, guest("-name", "b", net=f"socket,id=n,{second}") as b:
        for vm, host in (a, 1), (b, 2):
            ready(vm)
            sh(vm, f"ifconfig eth0 192.168.9.{host} netmask 255.255.255.0 up")
        assert "2 packets received" in sh(a, "ping -c 2 -w 20 192.168.9.2")
        sh(b, "(sleep 99 | nc -l -p 7 >/tmp/in &) ; sleep 0.5; dd if=/dev/urandom of=/tmp/f bs=64k count=16 2>/dev/null")
        sum_ = sh(a, "dd if=/dev/urandom of=/tmp/f bs=64k count=32 2>/dev/null; nc 192.168.9.2 7 </tmp/f; md5sum /tmp/f")
        there = sh(b, "while [ $(stat -c %s /tmp/in) -lt 2097152 ]; do sleep 0.2; done; md5sum /tmp/in")
        assert re.findall(r"[0-9a-f]{32}", sum_) == re.findall(r"[0-9a-f]{32}", there)
        assert "type=socket" in a.mon.cmd("info network")
        if dump:
            a.mon.send("quit\n")
            a.wait()
            assert sum(map(len, packets(dump))) > 2 * MIB


def free_port(kind=socket.SOCK_STREAM):
    with socket.socket(socket.AF_INET, kind) as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def test_two_guests_tcp(tmp_path):
    port = free_port()
    two_guests(f"listen=127.0.0.1:{port}", f"connect=127.0.0.1:{port}", tmp_path / "dump")


def frame_of(n):
    return struct.pack(">I", 60) + bytes([0xff] * 6 + [2, 0, 0, 0, 0, 1, 0x88, 0xb5, n] + [0] * 45)


def test_socket_peer():
    """A stranger at the socket: frames in pieces arrive, nonsense ends the connection and nothing else."""
    port = free_port()
    with guest(net=f"socket,id=n,listen=127.0.0.1:{port}") as vm:
        ready(vm)
        sh(vm, "ifconfig eth0 up; sleep 0.3")
        before = int(sh(vm, "cat /sys/class/net/eth0/statistics/rx_packets").split()[-1])
        with socket.create_connection(("127.0.0.1", port), LIMIT) as s:
            data = b"".join(frame_of(n) for n in range(200))
            for at in range(0, len(data), 77):
                s.sendall(data[at:at + 77])
            sh(vm, f"while [ $(cat /sys/class/net/eth0/statistics/rx_packets) -lt {before + 200} ]; do sleep 0.1; done")
            s.sendall(b"\xff" * 100)
            s.settimeout(LIMIT)
            try:
                while s.recv(4096):
                    pass
            except ConnectionError:
                pass
        wait_for(lambda: "waiting" in vm.mon.cmd("info network"))
        with socket.create_connection(("127.0.0.1", port), LIMIT) as s:
            s.sendall(frame_of(1))
            sh(vm, f"while [ $(cat /sys/class/net/eth0/statistics/rx_packets) -lt {before + 201} ]; do sleep 0.1; done")


def test_ipv6():
    """The guest's address by router advertisement, ping and TCP, and a port of the host's ::1 that leads into it."""
    data = os.urandom(MIB)
    if not socket.has_ipv6 or not os.path.exists("/proc/net/if_inet6"):
        pytest.skip("this host has no IPv6")
    with guest() as vm:
        ready(vm)
        sh(vm, "ifconfig eth0 up")
        sh(vm, "while ! ip -6 addr show dev eth0 scope site | grep -v tentative | grep -q fec0; do sleep 0.2; done; sleep 1")
        assert "2 packets received" in sh(vm, "ping -6 -c 2 -w 20 fec0::2")
        addr = re.search(r"fec0:[0-9a-f:]+", sh(vm, "ip -6 addr show dev eth0 scope site"))[0]
        sh(vm, "(nc -l -p 7 >/tmp/in </dev/null &) ; sleep 0.5")
        port = free_port()
        reply = vm.mon.cmd(f"hostfwd_add n tcp:[::1]:{port}-[{addr}]:7")
        assert reply == ""
        with socket.create_connection(("::1", port), LIMIT) as s:
            s.sendall(data)
        got = sh(vm, "while [ $(stat -c %s /tmp/in) -lt 1048576 ]; do sleep 0.2; done; md5sum /tmp/in")
        assert hashlib.md5(data).hexdigest() in got


def test_restrict(tmp_path):
    """restrict=on: DHCP works, the host cannot be reached; guestfwd leads to a character device all the same."""
    port, path = free_port(), tmp_path / "sock"
    with socket.create_server(("127.0.0.1", port)), socket.socket(socket.AF_UNIX) as s:
        s.bind(str(path))
        s.listen()
        with guest("-chardev", f"socket,id=c,path={path}",
                   net="user,id=n,restrict=on,guestfwd=tcp:10.0.2.100:1234-chardev:c") as vm:
            conn, _ = s.accept()
            conn.settimeout(LIMIT)
            ready(vm)
            dhcp(vm)
            sh(vm, f"! nc -w 3 10.0.2.2 {port} </dev/null")
            vm.send("echo hello | nc -w 5 10.0.2.100 1234\n")
            assert conn.recv(6) == b"hello\n"
            conn.sendall(b"and back\n")
            vm.expect("^and back")


@pytest.mark.skipif(not os.path.exists("/usr/lib/ipxe/qemu/pxe-e1000.rom"), reason="package ipxe-qemu is not here")
@pytest.mark.parametrize("model", ["e1000", "ne2k_pci"] + [pytest.param(m, marks=pytest.mark.full) for m in ("rtl8139", "pcnet", "virtio")])
def test_pxe(tmp_path, model):
    """No disk: iPXE in the card's ROM gets a script and the kernel by the built-in TFTP, and the kernel starts."""
    shutil.copy(f"{GUESTS}/vmlinuz-amd64", tmp_path / "vmlinuz")
    shutil.copy(f"{GUESTS}/initrd-amd64", tmp_path / "initrd")
    (tmp_path / "boot.ipxe").write_text("#!ipxe\nkernel vmlinuz initrd=initrd console=ttyS0 quiet do=poweroff\n"
                                        "initrd initrd\nboot\n")
    with VM("-m", "256", "-nic", f"user,model={model},tftp={tmp_path},bootfile=boot.ipxe", "-boot", "n") as vm:
        vm.expect("DOPPEL-POWEROFF", STEP * 3)
        assert vm.wait() == 0


def test_hot_netdev():
    """netdev_add and netdev_del while the guest runs; a card whose network is gone sends into nothing."""
    with guest() as vm:
        ready(vm)
        dhcp(vm)
        for n in range(10):
            assert vm.mon.cmd("netdev_add user,id=x") == ""
            assert "taken" in vm.mon.cmd("netdev_add user,id=x")
            assert vm.mon.cmd("netdev_del x") == ""
        assert vm.mon.cmd("netdev_del n") == ""
        assert " 0 packets received" in sh(vm, "ping -c 1 -w 2 10.0.2.2 || true")
        assert "not found" in vm.mon.cmd("netdev_del n")
