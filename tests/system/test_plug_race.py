"""Cards that come and go, and resets, while all processors of a bare guest use whatever there is: nothing waits for anything. make
check-thread runs it under TSan, which says of a race what a lucky run does not."""
import pytest

import qmp
from image import build
from vm import LIMIT, VM

# The first processor gives each card in slots 3 to 15 its addresses and resets it, over and over; the others read and write where
# the cards may be, and eject those that the guest is asked for (hw/acpi/pci-hotplug.h).
GUEST = """
    .long 0x1badb002, 0x10000, -(0x1badb002 + 0x10000)
    .long start, start, 0, 0, entry
entry:
    OTHERS ap, ap_end
    PUT 'R'
cards:
    mov $3, %ebx
2:  mov %ebx, %edi
    shl $20, %edi
    add $0xe0000000, %edi
    mov %ebx, %esi
    shl $11, %esi
    or $0x80000000, %esi
.macro CONFIG reg, val
    mov $0xcf8, %dx
    lea \\reg(%esi), %eax
    out %eax, %dx
    mov $0xcfc, %dx
    mov \\val, %eax
    out %eax, %dx
.endm
    mov $0xcf8, %dx
    mov %esi, %eax
    out %eax, %dx
    mov $0xcfc, %dx
    in %dx, %eax
    cmp $-1, %eax
    je 3f
    lea 0x10000(%edi), %ebp
    CONFIG 0x14, %ebp
    lea 0x40000(%edi), %ebp
    CONFIG 0x20, %ebp
    CONFIG 0x24, $0
    CONFIG 0x10, %edi
    CONFIG 0x04, $7
    movl $0x4000000, (%edi)             # 82540EM: CTRL.RST
    movb $0, 0x40014(%edi)              # virtio: device_status
    movb $3, 0x40014(%edi)
    CONFIG 0x04, $0
    CONFIG 0x04, $7
3:  inc %ebx
    cmp $16, %ebx
    jb 2b
    jmp cards
.code16
ap: cli
    data32 lgdt %cs:(gdtr - ap)
    mov $0x11, %ax
    lmsw %ax
    ljmpl $8, $all
    .balign 4
gdtr:
    .word 23
    .long gdt
ap_end:
.code32
    .balign 8
gdt:
    .quad 0, 0x00cf9b000000ffff, 0x00cf93000000ffff
all:
    mov $0x10, %ax
    mov %ax, %ds
    mov %ax, %es
    mov %ax, %ss
4:  mov $0xae04, %dx
    in %dx, %eax
    test %eax, %eax
    jz 5f
    mov $0xae08, %dx
    out %eax, %dx
5:  mov $0xae00, %dx
    in %dx, %eax
    mov $0xe0300000, %edi
6:  mov (%edi), %eax
    mov 8(%edi), %eax
    mov 0x10000(%edi), %eax
    mov %eax, 0x1003c(%edi)
    mov 0x40014(%edi), %al
    movl $0, 0x40008(%edi)
    mov 0x40004(%edi), %eax
    add $0x100000, %edi
    cmp $0xe1000000, %edi
    jb 6b
    jmp 4b
"""
CARDS = ["virtio-rng-pci", "e1000", "virtio-blk-pci", "rtl8139", "virtio-net-pci", "virtio-scsi-pci", "pcnet",
         "virtio-balloon-pci", "ne2k_pci", "virtio-serial-pci"]


@pytest.mark.parametrize("cpus, count", [(2, 60), pytest.param(4, 600, marks=pytest.mark.full)])
def test_plug_and_reset(tmp_path, cpus, count):
    """Each card goes when it is asked for, or with a reset; the guest starts anew each time."""
    image, _ = build(tmp_path, "race", GUEST)
    path, arg = qmp.address(tmp_path)
    with VM("-m", "64", "-vga", "none", "-smp", cpus, "-kernel", image, "-qmp", arg, "-blockdev",
            "driver=null-co,node-name=node,size=1M,read-zeroes=on") as vm, qmp.Qmp(path) as q:
        vm.expect("R", LIMIT)
        for n in range(count):
            card = CARDS[n % len(CARDS)]
            more = {"drive": "node"} if card == "virtio-blk-pci" else {}
            assert q.cmd("device_add", driver=card, id="card", addr=f"{3 + n % 13:x}", **more) == {}
            if n % 4 == 3:  # the guest is at it from the start
                q.cmd("system_reset")
            assert q.cmd("device_del", id="card") == {}
            if n % 4 == 1:  # asked for and reset at once: it goes by either
                q.cmd("system_reset")
            assert q.event("DEVICE_DELETED", LIMIT)["device"] == "card"
            if n % 2 == 1:
                vm.expect("R", LIMIT)
        assert q.cmd("query-status")["status"] == "running"
        q.cmd("quit")
        assert vm.wait(LIMIT) == 0
        assert vm.stderr() == ""
