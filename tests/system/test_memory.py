"""What the process needs beside the guest's RAM."""
import re

import pytest

from vm import BOOT, PROMPT, linux

pytestmark = pytest.mark.usefixtures("guests")

BOUND = 100 * 1024  # KiB


def resident(pid):
    """({name of mapping: KiB of it that are resident}, KiB of RssAnon + RssFile), without guest RAM, which is a memfd."""
    parts = {}
    name = ""
    with open(f"/proc/{pid}/smaps") as f:
        for line in f:
            if m := re.match(r"[0-9a-f]+-[0-9a-f]+ \S+ \S+ \S+ \S+\s*(.*)$", line):
                name = m[1]
            elif m := re.match(r"Rss:\s+(\d+) kB", line):
                parts[name] = parts.get(name, 0) + int(m[1])
    status = open(f"/proc/{pid}/status").read()
    anon, file = (int(re.search(rf"^{k}:\s+(\d+)", status, re.M)[1]) for k in ("RssAnon", "RssFile"))
    return parts, anon + file


@pytest.mark.parametrize("accel", ["tcg", pytest.param("interp", marks=pytest.mark.full)])
def test_resident_after_boot(accel):
    with linux("amd64", "-accel", accel, "-m", "256", append="do=shell") as m:
        m.expect(PROMPT, BOOT * (1 if accel == "tcg" else 4))
        parts, used = resident(m.p.pid)
    most = sorted(parts.items(), key=lambda p: -p[1])[:8]
    assert used <= BOUND, f"{used} KiB; {most}"
    code = max((n for name, n in parts.items() if "doppel-code" in name), default=0) // 2  # one memory, two views
    assert used + code <= BOUND, f"{used} + {code} KiB of translated code; {most}"
