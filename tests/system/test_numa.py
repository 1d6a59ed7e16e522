"""Memory: what it is made of (-object memory-backend-...), nodes of it (-numa), where the guest finds it."""
import os
import re
import subprocess

import pytest

import image
import qmp
from test_network import ready, sh
from vm import GUESTS, LIMIT, STEP, VM, linux, run, wait_for

MIB = 1 << 20
FILL = """
    mov $0x%x, %%edi
    movl $0x%x, (%%edi)
    PUT '.'
1:  jmp 1b
"""


def refused(*args, says):
    p = run("-display", "none", *args)
    assert (p.returncode, p.stdout) == (1, "") and says in p.stderr, (args, p.stderr)


def test_file(tmp_path):
    """A guest's store lands in a shared file, not in a private one, whose bytes the guest finds; saved state has both."""
    addr = 0x2000000
    store, _ = image.build(tmp_path, "store", FILL % (addr, 0x12345678))
    idle, _ = image.build(tmp_path, "idle", "PUT '.'\n 1: jmp 1b")
    path = tmp_path / "memory"
    for share in ("on", "off"):
        args = ["-m", "64", "-object", f"memory-backend-file,id=m,size=64M,mem-path={path},share={share}", "-machine", "memory-backend=m"]
        with VM(*args, "-kernel", store, monitor=True) as vm:
            vm.expect(r"\.", LIMIT)
            assert os.path.getsize(path) == 64 * MIB
            with open(path, "rb") as f:
                f.seek(addr)
                assert f.read(4).hex() == ("78563412" if share == "on" else "efbeadde")
            vm.mon.cmd("stop")
            assert vm.mon.cmd(f"migrate file:{tmp_path}/state", LIMIT) == ""
        with open(path, "r+b") as f:
            f.seek(addr)
            f.write(bytes.fromhex("efbeadde"))
        with VM(*args, "-kernel", idle, monitor=True) as vm:
            vm.expect(r"\.", LIMIT)
            assert "0xdeadbeef" in vm.mon.cmd(f"xp/1xw {addr}")
        with VM(*args, "-kernel", store, "-S", "-incoming", f"file:{tmp_path}/state", monitor=True) as vm:
            assert "0x12345678" in vm.mon.cmd(f"xp/1xw {addr}")
        with open(path, "r+b") as f:
            f.seek(addr)
            f.write(bytes.fromhex("efbeadde"))
    with VM("-m", "64", "-object", f"memory-backend-file,id=m,size=64M,mem-path={tmp_path}", "-machine", "memory-backend=m", "-S",
            monitor=True):
        assert not [n for n in os.listdir(tmp_path) if n.startswith("doppel-memory")]  # it has no name


def test_objects(tmp_path):
    path, arg = qmp.address(tmp_path)
    with VM("-object", "memory-backend-memfd,id=m,size=32M,prealloc=on", "-machine", "memory-backend=m", "-S", "-qmp", arg,
            "-nodefaults", monitor=True) as vm, qmp.Qmp(path) as q:
        assert "memory backend: m\n  size:  33554432\n  merge: true\n" in vm.mon.cmd("info memdev")
        assert q.cmd("query-memdev") == [{"prealloc": True, "host-nodes": [], "size": 32 * MIB, "merge": True, "dump": True,
                                          "policy": "default", "share": True, "id": "m", "reserve": True}]
        assert "in use" in vm.mon.cmd("object_del m")
        with open(f"/proc/{vm.p.pid}/statm") as f:
            assert int(f.read().split()[1]) * 4096 >= 32 * MIB
    with VM("-S", monitor=True) as vm:
        assert "memory backend: pc.ram\n  size:  134217728\n" in vm.mon.cmd("info memdev")
        assert vm.mon.cmd("info numa") == "0 nodes\n"
    ram = "memory-backend-ram,id=m,size=64M"
    refused("-m", "128", "-object", ram, "-machine", "memory-backend=m", says="Machine memory size does not match the size of the memory backend")
    refused("-machine", "memory-backend=m", says="Memory backend 'm' not found")
    refused("-object", "memory-backend-ram,id=m", says="Parameter 'size' is missing")
    refused("-object", "memory-backend-ram,size=1M", says="Parameter 'id' is missing")
    refused("-object", "memory-backend-file,id=m,size=1M", says="Parameter 'mem-path' is missing")
    refused("-object", "memory-backend-ram,id=m,size=1000", says="size=1000")
    refused("-object", ram + ",policy=bind", says="policy=bind")
    refused("-object", ram + ",host-nodes=0", says="host-nodes")
    refused("-object", ram + ",nonesuch=1", says="nonesuch")
    refused("-object", "memory-backend-memfd,id=m,size=64M,hugetlb=on", says="hugetlb")
    (tmp_path / "small").write_bytes(b"x" * 4096)
    refused("-object", f"memory-backend-file,id=m,size=64M,mem-path={tmp_path}/small", says="backing store size 0x1000 does not match")


TWO = ["-m", "256", "-smp", "4", "-object", "memory-backend-ram,id=a,size=96M", "-object", "memory-backend-ram,id=b,size=160M"]


def test_refusals():
    base = ["-m", "256", "-smp", "4"]
    for args, says in [
        (["node"], "total memory for NUMA nodes (0x0) should equal RAM size (0x10000000)"),
        (["node,cpus=0-1", "node,cpus=1-3"], "CPU is already assigned to node-id: 0"),
        (["node,cpus=0-4"], "CPU index (4) should be smaller than maxcpus (4)"),
        (["node,mem=128M", "node,nodeid=2,mem=128M"], "Node ID missing: 1"),
        (["node", "node,nodeid=0"], "Duplicate NUMA nodeid: 0"),
        (["node,nodeid=128"], "Max number of NUMA nodes reached: 128"),
        (["dist,src=0,dst=1,val=30"], "Please use '-numa node' option to declare it first."),
        (["node", "node", "dist,src=0,dst=1,val=5"], "NUMA distance (5) is invalid"),
        (["node,mem=128M", "node,mem=64M", "node,mem=64M", "dist,src=0,dst=1,val=20"], "The distance between node 0 and 2 is missing"),
        (["node", "cpu,node-id=7,socket-id=0"], "Invalid node-id=7"),
        (["node", "cpu,node-id=0,socket-id=9"], "no match found"),
        (["node,memdev=zz"], "memdev=zz"),
        (["node,mem=256M,memdev=a"], "mixing both is not allowed"),
        (["hmat-lb,x=1"], "hmat-lb"), (["shelf"], "shelf"), (["node,nonesuch=1"], "nonesuch"),
    ]:
        more = ["-object", "memory-backend-ram,id=a,size=256M"] if "memdev=a" in args[0] else []
        refused(*base, *more, *[w for a in args for w in ("-numa", a)], says=says)
    refused(*TWO, "-numa", "node,memdev=a", "-numa", "node,memdev=b", "-machine", "memory-backend=a", says="mutually exclusive")


@pytest.mark.usefixtures("guests")
@pytest.mark.parametrize("board", ["pc", "q35"])
@pytest.mark.parametrize("firmware", [[], ["-vga", "std"]], ids=["none", "seabios"])
def test_linux(board, firmware):
    """SRAT and SLIT, as the guest's kernel takes them."""
    with linux("amd64", "-M", board, *TWO, *firmware, "-numa", "node,memdev=a,cpus=0,cpus=3", "-numa", "node,memdev=b,cpus=1-2",
               "-numa", "dist,src=0,dst=1,val=31", monitor=True) as vm:
        ready(vm)
        log = sh(vm, "dmesg")
        node = sh(vm, "cd /sys/devices/system/node; cat node0/cpulist node1/cpulist node0/distance node1/distance; "
                      "grep MemTotal node*/meminfo")
        assert node.split("\n")[-7:-3] == ["0,3", "1-2", "10 31", "31 10"]
        sizes = [int(n) for n in re.findall(r"MemTotal: +(\d+) kB", node)]
        assert 30000 < sizes[0] < 96 << 10 and 96 << 10 < sizes[1] < 160 << 10  # the kernel itself is in the first
        assert re.search(r"ACPI: SRAT: Node 1 PXM 1 \[mem 0x06000000-0x0fffffff\]", log)
        assert vm.mon.cmd("info numa") == ("2 nodes\nnode 0 cpus: 0 3\nnode 0 size: 96 MB\nnode 0 plugged: 0 MB\n"
                                           "node 1 cpus: 1 2\nnode 1 size: 160 MB\nnode 1 plugged: 0 MB\n")


def test_cpu_places():
    with VM("-S", "-m", "256", "-smp", "8,sockets=2,cores=2,threads=2", "-numa", "node,mem=128M", "-numa", "node,mem=128M", "-numa",
            "cpu,node-id=1,socket-id=0", "-numa", "cpu,node-id=0,socket-id=1,core-id=1", "-numa", "cpu,node-id=0,socket-id=1,core-id=0",
            monitor=True) as vm:
        assert re.findall(r"cpus:(.*)", vm.mon.cmd("info numa")) == [" 4 5 6 7", " 0 1 2 3"]
    with VM("-S", "-m", "256", "-smp", "4,sockets=4", "-numa", "node,mem=128M", "-numa", "node,mem=128M", monitor=True) as vm:
        assert re.findall(r"cpus:(.*)", vm.mon.cmd("info numa")) == [" 0 2", " 1 3"]  # packages in turns


# ---- where memory is, beside QEMU ----

def e820(*cmd):
    """What the firmware tells Linux, as soon as that has printed it."""
    p = subprocess.Popen([*map(str, cmd), "-display", "none", "-nodefaults", "-vga", "std", "-serial", "stdio", "-kernel",
                          f"{GUESTS}/vmlinuz-amd64", "-append", "console=ttyS0 earlyprintk=ttyS0"], stdin=subprocess.DEVNULL,
                         stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    lines = []
    try:
        for line in p.stdout:
            m = re.search(rb"BIOS-e820: \[mem (0x\w+)-(0x\w+)\] (.*?)\r?\n", line)
            if m:
                lines.append((int(m[1], 16), int(m[2], 16), m[3].decode()))
            elif lines and b"printk:" in line or b"NX (" in line:
                break
    finally:
        p.kill()
        p.wait()
    return [r for r in lines if r[2] == "usable"]


@pytest.mark.usefixtures("guests")
@pytest.mark.parametrize("board", ["pc", "q35"])
@pytest.mark.parametrize("memory", [["-m", "3G"], ["-m", "8G"], ["-m", "64G", "-cpu", "qemu64,phys-bits=42"],
                                    ["-m", "8G", "-machine", "max-ram-below-4g=1G"]], ids=["3", "8", "64", "below"])
def test_map(board, memory):
    """As QEMU's: but for the end of RAM below 4 GiB, of which SeaBIOS takes as much as the board's tables need. Memory that
    nobody uses is not there."""
    from vm import DOPPEL
    qemu = ["qemu-system-x86_64", "-M", board, *memory]
    if memory[1] == "64G":  # the host has not as much
        qemu += ["-object", "memory-backend-ram,id=m,size=64G,reserve=off", "-machine", "memory-backend=m"]
    ours, theirs = e820(DOPPEL, "-M", board, *memory), e820(*qemu)
    assert len(ours) == len(theirs) >= 2

    def rounded(ranges):
        return [(first, (last + MIB) // MIB) for first, last, _ in ranges]

    assert rounded(ours) == rounded(theirs)
