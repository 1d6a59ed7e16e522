"""What all system tests share: the guests, the `full` mark, a folder that goes away."""
import atexit
import fcntl
import os
import shutil
import subprocess
import tempfile

import pytest

import vm


def pytest_addoption(parser):
    parser.addoption("--full", action="store_true", help="run what is marked full too")


def pytest_configure(config):
    config.addinivalue_line("markers", "full: only in make check-full")
    # Sockets and machines of the tests live in one folder, so that none is left behind.
    # (Removed at the very end: pytest has an atexit function of its own that looks into it.)
    tmp = tempfile.mkdtemp(prefix="doppel-check-")
    atexit.register(shutil.rmtree, tmp, ignore_errors=True)
    os.environ["TMPDIR"] = tempfile.tempdir = tmp


def pytest_collection_modifyitems(config, items):
    if not config.getoption("--full"):
        full = [i for i in items if i.get_closest_marker("full")]
        config.hook.pytest_deselected(items=full)
        items[:] = [i for i in items if i not in full]


@pytest.fixture(scope="session")
def guests():
    """The kernels and initial RAM disks, made from Debian's packages if they are not there."""
    os.makedirs(vm.GUESTS, exist_ok=True)
    with open(f"{vm.GUESTS}/lock", "w") as lock:  # files of tests run side by side
        fcntl.flock(lock, fcntl.LOCK_EX)
        subprocess.run([os.path.join(vm.ROOT, "scripts", "mkguest"), vm.GUESTS], check=True,
                       timeout=600, stdin=subprocess.DEVNULL)
    return vm.GUESTS
