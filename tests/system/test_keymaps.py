"""The layouts of -k against Debian's keyboard data, by libxkbcommon."""
import os
import shutil
import subprocess

import pytest

from vm import LIMIT, ROOT


@pytest.mark.skipif(not shutil.which("xkbcli"), reason="no xkbcli (Debian: libxkbcommon-tools)")
def test_layouts_are_xkbs():
    p = subprocess.run([os.path.join(ROOT, "scripts", "mkkeymaps"), "--check"], cwd=ROOT, text=True,
                       capture_output=True, timeout=LIMIT, stdin=subprocess.DEVNULL)
    assert (p.returncode, p.stdout, p.stderr) == (0, "", "")
