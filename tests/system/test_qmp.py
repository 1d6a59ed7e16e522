"""QMP: the protocol, each command against QEMU's, events, and clients that write anything."""
import json
import os
import random
import shutil
import subprocess
import time

import pytest

import rfb
from image import EXIT_DEVICE, build
from qmp import Qmp, address
from vm import DOPPEL, LIMIT, ROOT, VM, run, wait_for

CONFIG = open(os.path.join(ROOT, "config.h")).read()
pytestmark = pytest.mark.skipif("CONFIG_JSON" not in CONFIG, reason="built without json-c")
QEMU = "qemu-system-x86_64"
UUID = "12345678-1234-1234-1234-123456789abc"


@pytest.fixture
def disk(tmp_path):
    path = tmp_path / "disk"
    path.write_bytes(bytes(65536))
    return path


def opened(tmp, *args, program=DOPPEL, n=1, **kw):
    where = [address(tmp, k) for k in range(n)]
    vm = VM("-S", "-m", "64", *[x for w in where for x in ("-qmp", w[1])], *args, program=program, serial="null", **kw)
    try:
        vm.qmp = [Qmp(w[0]) for w in where]
    except BaseException:
        vm.close()
        raise
    return vm, vm.qmp[0]


# ---- the protocol ----

def test_pipe_of_libguestfs():
    """Greeting, return, data, each in a line of its own with nothing between, whatever the machine does."""
    text = '{"execute": "qmp_capabilities"}\n{"execute": "query-kvm"}\n{"execute": "quit"}\n'
    for args in (("-machine", "none,accel=tcg"), ("-M", "pc", "-m", "16")):
        p = subprocess.run([DOPPEL, "-display", "none", *args, "-qmp", "stdio"], input=text,
                           capture_output=True, text=True, timeout=LIMIT)
        lines = [json.loads(line) for line in p.stdout.splitlines()]
        assert p.returncode == 0 and "QMP" in lines[0] and lines[1] == {"return": {}}
        assert lines[2] == {"return": {"enabled": False, "present": True}}
        assert lines[3]["event"] == "SHUTDOWN" and lines[4] == {"return": {}} and len(lines) == 5


def test_protocol(tmp_path):
    vm, _ = opened(tmp_path, "-M", "none")
    path, _ = address(tmp_path)
    with vm:
        vm.qmp[0].close()
        with Qmp(path, ready=False) as q:
            version = run("-version").stdout
            triple = q.greeting["QMP"]["version"]["qemu"]
            assert f"{triple['major']}.{triple['minor']}.{triple['micro']}" in version
            assert q.greeting["QMP"]["capabilities"] == []
            assert q.error("query-status") == ("CommandNotFound",
                                               "Expecting capabilities negotiation with 'qmp_capabilities'")
            assert q.error("qmp_capabilities", enable=["oob"])[0] == "GenericError"
            q.send('{"execute": "qmp_capabilities", "id": [1, {"a": "\\u20ac"}]}')  # without a line's end
            assert q.reply() == {"return": {}, "id": [1, {"a": "€"}]}
            assert q.error("qmp_capabilities")[0] == "CommandNotFound"
            assert q.error("nosuch") == ("CommandNotFound", "The command nosuch has not been found")
            for text, error in (
                    ("[1]", "QMP input must be a JSON object"), ("1", "QMP input must be a JSON object"),
                    ('{"arguments": {}}', "QMP input lacks member 'execute'"),
                    ('{"execute": 1}', "QMP input member 'execute' must be a string"),
                    ('{"execute": "stop", "arguments": 1}', "QMP input member 'arguments' must be an object"),
                    ('{"execute": "stop", "x": 1}', "QMP input member 'x' is unexpected")):
                q.send(text + "\n")
                assert q.reply()["error"] == {"class": "GenericError", "desc": error}
            q.send("{'execute':'query-version'}")
            assert q.reply()["return"] == q.greeting["QMP"]["version"]
            # a mistake is where it is said to be, and the line behind it is lost, no more
            q.send('{"execute": "stop" "x"}\n{"execute": "query-name", "id": 9007199254740993}\n')
            assert q.reply()["error"]["desc"].endswith("at byte 19")
            assert q.reply() == {"return": {}, "id": 9007199254740993}


ARGUMENTS = [  # command, arguments, the error that QEMU gives
    ("screendump", {}, "Parameter 'filename' is missing"),
    ("screendump", {"filename": 1}, "Invalid parameter type for 'filename', expected: string"),
    ("screendump", {"filename": "x", "foo": 1}, "Parameter 'foo' is unexpected"),
    ("screendump", {"filename": "x", "format": "gif"}, "Parameter 'format' does not accept value 'gif'"),
    ("send-key", {"keys": 1}, "Invalid parameter type for 'keys', expected: array"),
    ("send-key", {"keys": ["a"]}, "Invalid parameter type for 'keys[0]', expected: object"),
    ("send-key", {"keys": [{"type": "qcode"}]}, "Parameter 'keys[0].data' is missing"),
    ("send-key", {"keys": [{"type": "x", "data": "a"}]}, "Parameter 'type' does not accept value 'x'"),
    ("send-key", {"keys": [{"type": "qcode", "data": 1}]},
     "Invalid parameter type for 'keys[0].data', expected: string"),
    ("send-key", {"keys": [{"type": "qcode", "data": "no"}]}, "Parameter 'data' does not accept value 'no'"),
    ("set_password", {"protocol": "x", "password": "x"}, "Parameter 'protocol' does not accept value 'x'"),
    ("set_password", {"protocol": "vnc", "password": "x", "connected": "fail"}, "Invalid parameter 'connected'"),
    ("eject", {}, "Need exactly one of 'device' and 'id'"),
    ("eject", {"device": "no"}, "Device 'no' not found"),
    ("eject", {"device": "ide0-hd0"}, "Device 'ide0-hd0' is not removable"),
    ("blockdev-open-tray", {"id": "no"}, "Device 'no' not found"),
    ("blockdev-change-medium", {"device": "ide1-cd0"}, "Parameter 'filename' is missing"),
    ("blockdev-change-medium", {"device": "ide1-cd0", "filename": "x", "read-only-mode": "x"},
     "Parameter 'read-only-mode' does not accept value 'x'"),
    ("input-send-event", {"events": [{"type": "btn", "data": {"button": "x", "down": True}}]},
     "Parameter 'button' does not accept value 'x'"),
    ("human-monitor-command", {"command-line": "info registers", "cpu-index": 7},
     "Parameter 'cpu-index' expects a CPU number"),
    ("memsave", {"val": 0, "size": 1, "filename": "x", "cpu-index": 9}, "Parameter 'cpu-index' expects a CPU number"),
    ("pmemsave", {"val": 0, "size": 1, "filename": "/nonexist/x"},
     "Could not open '/nonexist/x': No such file or directory"),
    ("device-list-properties", {"typename": "no"}, "Device 'no' not found"),
]


def test_errors_are_those_of_qemu(tmp_path, disk):
    """And the table above is what the QEMU at hand says, where there is one."""
    vm, q = opened(tmp_path, "-hda", disk)
    with vm:
        for name, args, text in ARGUMENTS:
            got = q.ask(name, **args)["error"]
            assert got["desc"] == text, (name, args)
            assert got["class"] == ("DeviceNotFound" if "not found" in text else "GenericError")
    if shutil.which(QEMU):
        (tmp_path / "q").mkdir()
        vm, q = opened(tmp_path / "q", "-hda", disk, "-nic", "none", program=QEMU)
        with vm:
            for name, args, text in ARGUMENTS:
                assert q.ask(name, **args)["error"]["desc"] == text, (name, args)


# ---- answers, against QEMU's ----

def shape(v):
    """Types of the members; of a list, those of all its elements together."""
    if isinstance(v, dict):
        return {k: shape(x) for k, x in v.items()}
    if isinstance(v, list):
        all_of = {}
        for x in map(shape, v):
            if not isinstance(x, dict):
                return [x]
            merge(all_of, x)
        return [all_of]
    return type(v).__name__


def merge(a, b):
    for k, x in b.items():
        if isinstance(x, dict) and isinstance(a.get(k), dict):
            merge(a[k], x)
        elif isinstance(x, list) and isinstance(a.get(k), list) and x and a[k] and isinstance(x[0], dict) and \
                isinstance(a[k][0], dict):
            merge(a[k][0], x[0])
        else:
            a[k] = x


def missing(theirs, ours, at, optional):
    """What one has and the other has not."""
    if isinstance(theirs, dict) and isinstance(ours, dict):
        return [f"{at}.{k}" for k in sorted(set(theirs) ^ set(ours)) if f"{at}.{k}" not in optional] + \
            [m for k in sorted(set(theirs) & set(ours)) for m in missing(theirs[k], ours[k], f"{at}.{k}", optional)]
    if isinstance(theirs, list) and isinstance(ours, list):
        return missing(theirs[0], ours[0], at, optional) if theirs and ours else []
    return [] if theirs == ours else [f"{at}: {theirs} is {ours} here"]


# "May be absent" in QEMU's own reference (qemu-qmp-ref), and so where there is no such thing.
OPTIONAL = {
    "query-block.inserted.node-name",    # blocks are not a graph yet
    "query-machines.alias",              # boards have no versions
    "query-cpu-definitions.alias-of",    # nor have processors
    "query-pci.devices.pci_bridge",      # there is none
    "query-chardev-backends.path",
    "query-machines.acpi",
    "query-block.tray_open",
}
QUERIES = ("query-version query-status query-name query-uuid query-block query-chardev query-chardev-backends "
           "query-mice query-vnc query-vnc-servers query-commands query-kvm query-cpus-fast query-pci "
           "query-machines query-current-machine query-cpu-definitions query-iothreads "
           "query-memory-size-summary query-target qom-list-types").split()


@pytest.mark.skipif(shutil.which(QEMU) is None, reason=f"no {QEMU}")
def test_shapes_are_those_of_qemu(tmp_path, disk):
    machines = []
    for program in (DOPPEL, QEMU):
        folder = tmp_path / os.path.basename(program)
        folder.mkdir()
        vnc = ("-vnc", f"unix:{folder}/vnc,password=on") if "CONFIG_VNC" in CONFIG else ()
        shutil.copy(disk, folder / "disk")  # each has it for itself
        machines.append(opened(folder, "-hda", folder / "disk", "-nic", "none", "-name", "me", "-uuid", UUID, "-smp", "2", *vnc,
                               program=program))
    (vm, ours), (other, theirs) = machines
    with vm, other:
        bad = []
        for name in QUERIES:
            bad += missing(shape(theirs.cmd(name)), shape(ours.cmd(name)), name, OPTIONAL)
        assert bad == []
        for name in ("query-name", "query-uuid", "query-status", "query-target", "query-memory-size-summary",
                     "query-iothreads"):
            assert ours.cmd(name) == theirs.cmd(name)
        known = {c["name"] for c in theirs.cmd("query-commands")}
        assert {c["name"] for c in ours.cmd("query-commands")} <= known
        props = {p["name"]: p for p in theirs.cmd("device-list-properties", typename="isa-serial")}
        for p in ours.cmd("device-list-properties", typename="isa-serial"):
            assert p["name"] not in props or p["type"] == props[p["name"]]["type"], p


# ---- what commands do ----

GUEST = """
    PUT 'B'
    PUT '\\n'
1:  hlt
    jmp 1b
"""


def test_run_and_events(tmp_path):
    """Two clients see the same; each event once; what the guest did is told apart from what the user did."""
    image, _ = build(tmp_path, "image", GUEST)
    where = [address(tmp_path, k) for k in range(2)]
    with VM("-S", "-kernel", image, "-qmp", where[0][1], "-chardev", f"socket,id=c,path={where[1][0]},server=on,wait=off",
            "-mon", "chardev=c,mode=control", monitor=True) as vm:
        a, b = Qmp(where[0][0]), Qmp(where[1][0])
        assert a.cmd("query-status") == {"status": "prelaunch", "singlestep": False, "running": False}
        assert a.cmd("cont") == {} and a.event("RESUME") is None and b.event("RESUME") is None
        vm.expect("^B\n", LIMIT)
        assert a.cmd("query-status")["status"] == "running"
        vm.mon.cmd("stop")
        assert a.event("STOP") is None and b.event("STOP") is None
        assert b.cmd("query-status")["status"] == "paused"
        assert b.cmd("human-monitor-command", command_line="info status") == "VM status: paused\r\n"
        assert b.cmd("human-monitor-command", command_line="nosuch") == "unknown command: 'nosuch'\r\n"
        assert "EIP=" in b.cmd("human-monitor-command", command_line="info registers").upper()
        a.cmd("cont")
        a.cmd("system_reset")
        for q in (a, b):
            assert q.event("RESET") == {"guest": False, "reason": "host-qmp-system-reset"}
        vm.expect("^B\n", LIMIT)
        assert a.cmd("system_powerdown") == {} and a.event("POWERDOWN") is None
        assert a.cmd("inject-nmi") == {}
        with a:
            a.send('{"execute": "quit", "id": 7}\n')
            assert a.reply() == {"return": {}, "id": 7}
            assert a.event("SHUTDOWN") == {"guest": False, "reason": "host-qmp-quit"}
        assert b.event("SHUTDOWN")["reason"] == "host-qmp-quit"
        assert vm.wait() == 0


def test_guest_events(tmp_path):
    """A guest that sets the clock and switches itself off."""
    image, _ = build(tmp_path, "image", """
    mov $9, %al
    out %al, $0x70
    mov $0x30, %al          # the year 2030
    out %al, $0x71
    mov $0x604, %dx
    mov $0x2000, %ax
    out %ax, %dx
1:  hlt
    jmp 1b
""")
    vm, q = opened(tmp_path, "-kernel", image, "-rtc", "base=2020-06-01", "-no-shutdown")
    with vm:
        q.cmd("cont")
        days = 10 * 365 + 3
        assert abs(q.event("RTC_CHANGE")["offset"] - days * 86400) < 2 * 86400
        assert q.event("SHUTDOWN") == {"guest": True, "reason": "guest-shutdown"}
        wait_for(lambda: q.cmd("query-status")["status"] == "shutdown")
        assert q.error("cont")[1].startswith("the guest is powered off")
    # the power switch
    with VM("-kernel", image, "-S", "-qmp", address(tmp_path, 5)[1]) as vm:
        with Qmp(address(tmp_path, 5)[0]) as q:
            vm.p.terminate()
            assert q.event("SHUTDOWN") == {"guest": False, "reason": "host-signal"}


def test_media(tmp_path, disk):
    vm, q = opened(tmp_path)
    with vm:
        device = {b["device"]: b for b in q.cmd("query-block")}["ide1-cd0"]
        assert device["removable"] and "inserted" not in device
        q.cmd("blockdev-change-medium", device="ide1-cd0", filename=str(disk), format="raw")
        assert [q.event("DEVICE_TRAY_MOVED")["tray-open"] for _ in range(2)] == [True, False]
        device = {b["device"]: b for b in q.cmd("query-block")}["ide1-cd0"]
        assert device["inserted"]["image"]["virtual-size"] == 65536 and device["inserted"]["ro"]
        for name, is_open in (("open", True), ("close", False)):
            q.cmd(f"blockdev-{name}-tray", id=device["qdev"])
            moved = q.event("DEVICE_TRAY_MOVED")
            assert moved == {"device": "ide1-cd0", "id": device["qdev"], "tray-open": is_open}
            q.cmd(f"blockdev-{name}-tray", device="ide1-cd0")  # and again: nothing
            assert q.events == []
        q.cmd("eject", device="ide1-cd0")
        assert q.event("DEVICE_TRAY_MOVED")["tray-open"]
        assert "inserted" not in {b["device"]: b for b in q.cmd("query-block")}["ide1-cd0"]


def test_files(tmp_path):
    image, _ = build(tmp_path, "image", "1: hlt\njmp 1b\n.ascii \"doppel\"\n")
    vm, q = opened(tmp_path, "-kernel", image)
    with vm:
        q.cmd("screendump", filename=str(tmp_path / "s.ppm"))
        assert (tmp_path / "s.ppm").read_bytes().startswith(b"P6")
        q.cmd("pmemsave", val=0x100000, size=8192, filename=str(tmp_path / "mem"))
        mem = (tmp_path / "mem").read_bytes()
        assert len(mem) == 8192 and b"doppel" in mem
        q.cmd("pmemsave", val=(64 << 20) - 16, size=32, filename=str(tmp_path / "mem"))
        assert len((tmp_path / "mem").read_bytes()) == 32
        assert q.error("pmemsave", val=0, size=-1, filename="x")[0] == "GenericError"
        assert q.error("pmemsave", val=0, size=1 << 62, filename="x")[0] == "GenericError"


@pytest.mark.skipif("CONFIG_VNC" not in CONFIG, reason="built without libvncserver")
def test_vnc(tmp_path):
    vm, q = opened(tmp_path, "-vnc", f"unix:{tmp_path}/s,password=on")
    with vm:
        assert q.cmd("query-vnc")["auth"] == "vnc" and q.cmd("query-vnc")["clients"] == []
        q.cmd("set_password", protocol="vnc", password="one")
        q.cmd("expire_password", protocol="vnc", time="never")
        with rfb.Client(tmp_path / "s", password="one") as c:
            c.full()
            for name in ("VNC_CONNECTED", "VNC_INITIALIZED"):
                data = q.event(name)
                assert data["server"]["auth"] == "vnc" and data["client"]["family"] == "unix"
            assert len(q.cmd("query-vnc")["clients"]) == 1
            assert len(q.cmd("query-vnc-servers")[0]["clients"]) == 1
        q.event("VNC_DISCONNECTED")
        q.cmd("change-vnc-password", password="two")
        with pytest.raises(rfb.Error):
            rfb.Client(tmp_path / "s", password="one")


def test_input(tmp_path):
    vm, q = opened(tmp_path)
    with vm:
        key = {"type": "key", "data": {"down": True, "key": {"type": "qcode", "data": "a"}}}
        assert q.error("input-send-event", events=[key]) == ("GenericError", "VM not running")
        assert q.error("input-send-event", device="x", events=[]) == ("DeviceNotFound", "Device 'x' not found")
        q.cmd("cont")
        q.cmd("input-send-event", events=[key, {"type": "rel", "data": {"axis": "x", "value": 5}},
                                          {"type": "btn", "data": {"button": "left", "down": True}},
                                          {"type": "abs", "data": {"axis": "y", "value": 100}}])
        assert "events[1].data.value" in q.error(
            "input-send-event", events=[key, {"type": "abs", "data": {"axis": "x", "value": 99999}}])[1]
        q.cmd("send-key", keys=[{"type": "qcode", "data": "ctrl"}, {"type": "number", "data": 30}], hold_time=1)
        assert q.error("send-key", keys=[{"type": "qcode", "data": "a"}] * 17)[0] == "GenericError"


# ---- clients that write anything ----

def alive(q, seed):
    q.send('\n{"execute": "query-name", "id": %d}\n' % seed)
    while (got := q.reply()).get("id") != seed:
        assert "error" in got or "return" in got
    return got == {"return": {}, "id": seed}


def test_split_at_every_byte(tmp_path):
    vm, q = opened(tmp_path, "-M", "none")
    text = '{"execute": "human-monitor-command", "arguments": {"command-line": "info \\u0076ersion"}, "id": 1.5e3}\n'
    with vm:
        want = None
        for n in range(len(text)):
            q.send(text[:n])
            if n % 8 == 0:
                time.sleep(0.001)  # so that it comes in two pieces
            q.send(text[n:])
            got = q.reply()
            want = want or got
            assert got == want and "return" in got
        for b in text.encode():
            q.send(bytes([b]))
        assert q.reply() == want


def test_deep_and_long(tmp_path):
    vm, q = opened(tmp_path, "-M", "none")
    with vm:
        for n, text in enumerate(("[" * 100000, '{"a":' * 100000, "[" * 1023 + "]" * 1023, '{"execute":"' + "x" * (3 << 20) + '"}',
                                  "[" + "1," * (2 << 20))):
            q.send(text + "\n")
            got = q.reply()["error"]["desc"]
            assert "at byte" in got or "object" in got, got
            assert alive(q, n)


def test_malformed(tmp_path):
    """20,000 messages with something wrong: each line is answered, and the monitor goes on."""
    vm, q = opened(tmp_path)
    names = [c["name"] for c in q.cmd("query-commands") if c["name"] not in ("quit", "screendump", "memsave", "pmemsave")]
    seeds = [json.dumps({"execute": n, "arguments": {"device": "ide1-cd0", "keys": [{"type": "qcode", "data": "a"}],
                                                     "command-line": "info status", "password": "x"}}) for n in names]
    rnd = random.Random(1)
    bits = ['"', "{", "}", "[", "]", ":", ",", "\\", "\\u0000", "\\ud800", "\0", "\x7f", "null", "-", "1e999", "'",
            "99999999999999999999", "true", "\r", " ", "/*", "//", "NaN"]
    with vm:
        for batch in range(100):
            lines = []
            for _ in range(200):
                s = rnd.choice(seeds)
                for _ in range(rnd.randrange(1, 4)):
                    at = rnd.randrange(len(s))
                    s = s[:at] + rnd.choice(bits) + s[at + rnd.randrange(0, 3):]
                lines.append(s.encode() if rnd.random() < 0.8 else s.encode()[:rnd.randrange(len(s))] + b"\xff\xc0")
            q.send(b"\n".join(lines))
            q.send(b"\n]]]]}}}}'\"\n]\n")
            assert alive(q, batch), batch
            q.events.clear()
        assert vm.p.poll() is None


@pytest.mark.full
def test_answers_are_quick(tmp_path):
    """99 of 100 answers come within 5 ms."""
    vm, q = opened(tmp_path)
    with vm:
        times = []
        for n in range(3000):
            start = time.perf_counter()
            q.cmd(("query-status", "query-block", "query-pci", "query-commands")[n % 4])
            times.append(time.perf_counter() - start)
        times.sort()
        print(f"median {times[1500] * 1e3:.2f} ms, p99 {times[2970] * 1e3:.2f} ms")
        assert times[2970] < 0.005


def test_slow_reader(tmp_path):
    """Who does not read holds up nobody but himself, and loses no answer."""
    vm, q = opened(tmp_path, n=2)
    with vm:
        for n in range(200):
            q.send('{"execute": "query-commands", "id": %d}' % n)
        other = vm.qmp[1]
        for _ in range(50):
            other.cmd("cont")
            other.cmd("stop")
        for n in range(200):
            assert q.reply()["id"] == n
