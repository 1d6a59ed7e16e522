"""The machine's own disks for NBD clients: nbd_server_*, nbd-server-*, block-export-*."""
import json
import subprocess

import pytest

from adapters import adapter, drive, machine
from nbdclient import Client, Failed, FLUSH, READ, WRITE
from qmp import Qmp, address
from test_disks import answer, end
from test_nbd import IMG, raw, run
from vm import ROOT, VM


def ask(q, command, **args):
    """As q.ask(), with arguments that may be called `name`."""
    q.send(json.dumps({"execute": command, "arguments": {k.replace("_", "-"): v for k, v in args.items()}}) + "\n")
    return q.reply()


def test_qmp(tmp_path):
    disk, node, sock = raw(tmp_path / "d.raw", 1 << 20), raw(tmp_path / "n.raw", 2 << 20, seed=2), tmp_path / "nbd"
    where = {"type": "unix", "data": {"path": str(sock)}}
    path, to = address(tmp_path)
    before = disk.read_bytes()
    with VM("-S", "-sandbox", "on", "-drive", f"if=none,id=d,format=raw,file={disk}", "-blockdev",
            f"driver=file,node-name=n,filename={node}", "-qmp", to) as vm, Qmp(path) as q:
        assert ask(q, "nbd-server-add", device="d")["error"]["desc"] == "NBD server not running"
        assert ask(q, "nbd-server-stop")["error"]["desc"] == "NBD server not running"
        assert "tls-creds" in ask(q, "nbd-server-start", addr=where, tls_creds="t")["error"]["desc"]
        assert "return" in ask(q, "nbd-server-start", addr=where, max_connections=2)
        assert ask(q, "nbd-server-start", addr=where)["error"]["desc"] == "NBD server already running"
        assert "return" in ask(q, "nbd-server-add", device="d", description="the disk")
        assert ask(q, "nbd-server-add", device="d")["error"]["desc"] == "Block export id 'd' is already in use"
        assert "Cannot find" in ask(q, "nbd-server-add", device="x")["error"]["desc"]
        assert "Cannot find" in ask(q, "block-export-add", type="nbd", id="y", node_name="d")["error"]["desc"]
        assert "return" in ask(q, "block-export-add", type="nbd", id="e", node_name="n", name="it", writable=True)
        assert "error" in ask(q, "block-export-add", type="vhost-user-blk", id="z", node_name="n")
        assert [(e["id"], e["shutting-down"]) for e in q.cmd("query-block-exports")] == [("d", False), ("e", False)]
        c, w = Client(str(sock), b"d"), Client(str(sock), b"it")
        assert c.flags & 2 and c.call(READ, 0, 1 << 20) == before
        with pytest.raises(Failed):
            c.call(WRITE, 0, data=b"x")
        w.call(WRITE, 512, data=b"written")
        w.call(FLUSH)
        assert node.read_bytes()[512:519] == b"written"
        assert ask(q, "nbd-server-remove", name="d")["error"]["desc"] == "export 'd' still in use"
        assert "return" in ask(q, "nbd-server-remove", name="d", mode="hard")
        assert q.event("BLOCK_EXPORT_DELETED") == {"id": "d"}
        with pytest.raises((EOFError, ConnectionError)):
            c.call(READ, 0, 1)
        assert w.call(READ, 512, 7) == b"written"
        with pytest.raises(Failed):
            Client(str(sock), b"d")
        assert "return" in ask(q, "nbd-server-stop")
        assert q.event("BLOCK_EXPORT_DELETED") == {"id": "e"} and not sock.exists()
        with pytest.raises((EOFError, ConnectionError)):
            w.call(READ, 0, 1)
        assert "return" in ask(q, "nbd-server-start", addr=where)  # and it ends with the machine
        assert "return" in ask(q, "block-export-add", type="nbd", id="e", node_name="n")
        c = Client(str(sock), b"n")
        assert "return" in ask(q, "quit")
        assert vm.wait() == 0
        with pytest.raises((EOFError, ConnectionError)):
            c.call(READ, 0, 1)
    assert not sock.exists()


@pytest.mark.usefixtures("guests")
def test_beside_a_guest(tmp_path):
    """A client and the guest at one image, which grows under them."""
    disk, sock = tmp_path / "d.qcow2", tmp_path / "nbd"
    run(IMG, "create", "-f", "qcow2", disk, "32M")
    with machine(*drive("d", disk, fmt="qcow2"), *adapter("virtio-blk", "d"), "-sandbox", "on") as m:
        assert "error parsing" in m.mon.cmd(f"nbd_server_start {sock}")
        assert "-w only valid" in m.mon.cmd(f"nbd_server_start -w unix:{sock}")
        assert m.mon.cmd(f"nbd_server_start -a -w unix:{sock}") == ""
        assert m.mon.cmd("nbd_server_add d other") == ""
        assert "not found" in m.mon.cmd("nbd_server_remove nosuch")
        clients = [Client(str(sock), b"d") for _ in range(3)]
        m.send("for i in 1 2 3 4; do dd if=/dev/urandom of=/dev/vda bs=64k count=64 conv=fsync 2>/dev/null; done; echo DONE $?\n")
        for n in range(60):
            c = clients[n % 3]
            c.call(WRITE, (16 << 20) + n * 100000, data=bytes([n + 1]) * 100000)
            if n == 30:
                assert m.mon.cmd("block_resize d 64") == ""
        assert m.expect(r"DONE (\d+)\n").group(1) == "0"
        for n in range(60):
            assert clients[0].call(READ, (16 << 20) + n * 100000, 100000) == bytes([n + 1]) * 100000
        for c in clients:
            c.call(FLUSH)
        answer(m, "dd if=/dev/vda of=/dev/null iflag=direct bs=1M skip=16 count=6 2>/dev/null")
        assert Client(str(sock), b"other").size == 32 << 20  # as it was when it was added
        assert "still in use" in m.mon.cmd("nbd_server_remove d")
        assert m.mon.cmd("nbd_server_remove -f d") == ""
        assert m.mon.cmd("nbd_server_stop") == "" and "not running" in m.mon.cmd("nbd_server_stop")
        end(m)
    p = subprocess.run([ROOT + "/doppel-img", "check", disk], capture_output=True, text=True, check=False)
    assert "No errors" in p.stdout
