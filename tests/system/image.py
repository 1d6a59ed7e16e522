"""Small guests: assembly to a flat image, which -kernel puts at 1 MiB and enters in 32-bit mode."""
import os
import re
import subprocess

ORG = 0x100000

# A line of text to the first serial port; ends with exit code N * 2 + 1 by isa-debug-exit.
MACROS = """
.macro PUT c
    mov $0x3f8, %dx
    mov $\\c, %al
    out %al, %dx
.endm
.macro EXIT n
    mov $0xf4, %dx
    mov $\\n, %al
    out %al, %dx
.endm
.macro OTHERS from, to                  # all other processors run what is between, at 7000h in real mode
    mov $\\from, %esi
    mov $0x7000, %edi
    mov $\\to - \\from, %ecx
    rep movsb
    movl $0xc4500, 0xfee00300           # INIT
    mov $1000, %ecx
1:  loop 1b
    movl $0xc4607, 0xfee00300           # SIPI
.endm
.code32
.globl start
start:
"""
EXIT_DEVICE = ["-device", "isa-debug-exit,iobase=0xf4,iosize=1"]


def build(folder, name, text):
    """(path of the image, {label: address})."""
    base = os.path.join(str(folder), name)
    with open(base + ".s", "w") as f:
        f.write(MACROS + text)

    def tool(*cmd):
        return subprocess.run(cmd, check=True, timeout=30, capture_output=True, text=True).stdout

    tool("as", "--64", "-o", base + ".o", base + ".s")
    tool("ld", "-static", "-Ttext", hex(ORG), "-e", "start", "-o", base + ".elf", base + ".o")
    tool("objcopy", "-O", "binary", "-j", ".text", base + ".elf", base + ".bin")
    labels = {n: int(a, 16) for a, n in re.findall(r"^(\w+) \w (\w+)$", tool("nm", base + ".elf"), re.M)}
    return base + ".bin", labels


def build_sector(folder, text):
    """The bytes of what a BIOS loads at 7C00h and enters in real mode; @text has a label start."""
    base = os.path.join(str(folder), "boot")
    with open(base + ".s", "w") as f:
        f.write(text)
    for cmd in (["as", "--32", "-o", base + ".o", base + ".s"],
                ["ld", "-m", "elf_i386", "-Ttext", "0x7c00", "-e", "start", "--oformat", "binary", "-o", base + ".bin",
                 base + ".o"]):
        subprocess.run(cmd, check=True, timeout=30, capture_output=True)
    with open(base + ".bin", "rb") as f:
        return f.read()
