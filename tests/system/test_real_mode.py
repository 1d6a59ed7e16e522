"""A Linux kernel from before boot protocol 2.02: SeaBIOS runs, then its real-mode setup code."""
import subprocess

import pytest

from image import EXIT_DEVICE, build
from vm import VM

KERNEL = r"""
.code16
start:
.org 0x1f1
.byte 1
.org 0x1fe
.word 0xaa55
hdr: jmp setup           # 0x200: 2 bytes
.ascii "HdrS"
.word 0x0201
.org 0x210
.byte 0
.byte 1                  # loaded high
.word 0x8000
.long 0x100000
.long 0, 0               # initrd
.long 0
.word 0, 0               # heap end
.org 0x280
setup:
    mov $0x3f8, %dx
    mov 0x22, %si
1:  lodsb
    test %al, %al
    jz 2f
    out %al, %dx
    jmp 1b
2:  mov $10, %al
    out %al, %dx
    mov $0x88, %ah       # the BIOS: extended memory in KiB
    int $0x15
    mov $7, %bl          # digits of ax, hex
    mov %ax, %cx
    mov $4, %bp
3:  rol $4, %cx
    mov %cl, %al
    and $15, %al
    add $0x30, %al
    cmp $0x3a, %al
    jb 4f
    add $7, %al
4:  out %al, %dx
    dec %bp
    jnz 3b
    mov $10, %al
    out %al, %dx
    mov $0xf4, %dx
    mov $3, %al
    out %al, %dx
    hlt
.org 1024
.fill 512,1,0x90
"""


def test_real_mode_kernel(tmp_path):
    base = str(tmp_path / "old")
    with open(base + ".s", "w") as f:
        f.write(KERNEL)
    for cmd in (["as", "--32", "-o", base + ".o", base + ".s"],
                ["objcopy", "-O", "binary", "-j", ".text", base + ".o", base + ".bin"]):
        subprocess.run(cmd, check=True, timeout=30)
    with VM("-m", "16", "-kernel", base + ".bin", "-append", "hello world", *EXIT_DEVICE) as m:
        m.expect(r"^hello world\n3[0-9A-F]{3}\n")
        assert m.wait() == 7


# What a kernel finds at its entry, by its format: eax and ebx, flat segments; then it ends.
MULTIBOOT = """
    .long 0x1badb002, 0x10000, -(0x1badb002 + 0x10000)   # load addresses given
    .long start, start, 0, 0, entry
entry:
    mov $1, %esi
    cmp $0x2badb002, %eax
    jne 1f
    testl $0x40, (%ebx)      # there is a memory map
    jz 1f
    inc %esi
1:
"""
FLAT = " mov $2, %esi\n"
END = """
    mov %cs, %cx
    mov %ds, %dx
    cmp $0x10, %cx
    jne 2f
    cmp $0x18, %dx
    jne 2f
    mov %esi, %eax
    mov $0xf4, %dx
    out %al, %dx
2:  EXIT 9
    hlt
"""


@pytest.mark.parametrize("text", [MULTIBOOT, FLAT], ids=["multiboot", "flat"])
@pytest.mark.parametrize("bios", [True, False], ids=["bios", "direct"])
def test_protected_mode_entry(tmp_path, text, bios):
    """Entered alike through SeaBIOS, which sets the screen up first, and without it."""
    image, _ = build(tmp_path, "entry", text + END)
    with VM("-vga", "std" if bios else "none", "-kernel", image, *EXIT_DEVICE, monitor=False) as vm:
        assert vm.wait() == 5
