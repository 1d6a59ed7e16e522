#!/bin/sh
# doppel-img against qemu-img: seconds of processor time (user and system) of each, the best of three, nothing flushed. bench/img/run.sh [directory on the disk to measure]
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

best() { # program arguments...
    b=
    for n in 1 2 3; do
        rm -f out
        t=$(python3 -c 'import resource, subprocess, sys
subprocess.run(sys.argv[1:], check=True, stdout=subprocess.DEVNULL)
u = resource.getrusage(resource.RUSAGE_CHILDREN)
print(int((u.ru_utime + u.ru_stime) * 1000))' "$@")
        if [ -z "$b" ] || [ $t -lt "$b" ]; then b=$t; fi
    done
    printf '%6d.%03d' $((b / 1000)) $((b % 1000))
}

printf '%-46s%10s%10s\n' 'seconds' 'doppel' 'qemu'
while read -r args; do
    printf '%-46s' "$args"
    # shellcheck disable=SC2086
    best "$root/doppel-img" $args
    # shellcheck disable=SC2086
    best qemu-img $args
    echo
done <<END
convert -t unsafe -f raw -O qcow2 raw out
convert -t unsafe -f qcow2 -O raw q.qcow2 out
convert -t unsafe -f qcow2 -O qcow2 q.qcow2 out
convert -t unsafe -W -m 2 -f raw -O qcow2 raw out
convert -t unsafe -c -f raw -O qcow2 raw out
convert -t unsafe -c -m 1 -f raw -O qcow2 raw out
convert -t unsafe -c -o compression_type=zstd -O qcow2 raw out
create -q -f qcow2 -o preallocation=metadata out 64G
snapshot -l q.qcow2
END
