"""A machine that a test runs: its serial line, its monitor, its end. No sleeps: everything waits for
something with a deadline, and a deadline that passes shows what was read so far.

Times are for a machine of two cores that does other work too: DOPPEL_SLOW=n multiplies them. With
DOPPEL_ENGINE=interp guests run on the reference, unless a test says what they run on.
"""
import os
import re
import select
import shutil
import socket
import subprocess
import tempfile
import time

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
DOPPEL = os.environ.get("DOPPEL", os.path.join(ROOT, "doppel"))
GUESTS = os.path.join(ROOT, "build", "guests")
ENGINE = os.environ.get("DOPPEL_ENGINE", "")
SLOW = float(os.environ.get("DOPPEL_SLOW", "6" if ENGINE == "interp" else "1"))
BOOT = 180 * SLOW  # seconds from the start to the guest's first line; 30 when nothing else runs
STEP = 60 * SLOW   # for an answer of a running guest
LIMIT = 30 * SLOW  # for anything that needs no guest
PROMPT = r"^(/|~) # (\x1b\[6n)?"  # of the guest's shell, which may ask for the cursor's place


def run(*args, name=None, stdin=subprocess.DEVNULL, **kw):
    """The program to its end, with what it wrote."""
    if "input" not in kw:
        kw["stdin"] = stdin
    return subprocess.run([name or DOPPEL, *map(str, args)], capture_output=True,
                          text=True, timeout=LIMIT, errors="replace", **kw)


def wait_for(cond, limit=LIMIT):
    end = time.monotonic() + limit
    while not (got := cond()):
        assert time.monotonic() < end, "it did not happen in time"
        select.select([], [], [], 0.005)
    return got


class Stream:
    """Text from a file descriptor, and waiting for some of it."""

    def __init__(self, fd, write=None):
        self.fd, self.write_fd = fd, write
        self.text = ""  # all that came
        self.at = 0     # what expect() has consumed
        self.ended = False

    def read(self, limit):
        if self.ended or not select.select([self.fd], [], [], max(0, limit))[0]:
            return
        try:
            data = os.read(self.fd, 65536)
        except OSError:
            data = b""  # the other side of a pty is gone
        self.ended = not data
        self.text += data.decode(errors="replace").replace("\r", "")

    def expect(self, pattern, limit=STEP):
        """Wait until the pattern comes; the match. What is before its end is consumed."""
        end = time.monotonic() + limit
        while not (m := re.compile(pattern, re.M).search(self.text, self.at)):
            left = end - time.monotonic()
            if left <= 0 or self.ended:
                why = "it ended" if self.ended else f"not within {limit:.0f} s"
                raise AssertionError(f"waited for {pattern!r}: {why}; there was\n"
                                     f"{self.text[self.at:][-2000:]}")
            self.read(left)
        self.at = m.end()
        return m

    def send(self, text):
        data = text.encode()
        while data:
            data = data[os.write(self.write_fd, data):]

    def drain(self, limit=LIMIT):
        """All until the other side ends."""
        end = time.monotonic() + limit
        while not self.ended and time.monotonic() < end:
            self.read(end - time.monotonic())
        return self.text


class Monitor(Stream):
    PROMPT = "(qemu) "

    def __init__(self, path):
        self.sock = socket.socket(socket.AF_UNIX)
        wait_for(lambda: self.sock.connect_ex(str(path)) == 0)
        super().__init__(self.sock.fileno(), self.sock.fileno())
        self.expect(r"monitor - type 'help'.*\n\(qemu\) $", LIMIT)

    def cmd(self, line, limit=LIMIT):
        """What a command answers."""
        start = self.at
        self.send(line + "\n")
        self.expect(r"\n\(qemu\) $", limit)
        text = self.text[start:self.at]
        return text[text.index("\n") + 1:-len(self.PROMPT)]  # without the echo and the prompt

    def close(self):
        self.sock.close()


class VM:
    """doppel with its first serial port on a pipe."""

    def __init__(self, *args, serial="stdio", monitor=False, program=DOPPEL, defaults=False, **kw):
        self.dir = tempfile.TemporaryDirectory(prefix="doppel-test-")
        self.err = open(os.path.join(self.dir.name, "stderr"), "w+", errors="replace")
        self.mon = None
        cmd = [program, "-display", "none", "-serial", serial]
        path = os.path.join(self.dir.name, "monitor")
        cmd += ["-monitor", f"unix:{path},server,nowait" if monitor else "none"]
        if not defaults and not any(str(a) in ("-nic", "-net", "-netdev", "-nodefaults") for a in args):
            cmd += ["-nic", "none"]  # the default card is for the tests of it: firmware would try it, and wait
        if ENGINE and program == DOPPEL and not any("accel" in str(a) or str(a) in ("-icount", "none") for a in args):
            cmd += ["-accel", ENGINE]
        cmd += map(str, args)
        self.cmd = cmd
        self.p = subprocess.Popen(cmd, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                  stderr=self.err, **kw)
        self.serial = Stream(self.p.stdout.fileno(), self.p.stdin.fileno())
        if monitor:
            try:
                self.mon = Monitor(path)
            except BaseException:
                self.close()
                raise

    def __enter__(self):
        return self

    def __exit__(self, *exc):
        self.close()

    def expect(self, pattern, limit=STEP):
        try:
            return self.serial.expect(pattern, limit)
        except AssertionError as e:
            raise AssertionError(f"{e}\nstderr: {self.stderr()}") from None

    def send(self, text):
        self.serial.send(text)

    def stderr(self):
        self.err.flush()
        with open(self.err.name, errors="replace") as f:
            return f.read()

    def wait(self, limit=LIMIT):
        """Its exit code; what it still writes is read meanwhile."""
        self.serial.drain(limit)
        return self.p.wait(limit)

    def close(self):
        if self.mon:
            self.mon.close()
        if self.p.poll() is None:
            self.p.kill()
            self.p.wait()
        for f in (self.p.stdin, self.p.stdout, self.err):
            f.close()
        self.dir.cleanup()


def initrd_with(tree, base, path):
    """The initrd @base of the guests with the files below @tree behind it, as @path."""
    with open(path, "wb") as out, open(f"{GUESTS}/{base}", "rb") as first:
        shutil.copyfileobj(first, out)
        out.flush()
        subprocess.run("find . | LC_ALL=C sort | cpio -o -H newc --quiet -R 0:0 | gzip -1 -n", shell=True, check=True, cwd=tree,
                       stdout=out)


def initrd_modules(folder, package, base, names):
    """The initrd @base with the modules @names of the kernel's package, loaded in this order; those that are built in, or
    not there, are left out. Its path."""
    files, tree = folder / "files", folder / "tree/modules"
    files.mkdir()
    tree.mkdir(parents=True)
    subprocess.run(f"dpkg-deb --fsys-tarfile {GUESTS}/debs/{package}.deb | tar -xf - -C {files} --wildcards "
                   + " ".join(f"'*/{name}.ko'" for name in names) + " 2>/dev/null; true", shell=True, check=True, timeout=BOOT)
    have = {p.stem: p for p in files.rglob("*.ko")}
    order = [n for n in names if n in have]
    for n in order:
        os.rename(have[n], tree / f"{n}.ko")
    (tree / "order").write_text("".join(f"{n}.ko\n" for n in order))
    initrd_with(folder / "tree", base, folder / "initrd")
    return folder / "initrd"


def linux(arch, *args, append="", quiet=True, initrd=None, **kw):
    """A Debian kernel with the test's initrd (scripts/mkguest): amd64, i386 or i386pae."""
    line = "console=ttyS0" + (" quiet" if quiet else "") + (f" {append}" if append else "")
    return VM("-kernel", f"{GUESTS}/vmlinuz-{arch}", "-initrd",
              os.path.join(GUESTS, initrd or "initrd-" + arch.removesuffix("pae")),
              "-append", line, *args, **kw)
