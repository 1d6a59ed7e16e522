"""Port 92h and the keyboard controller drive A20M# of all processors."""
from image import EXIT_DEVICE, build
from vm import VM

# Runs at 8000h: the image's own place, 1 MiB, disappears with A20.
IMAGE = r"""
    mov $body, %esi
    mov $0x8000, %edi
    mov $(body_end - body), %ecx
    rep movsb
    movl $0x22222222, 0x200000
    movl $0x33333333, 0x300000
    mov $0x8000, %eax
    jmp *%eax
body:
    in $0x92, %al
    and $0xfd, %al
    out %al, $0x92
    cmpl $0x22222222, 0x300000
    jne 9f
    in $0x92, %al
    or $2, %al
    out %al, $0x92
    cmpl $0x33333333, 0x300000
    jne 9f
    mov $0xd1, %al
    out %al, $0x64
    mov $0xdd, %al
    out %al, $0x60
    cmpl $0x22222222, 0x300000
    jne 9f
    mov $0xdf, %al
    out %al, $0x64
    cmpl $0x33333333, 0x300000
    jne 9f
    EXIT 1
9:  EXIT 2
body_end:
"""


def test_a20(tmp_path):
    kernel, _ = build(tmp_path, "a20", IMAGE)
    for cpus in 1, 2:
        with VM("-m", "16", "-smp", cpus, "-kernel", kernel, *EXIT_DEVICE) as m:
            assert m.wait() == 3
