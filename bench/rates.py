"""What a machine's process uses while its guest does something. For bench/net and bench/disk."""
import os
import re
import time

from vm import BOOT


def used(pid):
    """(seconds that the process has run, threads that are gone among them; how often those that are there waited)."""
    task = f"/proc/{pid}/task"
    waits = sum(int(re.search(r"^voluntary_ctxt_switches:\s*(\d+)", open(f"{task}/{t}/status").read(), re.M)[1])
                for t in os.listdir(task))
    return time.clock_gettime(~pid << 3 | 2), waits  # the process's CPU clock, as clock_getcpuclockid(3) names it


def measure(vm, command):
    """(processor seconds, wall seconds, waits, what was written)."""
    (cpu, waits), start, at = used(vm.p.pid), time.monotonic(), len(vm.serial.text)
    vm.send(f"{command}; echo DO''NE\n")
    vm.expect("^DONE$", BOOT)
    now = used(vm.p.pid)
    return now[0] - cpu, time.monotonic() - start, now[1] - waits, vm.serial.text[at:]
