"""Four processors under torture (torture.c): locks, futexes, TLB shoot-downs, code that others change, cmpxchg16b. The same
program on the host is the oracle. TORTURE_SECONDS=n makes it longer (make soak)."""
import os
import re
import subprocess

import pytest

from vm import BOOT, LIMIT, STEP, initrd_with, linux

HERE = os.path.dirname(os.path.abspath(__file__))
SECONDS = int(os.environ.get("TORTURE_SECONDS", "20"))
OK = r"^TORTURE OK locks \d+ futex \d+ maps \d+ code \d+ queue \d+$"


@pytest.fixture
def program(tmp_path):
    path = tmp_path / "tree/bin/torture"
    path.parent.mkdir(parents=True)
    subprocess.run(["cc", "-O2", "-static", "-pthread", "-mcx16", "-o", path, f"{HERE}/torture.c"], check=True, timeout=LIMIT)
    return path


def test_host(program):
    got = subprocess.run([program, "1", "4"], capture_output=True, text=True, timeout=LIMIT)
    assert got.returncode == 0 and re.search(OK, got.stdout), got.stdout


@pytest.mark.full
@pytest.mark.usefixtures("guests")
def test_guest(program, tmp_path):
    initrd_with(tmp_path / "tree", "initrd-amd64", tmp_path / "initrd")
    with linux("amd64", "-smp", "4", "-m", "256", initrd=tmp_path / "initrd") as vm:
        vm.expect("^DOPPEL-READY", BOOT)
        vm.expect("# ")
        vm.send(f"torture {SECONDS} 4\n")
        got = vm.expect(r"^(TORTURE .*)\n", SECONDS + 2 * STEP).group(1)
        assert re.search(OK, got), got
        print("done:", got)  # for the soak's ledger
        vm.send("dmesg | grep -ciE 'lockup|stall|bug:|oops'\n")
        vm.expect("^0$", STEP)
