"""Saved state: a boot that is saved, loaded into a fresh process and run on at random instants ends
exactly as an unbroken one. -icount makes a run a function of its input, so "exactly" is a hash over
the clock, every device table, the processors and RAM."""
import os
import random
import socket
import subprocess
import time

import pytest

ROOT = os.path.abspath(os.path.join(os.path.dirname(__file__), '..', '..'))
DOPPEL = os.environ.get('DOPPEL', os.path.join(ROOT, 'doppel'))
GUESTS = os.path.join(ROOT, 'build', 'guests')
LIMIT = 240  # seconds for a boot on a loaded machine


class Monitor:
    def __init__(self, path, process):
        end = time.monotonic() + LIMIT
        while True:
            try:
                self.sock = socket.socket(socket.AF_UNIX)
                self.sock.settimeout(LIMIT)
                self.sock.connect(path)
                break
            except OSError:
                self.sock.close()
                assert process.poll() is None, 'doppel ended before its monitor answered'
                assert time.monotonic() < end
                time.sleep(0.02)
        self.read()

    def read(self):
        buf = b''
        while not buf.endswith(b'(qemu) '):
            data = self.sock.recv(65536)
            assert data, 'the monitor was closed'
            buf += data
        return buf.decode()

    def __call__(self, line):
        self.sock.sendall(line.encode() + b'\n')
        return self.read()

    def off(self):
        return 'shutdown' in self('info status')


def start(tmp, incoming=None, initrd='initrd-amd64', run='', extra=()):
    args = [DOPPEL, '-icount', 'shift=1', '-m', '128', '-display', 'none', '-no-shutdown',
            '-rtc', 'base=2020-01-01,clock=vm', '-serial', f'file:{tmp}/serial',
            '-monitor', f'unix:{tmp}/mon,server=on,wait=off',
            '-kernel', f'{GUESTS}/vmlinuz-amd64', '-initrd', f'{GUESTS}/{initrd}',
            '-append', f'console=ttyS0 quiet do=poweroff nokaslr {run}', *extra]
    if incoming:
        args += ['-incoming', 'file:' + incoming]
    process = subprocess.Popen(args, stdin=subprocess.DEVNULL)
    return process, Monitor(f'{tmp}/mon', process)


def finish(process, mon):
    end = time.monotonic() + LIMIT
    while not mon.off():
        assert time.monotonic() < end, 'the guest did not power off'
        time.sleep(0.1)
    result = mon('info statehash').split()[-2], mon('info registers')
    mon('quit')
    assert process.wait(30) == 0
    return result


@pytest.fixture(scope='module')
def unbroken(tmp_path_factory):
    subprocess.run([os.path.join(ROOT, 'scripts', 'mkguest'), GUESTS], check=True)
    begun = time.monotonic()
    result = finish(*start(tmp_path_factory.mktemp('unbroken')))
    return result, time.monotonic() - begun


def broken_run(tmp, duration, cuts, seed, **kw):
    rnd = random.Random(seed)
    state = None
    for n in range(cuts):
        process, mon = start(tmp, state, **kw)
        time.sleep(rnd.uniform(0.05, duration / cuts))  # the instant is what is random
        mon('stop')
        if mon.off():  # the machine was faster than the unbroken run's time promised
            break
        state = f'{tmp}/state{n}'
        assert 'Error' not in mon(f'migrate file:{state}')
        mon('quit')
        assert process.wait(30) == 0
    else:
        process, mon = start(tmp, state, **kw)
    return finish(process, mon)


def test_boot_in_three_pieces(unbroken, tmp_path):
    result, duration = unbroken
    seed = random.randrange(1 << 32)
    assert broken_run(tmp_path, duration * 0.8, 2, seed) == result, f'seed {seed}'


@pytest.mark.full
@pytest.mark.parametrize('round', range(5))
def test_boot_in_many_pieces(unbroken, tmp_path, round):
    result, duration = unbroken
    seed = random.randrange(1 << 32)
    assert broken_run(tmp_path, duration * 0.8, 8, seed) == result, f'seed {seed}'


@pytest.mark.full
def test_disks_in_many_pieces(unbroken, tmp_path):
    """The same while the guest copies a CD to a disk: the pieces end at instants without a request."""
    data = random.randbytes(4 << 20)
    (tmp_path / 'cd.iso').write_bytes(data)
    kw = dict(initrd='initrd-amd64-disk', run='run=dd,if=/dev/sr0,of=/dev/sda,bs=16k;sync;sha256sum,/dev/sda',
              extra=['-cdrom', f'{tmp_path}/cd.iso', '-drive', f'file={tmp_path}/disk,format=raw'])

    def blank():
        with open(tmp_path / 'disk', 'wb') as f:
            f.truncate(len(data))

    blank()
    begun = time.monotonic()
    result = finish(*start(tmp_path, **kw))
    duration = time.monotonic() - begun
    assert (tmp_path / 'disk').read_bytes() == data
    blank()
    seed = random.randrange(1 << 32)
    assert broken_run(tmp_path, duration * 0.9, 30, seed, **kw) == result, f'seed {seed}'
    assert (tmp_path / 'disk').read_bytes() == data


@pytest.mark.parametrize('damage', ['empty', 'cut', 'magic', 'name'])
def test_damaged_state_is_refused(tmp_path, damage):
    process, mon = start(tmp_path)
    mon('stop')
    path = tmp_path / 'state'
    mon(f'migrate file:{path}')
    mon('quit')
    process.wait(30)
    data = bytearray(path.read_bytes())
    if damage == 'empty':
        data = b''
    elif damage == 'cut':
        data = data[:len(data) // 3]
    elif damage == 'magic':
        data[0] ^= 1
    else:
        data[data.index(b'machine')] ^= 1
    path.write_bytes(data)
    done = subprocess.run([DOPPEL, '-icount', 'shift=1', '-m', '128', '-display', 'none',
                           '-kernel', f'{GUESTS}/vmlinuz-amd64', '-incoming', f'file:{path}'],
                          stdin=subprocess.DEVNULL, capture_output=True, timeout=60)
    assert done.returncode == 1
    assert len(done.stderr.decode().strip().splitlines()) == 1, done.stderr
    assert b'-incoming' in done.stderr
