"""The human monitor on a socket, with a guest of a few instructions."""
import re
import shutil
import time

import pytest

from image import EXIT_DEVICE, build
from vm import DOPPEL, LIMIT, VM, wait_for

QEMU = "qemu-system-x86_64"

# Says B at each start, counts; P when the power button was pressed, and ends then.
GUEST = """
    mov $0x600, %edx
    movw $0x100, %ax
    out %ax, %dx            # forget an old press
    PUT 'B'
    PUT '\\n'
count:
    incl counter
    mov $0x600, %edx        # PM1a status: bit 8 is the power button
    in %dx, %ax
    test $0x100, %ax
    jz count
    PUT 'P'
    PUT '\\n'
    EXIT 5
    hlt
.balign 16
counter: .long 0
text: .ascii "doppel\\n'"
    .long -2
"""


@pytest.fixture(scope="module")
def guest(tmp_path_factory):
    return build(tmp_path_factory.mktemp("monitor"), "count", GUEST)


@pytest.fixture
def m(guest):
    with VM("-kernel", guest[0], *EXIT_DEVICE, "-smp", "2", "-name", "me", monitor=True) as vm:
        vm.expect("^B\n", LIMIT)
        vm.label = guest[1]
        yield vm


def number(m, where, cmd="xp/1dw"):
    got = re.fullmatch(r"([0-9a-f]{16}): +(-?\d+)\n", m.mon.cmd(f"{cmd} {where:#x}"))
    assert got and int(got.group(1), 16) == where
    return int(got.group(2))


def test_help(m):
    text = m.mon.cmd("help")
    for name in ("cont|c", "info [topic]", "quit|q", "stop|s", "system_powerdown", "system_reset",
                 "x /fmt addr", "xp /fmt addr", "help|? [command] [topic]"):
        assert re.search(f"^{re.escape(name)} -- ", text, re.M), name
    assert m.mon.cmd("help stop") == "stop|s -- stop the machine\n"
    assert m.mon.cmd("help nonesuch") == "unknown command: 'nonesuch'\n"
    assert m.mon.cmd("nonesuch 1") == "unknown command: 'nonesuch'\n"
    assert m.mon.cmd("info nonesuch") == "unknown command: 'info nonesuch'\n"
    assert m.mon.cmd("") == ""
    assert m.mon.cmd("   info    status  ") == "VM status: running\n"
    assert m.mon.cmd("info") == m.mon.cmd("help info")


def test_every_info_topic(m):
    want = {
        "chardev": r"^serial0: filename=stdio$", "cpus": r"^\* CPU #0:.*\n  CPU #1:.*$",
        "jit": r"^engine: \w+$", "mtree": r"\(i/o\): ioapic @", "qtree": r'^dev: PIIX4_PM, id "',
        "registers": r"^R?[AE]+X=", "status": "^VM status: running$", "version": r"^9\.2\.0 \(doppel",
    }
    topics = re.findall(r"^info (\S+)", m.mon.cmd("help info"), re.M)
    assert set(want) <= set(topics)
    for topic in topics:
        text = m.mon.cmd(f"info {topic}")
        if topic in ("network", "usernet"):  # there is none, and QEMU says nothing of that either
            assert text == ""
            continue
        assert text.strip() and "unknown" not in text
        assert re.search(want.get(topic, "."), text, re.M), (topic, text)


def test_registers(m):
    m.mon.cmd("stop")
    one, both = m.mon.cmd("info registers"), m.mon.cmd("info registers -a")
    assert "CPU#0" in one and "CPU#1" not in one and "CPU#1" in both
    ip = int(re.search(r"[RE]IP=([0-9a-f]+)", one).group(1), 16)
    assert m.label["start"] <= ip < m.label["counter"]
    m.mon.cmd("cpu 1")
    assert "CPU#1" in m.mon.cmd("info registers")
    assert re.search(r"^\* CPU #1", m.mon.cmd("info cpus"), re.M)
    assert "2" in m.mon.cmd("cpu 2")
    assert re.search(r"^\* CPU #1", m.mon.cmd("info cpus"), re.M)


def test_stop_and_cont(m):
    at = m.label["counter"]
    first = number(m, at)
    wait_for(lambda: number(m, at) != first)
    m.mon.cmd("stop")
    assert m.mon.cmd("info status") == "VM status: paused\n"
    stopped = number(m, at)
    time.sleep(0.05)  # not hoped for: whatever the time, it must not count
    assert number(m, at) == stopped
    m.mon.cmd("stop")
    m.mon.cmd("c")
    assert m.mon.cmd("info status") == "VM status: running\n"
    wait_for(lambda: number(m, at) != stopped)
    m.mon.cmd("cont")


def test_memory(m):
    m.mon.cmd("stop")
    at = m.label["text"]
    assert m.mon.cmd(f"xp/8c {at:#x}") == f"{at:016x}: 'd' 'o' 'p' 'p' 'e' 'l' '\\n' '\\''\n"
    assert m.mon.cmd(f"x/2xw {at:#x}") == f"{at:016x}: 0x70706f64 0x270a6c65\n"
    assert m.mon.cmd(f"x /1xg {at:#x}") == f"{at:016x}: 0x270a6c6570706f64\n"
    assert m.mon.cmd(f"x/2uh {at:#x}") == f"{at:016x}: 28516 28784\n"
    assert m.mon.cmd(f"x/1ob {at:#x}") == f"{at:016x}: 0144\n"
    assert number(m, at + 8, "x/dw") == -2
    assert len(m.mon.cmd(f"x/20xb {at:#x}").splitlines()) == 3
    code = m.mon.cmd(f"x/3i {m.label['start']:#x}").splitlines()
    assert len(code) == 3 and "0x600" in code[0] and "out" in code[2]
    assert m.mon.cmd("x/i $pc").count("\n") == 1
    assert "Cannot access memory" in m.mon.cmd("xp/1xw 0xe0000000")
    for bad in ("x", "x/3z 0", "x/2x", "x 12monkeys", "x/99999x 0"):
        assert m.mon.cmd(bad).startswith("Error: "), bad
    assert m.mon.cmd("info status") == "VM status: paused\n"


def test_long_answer(m):
    """A reader that does not read for a while gets all of it, and the next answer behind it."""
    m.mon.cmd("stop")
    m.mon.send("".join(f"xp/4096xg {0x100000 + n * 0x8000:#x}\n" for n in range(4)) + "info status\n")
    time.sleep(0.2)  # the socket and the queue fill up
    m.mon.expect(r"^VM status: paused\n\(qemu\) $", LIMIT)
    assert len(re.findall("^[0-9a-f]{16}: 0x", m.mon.text, re.M)) == 4 * 2048


def test_reset(m):
    m.mon.cmd("system_reset")
    m.expect("^B\n", LIMIT)
    m.mon.cmd("stop")
    m.mon.cmd("system_reset")
    wait_for(lambda: m.mon.cmd("info status") == "VM status: paused (prelaunch)\n")
    assert number(m, m.label["counter"]) == 0  # loaded anew, and still stopped
    m.mon.cmd("cont")
    m.expect("^B\n", LIMIT)


def test_powerdown(m):
    m.mon.cmd("system_powerdown")
    m.expect("^P\n", LIMIT)
    assert m.wait() == 5 * 2 + 1


def test_quit(m):
    m.mon.send("quit\n")
    assert m.wait() == 0
    assert m.stderr() == ""


def test_reconnect(m):
    """Another client after the first; a line cut off by its going is not executed."""
    from vm import Monitor
    m.mon.send("qui")
    m.mon.close()
    m.mon = Monitor(f"{m.dir.name}/monitor")
    assert m.mon.cmd("info status") == "VM status: running\n"


def test_on_a_mux(guest):
    """-nographic: serial and monitor share a line; the monitor is silent until Ctrl-A c."""
    import subprocess
    from vm import DOPPEL, Stream
    p = subprocess.Popen([DOPPEL, "-nographic", "-kernel", guest[0]], stdin=subprocess.PIPE,
                         stdout=subprocess.PIPE)
    try:
        s = Stream(p.stdout.fileno(), p.stdin.fileno())
        s.expect("^B\n", LIMIT)
        assert s.text == "B\n"
        s.send("\x01c")
        s.expect(r"^QEMU .* monitor - .*\n\(qemu\) $", LIMIT)
        s.send("info status\n")
        s.expect(r"\nVM status: running\n\(qemu\) $", LIMIT)
        s.send("system_reset\n")
        s.expect("B\n", LIMIT)  # the guest's output comes all the same
        s.send("\x01c\x01x")
        s.expect("Terminated\n", LIMIT)
        assert p.wait(LIMIT) == 0
    finally:
        p.kill()
        p.wait()
        p.stdin.close()
        p.stdout.close()


def test_quit_while_it_resets(tmp_path):
    """A guest that resets all the time: what it asked for last does not outlive the board."""
    image, _ = build(tmp_path, "fault", "lidt none\n ud2\nnone: .word 0\n .long 0\n")
    for _ in range(5):
        with VM("-kernel", image, monitor=True) as vm:
            vm.mon.send("quit\n")
            assert vm.wait() == 0


def test_print_and_registers(m):
    m.mon.cmd("stop")
    for text, value in (("1+2*3", "0x7"), ("(1+2)*3", "0x9"), ("/d -1", "-1"), ("/u -1", str(2**64 - 1)),
                        ("/o 8", "010"), ("/c 65", "'A'"), ("0x10|1&3^2", "0x13"), ("1<<4>>2", "0x4"),
                        ("~0", "0x" + "f" * 16), ("7/2", "0x3"), ("7%4", "0x3"), ("'a'", "0x61")):
        assert m.mon.cmd(f"print {text}") == value + "\n", text
    eip = int(re.search(r"EIP=([0-9a-f]+)", m.mon.cmd("info registers")).group(1), 16)
    assert int(m.mon.cmd("p $eip"), 16) == int(m.mon.cmd("p $pc"), 16) == eip
    assert m.mon.cmd("p $cs") == "0x10\n"
    for bad, says in (("1/0", "division by zero"), ("$nonesuch", "register"), ("1 2", "nothing more can follow"),
                      ("(1", "')'"), ("1<2", "operator"), ("", "value is missing"), ("1+", "early"), ("(" * 200, "deep")):
        got = m.mon.cmd(f"print {bad}")
        assert got.startswith("Error: ") and says in got, (bad, got)


def test_ports(m):
    m.mon.cmd("stop")
    m.mon.cmd("o/b 0x70 0x0f")
    m.mon.cmd("o/b 0x71 0x5a")
    assert m.mon.cmd("i/b 0x71") == "portb[0x0071] = 0x5a\n"
    assert m.mon.cmd("i/h 0x1000-0x10+0x20") == "portw[0x1010] = 0xffff\n"
    assert m.mon.cmd("i 0x10000").startswith("Error: ")
    assert m.mon.cmd("o/b 0x80").startswith("Error: ")


def test_nmi_and_logs(m, tmp_path):
    """A guest without an interrupt table shuts down on an NMI: the machine resets."""
    log = tmp_path / "log"
    m.mon.cmd(f"logfile {log}")
    m.mon.cmd("log int,cpu_reset")
    m.mon.cmd("trace-event lapic_* on")
    assert "lapic_deliver : state 1" in m.mon.cmd("info trace-events lapic_deliver") or \
        ": state 1" in m.mon.cmd("info trace-events lapic")
    assert m.mon.cmd("nmi") == ""
    m.expect("^B\n", LIMIT)
    wait_for(lambda: "02" in log.read_text() and len(log.read_text()) > 100)
    for bad in ("log nonesuch", "logfile /nonexistent/x", "trace-event nonesuch on", "trace-event", "boot_set x"):
        assert m.mon.cmd(bad).startswith("Error: "), bad
    m.mon.cmd("log none")


def test_pci(m):
    text = m.mon.cmd("info pci")
    assert re.search(r"  Bus  0, device   1, function 0:\n    ISA bridge: PCI device 8086:7000\n", text)
    assert re.search(r"    Bridge: PCI device 8086:7113\n(      .*\n)*?      IRQ \d+, pin A\n", text)


# Page tables of both formats of 32-bit paging, with all rights, sizes and holes.
PAGING = """
    .long 0x1badb002, 0x10000, -(0x1badb002 + 0x10000)   # multiboot, load addresses given
    .long start, start, 0, 0, entry
entry:
    mov $0x200000, %edi        # directory, then a table
    xor %eax, %eax
    mov $2048, %ecx
    rep stosl
    movl $0x000000e3, 0x200000      # 4 MiB at 0, supervisor
    movl $0x00400087, 0x200004      # user
    movl $0x004001e7, 0x200008      # the same, global
    movl $0x00201007, 0x20000c      # a table
    movl $0x00201005, 0x200ffc      # the same, read-only
    movl $0x00000067, 0x201000
    movl $0x00001067, 0x201004
    movl $0x00003025, 0x201008
    movl $0x00005003, 0x201010
    movl $0x0000501b, 0x201ffc
    mov $0x200000, %eax
    mov %eax, %cr3
    mov %cr4, %eax
    or $0x90, %eax
    mov %eax, %cr4
    mov %cr0, %eax
    or $0x80000000, %eax
    mov %eax, %cr0
    PUT 'P'
    hlt
"""
PAE = """
    .long 0x1badb002, 0x10000, -(0x1badb002 + 0x10000)
    .long start, start, 0, 0, entry
entry:
    mov $0x200000, %edi
    xor %eax, %eax
    mov $4096, %ecx
    rep stosl
    movl $0x201001, 0x200000        # the four pointers
    movl $0x202001, 0x200018
    movl $0x000000e3, 0x201000      # 2 MiB
    movl $0x00200087, 0x201008
    movl $0x80000000, 0x20100c      # never executed
    movl $0x00203007, 0x202ff8      # a table
    movl $0x00001027, 0x203000
    movl $0x00002005, 0x203008
    movl $0x80000000, 0x20300c
    mov $0x200000, %eax
    mov %eax, %cr3
    mov $0xa0, %eax
    mov %eax, %cr4
    mov $0xc0000080, %ecx
    rdmsr
    or $0x800, %eax
    wrmsr
    mov %cr0, %eax
    or $0x80000000, %eax
    mov %eax, %cr0
    PUT 'P'
    hlt
"""


@pytest.mark.parametrize("text", [PAGING, PAE], ids=["32-bit", "PAE"])
def test_page_tables_as_qemu_shows_them(tmp_path, text):
    if not shutil.which(QEMU):
        pytest.skip(f"{QEMU} (package qemu-system-x86) is not installed")
    image, _ = build(tmp_path, "paging", text)
    got = []
    for program in (DOPPEL, QEMU):
        with VM("-kernel", image, "-net", "none", "-m", "64", program=program, monitor=True) as vm:
            vm.expect("P", LIMIT)
            got.append([vm.mon.cmd(f"info {t}") for t in ("mem", "tlb")] +
                       [vm.mon.cmd(f"gva2gpa {a}") for a in ("0x1234", "0xc0001fff", "0xffffe123", "0x80000000")])
    # QEMU shows the execute-disable bit in the address as well
    assert got[0] == [re.sub(r"^(\w{16}: )8", r"\g<1>0", t, flags=re.M) for t in got[1]]
    assert len(got[0][0].splitlines()) >= 3


def test_answers_as_qemu_gives_them():
    if not shutil.which(QEMU):
        pytest.skip(f"{QEMU} (package qemu-system-x86) is not installed")
    lines = ("info memory_size_summary", "info numa", "info block-jobs", "gpa2hva 0x1234", "gpa2hva 0x10000000000")
    got = []
    for program in (DOPPEL, QEMU):
        with VM("-S", "-net", "none", "-m", "64", program=program, monitor=True) as vm:
            got.append([re.sub(r"\(.*\) is 0x\w+", "is there", vm.mon.cmd(line)).replace("Error: ", "") for line in lines])
    assert got[0] == got[1]


def test_completion(guest, tmp_path):
    """Tab: commands with what they mean, topics, drives, files; the rest of the line stays."""
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "disc.iso").write_bytes(bytes(2048))
    with VM("-S", "-drive", "if=none,id=other,file=" + str(tmp_path / "folder/disc.iso") + ",format=raw,readonly=on",
            monitor=True) as vm:
        m = vm.mon
        m.send("scr\t")
        m.expect(r"screendump $", LIMIT)
        m.send("\x15info st\t\t")  # two topics begin so: what they share, the list, then the line again
        listed = m.expect(r"((?:.*\n)*)\(qemu\) info stat$", LIMIT).group(1)
        assert re.search(r"^statehash  hash of the saved state", listed, re.M)
        assert re.search(r"^status     does the machine run", listed, re.M)
        m.send("u\t\n")
        m.expect(r"VM status: paused \(prelaunch\)\n\(qemu\) $", LIMIT)
        m.send("change oth\t")
        m.expect(r"change other $", LIMIT)
        m.send(f"{tmp_path}/fo\t")
        m.expect(r"/folder/$", LIMIT)
        m.send("\t\x15")
        m.expect(r"disc.iso ", LIMIT)
        m.send("screendump -f p\tn\t")
        m.expect(r"png  ppm  \n\(qemu\) screendump -f p", LIMIT)
        m.expect(r"ng $", LIMIT)
        m.send("\x15eject \t")  # drives with what is in them
        listed = m.expect(r"((?:.*\n)*)\(qemu\) eject $", LIMIT).group(1)
        assert re.search("^other     removable: disc.iso$", listed, re.M)
        m.send("\x15eject -\t")
        m.expect(r"eject -f $", LIMIT)
        m.send("\x15sendkey ctrl-alt-dele\t")
        m.expect(r"ctrl-alt-delete $", LIMIT)
        m.send("\x15log cpu_r\t")
        m.expect(r"log cpu_reset $", LIMIT)
        m.send("\x15nothing \t\x15info ver\t\n")
        assert "9.2.0" in m.expect(r"(.*)\n\(qemu\) $", LIMIT).group(1)
