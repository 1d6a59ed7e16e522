"""memtest86+ from its CD: it starts and finds nothing (CI), and goes through its tests 0 to 9 (full)."""
import re

import pytest

import media
from vm import BOOT, SLOW, VM, wait_for

GONE = media.missing(media.MEMTEST_CD.format("x64"), media.MEMTEST_CD.format("ia32"))
pytestmark = pytest.mark.skipif(GONE is not None, reason=f"no {GONE} (package memtest86+)")


def progress(m):
    """(number of the test, passes, errors) or None while it does not test yet."""
    text = m.mon.cmd("screendump -t")
    test = re.search(r"│ Test #(\d+) ", text)
    count = re.search(r"│ Pass: +(\d+) +Errors: +(\d+)", text)
    return (int(test.group(1)), *map(int, count.groups())) if test and count else None


@pytest.mark.parametrize("bits", ["x64", "ia32"])
def test_starts(bits):
    with VM("-m", "32", "-cdrom", media.MEMTEST_CD.format(bits), monitor=True) as m:
        number, _, errors = wait_for(lambda: (p := progress(m)) and p[0] >= 1 and p, BOOT)
        assert errors == 0
        assert m.stderr() == ""


@pytest.mark.full
@pytest.mark.parametrize("bits", ["x64", "ia32"])
def test_tests_0_to_9(bits):
    """Test 10 waits for bits to fade; once it is reached the others are done. The errors are counted over all."""
    seen = set()

    def after_9(m):
        m.serial.read(0.3)  # nothing comes: it only keeps the looks apart
        if got := progress(m):
            seen.add(got[0])
            assert got[2] == 0, m.mon.cmd("screendump -t")
            return got[0] == 10 or got[1] > 0

    with VM("-m", "32", "-cdrom", media.MEMTEST_CD.format(bits), monitor=True) as m:
        wait_for(lambda: after_9(m), 3600 * SLOW)
        assert len(seen & set(range(10))) >= 5  # short ones come and go between two looks
        assert m.stderr() == ""
