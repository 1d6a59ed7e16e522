"""Buses behind bridges, and cards that come and go in a root port's slot, in a real guest: Debian's kernel with pciehp."""
import os
import re

import pytest

import qmp
from test_hotplug import wait_guest
from test_network import dhcp, ready, sh
from test_uefi import CODE, FIRMWARE
from vm import STEP, VM, linux, run, wait_for

PORTS = [w for n in (1, 2, 3) for w in ("-device", f"pcie-root-port,id=rp{n},chassis=1,slot={n},addr=4.{n - 1}" + (",multifunction=on" if n == 1 else ""))]


def machine(*args, board="q35", **kw):
    return linux("amd64", "-M", board, "-m", "256", *args, initrd="initrd-amd64-plug", monitor=True, **kw)


@pytest.mark.usefixtures("guests")
@pytest.mark.parametrize("firmware", FIRMWARE)
def test_behind_bridges(tmp_path, firmware):
    """A card in a slot, with messages; one on a conventional bus two bridges away, with its pin."""
    if firmware == "ovmf" and not os.path.exists(CODE):
        pytest.skip("there is no OVMF")
    path, arg = qmp.address(tmp_path)
    with machine(*PORTS, *FIRMWARE[firmware], "-device", "virtio-net-pci,bus=rp1,netdev=n,romfile=", "-netdev", "user,id=n", "-device",
                 "pcie-pci-bridge,id=br,bus=rp2", "-device", "e1000,bus=br,addr=3,netdev=m,romfile=", "-netdev", "user,id=m",
                 "-qmp", arg) as vm, qmp.Qmp(path) as q:
        ready(vm)
        for card in "eth0", "eth1":
            assert "10.0.2.15" in dhcp(vm, card)
            assert "2 packets received" in sh(vm, "ping -c 2 -i 0.2 10.0.2.2")
            sh(vm, "ifconfig eth0 down")  # both are 10.0.2.15
        where = sh(vm, "cd /sys/class/net; readlink -f eth0/device; readlink -f eth1/device; cat /proc/interrupts")
        assert re.search(r"/0000:00:04\.0/0000:(\w\w):00\.0", where) and re.search(r"/0000:00:04\.1/0000:(\w\w):00\.0/0000:(\w\w):03\.0", where)
        assert len(re.findall(r"PCI-MSI.*virtio", where)) >= 2 and re.search(r"IO-APIC +\d+-fasteoi +eth1", where)
        log = sh(vm, "dmesg | grep -iE 'pciehp|_OSC|bridge window|BAR .*(no space|failed)'")
        assert "pciehp: Slot #3" in log and "OS now controls [PCIeHotplug PME PCIeCapability]" in log
        pci = vm.mon.cmd("info pci")
        assert re.search(r"  Bus  0, device   4, function 1:\n    PCI bridge: PCI device 1b36:000c\n      IRQ \d+, pin A\n      BUS 0\.\n"
                         r"      secondary bus \d+\.\n", pci)
        ports = [d for d in q.cmd("query-pci")[0]["devices"] if d["qdev_id"] == "rp1"]
        assert ports[0]["pci_bridge"]["devices"][0]["id"]["vendor"] == 0x1af4


@pytest.mark.usefixtures("guests")
def test_pci_bridge_on_pc():
    with machine("-device", "pci-bridge,id=br,chassis_nr=1", "-device", "e1000,bus=br,addr=5,netdev=m", "-netdev", "user,id=m",
                 board="pc") as vm:
        ready(vm)
        assert "10.0.2.15" in dhcp(vm)
        assert "does not support hotplugging" in vm.mon.cmd("device_add virtio-rng-pci,bus=br")


@pytest.mark.usefixtures("guests")
@pytest.mark.parametrize("firmware", ["none", "seabios"])
def test_hot_plug(tmp_path, firmware):
    """At the button the kernel waits for 5 s, turns the power of the card on, or lets go of it: it is gone."""
    path, arg = qmp.address(tmp_path)
    with machine(*PORTS, *FIRMWARE[firmware], "-netdev", "user,id=n", "-qmp", arg) as vm, qmp.Qmp(path) as q:
        ready(vm)
        for n, card in enumerate(("virtio-net-pci", "e1000")):
            assert vm.mon.cmd(f"device_add {card},bus=rp{n + 2},netdev=n,id=card,romfile=") == ""
            wait_guest(vm, "[ -e /sys/class/net/eth0 ]")
            assert "10.0.2.15" in dhcp(vm)
            assert "slot 0 of the port is taken" in vm.mon.cmd(f"device_add virtio-rng-pci,bus=rp{n + 2}")
            assert vm.mon.cmd("device_del card") == ""
            assert "already in the process of unplug" in vm.mon.cmd("device_del card")
            assert q.event("DEVICE_DELETED", STEP) == {"device": "card", "path": "/machine/peripheral/card"}
            wait_guest(vm, "[ ! -e /sys/class/net/eth0 ]")
        assert "does not support hotplugging" in vm.mon.cmd("device_add virtio-rng-pci,bus=pcie.0")
        assert "does not support hotplugging" in vm.mon.cmd("device_del rp1")


@pytest.mark.usefixtures("guests")
def test_saved(tmp_path):
    """What came is in the saved state, as long as whoever loads it gives the same card."""
    with machine(*PORTS, "-netdev", "user,id=n") as vm:
        ready(vm)
        assert vm.mon.cmd("device_add virtio-net-pci,bus=rp1,netdev=n,id=card,romfile=") == ""
        wait_guest(vm, "[ -e /sys/class/net/eth0 ]")
        vm.mon.cmd("stop")
        assert vm.mon.cmd(f"migrate file:{tmp_path}/state", STEP) == ""
    with machine(*PORTS, "-netdev", "user,id=n", "-device", "virtio-net-pci,bus=rp1,netdev=n,id=card,romfile=", "-incoming",
                 f"file:{tmp_path}/state") as vm:
        vm.send("\n")
        assert "10.0.2.15" in dhcp(vm)
        assert vm.mon.cmd("device_del card") == ""
        wait_for(lambda: 'id "card"' not in vm.mon.cmd("info qtree"), STEP)


def test_refusals():
    def refused(*args, says):
        p = run("-display", "none", "-M", "q35", *args)
        assert (p.returncode, p.stdout) == (1, "") and says in p.stderr, (args, p.stderr)

    port = ("-device", "pcie-root-port,id=rp1,chassis=1,slot=1")
    refused(*port, "-device", "pcie-root-port,chassis=1,slot=1", says="Can't add chassis slot, error -16")
    refused(*port, "-device", "pvpanic-pci,bus=rp1,addr=2", says="slot 2 is not valid for pvpanic-pci")
    refused("-device", "pvpanic-pci,bus=rp1", says="Bus 'rp1' not found")
    refused("-device", "pci-bridge", says="Bridge chassis not specified")
    refused("-device", "pci-bridge,chassis_nr=1,shpc=on", says="shpc=on")
