"""-icount beside the host's time: shift=auto, align=on, sleep=on. (That a run with a constant shift is a function of its
input is test_snapshot.py's.) The guest is a boot sector that writes the BIOS's count of ticks whenever it changes."""
import os
import re
import time

import pytest

from image import build_sector
from test_time import frozen, stopped
from vm import VM, wait_for

TICK = 65536 / 1193182  # the PIT's, of a BIOS
TOLERANCE = 0.05        # of the rate

SECTOR = """
.code16
.globl start
start:
    xor %ax, %ax
    mov %ax, %ds
    mov $0x3f8, %dx
    sti
1:  mov 0x46c, %al
    mov %al, %cl
2:  {wait}
    mov 0x46c, %al
    cmp %al, %cl
    je 2b
    out %al, %dx
    jmp 1b
    .org 510
    .word 0xaa55
"""


class Ticker(VM):
    """@wait is what it does between ticks: hlt or nop."""

    def __init__(self, folder, wait, *args):
        path = os.path.join(folder, wait + ".img")
        with open(path, "wb") as f:
            f.write(build_sector(folder, SECTOR.format(wait=wait)).ljust(1440 << 10, b"\0"))
        super().__init__("-drive", f"file={path},format=raw,if=floppy", *args, monitor=True)
        self.ticks = 0
        self.last = None

    def look(self):
        """(host's time, guest's) in seconds, when the next tick comes; the guest's since the first look."""
        wait_for(lambda: self.take(os.read(self.serial.fd, 4096)))
        return time.monotonic(), self.ticks * TICK

    def take(self, data):
        for byte in data:
            self.ticks += 0 if self.last is None else (byte - self.last) & 0xff
            self.last = byte
        return data

    def rate(self, seconds):
        """Of the guest's time, by the host's, over that much of the latter."""
        first, last = self.look(), (0, 0)
        while last[0] <= first[0] + seconds:
            last = self.look()
        return (last[1] - first[1]) / (last[0] - first[0])

    def keeps(self, seconds):
        """Wait until the guest's time is the host's over that much or more of it: a look finds it late on a loaded host."""
        first = self.look()

        def kept():
            last = self.look()
            gone = last[0] - first[0]
            return gone > seconds and abs((last[1] - first[1]) / gone - 1) < TOLERANCE
        wait_for(kept)

    def settle(self):
        """Ticks that the firmware was too slow for have been made up for: five come a tick apart."""
        def regular():
            at = [self.look()[0] for _ in range(6)]
            return all(b - a > TICK / 2 for a, b in zip(at, at[1:]))
        wait_for(regular)

    def behind(self):
        return int(re.search(r"Host - Guest clock  (-?\d+) ms", self.mon.cmd("info jit"))[1]) / 1000


@pytest.mark.parametrize("wait, icount", [("nop", "auto"), ("hlt", "auto"), ("hlt", "shift=3,sleep=on"),
                                          ("nop", "shift=10,align=on")])
def test_rate(wait, icount, tmp_path):
    """Busy or idle, a second is a second; with a constant shift only as far as that promises it."""
    with Ticker(tmp_path, wait, "-icount", icount) as vm:
        vm.settle()
        vm.keeps(2)


def test_idle_time_is_skipped(tmp_path):
    with Ticker(tmp_path, "hlt", "-icount", "shift=3") as vm:
        assert vm.rate(0.2) > 10


@pytest.mark.parametrize("wait", ["nop", "hlt"])
def test_stopped_and_frozen(wait, tmp_path):
    """What is missed while the machine is stopped is left out, what while the process is, made good."""
    with Ticker(tmp_path, wait, "-icount", "auto") as vm:
        vm.settle()
        first = vm.look()
        pause = stopped(vm, 1)

        def missing():
            now = vm.look()
            return now[0] - first[0] - (now[1] - first[1])
        assert pause[0] - 0.1 < missing() < pause[1] + 0.2
        frozen(vm, 2)
        wait_for(lambda: missing() < pause[1] + 0.1)
        assert missing() > pause[0] - 0.1


def test_late(tmp_path):
    """An instruction takes the host more than a nanosecond: the user is told, and a saved state remembers by how much."""
    args = ["-icount", "shift=0,align=on"]
    state = tmp_path / "state"
    with Ticker(tmp_path, "nop", *args) as vm:
        wait_for(lambda: re.search(r"the guest's time is [1-9]\d* to \d+ s behind the host's", vm.stderr()))
        vm.mon.cmd("stop")
        behind = vm.behind()
        assert behind >= 1
        assert "Error" not in vm.mon.cmd(f"migrate file:{state}")
    with Ticker(tmp_path, "nop", *args, "-S", "-incoming", f"file:{state}") as vm:
        assert vm.behind() == behind


def test_state_of_another_engine(tmp_path):
    """Instructions that were executed when they made no time do not make it later."""
    state = tmp_path / "state"
    with Ticker(tmp_path, "nop", "-accel", "interp") as vm:
        vm.rate(0.5)
        vm.mon.cmd("stop")
        assert "Error" not in vm.mon.cmd(f"migrate file:{state}")
    with Ticker(tmp_path, "nop", "-icount", "shift=10", "-incoming", f"file:{state}") as vm:
        vm.look()
        assert vm.behind() > -2
