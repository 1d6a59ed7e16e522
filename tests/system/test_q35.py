"""The board q35: Linux on it by itself, through SeaBIOS, from its AHCI disk; what memory looks like."""
import re

import pytest

from vm import BOOT, GUESTS, PROMPT, STEP, VM, linux, run


def ask(vm, line, pattern, limit=STEP):
    vm.send(line + "\n")
    return vm.expect(pattern, limit)


def clean(vm):
    """Nothing that the kernel finds wrong with tables, routes or windows."""
    vm.send("dmesg | grep -iE 'acpi|pci|ahci|mcfg' | grep -ciE 'error|fail|bug:|conflict|no compatible|not reserved'\n")
    vm.expect(r"^0$")


@pytest.mark.parametrize("firmware", [False, True])
def test_linux(firmware, tmp_path):
    disk = tmp_path / "disk.img"
    disk.write_bytes(b"This is sector 0".ljust(512, b"\0") + bytes(1 << 20))
    args = ["-M", "q35", "-m", "512", "-smp", "2", "-drive", f"file={disk},format=raw"]
    args += ["-vga", "std"] if firmware else ["-vga", "none"]
    with linux("amd64", *args, initrd="initrd-amd64-disks") as vm:
        vm.expect(PROMPT, BOOT)
        clean(vm)
        ask(vm, "dmesg | grep -c 'MMCONFIG at .mem 0xb0000000-0xbfffffff. reserved'", r"^1$")
        ask(vm, "head -c 16 /dev/sda", r"This is sector 0")
        ask(vm, "cat /sys/bus/pci/devices/0000:00:1f.2/irq /proc/interrupts | grep -c ahci", r"^1$")
        ask(vm, "wc -c < /sys/bus/pci/devices/0000:00:00.0/config", r"^(256|4096)$")
        vm.send("poweroff -f\n")
        assert vm.wait(STEP) == 0


def test_pic_mode():
    """Without the I/O APIC the routes of the PIC count."""
    with linux("amd64", "-M", "q35", "-vga", "none", "-m", "256", append="noapic nolapic",
               initrd="initrd-amd64-disks") as vm:
        vm.expect(PROMPT, BOOT)
        clean(vm)


def test_power_button():
    with linux("amd64", "-M", "q35", "-vga", "none", monitor=True) as vm:
        vm.expect(PROMPT, BOOT)
        ask(vm, "dmesg | grep -c 'ACPI: PM: (supports S0 S5)'", r"^1$")
        before = vm.mon.cmd("i/2hx 0x600")
        vm.mon.cmd("system_powerdown")
        assert "registers" not in before
        vm.send("reboot -f\n")
        vm.expect(PROMPT, BOOT)


@pytest.mark.parametrize("size, low", [("2G", 0x80000000), ("2816M", 0x80000000), ("2560M", 0xa0000000), ("8G", 0x80000000),
                                       ("64G", 0x80000000)])
def test_memory(size, low):
    """Where RAM ends below 4 GiB, and that the rest is above."""
    with VM("-M", "q35", "-S", "-m", size, "-vga", "none", monitor=True) as vm:
        tree = vm.mon.cmd("info mtree")
        last = re.findall(r"-([0-9a-f]{16}).*ram-below-4g", tree)
        assert last and int(last[-1], 16) + 1 == low, tree
        assert ("ram-above-4g" in tree) == (size not in ("2G", "2560M")), tree


@pytest.mark.parametrize("index", [0, 5])
def test_bios_disk(index, tmp_path):
    """SeaBIOS starts a disk on a port of the AHCI controller."""
    disk = tmp_path / "disk.img"
    code = bytes.fromhex("baf803b051ee" "b00aee" "f4ebfd")  # "Q" and a new line to COM1
    disk.write_bytes(code.ljust(510, b"\0") + b"\x55\xaa" + bytes(1 << 20))
    with VM("-drive", f"file={disk},format=raw,index={index}", "-M", "q35", monitor=True) as vm:
        vm.expect(r"^Q$", BOOT)
        assert f"ide{index}-hd0" in vm.mon.cmd("info block") and "ide2-cd0" in vm.mon.cmd("info block")


@pytest.mark.parametrize("args, text", [
    (["-M", "q35", "-drive", "if=ide,bus=6,unit=0"], "does not support if=ide,bus=6,unit=0"),
    (["-M", "q35", "-drive", "if=ide,bus=0,unit=1"], "does not support if=ide,bus=0,unit=1"),
    (["-M", "pc-q35-x"], "unknown machine type 'pc-q35-x'"),
    (["-M", "q35", "-device", "ich9-usb-ehci1"], "there is no device model 'ich9-usb-ehci1'"),
])
def test_refused(args, text):
    r = run("-display", "none", *args)
    assert r.returncode == 1 and text in r.stderr, r.stderr


def test_bus():
    """Cards are on pcie.0, and do not come later."""
    with VM("-M", "q35", "-S", "-device", "virtio-rng-pci,bus=pcie.0,addr=5", monitor=True) as vm:
        assert "device   5" in vm.mon.cmd("info pci")
        assert "Bus 'pcie.0' does not support hotplugging" in vm.mon.cmd("device_add virtio-rng-pci")
    r = run("-display", "none", "-M", "q35", "-device", "virtio-rng-pci,bus=pci.0")
    assert r.returncode == 1 and "Bus 'pci.0' not found" in r.stderr


def test_usb():
    """-usb is the ICH9's controllers, at the places and pins that QEMU's board has."""
    with VM("-M", "q35", "-S", "-usbdevice", "tablet", monitor=True) as vm:
        pci = vm.mon.cmd("info pci")
        for function, device in enumerate((0x2934, 0x2935, 0x2936)):
            assert re.search(rf"device  29, function {function}:\n +USB controller: PCI device 8086:{device:x}\n"
                             rf"(?:.*\n)?.*IRQ 0, pin {'ABC'[function]}", pci), pci
        assert "Product USB Tablet" in vm.mon.cmd("info usb").replace("QEMU ", "").replace("doppel ", "")


@pytest.mark.full
def test_linux_usb():
    with linux("amd64", "-M", "q35", "-vga", "none", "-usbdevice", "tablet", initrd="initrd-amd64-usb") as vm:
        vm.expect(PROMPT, BOOT)
        clean(vm)
        ask(vm, "i=0; while ! grep -q Tablet /proc/bus/input/devices && [ $i -lt 100 ]; do sleep 1; i=$((i+1)); done; "
            "grep -c Tablet /proc/bus/input/devices", r"^1$", 2 * STEP)
        ask(vm, "ls /sys/bus/pci/drivers/uhci_hcd | grep -c 0000:00:1d", r"^3$")


def test_names():
    names = run("-machine", "help").stdout
    assert "q35 " in names and "pc-q35-7.2 " in names and "pc-i440fx-2.0 " in names
    for name in ("pc-q35-7.2", "pc-q35-2.4", "pc-i440fx-2.0"):
        with VM("-M", name, "-S", monitor=True) as vm:
            assert ("mch" in vm.mon.cmd("info qtree")) == ("q35" in name)
