"""The boards' SMBus, as Linux's drivers see it: what the memory modules' EEPROMs say, by bytes (PIIX4) and by I2C blocks and
interrupts (ICH9)."""
import glob
import os

import pytest

from vm import BOOT, GUESTS, STEP, initrd_modules, linux


@pytest.fixture
def initrd(guests, tmp_path):
    package = os.path.basename(glob.glob(f"{GUESTS}/debs/linux-image-6*-amd64.deb")[0]).removesuffix(".deb")
    return initrd_modules(tmp_path, package, "initrd-amd64", ["i2c-smbus", "i2c-i801", "i2c-piix4", "regmap-i2c", "at24"])


@pytest.mark.full
@pytest.mark.parametrize("board, firmware", [("pc", False), ("pc", True), ("q35", False), ("q35", True)])
def test_linux(board, firmware, initrd):
    """at24 reads a module of 512 MiB: DDR2 (byte 2), density 80h (byte 31), a sum that is right; the next place is empty."""
    with linux("amd64", "-M", board, "-m", "512", "-vga", "std" if firmware else "none", initrd=initrd) as vm:
        vm.expect(r"^DOPPEL-READY", BOOT)
        vm.expect("# ")
        vm.send("cd /sys/bus/i2c/devices; n=$(grep -lE 'I801|PIIX4' i2c-*/name | head -n 1 | cut -d- -f2 | cut -d/ -f1)\n")
        vm.send("for a in 0 1 9; do echo spd 0x5$a > i2c-${n}/new_device; done; echo made\n")
        vm.expect("^made", STEP)
        vm.send("for a in 0 1; do od -An -tx1 -v -N 64 $n-005$a/eeprom | tr -d ' \\n'; echo; done; echo end\n")
        one, two = vm.expect(r"^([0-9a-f]{128})\n([0-9a-f]{128})\nend", STEP).groups()
        spd = bytes.fromhex(one)
        assert spd[:3] == b"\x80\x08\x08" and spd[31] == 0x80 and spd[63] == sum(spd[:63]) & 0xff
        assert two == "00" * 64
        vm.send("dmesg | grep -iE 'i801|piix4' | grep -ciE 'error|timeout|busy|fail'\n")
        vm.expect(r"^0$", STEP)
