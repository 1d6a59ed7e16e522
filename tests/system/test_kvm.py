"""The engine on the host's KVM, as far as that goes: tests skip, with the reason, what it cannot run."""
import json
import os
import re
import subprocess

import pytest

import vm
from image import EXIT_DEVICE, build
from vm import DOPPEL, LIMIT, SLOW, VM, run, wait_for

LONG = 240 * SLOW


def refused():
    """Why -accel kvm does not start here; "" when it does."""
    p = run("-accel", "kvm", "-M", "none", "-display", "none", "-serial", "none", "-monitor", "stdio", input="quit\n")
    return "" if p.returncode == 0 else p.stderr.strip()


WHY = refused()
needs_kvm = pytest.mark.skipif(WHY != "", reason=WHY)
MISSING = re.search(r"/dev/kvm here (.*); what it refuses", run(
    "-accel", "kvm", "-M", "none", "-display", "none", "-serial", "none", "-monitor", "stdio", input="quit\n").stderr)


def kvm(*args, **kw):
    return VM("-accel", "kvm", *args, **kw)


def counts(m):
    """(refused, instructions on the reference, {exit: how often}) of the first processor."""
    text = m.mon.cmd("info kvm")
    got = re.search(r"^processor 0: (\d+) refused, (\d+) instructions on the reference; exits:(.*) kicks \d+$", text, re.M)
    exits = dict((n.strip(), int(v)) for n, v in re.findall(r"([A-Za-z ]+) (\d+)", got[3]))
    return int(got[1]), int(got[2]), exits


# ---- which engine ----

def line_of(*args, tmp):
    p = run(*args, "-M", "none", "-display", "none", "-serial", "none", "-monitor", "none", "-qmp", "stdio",
            input='{"execute": "qmp_capabilities"}{"execute": "query-kvm"}{"execute": "quit"}')
    return p.stderr.strip(), json.loads(p.stdout.splitlines()[2])["return"] if p.returncode == 0 else None


@pytest.mark.parametrize("args", [("-accel", "kvm:tcg"), ("-accel", "auto"), ("-machine", "accel=kvm:tcg"),
                                  ("-accel", "kvm", "-accel", "tcg")])
def test_fall_back(args, tmp_path):
    """One line says why not KVM, and what instead; none where it is whole."""
    said, answer = line_of(*args, tmp=tmp_path)
    if answer["enabled"]:
        assert said == "" and not MISSING and not WHY
    else:
        assert re.fullmatch(r"doppel: kvm: .*; running on tcg", said)
        assert (MISSING[1] if MISSING else WHY.split("kvm: ", 1)[1]) .split(" ns ")[0].rstrip("0123456789") in said
    assert answer["present"] is True


def test_plain_start_is_silent(tmp_path):
    assert line_of(tmp=tmp_path) == ("", {"enabled": False, "present": True})


def test_no_device(tmp_path):
    """Where /dev/kvm cannot be opened (another user's namespace): an error for kvm alone, a line for kvm:tcg."""
    def hidden(*args):
        return subprocess.run(["unshare", "-m", "sh", "-c", 'mount -t tmpfs none /dev/shm 2>/dev/null; mount --bind /dev/null /dev/kvm && exec "$@"',
                               "sh", DOPPEL, *args, "-M", "none", "-display", "none", "-serial", "none", "-monitor", "stdio"],
                              input="quit\n", capture_output=True, text=True, timeout=LIMIT)
    if not os.path.exists("/dev/kvm") or hidden().returncode != 0:
        pytest.skip("no /dev/kvm to hide, or no right to do so")
    p = hidden("-accel", "kvm")
    assert p.returncode == 1 and p.stderr.startswith("doppel: -accel: kvm: ") and len(p.stderr.splitlines()) == 1
    p = hidden("-accel", "kvm:tcg")
    assert p.returncode == 0 and re.fullmatch(r"doppel: kvm: .*; running on tcg\n", p.stderr)


@needs_kvm
@pytest.mark.parametrize("args, words", [
    (("-icount", "1"), "-icount: not with -accel kvm"),
    (("-d", "in_asm"), "-d in_asm: not with -accel kvm"),
    (("-d", "guest_errors,exec"), "-d exec: not with -accel kvm"),
    (("-machine", "kernel-irqchip=on"), "kernel-irqchip=on is not built; off works"),
    (("-machine", "kernel_irqchip=split"), "kernel-irqchip=split is not built; off works"),
    (("-accel", "kvm,kernel-irqchip=maybe"), "maybe"),
    (("-accel", "kvm,nonesuch=1"), "nonesuch"),
    (("-cpu", "Skylake-Server,+avx512f,enforce"), "avx512f"),
])
def test_refused_by_name(args, words):
    p = run("-accel", "kvm", "-display", "none", "-serial", "none", "-monitor", "none", *args)
    errors = [line for line in p.stderr.splitlines() if "what it refuses runs on the reference" not in line]
    assert p.returncode == 1 and len(errors) == 1 and words in errors[0]


# ---- guests ----

@needs_kvm
def test_boot_menu():
    """SeaBIOS to its boot menu: the screen is the translator's."""
    screens = []
    for accel in ("tcg", "kvm"):
        with VM("-accel", accel, "-vga", "std", "-cpu", "qemu64", "-m", "32", "-boot", "menu=on,splash-time=60000", monitor=True) as m:
            wait_for(lambda: "for boot menu" in m.mon.cmd("screendump -t"), LONG)
            m.mon.cmd("sendkey esc")
            wait_for(lambda: re.search(r"^2\. .*\]", m.mon.cmd("screendump -t"), re.M), LONG)
            screens.append(m.mon.cmd("screendump -t"))
            if accel == "kvm":
                assert "kvm support: enabled" in m.mon.cmd("info kvm")
                assert counts(m)[2]["ports"] > 1000
    assert screens[0] == screens[1]


IMAGES = {
    "text": ("PUT 'o'\nPUT 'k'\nPUT '\\n'\nEXIT 0\nhlt", "ok\n", 1),
    "x87": ("fninit\nfldpi\nfstpl 0x8000\ncmpl $0x54442d18, 0x8000\nsetne %bl\nfldpi\nfistpl 0x8000\nmov 0x8000, %al\n"
            "mov $0xf4, %dx\nout %al, %dx\nhlt", "", 7),
    "sse": ("mov %cr4, %eax\nor $0x600, %eax\nmov %eax, %cr4\nmov $5, %eax\nmovd %eax, %xmm0\npaddd %xmm0, %xmm0\n"
            "movd %xmm0, %eax\nmov $0xf4, %dx\nout %al, %dx\nhlt", "", 21),
    "paging": ("mov $0x20000, %edi\nmov $0x83, %eax\nmov $1024, %ecx\n1: stosl\nadd $0x400000, %eax\nloop 1b\n"
               "movl $0x83, 0x20000+0x800\n" "mov $0x20000, %eax\nmov %eax, %cr3\nmov %cr4, %eax\nor $0x10, %eax\nmov %eax, %cr4\n"
               "mov %cr0, %eax\nor $0x80000000, %eax\nmov %eax, %cr0\njmp 2f\n2: movl $9, 0x8000\nmov 0x80008000, %al\n"
               "mov $0xf4, %dx\nout %al, %dx\nhlt", "", 19),
    "fault": ("lidt 0x9000\nud2", "", 0),
}


@needs_kvm
@pytest.mark.parametrize("name", IMAGES)
def test_image(name, tmp_path):
    """The verdict of each engine is the same."""
    text, serial, code = IMAGES[name]
    image, _ = build(tmp_path, name, text)
    for accel in ("interp", "tcg", "kvm"):
        with VM("-accel", accel, "-m", "16", "-kernel", image, "-no-reboot", *EXIT_DEVICE) as m:
            assert (m.wait(LONG), m.serial.text) == (code, serial), (accel, m.stderr())


@needs_kvm
def test_cpu(tmp_path):
    """The host's names; what KVM lacks of a model is said, or refused."""
    image, _ = build(tmp_path, "cpuid", "xor %eax, %eax\ncpuid\nmov %ebx, 0x8000\nmov %edx, 0x8004\nmov %ecx, 0x8008\n"
                     "PUT 'a'\n1: jmp 1b")
    with open("/proc/cpuinfo") as f:
        vendor = re.search(r"^vendor_id\s*: (\S+)", f.read(), re.M)[1]
    with kvm("-m", "16", "-cpu", "host", "-kernel", image, monitor=True) as m:
        m.expect("a", LONG)
        words = re.findall(r"0x(\w{8})\b", m.mon.cmd("xp /3wx 0x8000"))
        assert b"".join(int(w, 16).to_bytes(4, "little") for w in words).decode() == vendor
    left_out = re.compile(r"cpu flags that KVM does not have on this host(?: are left out)?: (.*)")
    with kvm("-m", "16", "-cpu", "EPYC", "-S", monitor=True) as m:
        missing = left_out.search(m.stderr())
    p = run("-accel", "kvm", "-cpu", "EPYC,enforce", "-m", "16", "-S", "-display", "none", "-nic", "none", "-serial", "none",
            "-monitor", "stdio", input="quit\n")
    assert p.returncode == (1 if missing else 0)
    assert not missing or left_out.search(p.stderr)[1] == missing[1]


TIMER = r"""
    lgdt gdtr
    ljmp $8, $flat
flat:
    mov $16, %eax
    mov %eax, %ds
    mov %eax, %es
    mov %eax, %ss
    mov $0x7000, %esp
    mov $handler, %eax
    mov %ax, 0x6000 + 8 * 0x20
    movw $8, 0x6002 + 8 * 0x20
    movw $0x8e00, 0x6004 + 8 * 0x20
    shr $16, %eax
    mov %ax, 0x6006 + 8 * 0x20
    lidt idtr
    mov $0x11, %al           # both 8259s: vectors from 20h
    out %al, $0x20
    mov $0x20, %al
    out %al, $0x21
    mov $4, %al
    out %al, $0x21
    mov $1, %al
    out %al, $0x21
    mov $0xfe, %al
    out %al, $0x21
    mov $0x34, %al           # 100 Hz
    out %al, $0x43
    mov $0x9c, %al
    out %al, $0x40
    mov $0x2e, %al
    out %al, $0x40
    xor %ebx, %ebx
    sti
1:  hlt
    cmp $5, %ebx
    jb 1b
2:  cmp $10, %ebx            # and without HLT
    jb 2b
    mov $0xf4, %dx
    mov %bl, %al
    out %al, %dx
    hlt
handler:
    inc %ebx
    push %eax
    mov $0x20, %al
    out %al, $0x20
    pop %eax
    iret
.balign 8
gdt: .quad 0, 0x00cf9b000000ffff, 0x00cf93000000ffff
gdtr: .word 23
    .long gdt
idtr: .word 0x7ff
    .long 0x6000
"""


@needs_kvm
def test_interrupts(tmp_path):
    """The timer, by HLT and while the guest runs."""
    image, _ = build(tmp_path, "timer", TIMER)
    with kvm("-m", "16", "-kernel", image, *EXIT_DEVICE) as m:
        assert m.wait(LONG) == 21, m.stderr()


TWO = r"""
    movl $0x1ff, 0xfee000f0     # the local APIC on
    OTHERS ap, ap_end
2:  cmpw $3, 0x7f00             # the other one has begun
    jne 2b
    mov $1000, %ecx
3:  lock incl 0x7f04
    loop 3b
4:  cmpl $2000, 0x7f04
    jb 4b
    jne 5f
    PUT 'a'
8:  mov $0x3fd, %dx
    in %dx, %al
    test $1, %al
    jz 8b
    EXIT 10
5:  hlt
.code16
ap: movw $3, %cs:0xf00
    mov $1000, %cx
6:  lock incl %cs:0xf04
    loop 6b
7:  cli
    hlt
    jmp 7b
ap_end:
"""


@needs_kvm
def test_two_processors(tmp_path):
    """INIT, SIPI, a locked counter; the second one halts while the first is stopped and goes on."""
    image, _ = build(tmp_path, "two", TWO)
    with kvm("-m", "16", "-smp", "2", "-kernel", image, *EXIT_DEVICE, monitor=True) as m:
        m.expect("a", LONG)
        for _ in range(3):
            m.mon.cmd("stop")
            assert "HLT=1" in m.mon.cmd("info registers -a").split("CPU#1")[1]
            m.mon.cmd("cont")
        m.send("x")
        assert m.wait(LONG) == 21, m.stderr()


ECHO = r"""
    mov $0x12345678, %esi
    movl $0xcafe, 0x8000
    fninit
    fldpi
    PUT 'a'
1:  mov $0x3fd, %dx
    in %dx, %al
    test $1, %al
    jz 1b
    mov $0x3f8, %dx
    in %dx, %al
    inc %al
    out %al, %dx
    cmpl $0xcafe, 0x8000
    jne 2f
    fistpl 0x8004
    mov 0x8004, %al
    mov $0xf4, %dx
    out %al, %dx
2:  hlt
"""


def registers(m):
    """Without what the place in the loop says."""
    text = m.mon.cmd("info registers")
    return re.sub(r"E?[RE](IP|FL|AX|DX)=\w+|\[[-A-Z]{7}\]", "", text)


@needs_kvm
@pytest.mark.parametrize("first, then", [("kvm", "tcg"), ("tcg", "kvm"), ("kvm", "kvm"), ("interp", "kvm")])
def test_saved_state(first, then, tmp_path):
    """What one engine saved, another goes on with."""
    image, _ = build(tmp_path, "echo", ECHO)
    args = ("-m", "16", "-cpu", "qemu64", "-kernel", image, *EXIT_DEVICE)
    with VM("-accel", first, *args, monitor=True) as m:
        m.expect("a", LONG)
        m.mon.cmd("stop")
        before = registers(m)
        assert "ESI=12345678" in before
        assert m.mon.cmd(f"migrate file:{tmp_path}/state") == ""
    with VM("-accel", then, *args, "-incoming", f"file:{tmp_path}/state", "-S", monitor=True) as m:
        assert registers(m) == before
        m.mon.cmd("cont")
        m.send("x")
        m.expect("y", LONG)
        assert m.wait(LONG) == 7


CLOCK = r"""
    mov $0x4b564d01, %ecx    # KVM's clock at 9000h
    mov $0x9001, %eax
    xor %edx, %edx
    wrmsr
    PUT 'a'
1:  mov $0x3fd, %dx
    in %dx, %al
    test $1, %al
    jz 1b
    rdtsc
    mov %eax, 0x8000
    mov %edx, 0x8004
    PUT 'b'
2:  jmp 2b
"""


@needs_kvm
@pytest.mark.parametrize("first, then", [("kvm", "tcg"), ("tcg", "kvm")])
def test_time_goes_on(first, then, tmp_path):
    """By KVM's clock, at the rate of the other engine's counter, and the counter itself goes on."""
    image, _ = build(tmp_path, "clock", CLOCK)
    args = ("-m", "16", "-cpu", "qemu64,+kvmclock", "-kernel", image)

    def words(m, address, count):
        text = m.mon.cmd(f"xp /{count}wx {address:#x}")
        return [int(w, 16) for w in re.findall(r"0x(\w{8})\b", text)]

    def clock(m):
        """ns and counter at the moment of RDTSC."""
        version, _, low, high, ns_low, ns_high, mul, shift = words(m, 0x9000, 8)
        shift = (shift & 0xff) - ((shift & 0x80) << 1)
        tsc = words(m, 0x8000, 2)
        tsc = tsc[0] | tsc[1] << 32
        delta = tsc - (low | high << 32)
        return (ns_low | ns_high << 32) + ((delta << shift if shift > 0 else delta >> -shift) * mul >> 32), tsc

    with VM("-accel", first, *args, monitor=True) as m:
        m.expect("a", LONG)
        m.send("x")
        m.expect("b", LONG)
        m.mon.cmd("system_reset")  # and from the start, for a state that waits
        m.expect("a", LONG)
        m.mon.cmd("stop")
        m.mon.cmd(f"migrate file:{tmp_path}/state")
        m.mon.cmd("cont")
        m.send("x")
        m.expect("b", LONG)
        m.mon.cmd("stop")
        ns, tsc = clock(m)
    with VM("-accel", then, *args, "-incoming", f"file:{tmp_path}/state", "-S", monitor=True) as m:
        m.mon.cmd("cont")
        m.send("x")
        m.expect("b", LONG)
        m.mon.cmd("stop")
        ns2, tsc2 = clock(m)
        bare = "the host's as it is" in m.mon.cmd("info kvm")
    assert abs(ns2 - ns) < LIMIT * 1e9 and (bare or abs(tsc2 - tsc) < LIMIT * 4e9)
    assert 0 < ns2 < LONG * 1e9


@needs_kvm
def test_log_refused():
    with kvm("-m", "16", "-S", monitor=True) as m:
        assert 'log item "in_asm": not with -accel kvm' in m.mon.cmd("log in_asm")
        assert m.mon.cmd("log guest_errors") == ""


@needs_kvm
def test_stop_and_reset(tmp_path):
    """A processor in a loop without exits is stopped, shown, reset; the memory is the guest's."""
    image, labels = build(tmp_path, "loop", "PUT 'a'\nmov $0x8000, %edi\nspin: incl (%edi)\njmp spin")
    with kvm("-m", "16", "-kernel", image, monitor=True) as m:
        m.expect("a", LONG)
        wait_for(lambda: "0x00000000" not in m.mon.cmd("xp /wx 0x8000"))
        for _ in range(5):
            m.mon.cmd("stop")
            eip = int(re.search(r"EIP=(\w+)", m.mon.cmd("info registers"))[1], 16)
            assert labels["spin"] <= eip < labels["spin"] + 4
            count = m.mon.cmd("xp /wx 0x8000")
            assert m.mon.cmd("xp /wx 0x8000") == count
            m.mon.cmd("cont")
            wait_for(lambda: m.mon.cmd("xp /wx 0x8000") != count)
        m.mon.cmd("system_reset")
        m.expect("a", LONG)


@needs_kvm
def test_screen(tmp_path):
    """What the guest paints straight into video memory, which KVM's dirty log tells, is seen by a viewer."""
    paint = r"""
        mov $0xcf8, %dx          # the card: memory on, BAR 0 at E0000000h
        mov $0x80001010, %eax
        out %eax, %dx
        mov $0xcfc, %dx
        mov $0xe0000000, %eax
        out %eax, %dx
        mov $0xcf8, %dx
        mov $0x80001004, %eax
        out %eax, %dx
        mov $0xcfc, %dx
        mov $3, %eax
        out %eax, %dx
        .macro DISPI n, v
        mov $0x1ce, %dx
        mov $\n, %ax
        out %ax, %dx
        mov $0x1cf, %dx
        mov $\v, %ax
        out %ax, %dx
        .endm
        DISPI 4, 0
        DISPI 1, 64
        DISPI 2, 48
        DISPI 3, 32
        DISPI 4, 0x41
        mov $0x3c0, %dx
        mov $0x20, %al
        out %al, %dx
        mov $0xe0000000, %edi
        mov $0x102030, %eax
        mov $3072, %ecx
        rep stosl
        PUT 'a'
    1:  mov $0x3fd, %dx
        in %dx, %al
        test $1, %al
        jz 1b
        movl $0xff0000, 0xe0000000 + 4 * (64 * 40 + 7)
        PUT 'b'
    2:  jmp 2b
    """
    image, _ = build(tmp_path, "paint", paint)

    def pixels(m):
        path = tmp_path / "screen.ppm"
        m.mon.cmd(f"screendump {path}")
        head, data = path.read_bytes().split(b"255\n", 1)
        return head, data

    with kvm("-m", "16", "-vga", "std", "-kernel", image, "-vnc", f"unix:{tmp_path}/vnc", monitor=True) as m:
        m.expect("a", LONG)
        head, data = pixels(m)
        assert b"64 48" in head and data == bytes((0x10, 0x20, 0x30)) * 64 * 48
        assert re.search(r"of which [1-9] with a dirty log", m.mon.cmd("info kvm"))
        m.send("x")
        m.expect("b", LONG)
        want = bytearray(data)
        want[3 * (64 * 40 + 7):3 * (64 * 40 + 8)] = b"\xff\0\0"
        assert pixels(m)[1] == bytes(want)


@needs_kvm
@pytest.mark.skipif(MISSING is not None, reason=f"/dev/kvm here {MISSING and MISSING[1]}")
@pytest.mark.usefixtures("guests")
def test_linux():
    """Debian to login, where the host's KVM runs it."""
    with vm.linux("amd64", "-accel", "kvm") as m:
        m.expect(vm.PROMPT, vm.BOOT)
