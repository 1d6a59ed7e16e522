"""Watchdogs, by Debian's kernel and its drivers: what is done when they are not fed."""
import re

import pytest

import image
import qmp
from test_network import ready, sh
from vm import STEP, VM, linux, wait_for


def watched(tmp_path, model, *args):
    path, arg = qmp.address(tmp_path)
    vm = linux("amd64", "-device", model, "-qmp", arg, *args, initrd=f"initrd-amd64-{model}", monitor=True)
    return vm, path


@pytest.mark.usefixtures("guests")
@pytest.mark.parametrize("model", ["i6300esb", pytest.param("ib700", marks=pytest.mark.full)])
def test_actions(tmp_path, model):
    """While it is fed nothing happens; then what watchdog_action says, each time its time is over."""
    vm, path = watched(tmp_path, model, "-action", "watchdog=none")
    with vm, qmp.Qmp(path) as q:
        ready(vm)
        sh(vm, "watchdog -T 4 -t 1 /dev/watchdog; sleep 6; killall -STOP watchdog")
        q.cmd("query-status")
        assert [e for e in q.events if e["event"] == "WATCHDOG"] == []
        assert q.event("WATCHDOG", STEP) == {"action": "none"}
        assert "up" in sh(vm, "uptime")
        q.cmd("watchdog-set-action", action="inject-nmi")
        again(vm)
        assert q.event("WATCHDOG", STEP) == {"action": "inject-nmi"}
        wait_for(lambda: "NMI" in sh(vm, "dmesg | grep 'NMI received' || true"), STEP)
        q.cmd("set-action", watchdog="debug")
        again(vm)
        assert q.event("WATCHDOG", STEP) == {"action": "debug"}
        wait_for(lambda: "watchdog" in vm.stderr())
        assert vm.mon.cmd("watchdog_action pause") == ""
        again(vm)
        assert q.event("WATCHDOG", STEP) == {"action": "pause"}
        wait_for(lambda: q.cmd("query-status")["status"] == "watchdog")
        assert vm.mon.cmd("info status") == "VM status: paused (watchdog)\n"
        vm.mon.cmd("watchdog_action reset")
        q.cmd("cont")
        again(vm)
        assert q.event("WATCHDOG", STEP) == {"action": "reset"}
        assert q.event("RESET", STEP) == {"guest": True, "reason": "guest-reset"}
        ready(vm)
        if model == "i6300esb":  # its flag outlives the reset
            assert re.search(r"^32\b", sh(vm, "cat /sys/class/watchdog/watchdog0/bootstatus"), re.M)  # WDIOF_CARDRESET
        assert "error" in q.ask("watchdog-set-action", action="bite")


@pytest.mark.usefixtures("guests")
@pytest.mark.parametrize("firmware", [pytest.param([], marks=pytest.mark.full), ["-vga", "std"]], ids=["none", "seabios"])
def test_tco(tmp_path, firmware):
    """The ICH9's own, which Linux' iTCO_wdt finds: fed it does nothing; unfed twice the board is reset."""
    path, arg = qmp.address(tmp_path)
    with linux("amd64", "-M", "q35", "-qmp", arg, *firmware, initrd="initrd-amd64-tco", monitor=True) as vm, qmp.Qmp(path) as q:
        ready(vm)
        assert "iTCO_wdt" in sh(vm, "cat /sys/class/watchdog/watchdog0/identity")
        sh(vm, "watchdog -T 4 -t 1 /dev/watchdog; sleep 6")
        q.cmd("query-status")
        assert [e for e in q.events if e["event"] == "WATCHDOG"] == []
        sh(vm, "killall -STOP watchdog")
        assert q.event("WATCHDOG", STEP) == {"action": "reset"}
        ready(vm)
    with linux("amd64", "-M", "q35", "-global", "ICH9-LPC.noreboot=on", initrd="initrd-amd64-tco") as vm:
        ready(vm)
        assert "unable to reset NO_REBOOT flag" in sh(vm, "dmesg")


def again(vm):
    """The program is fed once and stopped again: a watchdog of one bite begins anew."""
    sh(vm, "killall -CONT watchdog; sleep 1.5; killall -STOP watchdog")


# A gate for NMIs, the local APIC on, interrupts off for good; the timer ticks each millisecond.
NMI_IMAGE = """
    cli
    mov $handler, %%eax
    mov %%ax, 0x9010
    mov %%cs, 0x9012
    movw $0x8e00, 0x9014
    shr $16, %%eax
    mov %%ax, 0x9016
    lidt table
    mov $0x80000, %%esp
    movl $0x1ff, 0xfee000f0
    %s
    mov $0x34, %%al
    out %%al, $0x43
    mov $0xa9, %%al
    out %%al, $0x40
    mov $4, %%al
    out %%al, $0x40
1:  jmp 1b
handler:
    incl 0x8000
    cmpl $%d, 0x8000
    jb 2f
    EXIT 5
2:  iretl
table:
    .word 0xff
    .long 0x9000
"""
BY_IOAPIC = "movl $0x15, 0xfec00000\n movl $0, 0xfec00010\n movl $0x14, 0xfec00000\n movl $0x400, 0xfec00010"
# the 8259 with all but IRQ 0 masked, and LINT0 in NMI mode; nobody acknowledges, so that it is one
BY_LINT0 = ("mov $0x11, %al\n out %al, $0x20\n mov $0x20, %al\n out %al, $0x21\n mov $4, %al\n out %al, $0x21\n"
            "mov $1, %al\n out %al, $0x21\n mov $0xfe, %al\n out %al, $0x21\n movl $0x400, 0xfee00350")


@pytest.mark.parametrize("engine", ["tcg", "interp"])
@pytest.mark.parametrize("how, count", [(BY_IOAPIC, 5), (BY_LINT0, 1)], ids=["ioapic", "lint0"])
def test_nmi_with_interrupts_off(tmp_path, how, count, engine):
    """The NMI watchdog of old kernels: the timer's ticks as NMIs, by the I/O APIC or through LINT0."""
    path, _ = image.build(tmp_path, "nmi", NMI_IMAGE % (how, count))
    with VM("-kernel", path, *image.EXIT_DEVICE, "-accel", engine) as vm:
        assert vm.wait() == 11
