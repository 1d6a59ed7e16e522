#!/bin/sh
# doppel-img against qemu-img: seconds of processor time (user and system) of each, the best of several in turns, nothing flushed. bench/img/run.sh [directory on the disk to measure]
set -e
dir=$(mktemp -d "${1:-/tmp}/doppel-bench-XXXXXX")
trap 'rm -rf "$dir"' EXIT
cd "$(dirname "$0")/../.."
root=$PWD
cd "$dir"
# 1 GiB: text that compresses, random bytes, holes
{ find /usr/lib /usr/bin -type f -size -8M 2>/dev/null | sort | head -4000 | xargs cat 2>/dev/null | head -c 600M
  head -c 100M /dev/urandom; } >raw
truncate -s 1G raw
"$root/doppel-img" convert -q -f raw -O qcow2 raw q.qcow2

cat >turns.py <<'END'
import os, resource, subprocess, sys

def took(cmd):
    if os.path.exists("out"):
        os.unlink("out")
    a = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run(cmd, check=True, stdout=subprocess.DEVNULL)
    b = resource.getrusage(resource.RUSAGE_CHILDREN)
    return b.ru_utime + b.ru_stime - a.ru_utime - a.ru_stime

first, second, turns, *args = sys.argv[1:]
pairs = [(took([first, *args]), took([second, *args])) for _ in range(int(turns))]
print("%-52s%10.3f%10.3f" % (" ".join(args), *map(min, zip(*pairs))))
END

printf '%-52s%10s%10s\n' 'seconds' 'doppel' 'qemu'
while read -r turns args; do
    # shellcheck disable=SC2086
    python3 turns.py "$root/doppel-img" qemu-img "$turns" $args
done <<END
9 convert -t unsafe -f raw -O qcow2 raw out
9 convert -t unsafe -f qcow2 -O raw q.qcow2 out
9 convert -t unsafe -f qcow2 -O qcow2 q.qcow2 out
9 convert -t unsafe -W -m 2 -f raw -O qcow2 raw out
3 convert -t unsafe -c -f raw -O qcow2 raw out
3 convert -t unsafe -c -m 1 -f raw -O qcow2 raw out
3 convert -t unsafe -c -o compression_type=zstd -O qcow2 raw out
9 create -q -f qcow2 -o preallocation=metadata out 64G
9 snapshot -l q.qcow2
END
