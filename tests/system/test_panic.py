"""A guest that panics, and what is done about it: pvpanic's port and card, by instructions and by Debian's kernel."""
import pytest

import image
import qmp
from test_network import ready, sh
from vm import LIMIT, STEP, VM, linux, wait_for

# The port reads as the events that there are; then one is told.
TELL = "mov $0x505, %%dx\n in %%dx, %%al\n cmp $3, %%al\n 2: jne 2b\n mov $%d, %%al\n out %%al, %%dx\n 1: jmp 1b"
PANICKED, CRASH_LOADED = 1, 2


def guest(tmp_path, what, *args):
    path, arg = qmp.address(tmp_path)
    kernel, _ = image.build(tmp_path, "tell", TELL % what)
    return VM("-kernel", kernel, "-device", "pvpanic", "-qmp", arg, "-S", *args, monitor=True), path


def test_pause(tmp_path):
    """As QEMU 7.2: the state has a name of its own, stays through a stop, and the machine can go on."""
    vm, path = guest(tmp_path, PANICKED, "-action", "panic=pause")
    with vm, qmp.Qmp(path) as q:
        q.cmd("cont")
        assert q.event("GUEST_PANICKED") == {"action": "pause"}
        assert q.event("STOP") is None
        assert q.cmd("query-status") == {"status": "guest-panicked", "singlestep": False, "running": False}
        assert vm.mon.cmd("info status") == "VM status: paused (guest-panicked)\n"
        q.cmd("stop")
        assert q.cmd("query-status")["status"] == "guest-panicked"
        q.cmd("cont")
        assert q.cmd("query-status")["status"] == "running"
        q.cmd("set-action", panic="none")
        q.cmd("system_reset")
        assert q.event("GUEST_PANICKED") == {"action": "run"}
        assert q.cmd("query-status")["status"] == "running"
        assert "error" in q.ask("set-action", panic="scream")


@pytest.mark.parametrize("args, code", [([], 0), (["-action", "panic=shutdown"], 0), (["-action", "panic=exit-failure"], 1)])
def test_end(tmp_path, args, code):
    vm, path = guest(tmp_path, PANICKED, *args)
    with vm, qmp.Qmp(path) as q:
        q.cmd("cont")
        assert q.event("GUEST_PANICKED") == {"action": "poweroff"}
        assert q.event("SHUTDOWN") == {"guest": True, "reason": "guest-panic"}
        assert vm.wait() == code


def test_no_shutdown(tmp_path):
    """Where a guest's shutdown is to pause the machine, a panic is, too."""
    vm, path = guest(tmp_path, PANICKED, "-no-shutdown")
    with vm, qmp.Qmp(path) as q:
        q.cmd("cont")
        assert q.event("GUEST_PANICKED") == {"action": "pause"}
        wait_for(lambda: q.cmd("query-status")["status"] == "guest-panicked")
        q.cmd("system_reset")
        wait_for(lambda: q.cmd("query-status")["status"] == "prelaunch")


def test_crash_loaded(tmp_path):
    vm, path = guest(tmp_path, CRASH_LOADED, "-action", "panic=pause")
    with vm, qmp.Qmp(path) as q:
        q.cmd("cont")
        assert q.event("GUEST_CRASHLOADED") == {"action": "run"}
        assert q.cmd("query-status")["status"] == "running"


@pytest.mark.usefixtures("guests")
@pytest.mark.parametrize("device, board", [("pvpanic", "pc"), ("pvpanic", "q35"), ("pvpanic-pci", "pc"), ("pvpanic-pci", "q35")])
def test_linux(tmp_path, device, board):
    """Its driver finds the port by ACPI, and the card by itself."""
    path, arg = qmp.address(tmp_path)
    with linux("amd64", "-M", board, "-device", device, "-qmp", arg, "-action", "panic=pause",
               initrd="initrd-amd64-pvpanic") as vm, qmp.Qmp(path) as q:
        ready(vm)
        place = "bus/platform/drivers/pvpanic-mmio/QEMU0001:00" if device == "pvpanic" else "bus/pci/drivers/pvpanic-pci/0000:00:*"
        assert sh(vm, f"cat /sys/{place}/capability").split()[-1] == "3"
        assert q.cmd("query-status")["status"] == "running"
        vm.send("echo c > /proc/sysrq-trigger\n")
        assert q.event("GUEST_PANICKED", STEP) == {"action": "pause"}
        wait_for(lambda: q.cmd("query-status")["status"] == "guest-panicked", LIMIT)
        vm.expect("Kernel panic - not syncing")
