"""What the monitors make while the machine runs: character devices, objects, a gdb stub."""
import os
import socket

from qmp import Qmp, address
from vm import LIMIT, VM, wait_for


def rsp(sock, body):
    """One packet of gdb's protocol; what comes back."""
    sock.sendall(b"$%s#%02x" % (body, sum(body) & 255))
    got = b""
    while not (b"#" in got and len(got) >= got.index(b"#") + 3):
        more = sock.recv(4096)
        assert more
        got += more
    return got[got.index(b"$") + 1:got.index(b"#")]


def test_character_devices(tmp_path):
    path, where = address(tmp_path)
    with VM("-S", "-qmp", where, monitor=True) as vm, Qmp(path) as q:
        m = vm.mon
        assert m.cmd(f"chardev-add file,id=f,path={tmp_path}/f") == "" and (tmp_path / "f").exists()
        assert "f: filename=file\n" in m.cmd("info chardev")  # as QEMU has it
        pty = q.cmd("chardev-add", id="p", backend={"type": "pty", "data": {}})["pty"]
        assert os.path.exists(pty)
        assert q.cmd("chardev-add", id="s", backend={"type": "socket", "data": {
            "addr": {"type": "unix", "data": {"path": f"{tmp_path}/s"}}, "server": True}}) == {}
        with socket.socket(socket.AF_UNIX) as s:
            s.connect(f"{tmp_path}/s")
        assert {"f", "p", "s"} <= {c["label"] for c in q.cmd("query-chardev")}
        for line, says in (("chardev-add file,id=f,path=/x", "there already"), ("chardev-add nosuch,id=x", "nosuch"),
                           ("chardev-remove nosuch", "Chardev 'nosuch' not found"),
                           ("chardev-remove serial0", "Chardev 'serial0' is busy"),
                           (f"chardev-add socket,id=x,path={tmp_path}/x,server=on,wait=on", "nobody is waited for")):
            assert m.cmd(line).startswith("Error: ") and says in m.cmd(line), line
        for backend, says in (({"type": "socket", "data": {"addr": 1}}, "expected: object"),
                              ({"type": "socket", "data": {"addr": {"type": "ipx", "data": {}}}}, "'ipx'"),
                              ({"type": "file", "data": {}}, "path"), ({"type": "file"}, "'backend.data' is missing"),
                              ({"type": "null", "data": {"foo": 1}}, "foo"), ({"type": "vsock", "data": {}}, "vsock")):
            assert says in q.error("chardev-add", id="x", backend=backend)[1], backend
        for name in "fps":
            assert q.cmd("chardev-remove", id=name) == {}
        assert not {"f", "p", "s", "x"} & {c["label"] for c in q.cmd("query-chardev")}
        assert not os.path.exists(f"{tmp_path}/s")


def test_break():
    """A break on the line is in the port's line status, once (16550: LSR bit 4)."""
    with VM("-S", monitor=True) as vm:
        assert vm.mon.cmd("chardev-send-break serial0") == ""
        assert [int(vm.mon.cmd("i/b 0x3fd").split("= ")[1], 16) & 0x10 for _ in range(2)] == [0x10, 0]


def test_objects(tmp_path):
    path, where = address(tmp_path)
    with VM("-S", "-netdev", "hubport,id=n,hubid=1", "-qmp", where, "-vnc", f"unix:{tmp_path}/v", monitor=True) as vm, \
            Qmp(path) as q:
        m = vm.mon
        vnc = f"change vnc unix:{tmp_path}/w,password-secret=s"
        assert "there is no secret 's'" in m.cmd(vnc)
        assert m.cmd("object_add secret,id=s,data=geheim") == "" and m.cmd(vnc) == ""
        assert "there already" in q.error("object-add", **{"qom-type": "secret", "id": "s", "data": "x"})[1]
        assert q.cmd("object-del", id="s") == {}
        assert m.cmd("object_del s") == "Error: object 's' not found\n"
        assert q.cmd("object-add", **{"qom-type": "filter-dump", "id": "d", "netdev": "n",
                                      "file": f"{tmp_path}/d"}) == {}
        assert (tmp_path / "d").read_bytes()[:4] == b"\xd4\xc3\xb2\xa1"
        assert m.cmd("object_del d") == "" and m.cmd("object_del d").startswith("Error: ")
        assert "filter-dump" in m.cmd("object_add help")
        assert "'nosuch' is not supported" in m.cmd("object_add nosuch,id=x")


def test_gdb_server(tmp_path):
    """On a socket and off again, with a debugger there or not; elsewhere; the machine runs on."""
    with VM(monitor=True) as vm:
        m, first, second = vm.mon, f"{tmp_path}/a", f"{tmp_path}/b"
        assert m.cmd(f"gdbserver unix:{first}") == f"Waiting for gdb connection on device 'unix:{first}'\n"
        with socket.socket(socket.AF_UNIX) as s:
            s.settimeout(LIMIT)
            s.connect(first)
            assert rsp(s, b"?")[:1] == b"T"
            assert m.cmd("info status") != "VM status: running\n"
            assert m.cmd("gdbserver none") == "Disabled gdbserver\n"
            while s.recv(100):  # the line is closed
                pass
        assert m.cmd("info status") == "VM status: running\n" and not os.path.exists(first)
        m.cmd("stop")
        m.cmd(f"gdbserver unix:{first}")
        m.cmd(f"gdbserver unix:{second}")
        assert m.cmd("info status") == "VM status: paused\n" and not os.path.exists(first)
        with socket.socket(socket.AF_UNIX) as s:
            s.settimeout(LIMIT)
            s.connect(second)
            assert rsp(s, b"?")[:1] == b"T"
        wait_for(lambda: m.cmd("info status") == "VM status: running\n")  # a debugger that goes lets it run
        assert m.cmd("gdbserver none") == m.cmd("gdbserver none")
        assert m.cmd("gdbserver nosuch:x").startswith("Error: ")
