"""Every option that -help prints, by its effect or its refusal. An option without a row fails.

A row is a function named after the option; it gets a folder of its own. The guests are a few
instructions each, so that all of it takes seconds.
"""
import os
import re
import shutil
import socket
import subprocess

import pytest

from image import EXIT_DEVICE, build
from vm import DOPPEL, LIMIT, ROOT, VM, Monitor, Stream, run, wait_for

ROWS = {}


def row(f):
    ROWS[f.__name__.removeprefix("opt_").replace("__", "-")] = f
    return f


def help_options():
    return re.findall(r"^-(\S+)", run("-help").stdout, re.M)


def test_every_option_has_a_row():
    missing = sorted(set(help_options()) - set(ROWS))
    assert not missing, f"no row in {__file__} for {missing}"


def refused(*args, names):
    """One line on stderr that names what is wrong, exit code 1, nothing on stdout."""
    p = run(*args)
    assert (p.returncode, p.stdout) == (1, ""), args
    assert len(p.stderr.splitlines()) == 1, p.stderr
    for name in [names] if isinstance(names, str) else names:
        assert name in p.stderr, p.stderr


def listed(*args, has):
    p = run(*args)
    assert (p.returncode, p.stderr) == (0, ""), args
    assert has in p.stdout


def monitor(*args, **kw):
    """A machine that stands still, for looking at."""
    return VM("-S", *args, monitor=True, **kw)


def exit_code(folder, text, *args):
    """Of a guest that runs the text."""
    image, _ = build(folder, "image", text)
    with VM("-kernel", image, *EXIT_DEVICE, *args) as vm:
        code = vm.wait()
        vm.last = vm.stderr()
        return code


# ---- standard options ----

@row
def opt_help(tmp):
    for word in ("-help", "--help", "-h"):
        listed(word, has="-kernel file")


@row
def opt_version(tmp):
    listed("-version", has="9.2.0")
    listed("--version", has="9.2.0")


@row
def opt_machine(tmp):
    with monitor("-machine", "pc,hpet=off", "-M", "i8042=off") as vm:
        tree = vm.mon.cmd("info mtree")
        assert "hpet" not in tree and "i8042" not in tree and "pit" in tree
    with monitor("-M", "pc-i440fx-7.2") as vm:
        assert "hpet" in vm.mon.cmd("info mtree")
    listed("-M", "help", has="pc ")
    with monitor("-M", "pc,max-ram-below-4g=64M", "-m", "256", "-object", "memory-backend-ram,id=r,size=256M", "-machine", "memory-backend=r") as vm:
        assert "000000010bffffff (ram)" in vm.mon.cmd("info mtree")
    refused("-M", "memory-backend=nonesuch", names="nonesuch")
    refused("-M", "nonesuch", names="nonesuch")
    with monitor("-M", "isapc") as vm:
        assert "isa-ide" in vm.mon.cmd("info qtree")
    refused("-M", "microvm", names="microvm")
    refused("-M", "pc,nonesuch=1", names="nonesuch")
    refused("-M", "pc,hpet=maybe", names=["hpet", "maybe"])


@row
def opt_accel(tmp):
    with monitor("-accel", "interp") as vm:
        assert "engine: interp" in vm.mon.cmd("info jit")
    for name in ("tcg", "doppel", "tcg,thread=multi,tb-size=64"):
        with monitor("-accel", name) as vm:
            assert "engine: doppel" in vm.mon.cmd("info jit")
    for name in ("tcg", "kvm"):
        listed("-accel", "help", has=name)
    listed("-accel", "kvm,help", has="kernel-irqchip=")
    p = run("-accel", "tcg,help")
    tricks = re.findall(r"^  (x-(?!count)[a-z0-9-]+)=<bool>", p.stdout, re.M)
    assert p.returncode == 0 and len(tricks) > 15 and "tb-size=" in p.stdout
    with monitor("-accel", "tcg," + ",".join(t + "=off" for t in tricks)) as vm:
        assert "engine: doppel" in vm.mon.cmd("info jit")
    for name in ("tcg", "interp"):
        refused("-accel", f"{name},x-nonesuch=off", names=["x-nonesuch", *tricks])
    with monitor("-accel", "tcg,x-lockstep=5") as vm:
        assert "engine: lockstep" in vm.mon.cmd("info jit")
    refused("-accel", "tcg,x-lockstep=5", "-smp", "2", names="x-lockstep")
    refused("-accel", "interp,x-link=off", names="x-link")
    with monitor("-accel", "tcg,x-host-without=bmi2:avx:fsgsbase") as vm:
        assert "engine: doppel" in vm.mon.cmd("info jit")
    refused("-accel", "tcg,x-host-without=bmi2:nonesuch", names="nonesuch")
    refused("-accel", "tcg,x-link=maybe", names=["x-link", "maybe"])
    refused("-accel", "nonesuch", names="nonesuch")
    refused("-accel", "tcg,nonesuch=1", names="nonesuch")


@row
def opt_perfmap(tmp):
    with VM("-accel", "tcg", "-perfmap") as vm:
        path = f"/tmp/perf-{vm.p.pid}.map"
        wait_for(lambda: os.path.exists(path) and "guest-" in open(path).read())
        with open(path) as f:
            lines = f.read().splitlines()
    os.unlink(path)
    assert re.fullmatch(r"[0-9a-f]+ [0-9a-f]+ stubs-of-cpu-0", lines[0])
    assert all(re.fullmatch(r"[0-9a-f]+ [0-9a-f]+ guest-(cold-)?[0-9a-f]+", line) for line in lines[1:-1])


@row
def opt_enable__kvm(tmp):
    refused("-enable-kvm", "-machine", "kernel-irqchip=on", names="kernel-irqchip=on")
    p = run("-enable-kvm", "-M", "none", "-display", "none", "-serial", "none", "-monitor", "stdio", input="info kvm\nquit\n")
    if p.returncode == 0:
        assert "kvm support: enabled" in p.stdout
    else:
        assert p.stderr.startswith("doppel: -accel: kvm: ") and len(p.stderr.splitlines()) == 1


CPUID = "mov $1, %eax\n cpuid\n mov %eax, 0x8000\n mov %ecx, 0x8004\n mov %edx, 0x8008\n EXIT 0\n hlt"


@row
def opt_cpu(tmp):
    image, _ = build(tmp, "cpuid", CPUID.replace("EXIT 0", "PUT '.'"))

    def words(*args):
        with VM("-kernel", image, *args, monitor=True) as vm:
            vm.expect(r"\.", LIMIT)
            return [int(w, 16) for w in vm.mon.cmd("xp/3xw 0x8000").split()[1:]]

    def family(eax):
        return eax >> 8 & 15

    assert family(words("-cpu", "pentium")[0]) == 5
    assert family(words("-cpu", "486")[0]) == 4
    assert family(words("-cpu", "pentium3,family=5,model=2")[0]) == 5
    assert words("-cpu", "qemu64,+popcnt")[1] >> 23 & 1
    assert not words("-cpu", "Nehalem,-popcnt")[1] >> 23 & 1
    assert not words("-cpu", "max,aes=off")[1] >> 25 & 1
    listed("-cpu", "help", has="max")
    refused("-cpu", "nonesuch", names="nonesuch")
    refused("-cpu", "max,+nonesuch", names="nonesuch")
    refused("-cpu", "max,nonesuch=1", names="nonesuch")


@row
def opt_smp(tmp):
    for text in ("3", "cpus=3", "3,sockets=1,cores=3", "sockets=3"):
        with monitor("-smp", text) as vm:
            assert vm.mon.cmd("info cpus").count("CPU #") == 3
    refused("-smp", "0", names="0")
    refused("-smp", "256", names="256")
    refused("-smp", "4,sockets=3", names="4")
    refused("-smp", "2,nonesuch=1", names="nonesuch")


@row
def opt_m(tmp):
    for text, last in (("64", 0x3ffffff), ("64M", 0x3ffffff), ("size=1G", 0x3fffffff),
                       ("65536K", 0x3ffffff), ("5G", 0x17fffffff)):
        with monitor("-m", text) as vm:
            assert f"{last:016x} (ram)" in vm.mon.cmd("info mtree"), text
    refused("-m", "0", names="-m 0")
    refused("-m", "99999999G", names="99999999G")
    refused("-m", "-5", names="-5")
    refused("-m", "12Q", names="12Q")
    refused("-m", "64,slots=2,maxmem=1G", names="slots")


@row
def opt_mem__path(tmp):
    path = os.path.join(tmp, "memory")
    with monitor("-m", "64", "-mem-path", path) as vm:
        assert os.path.getsize(path) == 64 << 20
        assert "memory backend: pc.ram\n  size:  67108864\n" in vm.mon.cmd("info memdev")
        with open(f"/proc/{vm.p.pid}/maps") as f:
            assert path in f.read()
    with monitor("-m", "64", "-mem-path", tmp) as vm, open(f"/proc/{vm.p.pid}/maps") as f:
        assert f"{tmp}/" in f.read()
    assert os.listdir(tmp) == ["memory"]
    refused("-mem-path", "/nonesuch/file", names="/nonesuch/file")
    refused("-mem-path", path, "-m", "128", names="does not match")
    ram = ["-object", "memory-backend-ram,id=m,size=128M"]
    refused("-mem-path", path, *ram, "-machine", "memory-backend=m", names="memory-backend=")
    refused("-mem-path", path, *ram, "-numa", "node,memdev=m", names="-numa")
    refused("-mem-path", path, "-object", "memory-backend-ram,id=pc.ram,size=1M", names="pc.ram")


@row
def opt_mem__prealloc(tmp):
    def resident(*args):
        with monitor("-m", "96", *args) as vm, open(f"/proc/{vm.p.pid}/statm") as f:
            return int(f.read().split()[1]) * 4096

    assert resident("-mem-prealloc") >= 96 << 20 > resident()
    assert resident("-mem-prealloc", "-mem-path", tmp) >= 96 << 20
    assert resident("-mem-prealloc", "-object", "memory-backend-ram,id=m,size=96M", "-machine", "memory-backend=m") >= 96 << 20


@row
def opt_numa(tmp):
    node = ("-numa", "node,mem=64M")
    with monitor("-smp", "2", *node, *node, "-numa", "dist,src=0,dst=1,val=20", "-numa", "cpu,node-id=1,socket-id=0") as vm:
        assert "node 1 cpus: 0 1\nnode 1 size: 64 MB\n" in vm.mon.cmd("info numa")
    refused("-numa", "node,nodeid=200", names=["nodeid=200", "Max number"])  # others: test_numa.py


@row
def opt_name(tmp):
    with monitor("-name", "guest=a guest,process=doppel-x") as vm:
        assert vm.mon.cmd("info name") == "a guest\n"
        with open(f"/proc/{vm.p.pid}/comm") as f:
            assert f.read() == "doppel-x\n"
    refused("-name", "x,nonesuch=1", names="nonesuch")


@row
def opt_uuid(tmp):
    uuid = "00112233-4455-6677-8899-aabbccddeeff"
    read = """
        mov $0x510, %edx
        mov $2, %eax
        out %ax, %dx
        inc %edx
        mov $16, %ecx
        mov $0x8000, %edi
        rep insb
        PUT '.'
        hlt
    """
    image, _ = build(tmp, "uuid", read)
    with VM("-uuid", uuid, "-kernel", image, monitor=True) as vm:
        assert vm.mon.cmd("info uuid") == uuid + "\n"
        vm.expect(r"\.", LIMIT)
        got = [int(w, 16) for w in re.findall(r" 0x(\w\w)\b", vm.mon.cmd("xp/16xb 0x8000"))]
        assert bytes(got).hex() == uuid.replace("-", "")
    refused("-uuid", "nonesuch", names="nonesuch")


@row
def opt_device(tmp):
    image, _ = build(tmp, "exit", "mov $0x501, %dx\n mov $9, %al\n out %al, %dx\n hlt")
    with VM("-kernel", image, "-device", "isa-debug-exit") as vm:  # 0x501 unless told otherwise
        assert vm.wait() == 9 * 2 + 1
    with monitor("-device", "isa-debug-exit,id=me") as vm:
        assert 'dev: isa-debug-exit, id "me"' in vm.mon.cmd("info qtree")
    listed("-device", "help", has="isa-debug-exit")
    listed("-device", "isa-debug-exit,help", has="iobase")
    listed("-device", "virtio-scsi-pci,help", has="num_queues")
    listed("-device", "scsi-hd,help", has="scsi-id")
    listed("-device", "ich9-ahci,help", has="addr")
    listed("-device", "scsi-cd,help", has="device_id")
    refused("-device", "nonesuch", names="nonesuch")
    refused("-device", "isa-debug-exit,nonesuch=1", names="nonesuch")
    refused("-device", "isa-debug-exit,iobase=x", names="iobase")
    refused("-device", "isa-debug-exit,id=a", "-device", "isa-debug-exit,iobase=1,id=a", names="'a'")


def usb(*args):
    """The lines of `info usb`, without the name of the program's maker."""
    with monitor(*args) as vm:
        return vm.mon.cmd("info usb").splitlines()


@row
def opt_usb(tmp):
    assert usb() == ["USB support not enabled"]
    assert usb("-usb") == usb("-M", "pc,usb=on") == []
    with monitor("-usb") as vm:
        assert "device   1, function 2:\n    USB controller: PCI device 8086:7020" in vm.mon.cmd("info pci")
    line = "  Device 0.0, Port {}, Speed 12 Mb/s, Product USB {}"
    assert usb("-usb", "-device", "usb-tablet,id=t", "-device", "usb-kbd", "-device", "usb-mouse,port=2.8") == [
        line.format("1", "Tablet, ID: t"), line.format("2", "Hub"), line.format("2.1", "Keyboard"),
        line.format("2.8", "Mouse")]
    assert usb("-device", "piix4-usb-uhci,id=u,addr=7", "-device", "usb-hub,bus=u.0,port=2", "-device",
               "usb-mouse,bus=u.0,port=2.1") == [line.format("2", "Hub"), line.format("2.1", "Mouse")]
    refused("-device", "usb-tablet", names="No 'usb-bus' bus")
    refused("-usb", "-device", "usb-tablet,port=3", names="port 3")
    refused("-usb", "-device", "usb-tablet,port=1", "-device", "usb-kbd,port=1", names="port 1")
    refused("-usb", "-device", "usb-tablet,bus=nonesuch", names="nonesuch")
    refused("-usb", "-device", "usb-tablet,usb_version=3", names="usb_version=3")
    refused("-usb", "-device", "piix3-usb-uhci,addr=1.2", names="01.2")


@row
def opt_usbdevice(tmp):
    line = "  Device 0.0, Port {}, Speed 12 Mb/s, Product USB {}"
    assert usb("-usbdevice", "tablet") == [line.format("1", "Tablet")]
    assert usb("-usbdevice", "mouse", "-usbdevice", "keyboard") == [
        line.format("1", "Mouse"), line.format("2", "Hub"), line.format("2.1", "Keyboard")]
    refused("-usbdevice", "disk:raw:x", names="disk:raw:x")
    refused("-usbdevice", "host:1.2", names="host:1.2")


@row
def opt_global(tmp):
    image, _ = build(tmp, "exit", "EXIT 7\n hlt")
    with VM("-kernel", image, "-global", "isa-debug-exit.iobase=0xf4", "-device", "isa-debug-exit") as vm:
        assert vm.wait() == 7 * 2 + 1
    refused("-global", "isa-debug-exit.nonesuch=1", "-device", "isa-debug-exit", names="nonesuch")
    refused("-global", "nonesuch", names="nonesuch")


@row
def opt_overcommit(tmp):
    monitor("-overcommit", "mem-lock=off,cpu-pm=off").close()
    refused("-overcommit", "mem-lock=on", names="mem-lock")
    refused("-overcommit", "nonesuch=on", names="nonesuch")


# ---- starting ----

@row
def opt_kernel(tmp):
    assert exit_code(tmp, "EXIT 4\n hlt") == 4 * 2 + 1
    refused("-kernel", tmp, names=[str(tmp), "directory"])
    refused("-kernel", f"{tmp}/nonesuch", names="nonesuch")
    (tmp / "empty").write_bytes(b"")
    refused("-kernel", tmp / "empty", names="empty")


MULTIBOOT = """
.balign 4
    .long 0x1badb002, 0x10000, -(0x1badb002 + 0x10000)
    .long header, start, 0, 0, entry
.set header, . - 32
entry: jmp entry
"""


def multiboot(tmp, *args):
    """Command line and modules, read from the information block that EBX points to."""
    image, _ = build(tmp, "multiboot", MULTIBOOT)
    vm = monitor("-kernel", image, *args)
    ebx = int(re.search(r"[RE]BX=([0-9a-f]+)", vm.mon.cmd("info registers")).group(1), 16)
    words = [int(w, 16) for w in re.findall(r" 0x(\w{8})", vm.mon.cmd(f"xp/7xw {ebx:#x}"))]
    return vm, words


@row
def opt_append(tmp):
    vm, words = multiboot(tmp, "-append", "one,two  three")
    with vm:
        text = vm.mon.cmd(f"xp/200c {words[4]:#x}")
        chars = "".join(re.findall(r" '(.|\\x00)'", text))
        assert "one,two  three\\x00" in chars
    refused("-append", "x", names="-append")


@row
def opt_initrd(tmp):
    (tmp / "module").write_bytes(b"doppel")
    vm, words = multiboot(tmp, "-initrd", tmp / "module")
    with vm:
        assert words[5] == 1
        at = int(vm.mon.cmd(f"xp/1xw {words[6]:#x}").split()[1], 16)
        assert "'d' 'o' 'p' 'p' 'e' 'l'" in vm.mon.cmd(f"xp/6c {at:#x}")
    refused("-initrd", "x", names="-initrd")
    image, _ = build(tmp, "exit", "hlt")
    refused("-kernel", image, "-initrd", f"{tmp}/nonesuch", names="nonesuch")
    refused("-kernel", image, "-initrd", tmp, names="directory")


def bios(folder, name):
    """64 KiB that say F from the reset vector on."""
    code = bytes.fromhex("baf803 b046 ee f4 ebfd".replace(" ", ""))
    rom = bytearray(65536)
    rom[0xe000:0xe000 + len(code)] = code
    rom[0xfff0:0xfff3] = b"\xe9" + (0xe000 - 0xfff3 & 0xffff).to_bytes(2, "little")
    (folder / name).write_bytes(rom)
    return folder / name


@row
def opt_bios(tmp):
    with VM("-bios", bios(tmp, "my.bin")) as vm:
        vm.expect("F", LIMIT)
    refused("-bios", f"{tmp}/nonesuch", names="nonesuch")
    refused("-bios", tmp, names="directory")
    (tmp / "empty").write_bytes(b"")
    refused("-bios", tmp / "empty", names="empty")


@row
def opt_L(tmp):
    bios(tmp, "bios-256k.bin")
    with VM("-L", tmp) as vm:
        vm.expect("F", LIMIT)
    listed("-L", "help", has="seabios")


# ---- firmware ----

def peek(vm, addr, count):
    """Guest memory, through the monitor."""
    text = "".join(vm.mon.cmd(f"xp/{min(4096, count - at)}xb {addr + at:#x}")
                   for at in range(0, count, 4096))
    return bytes(int(w, 16) for w in re.findall(r" 0x(\w\w)\b", text))


def smbios(tmp, *args):
    """{type: [(formatted area, strings)]} of the tables in the ROM area, by DSP0134."""
    with monitor("-kernel", build(tmp, "image", "hlt")[0], *args) as vm:
        rom = peek(vm, 0xf0000, 0x2000)
    at = rom.index(b"_SM_")
    anchor = rom[at:at + rom[at + 5]]
    assert sum(anchor) % 256 == 0 and sum(anchor[16:]) % 256 == 0
    length, base, count = (int.from_bytes(anchor[a:b], "little")
                           for a, b in ((22, 24), (24, 28), (28, 30)))
    table, found, handles = rom[base - 0xf0000:base - 0xf0000 + length], {}, set()
    while table:
        area, (text, table) = table[:table[1]], table[table[1]:].split(b"\0\0", 1)
        table = table.lstrip(b"\0") if not text else table
        strings = [t.decode() for t in text.split(b"\0")] if text else []
        found.setdefault(area[0], []).append((area, strings))
        assert area[2:4] not in handles
        handles.add(area[2:4])
        count -= 1
    assert count == 0 and 127 in found
    return found


@row
def opt_smbios(tmp):
    words = tmp / "words"
    words.write_text("from a file")
    t = smbios(tmp, "-m", "5G", "-smp", "4,sockets=2", "-uuid", "00112233-4455-6677-8899-aabbccddeeff",
               "-smbios", "type=0,vendor=We,version=7,release=3.4", "-smbios", "type=1,product=A,,B,serial=S1",
               "-smbios", "type=2,asset=tag", "-smbios", "type=3,sku=case",
               "-smbios", "type=11,value=one,value=two", "-smbios", f"type=11,path={words}")
    area, strings = t[0][0]
    assert strings[:2] == ["We", "7"] and area[0x14:0x16] == b"\3\4"
    area, strings = t[1][0]
    assert strings == ["QEMU", "A,B", "pc-i440fx-9.2", "S1"]
    assert area[8:24].hex() == "33221100554477668899aabbccddeeff"
    assert "tag" in t[2][0][1] and "case" in t[3][0][1]
    assert t[11][0][1] == ["one", "two", "from a file"] and t[11][0][0][4] == 3
    assert len(t[4]) == 2  # a package a processor
    assert [int.from_bytes(a[12:14], "little") for a, _ in t[17]] == [5120]  # MiB
    ends = [int.from_bytes(a[8:12], "little") for a, _ in t[19]]
    assert ends == [0x300000 - 1, 0x400000 + 0x200000 - 1]  # KiB: 3 GiB below, 2 above, as QEMU's
    for bad, names in (("type=5", "type=5"), ("vendor=x", "type"), ("type=1,nonesuch=1", "nonesuch"),
                       ("type=1,uuid=xyz", "uuid=xyz"), ("type=0,release=x", "release"),
                       ("file=x", "file="), ("type=11,path=/nonexistent/x", "/nonexistent/x")):
        refused("-smbios", bad, names=names)


FW_CFG_DIR = """
    mov $0x510, %edx     # the directory: selector 19h
    mov $0x19, %eax
    out %ax, %dx
    inc %edx
    mov $4096, %ecx
    mov $0x20000, %edi
    rep insb
    PUT '.'
    hlt
"""


def fw_files(tmp, *args):
    """{name: (selector, size)} of the fw_cfg directory as a guest reads it."""
    image, _ = build(tmp, "fwdir", FW_CFG_DIR)
    with VM("-kernel", image, *args, monitor=True) as vm:
        vm.expect(r"\.", LIMIT)
        data = peek(vm, 0x20000, 4096)
    entries = [data[4 + 64 * n:68 + 64 * n] for n in range(int.from_bytes(data[:4], "big"))]
    return {e[8:].split(b"\0")[0].decode(): (int.from_bytes(e[4:6], "big"),
                                             int.from_bytes(e[:4], "big")) for e in entries}


@row
def opt_fw_cfg(tmp):
    content = tmp / "content"
    content.write_bytes(b"12345")
    files = fw_files(tmp, "-fw_cfg", f"name=opt/a,file={content}", "-fw_cfg", "opt/b,string=x,,y")
    assert files["opt/a"][1] == 5 and files["opt/b"][1] == 3
    refused("-fw_cfg", "name=opt/a", names="opt/a")
    refused("-fw_cfg", "name=opt/a,file=/nonexistent/f", names="/nonexistent/f")
    refused("-fw_cfg", "string=x", names="name")
    refused("-fw_cfg", f"name=opt/{'x' * 60},string=a", names="55")


@row
def opt_acpitable(tmp):
    (tmp / "body").write_bytes(b"hello")
    (tmp / "short").write_bytes(b"ABCD")
    data = f"data={tmp}/body"
    with monitor("-acpitable", f"sig=ABCD,rev=2,oem_id=ME,oem_table_id=MINE,oem_rev=3,asl_compiler_id=CC,asl_compiler_rev=4,{data}:{tmp}/body"):
        pass  # what is in it: test_identity.py
    refused("-acpitable", "sig=ABCD", names=["data", "file"])
    refused("-acpitable", f"{data},file={tmp}/body", names=["data", "file"])
    refused("-acpitable", f"file={tmp}/short", names="too short, available: 4, expected: 36")
    refused("-acpitable", f"{data}:{tmp}/nonesuch", names="nonesuch")
    refused("-acpitable", f"rev=300,{data}", names="rev")
    refused("-acpitable", f"oem_rev=x,{data}", names="oem_rev")
    refused("-acpitable", f"nonesuch=1,{data}", names="nonesuch")


@row
def opt_option__rom(tmp):
    rom = tmp / "my.rom"
    rom.write_bytes(b"\x55\xaa\x01\xcb" + bytes(508))
    assert fw_files(tmp, "-option-rom", rom)["genroms/my.rom"][1] == 512
    refused("-option-rom", "/nonexistent/rom", names="/nonexistent/rom")
    rom.write_bytes(b"nothing")
    refused("-option-rom", rom, names=["my.rom", "option ROM"])


def disk(tmp, name="disk.img", size=1 << 20):
    path = tmp / name
    with open(path, "wb") as f:
        f.truncate(size)
    return path


def blocks(*args):
    """What info block says: {name: the lines}."""
    with monitor(*args) as vm:
        text = vm.mon.cmd("info block")
    return {b.split(":")[0]: b for b in text.strip().split("\n\n") if b}


@row
def opt_hda(tmp):
    d = disk(tmp)
    for args in (["-hda", d], [d]):
        got = blocks(*args)
        assert list(got) == ["ide0-hd0", "ide1-cd0", "floppy0"]
        assert f"ide0-hd0: {d} (raw)" in got["ide0-hd0"]
    others = [disk(tmp, f"{n}.img") for n in range(4)]
    assert set(blocks(*[w for n, p in zip("abcd", others) for w in (f"-hd{n}", p)])) == \
        {"ide0-hd0", "ide0-hd1", "ide1-hd0", "ide1-hd1", "floppy0"}
    assert str(others[0]) in blocks("-fda", others[0])["floppy0"]
    assert str(others[0]) in blocks("-fdb", others[0])["floppy1"]
    refused("-hda", tmp / "nonesuch", names=["nonesuch", "No such file or directory"])
    refused("-hda", tmp, names=[str(tmp), "Is a directory"])
    refused("-hda", d, others[0], names="exists")


@row
def opt_cdrom(tmp):
    d = disk(tmp, "disc.iso")
    assert f"ide1-cd0: {d} (raw, read-only)" in blocks("-cdrom", d)["ide1-cd0"]
    assert "[not inserted]" in blocks()["ide1-cd0"]
    assert blocks("-nodefaults") == {}
    refused("-cdrom", tmp / "nonesuch", names="nonesuch")


@row
def opt_snapshot(tmp):
    d = disk(tmp)
    assert f"Backing file:     {d} (chain depth: 1)" in blocks("-snapshot", "-hda", d)["ide0-hd0"]
    assert "Backing file" not in blocks("-snapshot", "-drive", f"file={d},format=raw,snapshot=off")["ide0-hd0"]


@row
def opt_blockdev(tmp):
    d = disk(tmp, "node.img")
    for text in (f"driver=file,node-name=n,filename={d}", f"raw,node-name=n,file.driver=file,file.filename={d},cache.direct=on",
                 '{"driver": "raw", "node-name": "n", "file": {"driver": "file", "filename": "%s", "aio": "threads"}}' % d):
        assert "n: " in blocks("-blockdev", text, "-device", "virtio-blk-pci,drive=n")["n"]
    refused("-blockdev", f"driver=file,node-name=n,filename={d}", "-blockdev", f"driver=file,node-name=n,filename={d}",
            names="Duplicate nodes")
    refused("-blockdev", "driver=nbd,node-name=n", names="server.host is missing")
    refused("-blockdev", f"driver=raw,node-name=n,size=5,file.driver=file,file.filename={d}", names="'size' is not supported yet")


@row
def opt_pflash(tmp):
    flash = tmp / "flash"
    flash.write_bytes(b"\xf4" * 65536)
    with monitor("-pflash", flash) as vm:
        assert "f4" in vm.mon.cmd("xp /1bx 0xffff0000")
        assert "system.flash" in vm.mon.cmd("info mtree")
    refused("-pflash", tmp / "none", names="none")


@row
def opt_drive(tmp):
    d, e = disk(tmp), disk(tmp, "e.img")
    got = blocks("-drive", f"file={d},format=raw,index=1,cache=writethrough,serial=x",
                 "-drive", f"if=none,id=mine,file={e},format=raw", "-device", "ide-hd,drive=mine,bus=ide.1,unit=1",
                 "-drive", "if=ide,media=cdrom")
    assert set(got) == {"ide0-hd1", "mine", "ide0-cd0", "floppy0"}
    assert "writethrough" in got["ide0-hd1"]
    refused("-drive", f"file={d},format=qcow2", names=["qcow2", "not in qcow2 format"])
    refused("-drive", f"file={d},format=nonesuch", names="Unknown driver 'nonesuch'")
    refused("-drive", f"file={d},if=nonesuch", names="unsupported bus type 'nonesuch'")
    assert "floppy1" in blocks("-drive", f"file={d},if=floppy,index=1,format=raw")
    for key, shows in (("cache=directsync", "writethrough, direct"), ("cache=none,aio=native", "writeback, direct"),
                       ("cache.direct=on,cache.no-flush=on", "writeback, direct, ignore flushes"),
                       ("aio=io_uring,discard=unmap,file.locking=off", "Cache mode:       writeback"), ("snapshot=on", "Backing file:"),
                       ("detect-zeroes=on", "Detect zeroes:    on")):
        assert shows in blocks("-drive", f"file={d},format=raw,{key}")["ide0-hd0"]
    refused("-drive", f"file={d},format=raw,aio=native", names="requires cache.direct=on")
    refused("-drive", f"file={d},format=raw,aio=nonesuch", names="invalid aio option")
    refused("-drive", f"file={d},format=raw,cache=nonesuch", names="invalid cache option")
    refused("-drive", f"file={d},format=raw,discard=nonesuch", names="Invalid discard option")
    refused("-drive", f"file={d},format=raw,force-share=on", names="can only be used with read-only images")
    refused("-drive", f"file={d},format=raw,detect-zeroes=nonesuch", names="detect-zeroes")
    got = blocks("-drive", f"file={d},format=raw,throttling.iops-total=5,throttling.bps-read=7,bps_rd_max=9,group=y")
    assert ("I/O throttling:   bps=0 bps_rd=7 bps_wr=0 bps_max=0 bps_rd_max=9 bps_wr_max=0 iops=5 iops_rd=0 iops_wr=0 "
            "iops_max=0 iops_rd_max=0 iops_wr_max=0 iops_size=0 group=y") in got["ide0-hd0"]
    for key, why in (("bps=1,bps_rd=2", "cannot be used at the same time"), ("bps_max=5", "require corresponding"),
                     ("bps=10,bps_max=5", "cannot be lower"), ("iops_size=5", "requires an iops value"),
                     ("bps=1,throttling.bps-total=2", "alias 'bps' can't be used at the same time"),
                     ("throttling.bps-total=1,throttling.bps-total-max-length=3", "without burst rate"),
                     ("iops=9999999999999999999", "iops"), ("bps=1M", "bps")):
        refused("-drive", f"file={d},format=raw,{key}", names=why)
    for key in ("if=scsi",):
        refused("-drive", f"file={d},format=raw,{key}", names=key.split("=")[0])
    refused("-drive", f"file={d},nonesuch=1", names="nonesuch")
    for key in ("werror=stop", "werror=enospc", "werror=auto", "rerror=ignore", "rerror=report,werror=report"):
        assert "ide0-hd0" in blocks("-drive", f"file={d},format=raw,{key}")
    refused("-drive", f"file={d},format=raw,werror=nonesuch", names="'nonesuch' invalid write error action")
    refused("-drive", f"file={d},format=raw,rerror=enospc", names="'enospc' invalid read error action")
    refused("-drive", f"file={d},format=raw,if=floppy,werror=stop", names="fdc doesn't support drive option werror")
    refused("-drive", f"file={d},bus=2", names="bus=2")
    refused("-drive", "if=ide", names="drive is empty")
    refused("-drive", f"file={d},format=raw,readonly=on", names="read-only")
    refused("-drive", f"file={d},index=0", "-drive", f"file={e},index=0", names="exists")
    refused("-device", "ide-hd", names="No drive specified")
    refused("-device", "ide-hd,drive=nonesuch", names="nonesuch")
    refused("-drive", f"file={d},if=none,id=x", "-device", "ide-hd,drive=x,bus=ide.9", names="Bus 'ide.9' not found")
    refused("-drive", f"file={d},if=none,id=x", "-device", "ide-hd,drive=x,unit=2", names="unit 2")
    refused("-hda", d, "-drive", f"file={e},if=none,id=x", "-device", "ide-hd,drive=x,bus=ide.0,unit=0",
            names="unit 0 is in use")


@row
def opt_boot(tmp):
    files = fw_files(tmp, "-boot", "order=dc,menu=on,splash-time=250,reboot-timeout=100,strict=on")
    assert files["etc/boot-menu-wait"][1] == 2 and files["etc/boot-fail-wait"][1] == 4
    assert files["bootorder"][1] == len("HALT") + 1
    assert "bootorder" not in fw_files(tmp)
    read = " mov $0x3d, %al\n out %al, $0x70\n in $0x71, %al\n out %al, $0xf4\n hlt"
    for order, code in (("d", 3), ("order=dc,", 0x23), ("once=n,order=ca", 4), ("menu=off", 0x12)):
        assert exit_code(tmp, read, "-boot", order) == code << 1 & 0xff | 1
    again = ' mov $0x3d, %al\n out %al, $0x70\n in $0x71, %al\n cmp $3, %al\n jne 1f\n' \
            " mov $6, %al\n mov $0xcf9, %dx\n out %al, %dx\n1: EXIT 7\n hlt"
    assert exit_code(tmp, again, "-boot", "once=d,order=c") == 15  # d at first, c after the reset
    for bad, names in (("x", "'x'"), ("order=cc", "twice"), ("cadn", "3"), ("nonesuch=1", "nonesuch"),
                       ("splash=/nonexistent/p", "/nonexistent/p"), ("splash-time=70000", "70000")):
        refused("-boot", bad, names=names)


# ---- display, network, character devices ----

@row
def opt_display(tmp):
    listed("-display", "help", has="none")
    refused("-display", "nonesuch", names="nonesuch")
    refused("-display", "curses", names="curses")
    refused("-display", "sdl,nonesuch=1", names="nonesuch")  # more in test_window.py
    refused("-display", "vnc=nonesuch", names="nonesuch")


@row
def opt_sdl(tmp):
    p = run("-sdl", env={**os.environ, "DISPLAY": ":nonesuch", "SDL_VIDEODRIVER": "x11"})
    assert p.returncode == 1 and "window" in p.stderr


@row
def opt_full__screen(tmp):
    """Said of a window; there is none, so it changes nothing."""
    with monitor("-full-screen") as m:
        assert "paused" in m.mon.cmd("info status")


@row
def opt_no__quit(tmp):
    """See test_window.py, window-close=off."""
    with monitor("-no-quit") as m:
        m.mon.send("quit\n")
        assert m.wait() == 0


@row
def opt_vnc(tmp):
    for spec in ("nonesuch", ":x", ":70000", "unix:", ":1,nonesuch=1", ":1,password=x", ":1,websocket=x",
                 ":1,share=x", ":5,to=3", ":1,power-control=x", ":1,sasl=on", f"unix:{tmp}/no/such"):
        refused("-vnc", spec, names="-vnc " + spec)
    if "CONFIG_VNC" not in open(os.path.join(ROOT, "config.h")).read():
        refused("-vnc", "none", names="libvncserver-dev")
        return
    p = subprocess.run([DOPPEL, "-vnc", "none", "-monitor", "stdio", "-S", "-serial", "null"],
                       input="info vnc\nquit\n", capture_output=True, text=True, timeout=LIMIT)
    assert p.returncode == 0 and "default:" in p.stdout and "Server" not in p.stdout


@row
def opt_object(tmp):
    listed("-object", "help", has="secret")
    listed("-object", "help", has="memory-backend-file")
    refused("-object", f"filter-dump,id=d,netdev=n,file={tmp}/d", names="'n'")
    with monitor("-netdev", "user,id=n", "-object", f"filter-dump,id=d,netdev=n,file={tmp}/d") as vm:
        assert (tmp / "d").read_bytes()[:4] == b"\xd4\xc3\xb2\xa1"
    (tmp / "pw").write_bytes(b"c2Vj\ncmV0\n")
    for good in ("data=x", f"file={tmp}/pw,format=base64"):
        with monitor("-object", f"secret,id=a,{good}") as vm:
            assert "paused" in vm.mon.cmd("info status")
    for bad, names in (("rng-random,id=a", "rng-random"), ("secret,id=a", "data="), ("secret,data=x", "id="),
                       ("secret,id=a,data=x,file=y", "file="), ("secret,id=a,data=***,format=base64", "base64"),
                       ("secret,id=a,file=/nonexistent/f", "/nonexistent/f"), ("secret,id=a,data=x,pat=1", "pat"),
                       ("secret,id=a,data=x,keyid=k", "keyid")):
        refused("-object", bad, names=names)
    refused("-object", "secret,id=a,data=x", "-object", "secret,id=a,data=y", names="'a' is there already")


@row
def opt_summa(tmp):
    with monitor("-summa") as vm:
        assert "serial1: filename=summa" in vm.mon.cmd("info chardev")
        assert "SummaSketch tablet (absolute)" in vm.mon.cmd("info mice")
    refused("-summa", "-serial", "null", "-serial", "null", names="-summa")


@row
def opt_k(tmp):
    listed("-k", "help", has="de")
    refused("-k", "nonesuch", names="nonesuch")


@row
def opt_vga(tmp):
    def tree(*args):
        with monitor(*args) as vm:
            return vm.mon.cmd("info mtree"), vm.mon.cmd("info qtree")

    for args in ((), ("-vga", "std"), ("-nodefaults", "-vga", "std"), ("-nodefaults", "-device", "VGA"),
                 ("-device", "VGA,addr=5"), ("-vga", "none", "-device", "VGA")):
        assert tree(*args)[0].count("vga-window") == 1, args
    for args in (("-vga", "none"), ("-nodefaults",)):
        assert "vga" not in tree(*args)[0]
    assert "dev: VGA, id \"v1\"" in tree("-device", "VGA,id=v1,vgamem_mb=32")[1]
    refused("-global", "VGA.vgamem_mb=5", names="vgamem_mb 5")
    listed("-vga", "help", has="std")
    for name in ("cirrus", "qxl", "vmware", "virtio"):
        refused("-vga", name, names=[name, "not supported"])
    refused("-vga", "nonesuch", names="nonesuch")
    refused("-device", "VGA,vgamem_mb=3", names="vgamem_mb 3")
    refused("-device", "VGA,xres=5000", names="xres 5000")
    refused("-device", "VGA,addr=40", names="addr '40'")
    refused("-device", "VGA,romfile=vgabios-nonesuch.bin", names=["vgabios-nonesuch.bin", "seabios"])


@row
def opt_nographic(tmp):
    image, _ = build(tmp, "hello", "PUT 'H'\n EXIT 0\n hlt")
    p = run("-nographic", "-kernel", image, *EXIT_DEVICE)
    assert (p.stdout, p.returncode) == ("H", 1)


@row
def opt_nic(tmp):
    with monitor("-nic", "none") as vm:
        assert vm.mon.cmd("info network") == ""
    with monitor("-nic", "user,mac=00:16:3e:01:02:03,hostname=h", "-nic", "user,model=e1000") as vm:
        cards = re.findall(r"^(\S+): index=0,type=nic,model=e1000,macaddr=(\S+)\n \\ \S+: index=0,type=user",
                           vm.mon.cmd("info network"), re.M)
        assert cards == [("e1000.0", "00:16:3e:01:02:03"), ("e1000.1", "52:54:00:12:34:56")]
    with monitor("-nic", "user,model=ne2k_pci", "-nic", "user,model=pcnet") as vm:
        assert re.findall(r"model=(\w+),macaddr", vm.mon.cmd("info network")) == ["ne2k_pci", "pcnet"]
        qtree = vm.mon.cmd("info qtree")
        assert "dev: ne2k_pci" in qtree and "dev: pcnet" in qtree
    listed("-nic", "help", has="e1000")
    listed("-nic", "help", has="pcnet")
    for bad in ("nonesuch", "user,model=nonesuch", "user,mac=xx", "user,mac=01:00:00:00:00:00"):
        refused("-nic", bad, names=bad)


@row
def opt_netdev(tmp):
    listed("-netdev", "help", has="user")
    with monitor("-netdev", "user,id=a,net=192.168.7.0/24,restrict=on", "-device", "e1000,netdev=a,id=card") as vm:
        text = vm.mon.cmd("info network")
        assert "card: index=0,type=nic,model=e1000,macaddr=52:54:00:12:34:56\n" in text
        assert " \\ a: index=0,type=user,net=192.168.7.0,restrict=on\n" in text
    for bad, names in (("user", "id="), ("user,id=a,net=1", "net=1"), ("user,id=a,host=10.0.3.1", "host="),
                       ("user,id=a,hostfwd=tcp:1", "tcp:1"), ("user,id=a,hostfwd=tcp::1-:0", "tcp::1-:0"),
                       ("user,id=a,hostfwd=icmp::1-:1", "icmp"), ("user,id=a,hotsname=x", "hostname"),
                       ("user,id=a,guestfwd=tcp:10.0.2.9:1-cmd:ls", "cmd"), ("user,id=a,smb=/", "smb"),
                       ("user,id=a,guestfwd=tcp:10.0.2.9:1-nonesuch", "nonesuch"), ("user,id=a,ipv4=off,ipv6=off", "ipv4"),
                       ("vde,id=a", "vde"), ("usr,id=a", "'user'"), ("hubport,id=a", "hubid")):
        refused("-netdev", bad, names=names)
    with monitor("-netdev", f"stream,id=s,addr.type=unix,addr.path={tmp}/s,server=on", "-netdev",
                 f"dgram,id=d,local.type=unix,local.path={tmp}/d,remote.type=unix,remote.path={tmp}/e") as vm:
        text = vm.mon.cmd("info network")
        assert f"s: index=0,type=stream,unix:{tmp}/s,server=on,waiting\n" in text
        assert f"d: index=0,type=dgram,unix:{tmp}/e\n" in text
    refused("-netdev", "user,id=a", "-netdev", "user,id=a", names="taken")
    refused("-netdev", "user,id=a", "-device", "e1000,netdev=b", names="'b'")
    refused("-netdev", "user,id=a", "-device", "e1000,netdev=a", "-device", "e1000,netdev=a", names="in use")


@row
def opt_net(tmp):
    with monitor("-net", "nic,macaddr=00:16:3e:01:02:03", "-net", "user", "-net", "nic,vlan=3", "-net", "user,vlan=3") as vm:
        text = vm.mon.cmd("info network")
        for hub, mac in ((0, "00:16:3e:01:02:03"), (3, "52:54:00:12:34:56")):
            assert re.search(rf"^hub {hub}\n \\ hub{hub}port0: \S+: index=0,type=nic,.*{mac}\n"
                             rf" \\ hub{hub}port1: user.{1 if hub else 0}: index=0,type=user", text, re.M), text
    with monitor("-net", "none") as vm:
        assert vm.mon.cmd("info network") == ""
    refused("-net", "nonesuch", names="nonesuch")
    refused("-net", "nic,modle=e1000", names="model")


HELLO = "PUT 'H'\n PUT 'i'\n EXIT 0\n hlt"


def hello(tmp, *args):
    """What a guest that says Hi does with a line; the program has ended."""
    image, _ = build(tmp, "hello", HELLO)
    p = run("-display", "none", "-kernel", image, *EXIT_DEVICE, *args)
    assert (p.returncode, p.stderr) == (1, ""), p.stderr
    return p.stdout


@row
def opt_chardev(tmp):
    assert hello(tmp, "-chardev", f"file,id=c,path={tmp}/a,logfile={tmp}/b", "-serial", "chardev:c") == ""
    assert (tmp / "a").read_text() == (tmp / "b").read_text() == "Hi"
    assert hello(tmp, "-chardev", "stdio,id=c,mux=on", "-serial", "chardev:c", "-mon", "c") == "Hi"
    hello(tmp, "-chardev", f"file,id=c,path={tmp}/a,append=on", "-serial", "chardev:c")
    assert (tmp / "a").read_text() == "HiHi"
    listed("-chardev", "help", has="socket")
    refused("-chardev", "nonesuch,id=a", names="nonesuch")
    refused("-chardev", "null", names="id")
    refused("-chardev", "null,id=a,nonesuch=1", names="nonesuch")
    refused("-chardev", "null,id=a", "-chardev", "null,id=a", names="a")


@row
def opt_serial(tmp):
    assert hello(tmp, "-serial", "stdio") == "Hi"
    assert hello(tmp, "-serial", f"file:{tmp}/f") == "" and (tmp / "f").read_text() == "Hi"
    assert hello(tmp, "-serial", "null") == hello(tmp, "-serial", "none") == ""
    os.mkfifo(tmp / "pipe.in")
    os.mkfifo(tmp / "pipe.out")
    fd = os.open(tmp / "pipe.out", os.O_RDONLY | os.O_NONBLOCK)
    hello(tmp, "-serial", f"pipe:{tmp}/pipe")
    assert os.read(fd, 9) == b"Hi"
    os.close(fd)
    echo = "1: mov $0x3fd, %dx\n in %dx, %al\n test $1, %al\n jz 1b\n mov $0x3f8, %dx\n" \
           " in %dx, %al\n inc %al\n out %al, %dx\n jmp 1b"
    image, _ = build(tmp, "echo", echo)
    with VM("-kernel", image, serial=f"unix:{tmp}/s.sock,server,nowait") as vm:
        s = socket.socket(socket.AF_UNIX)
        wait_for(lambda: s.connect_ex(f"{tmp}/s.sock") == 0)
        talk(s, b"a", b"b")
        s.close()
        vm.p.terminate()
        assert vm.wait() == 0
    for kind in ("tcp", "telnet"):
        with VM("-kernel", image, serial=f"{kind}:127.0.0.1:0,server,nowait", monitor=True) as vm:
            port = int(re.search(r"serial0: .*127\.0\.0\.1:(\d+)", vm.mon.cmd("info chardev")).group(1))
            s = socket.create_connection(("127.0.0.1", port), LIMIT)
            talk(s, b"x\xff\xffy" if kind == "telnet" else b"xy", b"z" if kind == "telnet" else b"yz")
            s.close()
    with VM("-kernel", image, serial="pty") as vm:
        path = vm.expect(r"redirected to (/dev/pts/\d+) \(label serial0\)$", LIMIT).group(1)
        fd = os.open(path, os.O_RDWR | os.O_NOCTTY)
        line = Stream(fd, fd)
        line.send("k")
        line.expect("l", LIMIT)
        os.close(fd)
    refused("-serial", "nonesuch", names="nonesuch")
    refused("-serial", f"file:{tmp}/no/such", names="no/such")
    refused(*["-serial", "null"] * 5, names="serial")


def talk(sock, data, want):
    """Send, and wait for the answer (in which a telnet server's negotiation may stand too)."""
    sock.settimeout(LIMIT)
    sock.sendall(data)
    got = b""
    while want not in got:
        part = sock.recv(100)
        assert part, got
        got += part


@row
def opt_parallel(tmp):
    text = "".join(f"""
        mov $'{c}', %al
        mov $0x378, %dx
        out %al, %dx
        mov $0x37a, %dx
        mov $0x0d, %al
        out %al, %dx
        mov $0x0c, %al
        out %al, %dx
        dec %dx
1:      in %dx, %al
        test $0x80, %al
        jz 1b
    """ for c in "print") + "EXIT 3\n hlt"
    assert exit_code(tmp, text, "-parallel", f"file:{tmp / 'paper'}") == 7
    assert (tmp / "paper").read_text() == "print"
    for args, ports in (((), 1), (("-parallel", "none"), 0), (("-nodefaults",), 0),
                        (("-parallel", "null", "-parallel", "null"), 2)):
        with monitor(*args) as vm:
            assert vm.mon.cmd("info mtree").count(": parallel") == ports, args
    refused("-parallel", "nonesuch", names="nonesuch")
    refused(*["-parallel", "null"] * 4, names="at most 3")


@row
def opt_monitor(tmp):
    with VM("-S", "-monitor", f"unix:{tmp}/m.sock,server=on,wait=off") as vm:
        mon = Monitor(tmp / "m.sock")
        assert "prelaunch" in mon.cmd("info status")
        mon.send("quit\n")
        assert vm.wait() == 0
    refused("-monitor", "nonesuch", names="nonesuch")


@row
def opt_mon(tmp):
    with VM("-S", "-chardev", f"socket,id=m,path={tmp}/m.sock,server=on,wait=off",
            "-mon", "chardev=m,mode=readline") as vm:
        mon = Monitor(tmp / "m.sock")
        assert "prelaunch" in mon.cmd("info status")
        mon.send("quit\n")
        assert vm.wait() == 0
    refused("-mon", "nonesuch", names="nonesuch")
    refused("-mon", "mode=readline", names="chardev")
    refused("-mon", "nonesuch,mode=control", names="nonesuch")
    refused("-chardev", "null,id=x", "-mon", "x,pretty=on", names="mode=control")


def greeting(*args):
    """The first line on stdout; the pretty form has several."""
    p = subprocess.run([DOPPEL, "-M", "none", "-display", "none", *args], capture_output=True, text=True, timeout=LIMIT,
                       input='{"execute": "qmp_capabilities"}{"execute": "quit"}')
    assert p.returncode == 0, p.stderr
    return p.stdout.splitlines()[0]


@row
def opt_qmp(tmp):
    assert greeting("-qmp", "stdio").startswith('{"QMP": {"version":')
    assert greeting("-chardev", "stdio,id=c", "-mon", "c,mode=control").startswith('{"QMP"')
    refused("-qmp", "nonesuch", names=["-qmp", "nonesuch"])
    refused("-daemonize", "-qmp", "stdio", names="stdio")


@row
def opt_qmp__pretty(tmp):
    assert greeting("-qmp-pretty", "stdio") == "{"
    assert greeting("-chardev", "stdio,id=c", "-mon", "c,mode=control,pretty=on") == "{"


@row
def opt_echr(tmp):
    for text in ("20", "0x14"):
        p = subprocess.run([DOPPEL, "-nographic", "-S", "-echr", text], input=b"\x01x\x14x",
                           capture_output=True, timeout=LIMIT)
        assert p.returncode == 0 and b"Terminated" in p.stdout
    refused("-echr", "nonesuch", names="nonesuch")


# ---- running ----

@row
def opt_S(tmp):
    image, _ = build(tmp, "hello", HELLO)
    with VM("-S", "-kernel", image, *EXIT_DEVICE, monitor=True) as vm:
        assert vm.mon.cmd("info status") == "VM status: paused (prelaunch)\n"
        assert vm.serial.text == ""
        vm.mon.send("cont\n")
        vm.expect("Hi", LIMIT)
        assert vm.wait() == 1


@row
def opt_no__reboot(tmp):
    assert exit_code(tmp, "lidt 0x9000\n ud2", "-no-reboot") == 0  # a triple fault


POWEROFF = "mov $0x604, %edx\n mov $0x2000, %eax\n out %ax, %dx\n hlt"


@row
def opt_no__shutdown(tmp):
    assert exit_code(tmp, POWEROFF) == 0
    image, _ = build(tmp, "off", "PUT '.'\n" + POWEROFF)
    with VM("-kernel", image, "-no-shutdown", monitor=True) as vm:
        for _ in range(2):
            vm.expect(r"\.", LIMIT)
            wait_for(lambda: vm.mon.cmd("info status") == "VM status: paused (shutdown)\n")
            assert "system_reset" in vm.mon.cmd("cont")
            vm.mon.cmd("system_reset")
            wait_for(lambda: "prelaunch" in vm.mon.cmd("info status"))
            vm.mon.cmd("cont")


@row
def opt_action(tmp):
    image, _ = build(tmp, "fault", "PUT '.'\nlidt 0x9000\n ud2")  # a triple fault
    with VM("-kernel", image, "-action", "reboot=shutdown,shutdown=pause", monitor=True) as vm:
        vm.expect(r"\.", LIMIT)
        wait_for(lambda: vm.mon.cmd("info status") == "VM status: paused (shutdown)\n")
    assert exit_code(tmp, "lidt 0x9000\n ud2", "-action", "reboot=shutdown") == 0
    refused("-action", "watchdog=bite", names=["watchdog", "bite", "inject-nmi"])
    panic = "mov $1, %al\n mov $0x505, %edx\n out %al, %dx\n 1: jmp 1b"
    assert exit_code(tmp, panic, "-device", "pvpanic", "-action", "panic=exit-failure") == 1
    refused("-action", "panic=scream", names=["panic", "scream", "exit-failure"])
    refused("-action", "nonesuch=reset", names="nonesuch")


@row
def opt_watchdog__action(tmp):
    bite = "mov $15, %al\n mov $0x443, %edx\n out %al, %dx\n PUT '.'\n 1: jmp 1b"  # at once
    assert exit_code(tmp, bite, "-watchdog", "ib700", "-watchdog-action", "poweroff") == 0
    image, _ = build(tmp, "bite", bite)
    with VM("-kernel", image, "-watchdog", "ib700", "-watchdog-action", "pause", monitor=True) as vm:
        wait_for(lambda: vm.mon.cmd("info status") == "VM status: paused (watchdog)\n")
    refused("-watchdog-action", "bite", names=["bite", "poweroff"])


@row
def opt_watchdog(tmp):
    for model in ("i6300esb", "ib700"):
        with monitor("-watchdog", model) as vm:
            assert model in vm.mon.cmd("info qtree")
    refused("-watchdog", "VGA", names=["VGA", "ib700"])


# Year, month, day, hour from the CMOS, in BCD, at 8000h.
CMOS = "".join(f"mov ${i}, %al\n out %al, $0x70\n in $0x71, %al\n mov %al, {0x8000 + n}\n"
               for n, i in enumerate((9, 8, 7, 4))) + "PUT '.'\n hlt"


@row
def opt_rtc(tmp):
    image, _ = build(tmp, "cmos", CMOS)

    def clock(base, **env):
        with VM("-kernel", image, "-rtc", base, monitor=True, env=dict(os.environ, **env)) as vm:
            vm.expect(r"\.", LIMIT)
            return [int(w, 16) for w in vm.mon.cmd("xp/4xb 0x8000").split()[1:]]

    assert clock("base=2006-06-17T16:01:21") == [0x06, 0x06, 0x17, 0x16]
    assert clock("base=2031-01-02") == [0x31, 0x01, 0x02, 0x00]
    utc = clock("base=utc,clock=host,driftfix=slew")
    local = clock("base=localtime", TZ="UTC-12")
    assert local != utc and local == clock("base=localtime", TZ="UTC-12")
    refused("-rtc", "base=nonesuch", names="nonesuch")
    refused("-rtc", "clock=nonesuch", names="nonesuch")
    refused("-rtc", "nonesuch=1", names="nonesuch")


@row
def opt_icount(tmp):
    image, _ = build(tmp, "tsc", "rdtsc\n mov %eax, 0x8000\n mov $100000, %ecx\n1: loop 1b\n rdtsc\n"
                                 "sub 0x8000, %eax\n mov %eax, 0x8000\n PUT '.'\n hlt")

    def took(shift):
        with VM("-kernel", image, "-icount", shift, monitor=True) as vm:
            vm.expect(r"\.", LIMIT)
            return int(vm.mon.cmd("xp/1xw 0x8000").split()[1], 16)

    assert took("shift=0") == took("0")  # the same every time, and exactly so much more:
    assert took("shift=3") == 8 * took("shift=0")
    refused("-icount", "shift=99", names="99")
    refused("-icount", "shift=1", "-smp", "2", names="-icount")
    refused("-icount", "shift=1,rr=record", names="rr=record")


@row
def opt_incoming(tmp):
    refused("-incoming", f"file:{tmp}/nonesuch", names="nonesuch")
    refused("-incoming", "nonesuch", names="nonesuch")


@row
def opt_no__hpet(tmp):
    with monitor("-no-hpet") as vm:
        assert "hpet" not in vm.mon.cmd("info mtree")


def has_rsdp(*args):
    with monitor("-kernel", args[0], *args[1:]) as vm:
        text = vm.mon.cmd("xp/4096xg 0xf0000") + vm.mon.cmd("xp/4096xg 0xf8000") \
            + vm.mon.cmd("xp/4096xg 0xe0000") + vm.mon.cmd("xp/4096xg 0xe8000")
        return "0x2052545020445352" in text  # "RSD PTR "


@row
def opt_no__acpi(tmp):
    image, _ = build(tmp, "hello", HELLO)
    assert has_rsdp(image) and not has_rsdp(image, "-no-acpi") and not has_rsdp(image, "-M", "acpi=off")


@row
def opt_nodefaults(tmp):
    p = subprocess.Popen([DOPPEL, "-S", "-nodefaults", "-display", "none", "-monitor",
                          f"unix:{tmp}/m.sock,server,nowait"], stdin=subprocess.DEVNULL)
    try:
        mon = Monitor(tmp / "m.sock")
        assert "serial" not in mon.cmd("info chardev") + mon.cmd("info qtree")
        mon.send("quit\n")
        assert p.wait(LIMIT) == 0
    finally:
        p.kill()
        p.wait()


@row
def opt_no__user__config(tmp):
    monitor("-no-user-config").close()


@row
def opt_readconfig(tmp):
    (tmp / "c").write_text('# comment\n[machine]\n  type = "pc"\n  hpet = "off"\n[memory]\n  size = "64"\n')
    with monitor("-readconfig", tmp / "c") as vm:
        tree = vm.mon.cmd("info mtree")
        assert "hpet" not in tree and f"{0x3ffffff:016x} (ram)" in tree
    refused("-readconfig", f"{tmp}/nonesuch", names="nonesuch")
    (tmp / "bad").write_text("[nonesuch]\n  a = \"b\"\n")
    refused("-readconfig", tmp / "bad", names=["nonesuch", "bad"])


@row
def opt_daemonize(tmp):
    p = run("-daemonize", "-display", "none", "-S", "-pidfile", tmp / "d.pid", "-monitor",
            f"unix:{tmp}/m.sock,server,nowait")
    assert (p.returncode, p.stdout, p.stderr) == (0, "", "")
    pid = int((tmp / "d.pid").read_text())
    mon = Monitor(tmp / "m.sock")
    assert os.getsid(pid) != os.getsid(0)
    mon.send("quit\n")
    wait_for(lambda: not (tmp / "d.pid").exists() and not (tmp / "m.sock").exists())
    refused("-daemonize", "-nographic", names="-daemonize")
    refused("-daemonize", "-kernel", f"{tmp}/nonesuch", names="nonesuch")


@row
def opt_sandbox(tmp):
    """More in test_sandbox.py."""
    for arg, mode in [("on", "2"), ("off", "0"), ("on,obsolete=deny,elevateprivileges=deny,spawn=deny,resourcecontrol=deny", "2")]:
        with monitor("-sandbox", arg) as m:
            assert f"Seccomp:\t{mode}\n" in open(f"/proc/{m.p.pid}/status").read()
    with monitor() as m:  # the default
        assert "Seccomp:\t2\n" in open(f"/proc/{m.p.pid}/status").read()
    refused("-sandbox", "on,spawn=allow", names="spawn=allow")
    refused("-sandbox", "on,nonesuch=deny", names="nonesuch")


@row
def opt_pidfile(tmp):
    with monitor("-pidfile", tmp / "d.pid") as vm:
        assert int((tmp / "d.pid").read_text()) == vm.p.pid
        refused("-pidfile", tmp / "d.pid", "-S", names="d.pid")
        assert int((tmp / "d.pid").read_text()) == vm.p.pid
        vm.mon.send("quit\n")
        assert vm.wait() == 0
    refused("-pidfile", f"{tmp}/no/such", names="no/such")
    refused("-pidfile", tmp / "d.pid", "-device", "isa-debug-exit,iobase=x", names="iobase")
    assert not (tmp / "d.pid").exists()


# ---- debugging ----

@row
def opt_s(tmp):
    with VM("-S", "-s") as vm:  # another machine may have the port: then it must say so
        s = socket.socket()
        wait_for(lambda: vm.p.poll() is not None or s.connect_ex(("127.0.0.1", 1234)) == 0)
        if vm.p.poll() is None:
            talk(s, b"+$qC#b4", b"$QC1#")
        else:
            assert "1234" in vm.stderr()
        s.close()


@row
def opt_gdb(tmp):
    with VM("-S", "-gdb", f"unix:{tmp}/g.sock,server,nowait") as vm:
        s = socket.socket(socket.AF_UNIX)
        wait_for(lambda: s.connect_ex(f"{tmp}/g.sock") == 0)
        talk(s, b"+$qC#b4", b"$QC1#")
        s.close()
        vm.p.terminate()
        assert vm.wait() == 0
    monitor("-gdb", "none").close()
    refused("-gdb", "nonesuch", names="nonesuch")


@row
def opt_d(tmp):
    exit_code(tmp, "int3", "-no-reboot", "-d", "int,in_asm,cpu_reset", "-D", tmp / "log")
    text = (tmp / "log").read_text()
    assert re.search("interrupt 03", text) and "int3" in text
    listed("-d", "help", has="guest_errors")
    refused("-d", "nonesuch", names="nonesuch")


@row
def opt_D(tmp):
    exit_code(tmp, "int3", "-no-reboot", "-d", "int", "-D", tmp / "log")
    assert (tmp / "log").stat().st_size > 0
    refused("-D", f"{tmp}/no/such", names="no/such")


@row
def opt_trace(tmp):
    exit_code(tmp, HELLO, "-trace", f"enable=chardev_*,file={tmp}/log")
    assert "chardev_out" in (tmp / "log").read_text()
    listed("-trace", "help", has="chardev_open")
    refused("-trace", "nonesuch", names="nonesuch")
    refused("-trace", f"events={tmp}/nonesuch", names="nonesuch")


@row
def opt_msg(tmp):
    refused("-msg", "timestamp=on", "-m", "0", names="-m 0")
    p = run("-msg", "timestamp=on", "-m", "0")
    assert re.match(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d+Z ", p.stderr), p.stderr
    refused("-msg", "nonesuch=1", names="nonesuch")


@pytest.mark.parametrize("name", sorted(ROWS))
def test_option(name, tmp_path):
    if name not in help_options():
        pytest.skip(f"-{name} is not in this -help")
    ROWS[name](tmp_path)
    assert not re.search(r"\.(pid|sock)$", " ".join(os.listdir(tmp_path))), "something was left"


# ---- the rest of the promise ----

NOT_YET = ["qmp", "sandbox"]


@pytest.mark.parametrize("name", NOT_YET)
def test_not_yet(name):
    if name in help_options():
        pytest.skip(f"-{name} is in -help now")
    refused(f"-{name}", "x", names=[f"-{name}", "not supported"])


@pytest.mark.parametrize("args, names", [
    (["-kernal", "x"], "did you mean -kernel?"), (["--nonesuch"], "nonesuch"), (["-"], "-"),
    (["-kernel"], "-kernel"), (["disk.img"], "disk.img"), (["-L", "/nonesuch", "-bios", "x.bin"], "x.bin"),
    (["-device", "isa-debug-exi"], "isa-debug-exit"), (["-m"], "-m"),
])
def test_bad_words(args, names):
    refused(*args, names=names)


def test_manual_page():
    """It has every option, and man finds nothing wrong with it."""
    p = subprocess.run([f"{ROOT}/scripts/mkman", DOPPEL, f"{ROOT}/docs/doppel.1.in"],
                       capture_output=True, text=True, timeout=LIMIT)
    assert p.returncode == 0, p.stderr
    for name in help_options():
        assert f'.BI "-{name}"'.replace("-", "\\-") in p.stdout, name
    if shutil.which("groff"):
        q = subprocess.run(["groff", "-man", "-Tutf8", "-ww", "-z"], input=p.stdout, capture_output=True,
                           text=True, timeout=LIMIT)
        assert (q.returncode, q.stderr) == (0, "")


def test_both_dashes_and_one():
    for word in ("-M", "--M", "-machine", "--machine"):
        listed(word, "help", has="pc ")
