"""SMART as smartctl (package smartmontools) finds it in a guest, on IDE and AHCI: what it shows, turns off and on, and tests."""
import os
import re
import shutil
import subprocess

import pytest

from adapters import adapter, drive, machine
from test_disks import answer, no_trouble
from vm import GUESTS, STEP, initrd_with

SMARTCTL = shutil.which("smartctl") or shutil.which("smartctl", path="/usr/sbin")
pytestmark = [pytest.mark.skipif(SMARTCTL is None, reason="no smartctl (package smartmontools)"), pytest.mark.usefixtures("guests")]


@pytest.fixture(scope="module")
def initrd(tmp_path_factory):
    """The guest's own, and smartctl with its libraries."""
    folder = tmp_path_factory.mktemp("smart")
    tree = folder / "tree"
    (tree / "bin").mkdir(parents=True)
    shutil.copy(SMARTCTL, tree / "bin" / "smartctl")
    for lib in re.findall(r"(/\S+) \(0x", subprocess.run(["ldd", SMARTCTL], capture_output=True, text=True, check=True).stdout):
        to = tree / lib.lstrip("/")
        to.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(os.path.realpath(lib), to)
    initrd_with(tree, "initrd-amd64-disks", folder / "initrd")
    return os.path.relpath(folder / "initrd", GUESTS)


@pytest.mark.parametrize("kind", ["ide", "ahci"])
def test_smartctl(initrd, kind, tmp_path):
    (tmp_path / "d").write_bytes(bytes(1 << 20))
    with machine(*drive("a", tmp_path / "d"), *adapter(kind, "a"), initrd=initrd) as m:
        def smart(*words):
            """What it prints, and its exit code: a bit each for what it finds wrong."""
            return answer(m, f"smartctl {' '.join(words)} /dev/sda; echo code $?", STEP)

        shown = smart("-a")
        assert "code 0\n" in shown, shown
        assert "SMART support is: Available" in shown and "SMART support is: Enabled" in shown
        assert "overall-health self-assessment test result: PASSED" in shown
        assert "No Errors Logged" in shown and "No self-tests have been logged" in shown
        for row in (r"1 Raw_Read_Error_Rate +0x\w+ +100 +100 +006", r"5 Reallocated_Sector_Ct +0x\w+ +100 +100 +036",
                    r"9 Power_On_Hours", r"194 Temperature_Celsius .* 31\n"):
            assert re.search(row, shown), row
        for word in ("checksum", "Invalid", "failed:", "-FAILED", "UNKNOWN"):
            assert word not in shown, (word, shown)
        assert "has begun" in smart("-t", "short")
        assert re.search(r"# 1  Short offline +Completed without error +00%", smart("-l", "selftest"))
        assert "has begun" in smart("-t", "long")
        assert re.search(r"# 1  Extended offline +Completed without error", smart("-l", "selftest"))
        assert "code 0\n" in smart("-X")
        assert "SMART Disabled" in smart("-s", "off")
        assert "SMART Disabled" in smart("-H")
        off = smart("-T", "permissive", "-H")  # asked all the same: the drive aborts
        assert "PASSED" not in off and "code 0\n" not in off, off
        assert "SMART Enabled" in smart("-s", "on") and "PASSED" in smart("-H")
        assert "code 0\n" in smart("-S", "on")
        no_trouble(m)
