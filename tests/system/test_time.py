"""The guest's clocks against the host's."""
import re
import time

import pytest

from test_network import ready, sh
from vm import linux

TOLERANCE = 0.05


def uptime(vm):
    """(host before, guest, host after), in seconds."""
    before = time.monotonic()
    text = sh(vm, "cut -d' ' -f1 /proc/uptime")
    return before, float(re.search(r"^\d+\.\d+", text, re.M).group()), time.monotonic()


@pytest.mark.usefixtures("guests")
@pytest.mark.parametrize("source", ["tsc", "kvm-clock", "hpet", "acpi_pm"])
def test_rate(source, request):
    """A busy guest's clock keeps up with the host's; across a stop of the machine it stands still."""
    busy = 60 if request.config.getoption("--full") else 5
    with linux("amd64", append=f"clocksource={source}", monitor=True) as vm:
        ready(vm)
        assert source in sh(vm, "cat /sys/devices/system/clocksource/clocksource0/current_clocksource")
        first = uptime(vm)
        sh(vm, f"timeout {busy} sh -c 'while :; do :; done'; true", busy * 20)
        second = uptime(vm)
        passed = second[1] - first[1]
        assert second[0] - first[2] - TOLERANCE < passed < second[2] - first[0] + TOLERANCE
        vm.mon.cmd("stop")
        time.sleep(2)
        vm.mon.cmd("cont")
        third = uptime(vm)
        passed = third[1] - second[1]
        assert -0.02 < passed < third[2] - second[0] - 2 + TOLERANCE


@pytest.mark.usefixtures("guests")
def test_kvm_clock_is_found():
    with linux("amd64", "-smp", "2", monitor=True) as vm:
        ready(vm)
        assert "kvm-clock: Using msrs 4b564d01 and 4b564d00" in sh(vm, "dmesg | grep kvm-clock")
    with linux("amd64", "-cpu", "max,-kvmclock", monitor=True) as vm:
        ready(vm)
        assert "kvm-clock" not in sh(vm, "cat /sys/devices/system/clocksource/clocksource0/available_clocksource")
