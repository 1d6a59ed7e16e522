"""The translator's options over a boot: a small code cache, its tricks off, lockstep with the reference."""
import hashlib
import os
import re
import tempfile

import pytest

from image import EXIT_DEVICE, build
from vm import BOOT, PROMPT, VM, linux, run, wait_for

pytestmark = pytest.mark.usefixtures("guests")


def evictions(arch, mib):
    with linux(arch, "-accel", f"tcg,tb-size={mib}", monitor=True) as m:
        m.expect(PROMPT, BOOT * 4)
        m.send("echo $((6 * 7))\n")
        m.expect(r"^42\n")
        text = m.mon.cmd("info jit")
    size, evicted = re.search(r"code cache: (\d+) bytes in \d+ regions, (\d+) evicted", text).groups()
    assert int(size) == mib << 20
    return int(evicted)


def powers_off(arch, *args, limit=BOOT):
    with linux(arch, *args, append="do=poweroff") as m:
        m.expect("^DOPPEL-POWEROFF", limit)
        assert m.wait() == 0
        assert m.stderr() == ""


def test_small_cache():
    assert evictions("i386", 8) > 2


def test_processors_in_turns():
    """Four of them, one at a time: all work, and one CPU of the host is enough."""
    with linux("amd64", "-accel", "tcg,thread=single", "-smp", "4", "-m", "256",
               append="do=poweroff run=cat,/sys/devices/system/cpu/online;taskset,8,true") as m:
        m.expect(r"^DOPPEL-GUEST \S+ cpus 4 ", BOOT)
        m.expect(r"^0-3\nDOPPEL-RC 0\n")
        m.expect("^DOPPEL-POWEROFF")
        assert m.wait() == 0


FORWARD = """
    .code32
    .long 0x1badb002, 0x10000, -(0x1badb002 + 0x10000)
    .long start, start, 0, 0, entry
entry:                                  # the first 4 MiB at 0, at 0x60000000 and at 0xc0000000
    mov $0x200000, %edi
    xor %eax, %eax
    mov $1024, %ecx
    rep stosl
    movl $0x83, 0x200000
    movl $0x83, 0x200600
    movl $0x83, 0x200c00
    mov %cr4, %eax
    or $0x10, %eax
    mov %eax, %cr4
    mov $0x200000, %eax
    mov %eax, %cr3
    mov %cr0, %eax
    or $0x80000000, %eax
    mov %eax, %cr0
    nop
a:  inc %ebx
    .byte 0xe9
    .long b + 0x60000000 - (. + 4)
    .balign 64
b:  .byte 0xe9
    .long c + 0x60000000 - (. + 4)
    .balign 64
c:  .byte 0xe9
    .long a + 0x40000000 - (. + 4)
"""


def test_forward_jumps_only(tmp_path):
    """A loop that never goes back, but around 4 GiB, can be stopped."""
    image, _ = build(tmp_path, "forward", FORWARD)
    with VM("-kernel", image, "-m", "64", monitor=True) as m:
        for _ in range(3):
            wait_for(lambda: "running" in m.mon.cmd("info status"))
            counts = []
            for _ in range(2):
                assert m.mon.cmd("stop") == ""
                counts.append(re.search(r"EBX=(\w+)", m.mon.cmd("info registers"))[1])
                assert m.mon.cmd("cont") == ""
                wait_for(lambda: counts[0] not in m.mon.cmd("info registers"))
            assert counts[0] != counts[1]


MOVED = """
    .code32
    .long 0x1badb002, 0x10000, -(0x1badb002 + 0x10000)
    .long start, start, 0, 0, entry
entry:
    mov $1000, %ecx
    mov $0x300000, %esi
1:  mov $0x200000, %ebx
    mov (%ebx), %eax
    mov (%esi), %edx
    mov 4(%ebx), %eax
    sub $0x3c129160, %ebx               # below 0, and back by the displacement
    mov %ecx, 0x3c129164(%ebx)
    dec %ecx
    jnz 1b
    cmpl $1, 0x200004
    jne 2f
    EXIT 0
2:  EXIT 1
"""


def test_register_around_4_gib(tmp_path):
    """A 32-bit register that is moved below 0 reaches what its displacement says, and nothing else."""
    image, _ = build(tmp_path, "moved", MOVED)
    assert run("-kernel", image, "-m", "64", "-display", "none", "-nic", "none", "-vga", "none", *EXIT_DEVICE).returncode == 1


def test_hottest_code():
    """`info jit -v`: guest and host instructions side by side; `-d out_asm` has the same of each."""
    with tempfile.TemporaryDirectory() as tmp:
        log = os.path.join(tmp, "log")
        with VM("-accel", "tcg,x-count=on", "-d", "out_asm,in_asm", "-D", log, monitor=True) as m:
            wait_for(lambda: os.path.exists(log) and open(log).read().count("\nOUT: ") > 20)
            text = m.mon.cmd("info jit -v")
        with open(log) as f:
            logged = f.read()
    runs = [int(n) for n in re.findall(r"^[0-9a-f]{16}: (\d+) runs, ", text, re.M)]
    assert len(runs) >= 5 and runs == sorted(runs, reverse=True) and runs[0] > 20
    assert re.search(r"^  [0-9a-f]{8}  \w+ .*  [0-9a-f]{12}  \w+ ", text, re.M)
    assert re.search(r"^IN: cpu 0\n0x[0-9a-f]{16}: ", logged, re.M)
    assert re.search(r"^[0-9a-f]{12}  \w+ ", logged, re.M) and "-- out of line" in logged


@pytest.mark.full
def test_smallest_cache():
    """Each part of the cache is given up hundreds of times."""
    assert evictions("amd64", 1) > 200


@pytest.mark.full
def test_one_instruction_a_block():
    powers_off("amd64", "-accel", "tcg,one-insn-per-tb=on", limit=BOOT * 3)


def tricks():
    return re.findall(r"^  (x-(?!count)[a-z0-9-]+)=<bool>", run("-accel", "tcg,help").stdout, re.M)


@pytest.mark.full
@pytest.mark.parametrize("trick", tricks())
def test_without(trick):
    powers_off("i386", "-accel", f"tcg,{trick}=off", limit=BOOT * 4)


@pytest.mark.full
@pytest.mark.parametrize("arch", ["amd64", "i386"])
def test_lockstep(arch):
    """All new code, and a sixteenth of the runs of old code, does what the reference does."""
    powers_off(arch, "-accel", "tcg,x-lockstep=11,x-lockstep-sample=16,tb-size=16", "-icount", "shift=3", limit=800)


@pytest.mark.full
@pytest.mark.parametrize("interface", ["ide", "virtio"])
def test_lockstep_with_disk(interface, tmp_path):
    """Devices that write to memory while translated code is compared; what is read comes out right, too."""
    data = os.urandom(4 << 20)
    (tmp_path / "disk").write_bytes(data)
    name, initrd = ("sda", "disk") if interface == "ide" else ("vda", "virtio")
    with linux("amd64", "-accel", "tcg,x-lockstep=5,x-lockstep-sample=16", "-drive",
               f"if={interface},file={tmp_path}/disk,format=raw", initrd=f"initrd-amd64-{initrd}", monitor=True) as m:
        m.expect(PROMPT, BOOT * 4)
        m.send(f"sha256sum /dev/{name}\n")
        m.expect(f"^{hashlib.sha256(data).hexdigest()} ", BOOT * 2)
        text = m.mon.cmd("info jit")
    compared, skipped, differ = map(int, re.search(
        r"(\d+) stretches of \d+ instructions compared, (\d+) not.* and (\d+) stretches differ", text).groups())
    assert differ == 0 and skipped < compared / 20, text
