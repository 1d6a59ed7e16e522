"""Disks behind each kind of adapter, in a Linux guest that has the modules for all of them."""
from test_disks import answer
from vm import BOOT, linux, wait_for

# -device options for a disk whose -drive is called {0}
ADAPTERS = {
    "ide": ["-device", "ide-hd,drive={0}"],
    "ahci": ["-device", "ahci,id=ahci", "-device", "ide-hd,drive={0},bus=ahci.0"],
    "virtio-blk": ["-device", "virtio-blk-pci,drive={0}"],
    "virtio-scsi": ["-device", "virtio-scsi-pci", "-device", "scsi-hd,drive={0}"],
}


def adapter(kind, name):
    return [a.format(name) for a in ADAPTERS[kind]]


def drive(name, path, *more, fmt="raw"):
    return ["-drive", ",".join([f"if=none,id={name},file={path},format={fmt}", *more])]


def machine(*args, initrd="initrd-amd64-disks", monitor=True, **kw):
    """The guest at its shell."""
    m = linux("amd64", "-m", "256", *args, initrd=initrd, monitor=monitor, **kw)
    try:
        m.expect(r"^DOPPEL-READY", BOOT)
        m.expect(r"# ")
        m.send("stty -echo; PS1=; echo 0 >/proc/sys/kernel/printk\n")
        answer(m, "true")
    except BaseException:
        m.close()
        raise
    return m


def machine_loaded(*args):
    """The guest that -incoming brings, going on."""
    m = linux("amd64", "-m", "256", *args, initrd="initrd-amd64-disks", monitor=True)
    wait_for(lambda: "inmigrate" not in m.mon.cmd("info status"))
    m.mon.cmd("cont")
    return m
