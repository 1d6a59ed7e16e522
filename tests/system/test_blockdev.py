"""Images by their nodes: -blockdev and blockdev-add in both forms, what a guest finds behind them; drive_add, drive_del.
What refusals say is what QEMU 7.2 says of the same."""
import hashlib
import json
import os
import subprocess

import pytest

from adapters import machine
from qmp import Qmp, address
from test_disks import answer, boot_sector, boots, no_trouble
from vm import ROOT, STEP, VM, run, wait_for

MIB = 1 << 20
IMG = os.path.join(ROOT, "doppel-img")


def img(*cmd):
    subprocess.run([IMG, *map(str, cmd)], check=True, capture_output=True)


@pytest.fixture
def chain(tmp_path):
    """base.raw with data, mid.qcow2 in front of it by name, top.qcow2 in front of nothing."""
    data = os.urandom(4 * MIB)
    (tmp_path / "base.raw").write_bytes(data)
    img("create", "-f", "qcow2", "-b", tmp_path / "base.raw", "-F", "raw", tmp_path / "mid.qcow2")
    img("create", "-f", "qcow2", tmp_path / "top.qcow2", "4M")
    return tmp_path, data


def paused(*args, **kw):
    return VM("-S", *args, monitor=True, **kw)


def test_bios_boots(tmp_path):
    """From nodes in both spellings, on each kind of disk."""
    disk = tmp_path / "disk.img"
    disk.write_bytes(boot_sector(tmp_path, 1) + b"SECOND SECTOR\n\0".ljust(512, b"\0") + bytes(MIB))
    img("convert", "-f", "raw", "-O", "qcow2", disk, tmp_path / "disk.qcow2")
    q = tmp_path / "disk.qcow2"
    boots("SECOND SECTOR\n", "-blockdev", f"driver=qcow2,node-name=d,file.driver=file,file.filename={q}", "-device",
          "virtio-blk-pci,drive=d")
    boots("SECOND SECTOR\n", "-blockdev", json.dumps({"driver": "file", "node-name": "f", "filename": str(q)}), "-blockdev",
          json.dumps({"driver": "qcow2", "node-name": "d", "file": "f", "read-only": False}), "-device", "ide-hd,drive=d")
    boots("SECOND SECTOR\n", "-blockdev", f"file,node-name=d,filename={disk},auto-read-only=on", "-device",
          json.dumps({"driver": "virtio-scsi-pci", "id": "s"}), "-device",
          json.dumps({"driver": "scsi-hd", "drive": "d", "bus": "s.0", "lun": 1, "bootindex": 1}))


@pytest.mark.parametrize("tree", [{"driver": "qcow2", "file": {"driver": "file", "filename": "{}"}}, {"file": {"filename": "{}"}}])
def test_drive_named_in_json(chain, tree):
    """-drive's file may be a tree; what stands behind it is only read."""
    path = f"{chain[0]}/mid.qcow2"
    name = "json:" + json.dumps(tree).replace("{}", path)
    with paused("-drive", f"if=virtio,file={name.replace(',', ',,')}") as m:
        assert f"virtio0: {path} (qcow2)\n" in m.mon.cmd("info block")
    p = run("-drive", f"if=virtio,format=raw,file={name.replace(',', ',,')}")
    assert p.returncode == 1 and "format=raw: a name in JSON says the driver itself" in p.stderr
    p = run("-drive", "if=virtio,file=json:{")
    assert p.returncode == 1 and "JSON parse error" in p.stderr and p.stderr.count("\n") == 1


@pytest.mark.usefixtures("guests")
def test_chain(chain):
    """A chain put together by nodes, not by what the images say; what is written goes to the one in front alone."""
    tmp, data = chain
    before = hashlib.sha256((tmp / "mid.qcow2").read_bytes()).hexdigest()
    with machine("-blockdev", f"driver=file,node-name=bf,filename={tmp}/base.raw", "-blockdev",
                 "driver=raw,node-name=base,file=bf,read-only=on", "-blockdev",
                 f"driver=qcow2,node-name=mid,file.driver=file,file.filename={tmp}/mid.qcow2,backing=base,read-only=on",
                 "-blockdev", json.dumps({"driver": "qcow2", "node-name": "top", "file": {
                     "driver": "file", "filename": f"{tmp}/top.qcow2", "locking": "on"}, "backing": "mid"}),
                 "-device", "virtio-blk-pci,drive=top") as m:
        assert hashlib.sha256(data).hexdigest() in answer(m, "sha256sum /dev/vda")
        answer(m, "dd if=/dev/zero of=/dev/vda bs=64k seek=3 count=2 conv=notrunc,fsync 2>/dev/null")
        assert "top: " in m.mon.cmd("info block") and "chain depth: 2" in m.mon.cmd("info block")
        no_trouble(m)
    assert hashlib.sha256((tmp / "mid.qcow2").read_bytes()).hexdigest() == before
    assert (tmp / "base.raw").read_bytes() == data
    subprocess.run(["qemu-img", "check", "-q", tmp / "top.qcow2"], check=True)
    subprocess.run(["qemu-img", "rebase", "-u", "-F", "raw", "-b", tmp / "base.raw", tmp / "top.qcow2"], check=True)
    got = subprocess.run(["qemu-img", "dd", f"if={tmp}/top.qcow2", "-O", "raw", f"of={tmp}/out"], capture_output=True)
    assert got.returncode == 0
    want = bytearray(data)
    want[3 << 16:5 << 16] = bytes(2 << 16)
    assert (tmp / "out").read_bytes() == want


def test_no_backing(chain):
    """An image that names one behind it, and is to have none: what is not its own reads as zeros."""
    tmp, _ = chain
    with paused("-blockdev", json.dumps({"driver": "qcow2", "node-name": "m", "backing": None, "file": {
            "driver": "file", "filename": f"{tmp}/mid.qcow2"}}), "-device", "virtio-blk-pci,drive=m") as m:
        assert "Backing file" not in m.mon.cmd("info block")


def test_commands(chain):
    tmp, _ = chain
    path, opt = address(tmp)
    with paused("-nodefaults", "-device", "virtio-scsi-pci", "-blockdev",
                f"driver=qcow2,node-name=d,file.driver=file,file.filename={tmp}/top.qcow2", "-device", "scsi-hd,drive=d,id=dev",
                "-qmp", opt) as m, Qmp(path) as q:
        got, = q.cmd("query-block")
        assert got["device"] == "" and got["qdev"] == "dev" and got["inserted"]["node-name"] == "d"
        assert got["inserted"]["drv"] == "qcow2" and got["inserted"]["file"] == f"{tmp}/top.qcow2"
        nodes = {n["node-name"]: n for n in q.cmd("query-named-block-nodes", flat=True)}
        assert nodes["d"]["image"]["virtual-size"] == 4 * MIB
        assert [n["drv"] for name, n in nodes.items() if name.startswith("#block")] == ["file"]
        assert m.mon.cmd("info block") == \
            f"d: {tmp}/top.qcow2 (qcow2)\n    Attached to:      dev\n    Cache mode:       writeback\n"
        bf = {"driver": "file", "filename": f"{tmp}/mid.qcow2", "node-name": "bf"}
        assert q.cmd("blockdev-add", **bf) == {}

        def refused(text, name="blockdev-add", **args):
            assert text in json.dumps(q.error(name, **args)), q.error(name, **args)

        refused("Node d is in use", "blockdev-del", **{"node-name": "d"})
        refused("Failed to find node with node-name='zz'", "blockdev-del", **{"node-name": "zz"})
        refused("Duplicate nodes with node-name='bf'", **bf)
        refused("Cannot find device='nope' nor node-name='nope'", driver="qcow2", file="nope", **{"node-name": "b"})
        refused("'node-name' must be specified for the root node", driver="qcow2", file="bf")
        refused("Parameter 'file' is missing", driver="qcow2", **{"node-name": "b"})
        refused("Parameter 'zork' is unexpected", driver="qcow2", file="bf", zork=1, **{"node-name": "b"})
        refused("Parameter 'driver' does not accept value 'zork'", driver="zork", **{"node-name": "b"})
        refused("Parameter 'filename' is missing", driver="file", **{"node-name": "b"})
        refused("Invalid node-name: '1b'", driver="file", filename="x", **{"node-name": "1b"})
        refused("Could not open 'nofile': No such file", driver="file", filename="nofile", **{"node-name": "b"})
        refused("driver 'quorum' is not supported yet", driver="quorum", **{"node-name": "b"})
        refused("'l2-cache-size' is not supported yet", driver="qcow2", file="bf", **{"node-name": "b", "l2-cache-size": 1})
        assert [n["node-name"] for n in q.cmd("query-named-block-nodes") if n["node-name"] == "b"] == []
        assert q.cmd("blockdev-add", driver="qcow2", file="bf", backing=None, **{"node-name": "b"}) == {}
        refused("Block device bf is in use", "blockdev-del", **{"node-name": "bf"})
        assert q.cmd("device_add", driver="scsi-hd", drive="b", id="second") == {}
        assert {b["qdev"] for b in q.cmd("query-block")} == {"dev", "second"}
        refused("already in use", "device_add", driver="scsi-hd", drive="b", id="third")
        q.cmd("device_del", id="second")
        q.event("DEVICE_DELETED", STEP)
        assert [b["qdev"] for b in q.cmd("query-block")] == ["dev"]
        assert q.cmd("blockdev-del", **{"node-name": "b"}) == {}
        assert q.cmd("blockdev-del", **{"node-name": "bf"}) == {}
        assert q.cmd("blockdev-add", driver="raw", **{"node-name": "b", "file": {"driver": "file", "filename": bf["filename"]}}) == {}
        assert q.cmd("blockdev-del", **{"node-name": "b"}) == {}
        assert len(q.cmd("query-named-block-nodes")) == 2
        subprocess.run([IMG, "info", f"{tmp}/mid.qcow2"], check=True, capture_output=True)  # nobody holds it


@pytest.mark.usefixtures("guests")
def test_drive_add_and_del(tmp_path):
    """A drive is added, plugged in, and taken away: from under the guest, and after its device."""
    data = os.urandom(MIB)
    (tmp_path / "a").write_bytes(data)
    with machine("-device", "virtio-scsi-pci") as m:
        for n in range(3):
            assert m.mon.cmd(f"drive_add 0 if=none,id=q,file={tmp_path}/a,format=raw") == "OK\n"
            assert "there is a drive 'q' already" in m.mon.cmd(f"drive_add 0 if=none,id=q,file={tmp_path}/a,format=raw")
            assert m.mon.cmd("device_add scsi-hd,drive=q,id=disk") == ""
            answer(m, "until head -c 1 /dev/sd[a-z] >/dev/null 2>&1; do sleep 0.05; done")
            assert hashlib.sha256(data).hexdigest() in answer(m, "cat /dev/sd? | sha256sum")
            if n == 1:
                assert m.mon.cmd("drive_del q") == ""
                assert "q:" not in m.mon.cmd("info block")
                answer(m, "! dd if=/dev/sda of=/dev/null iflag=direct bs=4k count=1 2>/dev/null || "
                       "! dd if=/dev/sdb of=/dev/null iflag=direct bs=4k count=1 2>/dev/null")
            assert m.mon.cmd("device_del disk") == ""
            answer(m, "while [ -e /dev/sd[a-z] ]; do sleep 0.05; done")
            wait_for(lambda: 'id "disk"' not in m.mon.cmd("info qtree"))
            assert "q:" not in m.mon.cmd("info block")  # a drive goes with its disk
            assert "Device 'q' not found" in m.mon.cmd("drive_del q")
        assert m.mon.cmd(f"drive_add 0 if=none,id=q,file={tmp_path}/a,format=raw") == "OK\n"
        assert m.mon.cmd("drive_del q") == ""
        assert "Can't hot-add drive to type ide" in m.mon.cmd(f"drive_add 0 if=ide,id=q,file={tmp_path}/a,format=raw")


REFUSED = [
    ("driver=qcow2,node-name=d", "Parameter 'file' is missing"),
    ("driver=qcow2,file.driver=file,file.filename=F", "'node-name' must be specified for the root node"),
    ("driver=qcow2,node-name=d,file.driver=file,file.filename=F,foo=1", "Parameter 'foo' is unexpected"),
    ("driver=zork,node-name=d", "Parameter 'driver' does not accept value 'zork'"), ("node-name=d", "Parameter 'driver' is missing"),
    ("driver=qcow2,node-name=d,file=x", "Cannot find device='x' nor node-name='x'"),
    ("driver=raw,node-name=d,file.driver=file,file.filename=F,read-only=maybe", "read-only"),
    ("driver=raw,node-name=d,file.driver=qcow2,file.file.driver=file,file.file.filename=F", "a format over another"),
    ("driver=qcow2,node-name=d,file.driver=file,file.filename=F,data-file.driver=file,data-file.filename=F",
     "'data-file' can only be set for images with an external data file"),
    ("driver=copy-on-read,node-name=d", "Parameter 'file' is missing"),
    ("driver=copy-on-read,node-name=d,read-only=on,file.driver=raw,file.file.driver=file,file.file.filename=F", "is read-only"),
    ("driver=file,node-name=d,filename=F,aio=native", "requires cache.direct=on"),
    ("driver=raw,node-name=d,force-share=on,file.driver=file,file.filename=F", "can only be used with read-only images"),
    ('{"driver": "file"', "JSON parse error"), ('{"driver": "file", "filename": ["x"]}', "Invalid parameter type for 'filename'"),
]


@pytest.mark.parametrize("text, says", REFUSED)
def test_refused(text, says, tmp_path):
    img("create", "-f", "qcow2", tmp_path / "F", "1M")
    p = run("-S", "-display", "none", "-blockdev", text, cwd=tmp_path)
    assert p.returncode == 1 and says in p.stderr and p.stderr.count("\n") == 1, p.stderr


def test_data_file(tmp_path):
    """The file with the data, by another name than the image has it, and as a node of its own."""
    img("create", "-f", "qcow2", "-o", f"data_file={tmp_path}/gone", tmp_path / "F", "1M")
    os.rename(tmp_path / "gone", tmp_path / "here")
    p = run("-S", "-display", "none", "-blockdev", f"driver=qcow2,node-name=d,file.driver=file,file.filename={tmp_path}/F")
    assert p.returncode == 1 and "gone': No such file" in p.stderr
    for child in (["data-file.driver=file", f"data-file.filename={tmp_path}/here"], ["data-file=n"]):
        with VM("-blockdev", f"driver=file,node-name=n,filename={tmp_path}/here", "-blockdev",
                ",".join(["driver=qcow2,node-name=d", "file.driver=file", f"file.filename={tmp_path}/F", *child]),
                "-device", "virtio-blk-pci,drive=d", monitor=True) as m:
            assert f"{tmp_path}/F (qcow2)" in m.mon.cmd("info block")
            p = subprocess.run([IMG, "info", f"{tmp_path}/here"], capture_output=True, text=True)
            assert p.returncode == 1 and "lock" in p.stderr


@pytest.mark.parametrize("how", ["drive", "node", "throttled"])
def test_copy_on_read(how, tmp_path):
    """What the BIOS has read of the image behind is in the one in front."""
    disk, front = tmp_path / "disk.img", tmp_path / "front.qcow2"
    disk.write_bytes(boot_sector(tmp_path, 1) + b"SECOND SECTOR\n\0".ljust(512, b"\0") + os.urandom(MIB))
    img("create", "-f", "qcow2", "-b", disk, "-F", "raw", front)
    node = ["-blockdev", f"driver=copy-on-read,node-name=d,file.driver=qcow2,file.file.driver=file,file.file.filename={front}"]
    args = {"drive": ["-drive", f"file={front},format=qcow2,copy-on-read=on,if=virtio"],
            "node": [*node, "-device", "virtio-blk-pci,drive=d"],
            "throttled": ["-object", "throttle-group,id=g,limits.iops-total=100000", *node, "-blockdev",
                          "driver=throttle,throttle-group=g,file=d,node-name=t", "-device", "virtio-blk-pci,drive=t"]}[how]
    boots("SECOND SECTOR\n", *args)
    shown = subprocess.run([IMG, "map", "--output=json", front], check=True, capture_output=True, text=True).stdout
    have = [e for e in json.loads(shown) if e["depth"] == 0]
    assert have and have[0]["start"] == 0 and sum(e["length"] for e in have) < MIB // 2
    disk.unlink()
    (tmp_path / "disk.img").write_bytes(bytes(MIB + 1024))
    boots("SECOND SECTOR\n", *args)


@pytest.mark.usefixtures("guests")
def test_null_and_throttle(tmp_path):
    """Disks that forget; limits of a group that a node stands for, which the disk behind it keeps to."""
    data = os.urandom(4 * MIB)
    (tmp_path / "d").write_bytes(data)
    with machine("-object", "throttle-group,id=g,limits.bps-total=1048576", "-blockdev",
                 f"driver=file,filename={tmp_path}/d,node-name=f", "-blockdev", "driver=raw,file=f,node-name=r", "-blockdev",
                 "driver=throttle,throttle-group=g,file=r,node-name=t", "-device", "virtio-blk-pci,drive=t,serial=t",
                 "-blockdev", "null-co,size=3M,read-zeroes=on,node-name=n", "-device", "virtio-blk-pci,drive=n",
                 "-blockdev", "driver=raw,node-name=m,file.driver=null-aio,file.latency-ns=1000", "-device", "virtio-blk-pci,drive=m",
                 "-drive", "file=null-co://,format=raw,if=virtio") as m:
        sizes = dict(x.split() for x in answer(m, "for d in vda vdb vdc vdd; do echo $d $(cat /sys/block/$d/size); done").split("\n") if x)
        assert sorted(sizes.values()) == ["2097152", "2097152", "6144", "8192"]
        t, n = (next(d for d in sizes if sizes[d] == size) for size in ("8192", "6144"))
        rest = [d for d in sizes if sizes[d] == "2097152"]
        zeros = hashlib.sha256(bytes(3 * MIB)).hexdigest()
        answer(m, f"dd if=/dev/urandom of=/dev/{n} bs=64k count=8 conv=fsync 2>/dev/null; echo 3 >/proc/sys/vm/drop_caches")
        assert zeros in answer(m, f"sha256sum /dev/{n}")
        answer(m, f"dd if=/dev/urandom of=/dev/{rest[0]} bs=64k count=8 conv=fsync 2>/dev/null; dd if=/dev/{rest[1]} of=/dev/null bs=64k "
               "count=8 2>/dev/null")
        took = answer(m, f"a=$(cut -d' ' -f1 /proc/uptime); sha256sum /dev/{t}; echo $a $(cut -d' ' -f1 /proc/uptime)").split()
        assert took[0] == hashlib.sha256(data).hexdigest()
        assert float(took[-1]) - float(took[-2]) > 2.5  # 4 MiB at 1 MiB/s, less what a bucket lets through at once
        assert "in use" in m.mon.cmd("object_del g")
        no_trouble(m)


@pytest.mark.parametrize("args, why", [
    (("-blockdev", "null-co,size=1k1,node-name=n"), "size"), (("-blockdev", "null-co,foo=1,node-name=n"), "unexpected"),
    (("-blockdev", "driver=throttle,node-name=t,file=n,throttle-group=g"), "Throttle group 'g' does not exist"),
    (("-object", "throttle-group,id=g,x-bps-total=1,x-bps-read=1"), "cannot be used at the same time"),
    (("-object", "throttle-group,id=g,limits.foo=1"), "limits.foo"), (("-object", "throttle-group"), "id"),
    (("-object", "throttle-group,id=g", "-blockdev", "null-co,node-name=n", "-blockdev",
      "driver=throttle,node-name=t,file=n,throttle-group=g", "-device", "virtio-blk-pci,drive=n"), "is used by node 't' already"),
    (("-object", "throttle-group,id=g", "-blockdev", "null-co,node-name=n", "-blockdev",
      "driver=throttle,node-name=t,file=n,throttle-group=g,read-only=on"), "which is not read-only"),
])
def test_null_and_throttle_refused(args, why):
    p = run("-display", "none", "-serial", "none", "-monitor", "none", "-S", *args)
    assert p.returncode == 1 and why in p.stderr
