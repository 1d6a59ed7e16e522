"""What is on the screen: the BIOS's text, screen dumps, a saved screen."""
import os
import struct
import zlib

import pytest

from vm import BOOT, LIMIT, VM, wait_for

BIOS = "/usr/share/seabios/vgabios-stdvga.bin"
pytestmark = pytest.mark.skipif(not os.path.exists(BIOS), reason=f"no {BIOS} (package seabios)")


def read_ppm(path):
    """(width, height, bytes)"""
    with open(path, "rb") as f:
        data = f.read()
    magic, size, top, rest = data.split(b"\n", 3)
    w, h = map(int, size.split())
    assert (magic, top, len(rest)) == (b"P6", b"255", w * h * 3)
    return w, h, rest


def read_png(path):
    """The same of a PNG, whose rows may have any of the filters."""
    with open(path, "rb") as f:
        data = f.read()
    assert data[:8] == b"\x89PNG\r\n\x1a\n"
    at, idat = 8, b""
    while at < len(data):
        n, kind = struct.unpack(">I4s", data[at:at + 8])
        body = data[at + 8:at + 8 + n]
        if kind == b"IHDR":
            w, h, depth, colour = struct.unpack(">IIBB", body[:10])
            assert (depth, colour) == (8, 2)
        elif kind == b"IDAT":
            idat += body
        at += n + 12
    raw, out, line = zlib.decompress(idat), b"", bytearray(w * 3)
    for y in range(h):
        kind, cur = raw[y * (w * 3 + 1)], bytearray(raw[y * (w * 3 + 1) + 1:(y + 1) * (w * 3 + 1)])
        for i, v in enumerate(cur):
            a, b, c = cur[i - 3] if i >= 3 else 0, line[i], line[i - 3] if i >= 3 else 0
            p = a + b - c
            near = min((abs(p - a), 0, a), (abs(p - b), 1, b), (abs(p - c), 2, c))[2]
            cur[i] = v + [0, a, b, (a + b) // 2, near][kind] & 255
        line = cur
        out += bytes(cur)
    return w, h, out


@pytest.fixture(scope="module")
def vm():
    with VM(monitor=True) as m:
        wait_for(lambda: "No bootable device" in m.mon.cmd("screendump -t"), BOOT)
        m.mon.cmd("stop")
        yield m


def test_bios_text(vm, tmp_path):
    text = vm.mon.cmd("screendump -t")
    assert text.startswith("SeaBIOS (version ")
    assert text.count("\n") == 25
    assert vm.mon.cmd(f"screendump -t {tmp_path}/text") == ""
    assert (tmp_path / "text").read_text() == text


def test_dump(vm, tmp_path):
    assert vm.mon.cmd(f"screendump {tmp_path}/a.ppm") == ""
    w, h, pixels = read_ppm(tmp_path / "a.ppm")
    assert (w, h) == (720, 400)
    assert {bytes(pixels[i:i + 3]) for i in range(0, len(pixels), 3)} == {b"\0\0\0", b"\xa8\xa8\xa8"}
    assert any(pixels[:w * 3 * 16]) and not any(pixels[w * 3 * 200:])
    said = vm.mon.cmd(f"screendump -f png {tmp_path}/a.png")
    if "without libpng" not in said:
        assert read_png(tmp_path / "a.png") == (w, h, pixels)
    assert sorted(os.listdir(tmp_path))[-1] == "a.ppm" # no .part is left


def test_refused(vm, tmp_path):
    assert "Error" in vm.mon.cmd("screendump")
    assert "nonesuch" in vm.mon.cmd("screendump -f nonesuch x")
    assert "cannot write" in vm.mon.cmd("screendump /nonesuch/x")
    with VM("-vga", "none", "-S", monitor=True) as m:
        assert "no graphics card" in m.mon.cmd("screendump x")


def test_saved(vm, tmp_path):
    vm.mon.cmd(f"screendump {tmp_path}/a.ppm")
    text = vm.mon.cmd("screendump -t")
    assert "Error" not in vm.mon.cmd(f"migrate file:{tmp_path}/state")
    with VM("-incoming", f"file:{tmp_path}/state", "-S", monitor=True) as m:
        assert m.mon.cmd("screendump -t") == text
        m.mon.cmd(f"screendump {tmp_path}/b.ppm")
    assert read_ppm(tmp_path / "a.ppm") == read_ppm(tmp_path / "b.ppm")
    with VM("-incoming", f"file:{tmp_path}/state", "-S", "-global", "VGA.vgamem_mb=32") as m:
        assert m.wait(LIMIT) == 1 and "device memory" in m.stderr()
