"""The monitor answers while a guest does its worst (hostile.py), on both engines; bench/latency has the exact figures."""
import re

import pytest

import hostile
from vm import SLOW

BOUND = 0.050 * SLOW  # seconds, 99 of 100 answers


@pytest.mark.parametrize("accel", ["tcg", "interp"])
@pytest.mark.parametrize("name", list(hostile.GUESTS))
def test_monitor_answers(tmp_path, name, accel):
    """In the best of three tries: the machine that runs the tests does other work, too."""
    tries = []
    while len(tries) < 3 and not (tries and tries[-1] < BOUND):
        tries.append(hostile.measure(tmp_path, name, 150, "-accel", accel)[148])
    assert min(tries) < BOUND, tries


def test_disk_requests_cost_little(tmp_path):
    """128 requests of 4 MiB under way, told of over and over: what they take is bounded."""
    with hostile.machine(tmp_path, "virtio ring") as m:
        hostile.answers(m.mon, 100)
        text = open(f"/proc/{m.p.pid}/status").read()
        assert m.mon.cmd("info status") == "VM status: running\n"
        assert int(re.search(r"^RssAnon:\s+(\d+)", text, re.M)[1]) < 150 * 1024
