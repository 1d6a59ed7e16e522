"""The guest's clocks against the host's: busy on a busy host, after a stop of the machine, of its process, and resets.

DOPPEL_SOAK=1 has the guest busy for ten minutes (--full: one) and stops everything for a minute.
"""
import contextlib
import os
import re
import select
import signal
import subprocess
import time

import pytest

from test_network import ready, sh
from vm import linux, wait_for

SOAK = "DOPPEL_SOAK" in os.environ
TOLERANCE = 0.05
TICKS = "clocksource=jiffies nolapic_timer highres=off nohz=off nopti"
HPET_TICK = 1 / 250
PIT_TICK = 4773 / 1193182  # the nearest that it can


def busy_time(request):
    return 600 if SOAK else 60 if request.config.getoption("--full") else 5


@contextlib.contextmanager
def busy_host():
    """Twice as much to do as there are processors, besides the machine."""
    load = [subprocess.Popen(["sh", "-c", "while :; do :; done"]) for _ in range(2 * os.cpu_count())]
    try:
        yield
    finally:
        for p in load:
            p.kill()
            p.wait()


def uptime(vm):
    """(host before, guest, host after), in seconds."""
    before = time.monotonic()
    text = sh(vm, "cut -d' ' -f1 /proc/uptime")
    return before, float(re.search(r"^\d+\.\d+", text, re.M).group()), time.monotonic()


def jiffies(vm, tick):
    """The same of the kernel's count of ticks, read from outside. On a busy host some are always still owed: of many looks
    the one with the fewest."""
    looks = []
    address = getattr(vm, "jiffies", None)
    if not address:
        text = sh(vm, "grep -w jiffies /proc/kallsyms")
        address = vm.jiffies = re.search(r"^([0-9a-f]+) \w jiffies$", text, re.M)[1]
    for _ in range(25):
        before = time.monotonic()
        text = vm.mon.cmd(f"x /1gx 0x{address}")
        after = time.monotonic()
        looks.append((before, int(re.search(r"^[0-9a-f]+: (0x[0-9a-f]+)", text, re.M)[1], 16) * tick, after))
        select.select([], [], [], 0.02)
    return max(looks, key=lambda at: at[1] - at[2])


def stopped(vm, seconds):
    """The machine stands for that long: between how much and how much."""
    begin = time.monotonic()
    vm.mon.cmd("stop")
    begun = time.monotonic()
    time.sleep(seconds)
    end = time.monotonic()
    vm.mon.cmd("cont")
    return end - begun, time.monotonic() - begin


def frozen(vm, seconds):
    vm.p.send_signal(signal.SIGSTOP)
    time.sleep(seconds)
    vm.p.send_signal(signal.SIGCONT)


def right(first, second, tolerance, pause=(0, 0)):
    """Has the guest's clock gone as far as the host's, less its pause?"""
    passed = second[1] - first[1]
    return second[0] - first[2] - pause[1] - tolerance < passed < second[2] - first[0] - pause[0] + tolerance


def becomes_right(first, look, tolerance, limit):
    """What was missed is made good in a while; and then it stays so."""
    def caught_up():
        now = look()
        return now[1] - first[1] > now[2] - first[2] - tolerance  # an answer that took long proves nothing
    wait_for(caught_up, limit)
    assert right(first, look(), tolerance)


def resets(vm, count):
    for n in range(count):
        vm.mon.cmd("system_reset")
        select.select([], [], [], n % 10 / 100)  # each somewhere else in firmware and kernel
    vm.serial.read(0)
    vm.serial.at = len(vm.serial.text)


@pytest.mark.usefixtures("guests")
@pytest.mark.parametrize("source", ["tsc", "kvm-clock", "hpet", "acpi_pm"])
def test_rate(source, request):
    """A busy guest's clock keeps up with the host's. Across a stop of the machine it stands still; what it misses while
    the process is stopped it makes good, also where that is longer than its counter goes (4.7 s of the PM timer)."""
    busy = busy_time(request)
    with linux("amd64", append=f"clocksource={source}", monitor=True) as vm:
        ready(vm)
        assert source in sh(vm, "cat /sys/devices/system/clocksource/clocksource0/current_clocksource")
        first = uptime(vm)
        sh(vm, f"timeout {busy} sh -c 'while :; do :; done'; true", busy * 20)
        second = uptime(vm)
        assert right(first, second, TOLERANCE)
        pause = stopped(vm, 60 if SOAK else 2)
        third = uptime(vm)
        assert right(second, third, TOLERANCE, pause)
        frozen(vm, 60 if SOAK else 6 if source == "acpi_pm" else 2)
        becomes_right(third, lambda: uptime(vm), TOLERANCE, 30)


@pytest.mark.usefixtures("guests")
@pytest.mark.parametrize("tick, args", [
    pytest.param(HPET_TICK, [], id="hpet"),
    pytest.param(PIT_TICK, ["-no-hpet", "-cpu", "qemu64"], id="pit", marks=pytest.mark.full),
    pytest.param(PIT_TICK, ["-no-hpet", "-append", f"console=ttyS0 quiet {TICKS} noapic nolapic"], id="pic", marks=pytest.mark.full),
])
def test_ticks(tick, args, request):
    """A guest that counts ticks counts all of them, two more or less; nothing is left of those before a hundred resets."""
    busy = busy_time(request)
    with linux("amd64", *args, append=TICKS, monitor=True) as vm:
        resets(vm, 100)
        ready(vm)
        assert "jiffies" in sh(vm, "cat /sys/devices/system/clocksource/clocksource0/current_clocksource")

        def look():
            return jiffies(vm, tick)
        first = look()
        with busy_host():
            sh(vm, f"timeout {busy} sh -c 'while :; do :; done'; true", busy * 20)
        becomes_right(first, look, 2 * tick, 30)
        second = look()
        pause = stopped(vm, 60 if SOAK else 2)
        assert right(second, look(), 2 * tick, pause)
        third = look()
        frozen(vm, 60 if SOAK else 2)
        becomes_right(third, look, 2 * tick, 30)


@pytest.mark.usefixtures("guests")
def test_kvm_clock_is_found():
    with linux("amd64", "-smp", "2", monitor=True) as vm:
        ready(vm)
        assert "kvm-clock: Using msrs 4b564d01 and 4b564d00" in sh(vm, "dmesg | grep kvm-clock")
    with linux("amd64", "-cpu", "max,-kvmclock", monitor=True) as vm:
        ready(vm)
        assert "kvm-clock" not in sh(vm, "cat /sys/devices/system/clocksource/clocksource0/available_clocksource")
