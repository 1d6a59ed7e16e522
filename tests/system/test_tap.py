"""Taps, bridges, streams and datagrams: machines and the host on one network, in a network namespace of the test's own."""
import hashlib
import os
import re
import subprocess
import sys

import pytest

from test_network import guest, ready, sh
from vm import DOPPEL, LIMIT, ROOT, STEP, VM, linux, run, wait_for

SCRIPTS = os.path.join(ROOT, "scripts", "network")


ECHO = """
import socket
s = socket.create_server(("", 99))
print("ready", flush=True)
c = s.accept()[0]
while data := c.recv(1 << 16):
    c.sendall(data)
"""


class Namespace:
    """A network of the host's that nobody else sees, with the loopback alone."""

    def __init__(self, folder):
        self.name = f"doppel-{os.getpid()}"
        subprocess.run(["ip", "netns", "add", self.name], check=True)
        self.program = str(folder / "in-namespace")
        with open(self.program, "w") as f:
            f.write(f'#!/bin/sh\nexec ip netns exec {self.name} {DOPPEL} "$@"\n')
        os.chmod(self.program, 0o755)

    def run(self, *args, check=True):
        return subprocess.run(["ip", "netns", "exec", self.name, *args], check=check, capture_output=True, text=True,
                              timeout=STEP).stdout

    def guest(self, net, address, *args, card="virtio-net-pci", **kw):
        vm = guest("-name", address, *args, net=net, card=card, program=self.program, **kw)
        return vm


@pytest.fixture
def ns(tmp_path):
    n = Namespace(tmp_path)
    yield n
    subprocess.run(["ip", "netns", "del", n.name], check=True)


def up(vm, address):
    ready(vm)
    sh(vm, f"ifconfig eth0 {address} netmask 255.255.255.0 up")


@pytest.mark.usefixtures("guests")
def test_bridge(ns, tmp_path):
    """Two guests and the host in a bridge: one by our script, one by -netdev bridge; large packets both ways."""
    env = {**os.environ, "DOPPEL_BRIDGE": "brt", "DOPPEL_ADDRESS": "192.168.77.1/24"}
    tap = f"tap,id=n,ifname=dtap0,script={SCRIPTS}/bridge-up,downscript={SCRIPTS}/bridge-down,vhost=on"
    with ns.guest(tap, "a", env=env) as a, ns.guest("bridge,id=n,br=brt", "b", card="e1000") as b:
        assert a.stderr().count("vhost=on has no effect") == 1
        up(a, "192.168.77.2")
        up(b, "192.168.77.3")
        assert "ifname=dtap0" in a.mon.cmd("info network") and "br=brt" in b.mon.cmd("info network")
        assert "2 packets received" in sh(a, "ping -c 2 -w 20 192.168.77.1")
        assert "2 packets received" in sh(b, "ping -c 2 -w 20 -s 6000 192.168.77.1")
        assert "2 packets received" in sh(a, "ping -c 2 -w 20 192.168.77.3")
        for one, other, host in (a, b, 3), (b, a, 2):
            sh(other, "rm -f /tmp/in; (sleep 99 | nc -l -p 7 >/tmp/in &) ; sleep 0.5")
            sum_ = sh(one, f"dd if=/dev/urandom of=/tmp/f bs=64k count=64 2>/dev/null; nc 192.168.77.{host} 7 </tmp/f; md5sum /tmp/f")
            there = sh(other, "while [ $(stat -c %s /tmp/in) -lt 4194304 ]; do sleep 0.2; done; md5sum /tmp/in")
            assert re.findall(r"[0-9a-f]{32}", sum_) == re.findall(r"[0-9a-f]{32}", there)
        a.p.kill()  # the script for the end runs all the same
        wait_for(lambda: "dtap0" not in ns.run("ip", "link", "show", "master", "brt"))


@pytest.mark.usefixtures("guests")
@pytest.mark.parametrize("extra", ["", ",vnet_hdr=off"])
def test_host(ns, extra):
    """TCP between host and guest over a routed tap, with the kernel's offloads and without."""
    env = {**os.environ, "DOPPEL_GUEST": "192.168.78.2", "DOPPEL_HOST": "192.168.78.1"}
    tap = f"tap,id=n,script={SCRIPTS}/route-up,downscript={SCRIPTS}/route-down{extra}"
    with ns.guest(tap, "a", env=env) as vm:
        ready(vm)
        sh(vm, "ifconfig eth0 192.168.78.2 netmask 255.255.255.255 up; route add -host 192.168.78.1 dev eth0")
        assert "2 packets received" in sh(vm, "ping -c 2 -w 20 192.168.78.1")
        host = subprocess.Popen(["ip", "netns", "exec", ns.name, sys.executable, "-c", ECHO], stdout=subprocess.PIPE, text=True)
        assert host.stdout.readline() == "ready\n"
        sum_ = sh(vm, "dd if=/dev/urandom of=/tmp/f bs=64k count=64 2>/dev/null; (cat /tmp/f; sleep 4) | nc 192.168.78.1 99 | "
                      "dd bs=64k count=64 iflag=fullblock 2>/dev/null | md5sum; md5sum /tmp/f")
        one, two = re.findall(r"[0-9a-f]{32}", sum_)
        assert one == two
        host.kill()
        host.wait()


SEND = '''
import socket, sys
s = socket.create_server(("", 98))
print("ready", flush=True)
c = s.accept()[0]
c.sendall(bytes(range(256)) * 65536)
'''


@pytest.mark.usefixtures("guests")
@pytest.mark.parametrize("vnet", ["on", "off"])
def test_queues(ns, vnet):
    """Two queues and two processors; large packets for the guest where there is a header for them, none where not."""
    env = {**os.environ, "DOPPEL_GUEST": "192.168.78.2", "DOPPEL_HOST": "192.168.78.1"}
    tap = f"tap,id=n,queues=2,vnet_hdr={vnet},script={SCRIPTS}/route-up,downscript={SCRIPTS}/route-down"
    with ns.guest(tap, "a", "-smp", "2", card="virtio-net-pci,mq=on", env=env) as vm:
        ready(vm)
        sh(vm, "ifconfig eth0 192.168.78.2 netmask 255.255.255.255 up; route add -host 192.168.78.1 dev eth0")
        assert re.findall(r"[rt]x-\d", sh(vm, "echo /sys/class/net/eth0/queues/*")) == ["rx-0", "rx-1", "tx-0", "tx-1"]
        assert {"virtio0-input.1", "virtio0-output.1"} <= set(sh(vm, "cat /proc/interrupts").split())
        host = subprocess.Popen(["ip", "netns", "exec", ns.name, sys.executable, "-c", SEND], stdout=subprocess.PIPE, text=True)
        assert host.stdout.readline() == "ready\n"
        assert hashlib.md5(bytes(range(256)) * 65536).hexdigest() in sh(vm, "nc 192.168.78.1 98 </dev/null | md5sum")
        host.wait()
        size = sh(vm, "cd /sys/class/net/eth0/statistics; echo $(($(cat rx_bytes) / $(cat rx_packets))).; cd /")
        assert (int(re.search(r"^(\d+)\.", size, re.M)[1]) > 3000) == (vnet == "on"), size
        for n in range(8):  # flows spread over both queues
            sh(vm, f"ping -c 1 -w 9 -s {n * 8} 192.168.78.1")


def test_refused(ns, tmp_path):
    for arg, says in (("tap,id=n,ifname=a-name-that-is-too-long,script=no", "too long"),
                      ("tap,id=n,fd=77", "is not an open descriptor"), ("tap,id=n,fd=0", "is no tap"),
                      ("tap,id=n,fds=77:78", "fd=77 is not"), ("tap,id=n,queues=0", "queues"), ("tap,id=n,queues=17", "queues"),
                      ("tap,id=n,queues=2,fd=0", "queues= is not for"),
                      ("tap,id=n,fd=0,ifname=x", "ifname= is not for fd="), ("tap,id=n,script=/bin/false", "status 1"),
                      ("bridge,id=n,br=nonesuch", "nonesuch"), ("bridge,id=n,helper=/bin/false", "/bin/false failed"),
                      ("stream,id=n", "addr.type="), ("stream,id=n,addr.type=x", "want inet, unix or fd"),
                      ("stream,id=n,addr.type=inet,addr.host=127.0.0.1,addr.port=1,server=on,reconnect=1", "reconnect="),
                      ("stream,id=n,addr.type=unix", "addr.path="), ("dgram,id=n", "remote.type="),
                      ("dgram,id=n,remote.type=inet,remote.host=127.0.0.1,remote.port=1", "local.type=inet"),
                      ("dgram,id=n,local.type=fd,local.str=99", "not an open")):
        p = run("-S", "-display", "none", "-netdev", arg, name=ns.program)
        assert p.returncode == 1 and says in p.stderr and p.stderr.count("\n") == 1, (arg, p.stderr)
    with VM("-S", monitor=True) as vm:
        assert "confined" in vm.mon.cmd("netdev_add tap,id=n,script=no")


@pytest.mark.usefixtures("guests")
def test_stream_comes_back(tmp_path):
    """The client is there first, and finds its server again when that has gone."""
    path = tmp_path / "s"
    server, client = [f"stream,id=n,addr.type=unix,addr.path={path},{x}" for x in ("server=on", "reconnect=1")]
    with guest(net=client) as a:
        up(a, "192.168.9.1")
        for _ in range(2):
            with guest("-name", "b", net=server) as b:
                up(b, "192.168.9.2")
                assert "2 packets received" in sh(b, "ping -c 2 -i 0.2 -w 20 192.168.9.1")
                b.mon.send("quit\n")
                b.wait()
            wait_for(lambda: "not connected" in a.mon.cmd("info network"))
