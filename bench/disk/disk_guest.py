"""A guest with a virtio-blk disk that runs `load` (load.c), on doppel and on an installed QEMU."""
import os
import shutil
import subprocess
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(os.path.dirname(HERE))
sys.path[:0] = [os.path.join(ROOT, "tests", "system"), os.path.join(ROOT, "bench")]
from rates import measure  # noqa: E402
from vm import BOOT, DOPPEL, GUESTS, PROMPT, VM, initrd_with  # noqa: E402

QEMU = "qemu-system-x86_64"


def programs():
    """{name: path}; the guest is made, too."""
    subprocess.run([f"{ROOT}/scripts/mkguest", GUESTS], check=True, timeout=600)
    found = shutil.which(QEMU)
    if not found:
        print(f"bench: {QEMU} is not installed: doppel alone", file=sys.stderr)
    return {"doppel": DOPPEL} | ({"QEMU": found} if found else {})


def initrd(folder):
    """One that has the program."""
    os.makedirs(f"{folder}/tree/bin")
    subprocess.run(["cc", "-O2", "-static", "-o", f"{folder}/tree/bin/load", f"{HERE}/load.c"], check=True)
    initrd_with(f"{folder}/tree", "initrd-amd64-disks", f"{folder}/initrd")
    return f"{folder}/initrd"


def create(image, fmt, options, mib):
    more = ["-o", options] if options else []
    subprocess.run([f"{ROOT}/doppel-img", "create", "-q", "-f", fmt, *more, image, f"{mib}M"], check=True)


def machine(program, drives, rd, loads):
    """{name: (processor seconds, wall seconds, what was printed)} of one machine, for `loads`, {name: what `load` is told}; `drives`
    are of -drive."""
    disks = [x for d in drives for x in ("-drive", f"{d},if=virtio")]
    devices = ",".join(f"/dev/vd{chr(ord('a') + n)}" for n in range(len(drives)))
    with VM("-M", "pc", "-accel", "tcg", "-cpu", "max", "-m", "256", "-nodefaults", *disks, "-kernel",
            f"{GUESTS}/vmlinuz-amd64", "-initrd", rd, "-append", "console=ttyS0 quiet do=shell", program=program) as vm:
        vm.expect("^DOPPEL-READY$", BOOT)
        vm.expect(PROMPT)
        got = {}
        for name, what in loads.items():
            cpu, wall, _, text = measure(vm, f"load {devices} {what}")
            assert "LOAD OK" in text, text
            got[name] = cpu, wall, text
        return got
