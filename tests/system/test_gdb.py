"""Debian's gdb in batch mode on the gdb stub: small images in every mode, then Linux."""
import os
import re
import shutil
import subprocess

import pytest

from image import EXIT_DEVICE, build
from vm import BOOT, LIMIT, PROMPT, STEP, VM, linux, wait_for

pytestmark = pytest.mark.skipif(shutil.which("gdb") is None, reason="gdb is not installed")

# 32-bit protected mode, then long mode, then real mode, then protected mode again to the end.
MODES = """
    mov $0x11112222, %eax
prot:
    mov $0x33334444, %ebx
    incl counter
    incl counter
after_counter:
    mov $0x101, %ax             # for the test: register write
changed:
    mov %eax, copy
    lgdt gdt_reg                # to long mode, one 1 GiB page
    movl $0x9000 | 3, 0x8000
    movl $0, 0x8004
    movl $0x83, 0x9000
    movl $0, 0x9004
    mov $0x8000, %eax
    mov %eax, %cr3
    mov %cr4, %eax
    or $0x220, %eax             # PAE, OSFXSR
    mov %eax, %cr4
    mov $0xc0000080, %ecx
    rdmsr
    or $0x100, %eax
    wrmsr
    mov %cr0, %eax
    or $0x80000000, %eax
    mov %eax, %cr0
    ljmp $8, $long
.code64
long:
    movabs $0x1122334455667788, %r9
    movq %r9, %xmm3
long_done:
    mov $0x5000, %esp           # to real mode by a compatibility segment
    pushq $16
    pushq $compat
    lretq
.code32
compat:
    mov %cr0, %eax
    and $0x7fffffff, %eax
    mov %eax, %cr0
    mov $real, %esi             # the 16-bit part must be low
    mov $0x7000, %edi
    mov $real_end - real, %ecx
    cld
    rep movsb
    ljmp $24, $0x7000
.code16
real:
    mov %cr0, %eax
    and $0xfe, %al
    mov %eax, %cr0
    ljmp $0x700, $in_real - real
in_real:
    mov $0x1234, %ax
    mov %ax, %ds
    mov $0x5678, %bx
    movb $0x5a, (%bx)
.globl real_done
real_done:
    nop
    mov $0x3f8, %dx
    mov $'R', %al
    out %al, %dx
    mov $0x0a, %al
    out %al, %dx
    mov $0xf4, %dx
    mov $3, %al
    out %al, %dx
    hlt
real_end:
.balign 16
gdt: .quad 0, 0x00209a0000000000, 0x00cf9a000000ffff, 0x00009a000000ffff
gdt_reg: .word 31
    .long gdt
counter: .long 40
copy: .long 0
"""

# Two processors: the first starts the second by INIT and SIPI; each counts for itself.
TWO = """
    OTHERS ap, ap_end
bsp:
    incl count0
    jmp bsp
.code16
ap: incw %cs:0x100
    jmp ap
ap_end:
.balign 16
count0: .long 0
"""


@pytest.fixture(scope="module")
def modes(tmp_path_factory):
    return build(tmp_path_factory.mktemp("gdb"), "modes", MODES)


def gdb(vm, *commands, limit=LIMIT):
    """What gdb wrote for the commands; each `mark X` puts X: in front of what follows."""
    args = ["gdb", "-nx", "-nh", "-batch", "-ex", "set pagination off", "-ex", "set confirm off",
            "-ex", f"target remote {vm.gdb}"]
    for c in commands:
        args += ["-ex", c]
    p = subprocess.run(args, stdin=subprocess.DEVNULL, capture_output=True, text=True,
                       timeout=limit, env=dict(os.environ, LC_ALL="C", HOME=vm.dir.name))
    vm.last = p.stdout + p.stderr
    return vm.last


def values(text):
    """Numbers that `output` or `p/x` printed, in order."""
    return [int(v, 0) for v in re.findall(r"^\$\d+ = (0x[0-9a-f]+|-?\d+)$", text, re.M)]


def start(image, *args, **kw):
    """A machine whose stub listens on a Unix socket."""
    import tempfile
    folder = tempfile.mkdtemp()
    vm = VM("-gdb", f"unix:{folder}/gdb,server,nowait", "-kernel", image, *EXIT_DEVICE, *args, **kw)
    vm.gdb = f"{folder}/gdb"
    wait_for(lambda: os.path.exists(vm.gdb))
    return vm


def test_modes(modes):
    """Registers, breakpoints and memory in 32-bit, 64-bit and real mode; detach, and it goes on."""
    image, at = modes
    real_done = 0x7000 + at["real_done"] - at["real"]
    with start(image, "-S") as vm:
        text = gdb(vm, "p/x $rip", "p/x $cs", "p/x $cr0 & 1",
                   f"break *{at['prot']:#x}", "continue", "p/x $rip", "p/x $rax",
                   "stepi", "p/x $rbx", "p/x $rip",
                   f"hbreak *{at['long_done']:#x}", "continue", "p/x $r9",
                   "p/x $xmm3.v2_int64[0]", "p/x $cs", "p/x $efer & 0x500",
                   f"break *{real_done:#x}", "continue", "p/x $cs", "p/x $ds", "p/x $rax & 0xffff",
                   "p/x *(unsigned char *) 0x179b8", "p/x $cr0 & 1", "p $eflags & 2", "detach")
        assert values(text) == [
            at["start"], 0x10, 1, at["prot"], 0x11112222, 0x33334444, at["prot"] + 5,
            0x1122334455667788, 0x1122334455667788, 8, 0x500,
            0x700, 0x1234, 0x1234, 0x5a, 0, 2], text
        vm.expect("^R\n", LIMIT)
        assert vm.wait() == 3 * 2 + 1


def test_watch_and_change(modes):
    """A watchpoint stops behind each write with old and new value; registers and memory written."""
    image, at = modes
    with start(image, "-S") as vm:
        text = gdb(vm, f"watch *(int *) {at['counter']:#x}", "continue", "continue",
                   "p/x $rip", "delete", "p $rax = 0x77770000",
                   f"set var *(int *) {at['counter']:#x} = 5",
                   f"break *{at['changed']:#x}", "continue", "p/x $rax",
                   f"p *(int *) {at['counter']:#x}", f"rwatch *(int *) {at['gdt_reg']:#x}", "continue",
                   "info watchpoints", "delete", "kill")
        assert re.findall(r"(Old|New) value = (\d+)", text) == [
            ("Old", "40"), ("New", "41"), ("Old", "41"), ("New", "42")], text
        assert "Value = " in text, text
        assert values(text)[0] == at["after_counter"], text
        assert values(text)[2:] == [0x77770101, 5], text
        assert vm.wait() == 0  # kill ends the machine


def test_interrupt_and_second_client(modes, tmp_path):
    """A running guest stops when gdb comes, runs when it goes, and stops for the next one."""
    image, at = build(tmp_path, "loop", "again: incl count\n jmp again\n.balign 16\ncount: .long 0\n")
    with start(image, monitor=True) as vm:
        seen = 0
        for _ in range(2):
            text = gdb(vm, f"p *(int *) {at['count']:#x}", f"p *(int *) {at['count']:#x}", "p/x $cs")
            a, b, cs = values(text)
            assert seen < a == b and cs == 0x10, text
            seen = b
            wait_for(lambda: vm.mon.cmd("info status") == "VM status: running\n")
        text = gdb(vm, f"break *{at['again']:#x}", "continue", "continue", "stepi", "info breakpoints")
        assert "already hit 2 times" in text, text
        wait_for(lambda: vm.mon.cmd("info status") == "VM status: running\n")


def test_two_threads(tmp_path):
    """Each processor is a thread with registers of its own."""
    image, at = build(tmp_path, "two", TWO)
    with start(image, "-smp", "2", monitor=True) as vm:
        wait_for(lambda: not re.search(r": +0\n", vm.mon.cmd("xp/1dh 0x7100")))
        text = gdb(vm, "info threads", "thread 1", "p/x $rip", "thread 2", "p/x $cs", "p $rip < 0x20",
                   "thread apply all stepi", "info threads")
        assert len(re.findall(r"^[* ] +\d+ +Thread ", text, re.M)) == 4, text
        rip, cs, low = values(text)
        assert at["bsp"] <= rip < at["ap"] and cs == 0x700 and low == 1, text


def test_refused():
    """A bad packet gets an answer; none ends the machine."""
    import socket
    import tempfile
    with tempfile.TemporaryDirectory() as folder:
        path = f"{folder}/gdb"
        with VM("-S", "-gdb", f"unix:{path},server,nowait", monitor=True) as vm:
            s = socket.socket(socket.AF_UNIX)
            s.settimeout(LIMIT)
            s.connect(path)
            for body in (b"", b"m", b"mffffffffffffffff,ffffffff", b"M0,4:zz", b"Z9,0,0", b"Z2,0,0", b"pffff",
                         b"P0=", b"Hg99", b"vCont;s:99", b"qXfer:features:read:target.xml:fffff,9",
                         b"G" + b"f" * 5000, b"T0", b"z0,1,1", b"\xff\xfe", b"X0,0:", b"vCont", b"Hc-1"):
                s.send(b"$" + body + b"#%02x" % (sum(body) & 0xff))
                got = b""
                while not re.search(rb"\$[^#]*#..$", got):
                    part = s.recv(4096)
                    assert part, body
                    got += part
            s.send(b"$g#00")
            assert s.recv(1) == b"-"
            s.close()
            assert vm.mon.cmd("info version").startswith("9.2.0")


def test_linux(guests, tmp_path):
    """The kernel at work: a breakpoint on its function by address, step, watch, detach."""
    with linux("amd64", "-gdb", f"unix:{tmp_path}/gdb,server,nowait", append="nokaslr do=shell") as vm:
        vm.gdb = f"{tmp_path}/gdb"
        vm.expect(PROMPT, BOOT)
        vm.send("grep -E ' (__do_sys_newuname|jiffies)$' /proc/kallsyms\n")
        uname = int(vm.expect("^([0-9a-f]{16}) t __do_sys_newuname$").group(1), 16)
        jiffies = int(vm.expect("^([0-9a-f]{16}) [A-Z] jiffies$").group(1), 16) \
            if "jiffies\n" in vm.serial.text[vm.serial.at:] else None
        vm.expect(PROMPT)
        # gdb attaches first and lets it run; only then the command is typed
        p = subprocess.Popen(
            ["gdb", "-nx", "-nh", "-batch", "-ex", f"target remote {vm.gdb}", "-ex",
             f"hbreak *{uname:#x}", "-ex", "echo READY\\n", "-ex", "continue", "-ex", "p/x $rip",
             "-ex", "x/i $rip", "-ex", "stepi", "-ex", "p $rip != " + hex(uname), "-ex", "p/x $cs & 3",
             "-ex", "x/gx $rsp", "-ex", "delete", "-ex", "detach"], stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        try:
            while (line := p.stdout.readline()) and "READY" not in line:
                pass
            vm.send("uname -s\n")
            text = p.communicate(timeout=STEP)[0]
        finally:
            p.kill()
            p.wait()
        assert values(text) == [uname, 1, 0], text
        vm.expect("^Linux\n")  # it went on
        if jiffies:
            text = gdb(vm, f"watch *(unsigned long *) {jiffies:#x}", "continue", "delete", limit=STEP)
            old, new = map(int, re.findall(r"(?:Old|New) value = (\d+)", text))
            assert new == old + 1, text
        vm.send("echo still $((1 + 1))\n")
        vm.expect("^still 2\n")
