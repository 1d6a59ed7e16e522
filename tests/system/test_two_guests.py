"""Two guests with a card on each kind of network that joins machines: they ping each other, and copy files both ways.

All of it happens in a network namespace of the test's own. One pair of guests serves all networks.
"""
import contextlib
import os
import re
import socket
import subprocess

import pytest

from test_network import MIB, ready, sh
from test_tap import SCRIPTS, Namespace
from vm import STEP, linux, wait_for

ONE, TWO = "127.0.0.1", "127.0.0.2"


def inet(kind, at, port):
    return f"{kind}.type=inet,{kind}.host={at},{kind}.port={port}"


def networks(d, fds):
    """Each network by name: what the first guest and what the second one says after -netdev, less the id."""
    mcast = f"dgram,{inet('remote', '230.0.0.2', 9102)},{inet('local', ONE, 0)}"
    return {
        "socket-tcp": (f"socket,listen={ONE}:9001", f"socket,connect={ONE}:9001"),
        "socket-udp": (f"socket,udp={ONE}:9003,localaddr={ONE}:9002", f"socket,udp={ONE}:9002,localaddr={ONE}:9003"),
        "socket-mcast": (f"socket,mcast=230.0.0.1:9101,localaddr={ONE}",) * 2,
        "socket-fd": tuple(f"socket,fd={s.fileno()}" for s in fds[0]),
        "stream-inet": (f"stream,server=on,{inet('addr', ONE, 9004)}", f"stream,{inet('addr', ONE, 9004)}"),
        "stream-unix": (f"stream,server=on,addr.type=unix,addr.path={d}/s", f"stream,addr.type=unix,addr.path={d}/s"),
        "stream-reconnect": (f"stream,reconnect=1,addr.type=unix,addr.path={d}/r",
                             f"stream,server=on,addr.type=unix,addr.path={d}/r"),
        "stream-fd": tuple(f"stream,addr.type=fd,addr.str={s.fileno()}" for s in fds[1]),
        "dgram-inet": tuple(f"dgram,{inet('local', ONE, a)},{inet('remote', ONE, b)}" for a, b in ((9005, 9006), (9006, 9005))),
        "dgram-unix": tuple(f"dgram,local.type=unix,local.path={d}/{a},remote.type=unix,remote.path={d}/{b}"
                            for a, b in ("xy", "yx")),
        "dgram-mcast": (mcast, mcast),
        "dgram-fd": tuple(f"dgram,local.type=fd,local.str={s.fileno()}" for s in fds[2]),
        "tap-bridge": (f"tap,ifname=dtap0,script={SCRIPTS}/bridge-up,downscript={SCRIPTS}/bridge-down", "bridge,br=brt"),
        "hub": (f"socket,listen={ONE}:9007", f"socket,connect={ONE}:9007"),
    }


NAMES = list(networks("", [(socket.socket(), socket.socket())] * 3))
CARDS = ["virtio-net-pci", "e1000", "rtl8139", "pcnet", "ne2k_pci"]


def machine(ns, name, nets, end, fds, env):
    """A guest with a card on each network: its n-th has the addresses 192.168.(10+n).*; on the hub are two."""
    args = ["-m", "256", "-name", name]
    for n, (net, ends) in enumerate(nets.items()):
        args += ["-netdev", f"{ends[end]},id={net}", "-device",
                 f"{CARDS[(n + end) % len(CARDS)]},netdev={'h' if net == 'hub' else net},id=c{n},addr={4 + n:x},romfile="]
    args += ["-netdev", "hubport,id=h,hubid=1", "-netdev", "hubport,id=hn,hubid=1,netdev=hub"]
    return linux("amd64", *args, initrd="initrd-amd64-net", monitor=True, program=ns.program, env=env,
                 pass_fds=[pair[end].fileno() for pair in fds])


@pytest.fixture(scope="module")
def pair(guests, tmp_path_factory):
    d = tmp_path_factory.mktemp("net")
    ns = Namespace(d)
    fds = [socket.socketpair(socket.AF_UNIX, kind) for kind in (socket.SOCK_STREAM, socket.SOCK_STREAM, socket.SOCK_DGRAM)]
    nets = networks(d, fds)
    env = {**os.environ, "DOPPEL_BRIDGE": "brt"}
    try:
        ns.run("ip", "link", "set", "lo", "up", "multicast", "on")
        ns.run("ip", "route", "add", "224.0.0.0/4", "dev", "lo")
        with contextlib.ExitStack() as stack:
            vms = [stack.enter_context(machine(ns, name, nets, end, fds, env)) for end, name in enumerate("ab")]
            for end, vm in enumerate(vms):
                ready(vm)
                for n in range(len(nets)):  # names go by the order of the drivers: by the slot, then
                    sh(vm, f"e=$(echo /sys/bus/pci/devices/0000:00:{4 + n:02x}.0/net/* "
                           f"/sys/bus/pci/devices/0000:00:{4 + n:02x}.0/virtio*/net/* | tr ' ' '\\n' | grep -v '[*]'); "
                           f"ifconfig ${{e##*/}} 192.168.{10 + n}.{end + 1} netmask 255.255.255.0 up")
            yield vms
    finally:
        for s in sum(fds, ()):
            s.close()
        subprocess.run(["ip", "netns", "del", ns.name], check=True)


@pytest.mark.parametrize("net", NAMES)
def test_network(pair, net):
    n = NAMES.index(net)
    assert re.search(rf"^.*\b{net}\b.*type={'socket' if net == 'hub' else net.split('-')[0]}", pair[0].mon.cmd("info network"), re.M)
    for end in 0, 1:
        here, there, address = pair[end], pair[1 - end], f"192.168.{10 + n}.{2 - end}"
        assert "3 packets received" in sh(here, f"ping -c 3 -i 0.2 -w 20 {address}")
        assert "2 packets received" in sh(here, f"ping -c 2 -i 0.2 -w 20 -s 4000 {address}")
        sh(there, "rm -f /tmp/in; (sleep 99 | nc -l -p 7 >/tmp/in &) ; while ! netstat -ltn | grep -q ':7 '; do sleep 0.1; done")
        sum_ = sh(here, f"dd if=/dev/urandom of=/tmp/f bs=64k count=16 2>/dev/null; nc {address} 7 </tmp/f; md5sum /tmp/f")
        got = sh(there, f"while [ $(stat -c %s /tmp/in) -lt {MIB} ]; do sleep 0.1; done; md5sum /tmp/in")
        assert re.findall(r"[0-9a-f]{32}", sum_) == re.findall(r"[0-9a-f]{32}", got)


def test_cut(pair):
    """set_link at one end of one network: that one stands still, the next one does not, and both go on afterwards."""
    a, b = pair
    assert a.mon.cmd("set_link c0 off") == ""
    assert " 0 packets received" in sh(b, "ping -c 2 -w 2 192.168.10.1 || true")
    assert "1 packets received" in sh(b, "ping -c 1 -w 9 192.168.11.1")
    assert a.mon.cmd("set_link c0 on") == ""
    wait_for(lambda: "1 packets received" in sh(b, "ping -c 1 -w 2 192.168.10.1 || true"), STEP)
