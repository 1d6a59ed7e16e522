"""What a guest finds out by ACPI tables and fw_cfg: tables of the user's, the generation ID, where notes for dumps go."""
import os
import re
import struct

import pytest

import qmp
from test_network import ready, sh
from test_uefi import CODE, FIRMWARE
from vm import STEP, linux, wait_for

pytestmark = pytest.mark.usefixtures("guests")
GUID = "324e6eaf-d1d1-4bf6-bf41-b9bb6c91fb87"
OTHER = "00112233-4455-6677-8899-aabbccddeeff"


def hexdump(vm, path):
    return bytes.fromhex(re.sub(r"[^0-9a-f]", "", sh(vm, f"hexdump -v -e '1/1 \"%02x\"' {path}; echo").splitlines()[-1]))


@pytest.mark.parametrize("board", ["pc", "q35"])
@pytest.mark.parametrize("firmware", FIRMWARE)
def test_tables(tmp_path, board, firmware):
    """A table by its body and one by its whole, which gets a checksum; the generation ID's device has a driver."""
    if firmware == "ovmf" and not os.path.exists(CODE):
        pytest.skip("there is no OVMF")
    (tmp_path / "body").write_bytes(b"hello, ")
    (tmp_path / "more").write_bytes(b"table")
    whole = b"WXYZ" + struct.pack("<IBB6s8sI4sI", 40, 7, 99, b"OEM", b"TABLE", 3, b"COMP", 4) + b"data"
    (tmp_path / "whole").write_bytes(whole)
    with linux("amd64", "-M", board, "-device", f"vmgenid,guid={GUID}", "-acpitable",
               f"sig=ABCD,rev=2,oem_id=MINE,oem_rev=5,data={tmp_path}/body:{tmp_path}/more", "-acpitable",
               f"file={tmp_path}/whole,asl_compiler_id=OTHR", *FIRMWARE[firmware], monitor=True) as vm:
        ready(vm)
        t = hexdump(vm, "/sys/firmware/acpi/tables/ABCD")
        assert t[:9] + t[10:] == b"ABCD" + struct.pack("<IB6s8sI4sI", 48, 2, b"MINE", b"QEMUQEMU", 5, b"QEMU", 1) + b"hello, table"
        assert sum(t) % 256 == 0
        t = hexdump(vm, "/sys/firmware/acpi/tables/WXYZ")
        want = whole.replace(b"COMP", b"OTHR")
        assert t[:9] + t[10:] == want[:9] + want[10:] and sum(t) % 256 == 0
        assert vm.mon.cmd("info vm-generation-id") == GUID + "\n"
        assert "QEMUVGID:00" in sh(vm, "ls /sys/bus/acpi/drivers/vmgenid")
        assert "ACPI Error" not in sh(vm, "dmesg")


@pytest.mark.parametrize("board, firmware", [("pc", "none"), ("pc", "seabios"), ("q35", "none"), ("q35", "seabios")])
def test_generation(tmp_path, board, firmware):
    """A machine that goes on elsewhere has another number, and Linux is told: it has new random numbers."""
    args = ["-M", board, *FIRMWARE[firmware]]
    with linux("amd64", *args, "-device", f"vmgenid,guid={GUID}", monitor=True) as vm:
        ready(vm)
        vm.mon.cmd("stop")
        assert vm.mon.cmd(f"migrate file:{tmp_path}/state", STEP) == ""
    path, arg = qmp.address(tmp_path)
    with linux("amd64", *args, "-device", f"vmgenid,guid={OTHER}", "-incoming", f"file:{tmp_path}/state", "-qmp", arg,
               monitor=True) as vm, qmp.Qmp(path) as q:
        assert vm.mon.cmd("info vm-generation-id") == OTHER + "\n"
        assert q.cmd("query-vm-generation-id") == {"guid": OTHER}
        vm.send("\n")
        wait_for(lambda: "due to virtual machine fork" in sh(vm, "dmesg"), STEP)
    with linux("amd64", *args, "-device", "vmgenid", "-S", monitor=True) as vm:  # auto
        first = vm.mon.cmd("info vm-generation-id")
        assert re.fullmatch(r"[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}\n", first)


def test_vmcoreinfo():
    """Linux' driver of fw_cfg writes where its notes are."""
    with linux("amd64", "-device", "vmcoreinfo", initrd="initrd-amd64-pvpanic", monitor=True) as vm:
        ready(vm)
        assert "3" in sh(vm, "cat /sys/firmware/qemu_fw_cfg/rev")
        m = re.search(r"format 1, (\d+) bytes at 0x([0-9a-f]+)", vm.mon.cmd("info qtree"))
        where = sh(vm, "cat /sys/kernel/vmcoreinfo").split()[-2]
        assert int(m[2], 16) == int(where, 16) and int(m[1]) > 24
    with linux("amd64", "-S", monitor=True) as vm:
        assert vm.mon.cmd("info vm-generation-id") == "Error: VM Generation ID device not found\n"
