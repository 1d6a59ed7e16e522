"""Guests that do their worst to the loop and to the machine lock: timers of the smallest period, storms of ports, rings that are
full and disks that are asked all the time; and how long the monitor takes to answer meanwhile."""
import contextlib
import os
import time

from image import build
from vm import LIMIT, VM

# Multiboot, at 1 MiB, 32-bit and flat. Interrupts of any vector are counted and acknowledged everywhere.
BEGIN = """
    .long 0x1badb002, 0x10000, -(0x1badb002 + 0x10000)
    .long start, start, 0, 0, entry
.macro OUTB port, val
    mov $\\port, %dx
    mov $\\val, %al
    out %al, %dx
.endm
.macro PCI bdf, reg, val                # a 32-bit register of a device on bus 0
    mov $0xcf8, %dx
    mov $(0x80000000 | \\bdf << 8 | \\reg), %eax
    out %eax, %dx
    mov $0xcfc, %dx
    mov $\\val, %eax
    out %eax, %dx
.endm
any:
    push %eax
    incl count
    mov $0x20, %al
    out %al, $0xa0
    out %al, $0x20
    movl $0, 0xfee000b0
    push %edx
    mov $0xc, %al                       # the RTC's flags are cleared by a read
    out %al, $0x70
    in $0x71, %al
    pop %edx
    pop %eax
    iret
    .balign 8
count:
    .long 0
idtr:
    .word 0x7ff
    .long 0x80000
entry:
    mov $0x90000, %esp
    mov $0x80000, %edi
    mov $256, %ecx
1:  mov $any, %eax
    mov %ax, (%edi)
    mov %cs, 2(%edi)
    movw $0x8e00, 4(%edi)
    shr $16, %eax
    mov %ax, 6(%edi)
    add $8, %edi
    loop 1b
    lidt idtr
    OUTB 0x20, 0x11
    OUTB 0x21, 0x20
    OUTB 0x21, 4
    OUTB 0x21, 1
    OUTB 0xa0, 0x11
    OUTB 0xa1, 0x28
    OUTB 0xa1, 2
    OUTB 0xa1, 1
    OUTB 0x21, 0
    OUTB 0xa1, 0
"""
TIMERS = BEGIN + """
    OUTB 0x43, 0x34                     # the PIT: 2 ticks, 1.7 us
    OUTB 0x40, 2
    OUTB 0x40, 0
    OUTB 0x70, 0xa                      # the RTC: 8192 Hz
    OUTB 0x71, 0x23
    OUTB 0x70, 0xb
    OUTB 0x71, 0x42
    movl $0, 0xfed00010                 # the HPET: periodic, each tick
    movl $0x4c | 11 << 9, 0xfed00100
    movl $1, 0xfed00108
    movl $0, 0xfed0010c
    movl $0x44 | 10 << 9, 0xfed00120
    movl $1, 0xfed00128
    movl $1, 0xfed00010
    movl $0x1ff, 0xfee000f0             # the local APIC: periodic, each cycle of the bus
    movl $0x700, 0xfee00350             # the PIC's interrupts by LINT0
    movl $0xb, 0xfee003e0
    movl $0x20040, 0xfee00320
    movl $1, 0xfee00380
    sti
    PUT 'R'
"""
SPIN = """
again:
    incl 0x90000
    movl $1, 0xfee00380                 # armed anew
    mov 0xfed000f0, %eax                # a comparator that is due at once
    inc %eax
    mov %eax, 0xfed00128
    jmp again
"""
HALT = "again: hlt\n jmp again\n"
PORTS = BEGIN + """
    PUT 'R'
again:
    .irp port, 0x21, 0x40, 0x43, 0x60, 0x61, 0x64, 0x70, 0x71, 0x80, 0x92, 0x1f2, 0x1f7, 0x3d4, 0x3da, 0x3f4, 0x3fd, 0x510, 0x511, 0x608
    mov $\\port, %dx
    in %dx, %al
    .endr
    .irp port, 0x40, 0x80, 0x1f2, 0x3d4, 0x3d5, 0x3ff, 0x70
    mov $\\port, %dx
    out %al, %dx
    .endr
    mov $0xcf8, %dx
    mov $0x80000000, %eax
    out %eax, %dx
    in %dx, %eax
    jmp again
"""
# Memory is mapped anew all the time: shadow RAM, and A20.
MAPS = BEGIN + """
    PUT 'R'
again:
    PCI 0, 0x58, 0x33333333
    PCI 0, 0x5c, 0x11111111
    OUTB 0x92, 0
    OUTB 0x92, 2
    PCI 0, 0x58, 0
    PCI 0, 0x5c, 0
    jmp again
"""
# Bus-master DMA of 128 KiB, and IDENTIFY, over and over.
IDE = BEGIN + """
    PCI 0x9, 0x20, 0xc001
    PCI 0x9, 0x04, 5
    movl $0x200000, 0x300000            # two entries of 64 KiB
    movl $0, 0x300004
    movl $0x210000, 0x300008
    movl $0x80000000, 0x30000c
    PUT 'R'
again:
    mov $0xc004, %dx
    mov $0x300000, %eax
    out %eax, %dx
    OUTB 0xc002, 6
    OUTB 0x1f6, 0xe0
    OUTB 0x1f2, 0
    OUTB 0x1f3, 0
    OUTB 0x1f4, 0
    OUTB 0x1f5, 0
    OUTB 0x1f7, 0xc8
    OUTB 0xc000, 9
    mov $2000, %ecx
1:  mov $0xc002, %dx
    in %dx, %al
    test $4, %al
    loopz 1b
    OUTB 0xc000, 0
    OUTB 0x1f7, 0xec
    mov $2000, %ecx
2:  mov $0x1f7, %dx
    in %dx, %al
    test $8, %al
    loopz 2b
    mov $0x1f0, %dx
    mov $0x220000, %edi
    mov $256, %ecx
    rep insw
    jmp again
"""
# A legacy virtio disk whose ring is full of chains: each reads 4 MiB to the same place; told again and again.
VIRTIO = BEGIN + """
    PCI 0x10, 0x10, 0xc101              # 00:02.0
    PCI 0x10, 0x04, 5
    OUTB 0xc112, 0
    OUTB 0xc112, 7
    mov $0xc10e, %dx
    xor %eax, %eax
    out %ax, %dx
    mov $0xc108, %dx
    mov $0x400, %eax                    # the queue is at 4 MiB
    out %eax, %dx
    mov $0x400000, %edi
    xor %ecx, %ecx
1:  test $1, %cl                        # descriptors in pairs: a header, data
    jnz 2f
    movl $0x500000, (%edi)
    movl $16, 8(%edi)
    movw $1, 12(%edi)
    lea 1(%ecx), %eax
    mov %ax, 14(%edi)
    jmp 3f
2:  movl $0x600000, (%edi)
    movl $(0x400000 + 1), 8(%edi)
    movw $2, 12(%edi)
3:  movl $0, 4(%edi)
    add $16, %edi
    inc %ecx
    cmp $256, %ecx
    jb 1b
    movl $0, 0x500000                   # read, from sector 0
    movl $0, 0x500008
    movl $0, 0x50000c
    xor %ecx, %ecx
4:  lea (%ecx,%ecx), %eax               # all heads
    mov %al, 0x401004(,%ecx,2)
    movb $0, 0x401005(,%ecx,2)
    inc %ecx
    cmp $256, %ecx
    jb 4b
    movw $1, 0x401000                   # no interrupts
    PUT 'R'
again:
    addw $128, 0x401002
    mov $0xc110, %dx
    xor %eax, %eax
    out %ax, %dx
    jmp again
"""
# A UHCI controller whose schedule is one queue that leads to itself.
USB = BEGIN + """
    PCI 0xa, 0x20, 0xc201
    PCI 0xa, 0x04, 5
    mov $0x400000, %edi
    mov $1024, %ecx
    mov $0x500002, %eax
    rep stosl
    movl $0x500002, 0x500000            # a queue head, next: itself, element: a transfer that is next of itself
    movl $0x501000, 0x500004
    movl $0x501004, 0x501000
    movl $0x18800000, 0x501004
    movl $0xffe00069, 0x501008
    movl $0x502000, 0x50100c
    mov $0xc208, %dx
    mov $0x400000, %eax
    out %eax, %dx
    OUTB 0xc210, 4
    OUTB 0xc200, 1
    PUT 'R'
again:
    movl $0x501000, 0x500004
    movl $0x18800000, 0x501004
    mov $0xc206, %dx
    in %dx, %ax
    jmp again
"""
# An e1000 whose transmit ring is always full of the longest packets.
E1000 = BEGIN + """
    PCI 0x10, 0x10, 0xe0000000          # 00:02.0
    PCI 0x10, 0x04, 7
    mov $0x400000, %edi
    mov $4096, %ecx
1:  movl $0x500000, (%edi)
    movl $0, 4(%edi)
    movl $(0x8b000000 | 1500), 8(%edi)
    movl $0, 12(%edi)
    add $16, %edi
    loop 1b
    movl $0x400000, 0xe0003800
    movl $0, 0xe0003804
    movl $65536, 0xe0003808
    movl $0, 0xe0003810
    movl $0x4010a, 0xe0000400
    movl $0x40, 0xe0000000
    PUT 'R'
    xor %eax, %eax
again:
    add $4095, %eax
    and $4095, %eax
    mov %eax, 0xe0003818
    mov 0xe00000c0, %ecx
    jmp again
"""


def disk(folder):
    path = os.path.join(str(folder), "disk")
    with open(path, "wb") as f:
        f.write(bytes(range(256)) * 4096 * 16)
    return path


GUESTS = {
    "timers": (TIMERS + SPIN, lambda d: []),
    "timers, halted": (TIMERS + HALT, lambda d: []),
    "ports": (PORTS, lambda d: []),
    "maps": (MAPS, lambda d: []),
    "IDE": (IDE, lambda d: ["-drive", f"file={disk(d)},format=raw"]),
    "virtio ring": (VIRTIO, lambda d: ["-drive", f"if=none,id=d,file={disk(d)},format=raw,readonly=on", "-device",
                                       "virtio-blk-pci,drive=d,addr=2,disable-modern=on,queue-size=256"]),
    "USB": (USB, lambda d: ["-usb", "-device", "usb-tablet"]),
    "e1000 ring": (E1000, lambda d: ["-netdev", "user,id=n", "-device", "e1000,netdev=n,addr=2"]),
}


def waited(pid):
    """Seconds that the loop's thread, and we, stood in line for a processor of the host."""
    return sum(int(open(f"/proc/{p}/task/{p}/schedstat").read().split()[1]) for p in (pid, os.getpid())) / 1e9


def answers(monitor, n, pid=None):
    """Seconds that each of @n answers of the monitor took, in order of length; with @pid, without the waits for a processor."""
    took = []
    for _ in range(n):
        off, start = waited(pid) if pid else 0, time.monotonic()
        monitor.cmd("info status")
        took.append(max(time.monotonic() - start - ((waited(pid) if pid else 0) - off), 0))
    return sorted(took)


@contextlib.contextmanager
def machine(folder, name, *args):
    """Guest @name at its work."""
    text, devices = GUESTS[name]
    image, _ = build(folder, "hostile", text)
    with VM("-m", "64", "-vga", "none", "-nic", "none", "-kernel", image, *devices(folder), *args, monitor=True) as m:
        m.expect("R", LIMIT)
        yield m


def measure(folder, name, n, *args):
    """@n answers while guest @name runs."""
    with machine(folder, name, *args) as m:
        answers(m.mon, 20)
        return answers(m.mon, n)


def measure_twice(folder, name, n, *args):
    """The same, and @n answers without the time in which the host's processors did other work."""
    with machine(folder, name, *args) as m:
        answers(m.mon, 20)
        return answers(m.mon, n), answers(m.mon, n, m.p.pid)
