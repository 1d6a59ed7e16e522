"""Debian's kernels, from -kernel to a shell, and out again."""
import fcntl
import os
import pty
import re
import subprocess
import termios

import pytest

from vm import BOOT, LIMIT, PROMPT, ROOT, STEP, Stream, linux

pytestmark = pytest.mark.usefixtures("guests")
MACHINE = {"amd64": "x86_64", "i386": "i686"}


def up(m, arch, cpus=1, limit=BOOT):
    """The guest's own first line: what it is, processors, memory in KiB."""
    got = m.expect(r"^DOPPEL-GUEST (\S+) cpus (\d+) mem (\d+) kB$", limit)
    assert got.group(1) == MACHINE[arch]
    assert int(got.group(2)) == cpus
    return int(got.group(3))


def quiet_end(m):
    assert m.wait() == 0
    assert m.stderr() == ""


def test_shell():
    """amd64: a command typed on the serial line is answered; poweroff ends the process with 0."""
    with linux("amd64") as m:
        up(m, "amd64")
        m.expect(PROMPT)
        m.send("uname -m; echo $((6 * 7))\n")
        m.expect(r"^x86_64\n42\n")
        m.send("poweroff -f\n")
        m.expect("reboot: Power down")
        quiet_end(m)


def test_two_processors_no_reboot():
    """Both come up and work; -no-reboot makes of the guest's reboot an end with 0."""
    with linux("amd64", "-smp", "2", "-no-reboot", append="do=reboot "
               "run=cat,/sys/devices/system/cpu/online;taskset,2,true") as m:
        up(m, "amd64", cpus=2)
        m.expect(r"^0-1\nDOPPEL-RC 0\n")
        m.expect("^DOPPEL-REBOOT")
        quiet_end(m)


def test_i386():
    with linux("i386", append="do=poweroff") as m:
        up(m, "i386")
        m.expect("^DOPPEL-POWEROFF")
        quiet_end(m)


MODELS = ["Conroe", "Penryn", "Nehalem", "Westmere", "SandyBridge", "IvyBridge", "Haswell", "Broadwell", "Skylake-Client", "EPYC",
          "Opteron_G1", "Opteron_G2", "Opteron_G3", "Opteron_G5", "phenom", "core2duo", "kvm64", "x86-64-v2"]


@pytest.mark.parametrize("model", ["qemu64", "Opteron_G4", *(pytest.param(m, marks=pytest.mark.full) for m in MODELS)])
def test_models(model):
    """What a kernel takes for granted of a processor that calls itself so (PREFETCHW with long mode, ways of AMD's caches) is there."""
    with linux("amd64", "-cpu", model, append="do=poweroff") as m:
        up(m, "amd64")
        m.expect("^DOPPEL-POWEROFF")
        quiet_end(m)


def boots_twice(arch, how, *args):
    with linux(arch, *args, append=f"reboot={how} do=reboot") as m:
        up(m, arch)
        m.expect("^DOPPEL-REBOOT")
        up(m, arch)


def test_reset():
    boots_twice("amd64", "t")


@pytest.mark.full
def test_demo_on_a_terminal():
    """scripts/demo ends in a shell that answers, after telling how to leave."""
    master, slave = pty.openpty()
    p = subprocess.Popen([f"{ROOT}/scripts/demo"], stdin=slave, stdout=slave, stderr=slave,
                         start_new_session=True,
                         preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0))
    os.close(slave)
    try:
        line = Stream(master, master)
        line.expect("^To leave: Ctrl-A x")
        line.expect(PROMPT, BOOT)
        line.send("echo $((6 * 7))\n")
        line.expect("^42\n")
        line.send("\x01x")
        line.expect("Terminated")
        assert p.wait(LIMIT) == 0
    finally:
        p.kill()
        p.wait()
        os.close(master)


@pytest.mark.full
def test_demo_without_a_terminal():
    p = subprocess.run([f"{ROOT}/scripts/demo"], stdin=subprocess.DEVNULL, capture_output=True,
                       text=True, timeout=BOOT + STEP, errors="replace")
    assert p.returncode == 0, p.stderr
    assert p.stdout.endswith("demo: the guest booted, ran its command and powered off\n")


# ---- the full matrix: make check-full ----

@pytest.mark.full
@pytest.mark.parametrize("engine, cpus", [("tcg", 1), ("tcg", 2), ("tcg", 4), ("tcg", 8), ("interp", 2)])
@pytest.mark.parametrize("arch", MACHINE)
def test_matrix(arch, engine, cpus):
    times = 6 if engine == "interp" else 1  # as vm.py has it for the reference
    with linux(arch, "-accel", engine, "-smp", cpus, append="do=shell") as m:
        up(m, arch, cpus, times * BOOT)
        m.expect(PROMPT, times * STEP)
        m.send("uname -m\n")
        m.expect(f"^{MACHINE[arch]}\n", times * STEP)
        m.send("poweroff -f\n")
        quiet_end(m)


def usable(text):
    """Bytes that the kernel's e820 table calls usable."""
    rows = re.findall(r"BIOS-e820: \[mem 0x([0-9a-f]+)-0x([0-9a-f]+)\] usable", text)
    assert rows, text[-2000:]
    return sum(int(hi, 16) + 1 - int(lo, 16) for lo, hi in rows)


@pytest.mark.full
@pytest.mark.parametrize("arch, mem", [("amd64", "512"), ("amd64", "6G"), ("i386", "512"),
                                       ("i386", "6G"), ("i386pae", "6G")])
def test_memory(arch, mem):
    """Nearly all that -m gives is usable, above 4 GiB too where the kernel can reach it."""
    mib = {"512": 512, "6G": 6144}[mem]
    with linux(arch, "-m", mem, append="run=dmesg,|,grep,BIOS-e820 do=poweroff") as m:
        total = up(m, arch.removesuffix("pae"))
        m.expect("^DOPPEL-POWEROFF")
        quiet_end(m)
        assert usable(m.serial.text) >= (mib - 2) << 20
        reach = 3072 if arch == "i386" else mib  # the installer's kernel has no PAE
        assert total >= (min(mib, reach) - 128) * 1024 * 0.95


@pytest.mark.full
@pytest.mark.parametrize("word", ["acpi=off", "noapic", "nolapic", "nosmp", "pnpacpi=off"])
@pytest.mark.parametrize("arch", MACHINE)
def test_kernel_line(arch, word):
    """The kernel without one of the board's parts; its clock must still run."""
    with linux(arch, append=f"{word} do=shell") as m:
        up(m, arch)
        m.expect(PROMPT)
        m.send("sleep 1; echo slept $?\n")
        m.expect("^slept 0\n")
        m.send("poweroff -f\n")
        if word == "acpi=off":  # it cannot switch itself off then
            m.expect("reboot: (System halted|Power down)")
        else:
            quiet_end(m)


@pytest.mark.full
@pytest.mark.parametrize("how", "ktbap")
@pytest.mark.parametrize("arch", MACHINE)
def test_reboot(arch, how):
    boots_twice(arch, how)
