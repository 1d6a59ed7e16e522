"""UEFI: OVMF in the board's flash, its variables, and Linux started by it."""
import os
import shutil
import subprocess

import pytest

from vm import BOOT, GUESTS, PROMPT, STEP, VM, run

CODE, VARS = "/usr/share/OVMF/OVMF_CODE_4M.fd", "/usr/share/OVMF/OVMF_VARS_4M.fd"
pytestmark = pytest.mark.skipif(not os.path.exists(CODE), reason="package ovmf is not installed")
# What starts a guest of 512 MiB, without variables that are kept.
FIRMWARE = {"none": [], "seabios": ["-vga", "std"],
            "ovmf": ["-m", "512", "-drive", f"if=pflash,format=raw,readonly=on,file={CODE}", "-vga", "none"]}
GUID = "11111111-2222-3333-4444-555555555555"
MACHINES = ["pc", "q35"]


@pytest.fixture(params=[pytest.param("pc", marks=pytest.mark.full), "q35"])
def machine(request):
    return request.param


@pytest.fixture
def variables(tmp_path):
    path = tmp_path / "vars.fd"
    shutil.copy(VARS, path)
    return path


def flash(variables):
    return ["-drive", f"if=pflash,format=raw,unit=0,readonly=on,file={CODE}",
            "-drive", f"if=pflash,format=raw,unit=1,file={variables}", "-vga", "none"]


def shell(vm):
    vm.expect(r"Press .*ESC", BOOT)
    vm.send("\x1b")
    vm.expect(r"Shell> ")


def test_shell(machine, variables):
    """A variable written in one run is there in the next one, and after a reset."""
    with VM("-M", machine, "-m", "512", *flash(variables)) as vm:
        shell(vm)
        vm.send(f"setvar doppel -guid {GUID} -nv -bs =0x1234abcd\r")
        vm.expect(r"Shell> ")
        vm.send("reset -s\r")
        assert vm.wait(STEP) == 0
    with open(variables, "rb") as f:
        assert b"d\0o\0p\0p\0e\0l\0" in f.read()
    with VM("-M", machine, "-m", "512", *flash(variables)) as vm:
        shell(vm)
        vm.send(f"setvar doppel -guid {GUID}\r")
        vm.expect(r"12 ?34 ?AB ?CD|CD ?AB ?34 ?12")
        vm.send("reset -w\r")
        shell(vm)
        vm.send(f"setvar doppel -guid {GUID}\r")
        vm.expect(r"12 ?34 ?AB ?CD|CD ?AB ?34 ?12")


def linux_is_right(vm):
    vm.expect(PROMPT, BOOT * 2)
    vm.send("dmesg | grep -c 'efi: EFI v2'; ls /sys/firmware/efi/efivars | grep -c Boot0\r".replace("\r", "\n"))
    vm.expect(r"^1$")
    vm.send("dmesg -l err,crit,alert,emerg | grep -ci 'acpi\\|pci'\n")
    vm.expect(r"^0$")
    vm.send("ls /sys/firmware/acpi/tables | grep -c 'FACP\\|APIC\\|DSDT'\n")
    vm.expect(r"^3$")
    vm.send("poweroff -f\n")
    assert vm.wait(STEP) == 0


@pytest.mark.parametrize("machine", MACHINES, indirect=True)
def test_kernel(machine, variables):
    """-kernel: the firmware reads it from fw_cfg and runs it as a program."""
    with VM("-M", machine, "-m", "512", *flash(variables), "-kernel", f"{GUESTS}/vmlinuz-amd64",
            "-initrd", f"{GUESTS}/initrd-amd64", "-append", "console=ttyS0") as vm:
        linux_is_right(vm)


def test_disk(machine, variables, tmp_path):
    """A kernel with its EFI stub as the default loader of a FAT disk."""
    disk = tmp_path / "esp.img"
    with open(disk, "wb") as f:
        f.truncate(64 << 20)
    nsh = tmp_path / "startup.nsh"
    nsh.write_text("fs0:\nkernel.efi initrd=\\initrd.gz console=ttyS0\n")
    subprocess.run(["mformat", "-i", disk, "-F", "::"], check=True)
    for name, to in ((f"{GUESTS}/vmlinuz-amd64", "kernel.efi"), (f"{GUESTS}/initrd-amd64", "initrd.gz"),
                     (nsh, "startup.nsh")):
        subprocess.run(["mcopy", "-i", disk, name, f"::{to}"], check=True)
    with VM("-M", machine, "-m", "512", *flash(variables), "-drive", f"file={disk},format=raw") as vm:
        linux_is_right(vm)


def test_nodes(variables):
    """-machine pflash0= and pflash1= take nodes; -pflash takes files one after the other."""
    code = f"driver=raw,node-name=code,read-only=on,file.driver=file,file.filename={CODE}"
    with VM("-m", "512", "-M", "pc,pflash0=code,pflash1=vars", "-blockdev", code, "-blockdev",
            f"driver=raw,node-name=vars,file.driver=file,file.filename={variables}", "-vga", "none") as vm:
        vm.expect(r"Shell", BOOT)
    copy = str(variables) + ".code"
    shutil.copy(CODE, copy)
    with VM("-m", "512", "-pflash", copy, "-pflash", variables, "-vga", "none") as vm:
        vm.expect(r"Shell", BOOT)


@pytest.mark.parametrize("args, text", [
    (["-pflash", "{odd}"], "is not 4 KiB to 16 MiB in blocks of 4 KiB"),
    (["-pflash", "{big}"], "combined size of system firmware exceeds"),
    (["-drive", "if=pflash,unit=1,format=raw,file={vars}"], "flash 1 goes below flash 0"),
    (["-bios", "bios-256k.bin", "-pflash", "{vars}"], "-bios and a flash"),
    (["-M", "pc,pflash0=nothing"], "there is no drive 'nothing'"),
    (["-drive", "if=pflash,unit=2,format=raw,file={vars}"], "does not support if=pflash,bus=0,unit=2"),
])
def test_refused(args, text, variables, tmp_path):
    sizes = {"odd": 5000, "big": 12 << 20}
    for name, size in sizes.items():
        with open(tmp_path / name, "wb") as f:
            f.truncate(size)
    files = {"vars": variables, **{name: tmp_path / name for name in sizes}}
    r = run("-display", "none", *[a.format(**files) for a in args])
    assert r.returncode == 1 and text in r.stderr, r.stderr
