#!/usr/bin/env bash
# Compares `keytrail verify` with what it cannot avoid: reading, inflating and hashing the same files.
#
#   benches/verify.sh WORK_DIR [--files N] [--runs N]
#
# In: a folder for the corpus, which is made when it is missing: N small logs (100,000) of one account over 30 days, with a
# digest for every hour of each Region (about 12,000). Out: a Markdown table on stdout: medians of CPU seconds (user +
# system) and wall time on one thread and on all, peak memory, and the ratio of CPU to the floor, which is
# examples/hash_floor.rs. The cache is warm.
set -euo pipefail

work="" files=100000 runs=5
while [ $# -gt 0 ]; do
    case "$1" in
        --files) files=${2:?--files needs a number}; shift 2 ;;
        --runs) runs=${2:?--runs needs a number}; shift 2 ;;
        --help | -h) sed -n '2,11s/^# \{0,1\}//p' "$0"; exit 0 ;;
        -*) echo "verify.sh: $1: no such option; see --help" >&2; exit 1 ;;
        *) work=$1; shift ;;
    esac
done
[ -n "$work" ] || { echo "verify.sh: WORK_DIR is missing; see --help" >&2; exit 1; }
here=$(cd "$(dirname "$0")/.." && pwd)
(cd "$here" && cargo build --release --quiet --bin keytrail --example make_corpus --example make_digests --example hash_floor) >&2
bin="$here/target/release"
if [ ! -e "$work/keys.json" ]; then
    mkdir -p "$work"
    "$bin/examples/make_corpus" --out "$work/corpus" --files "$files" --records-per-file 10 --accounts 1 --days 30 >&2
    "$bin/examples/make_digests" "$work/corpus" "$work" >&2
fi
verify=("$bin/keytrail" verify "$work/corpus" --public-keys "$work/keys.json" --signatures "$work/signatures.json" --quiet)
python3 - "$runs" "$work" "$bin" "${verify[@]}" <<'PYTHON'
import os, resource, statistics, subprocess, sys, time
runs, work, bin, verify = int(sys.argv[1]), sys.argv[2], sys.argv[3], sys.argv[4:]
PROBE = """
import resource, subprocess, sys, time
start = time.perf_counter()
code = subprocess.run(sys.argv[1:], stdout=subprocess.DEVNULL).returncode
use = resource.getrusage(resource.RUSAGE_CHILDREN)
print(time.perf_counter() - start, use.ru_utime + use.ru_stime, use.ru_maxrss, code)
"""
def once(command):
    out = subprocess.run([sys.executable, "-c", PROBE, *command], check=True, capture_output=True, text=True).stdout
    wall, cpu, peak, code = out.split()
    assert code == "0", f"exit {code}: {command}"
    return float(wall), float(cpu), int(peak)
rows = [("read, inflate, hash (floor), 1 thread", [f"{bin}/examples/hash_floor", f"{work}/corpus"]),
        ("keytrail verify, 1 thread", [*verify, "--jobs", "1"]),
        (f"keytrail verify, {os.cpu_count()} threads", [*verify, "--jobs", str(os.cpu_count())])]
seen = {name: [] for name, _ in rows}
for turn in range(runs + 1):
    # In turns, so that a slow minute of the machine hits all of them; the first turn warms the cache.
    for name, command in rows:
        result = once(command)
        if turn:
            seen[name].append(result)
print("| | CPU s | wall s | peak MB | CPU / floor |\n| --- | --- | --- | --- | --- |")
floor = None
for name, _ in rows:
    wall, cpu, peak = (statistics.median(values) for values in zip(*seen[name]))
    floor = floor or cpu
    print(f"| {name} | {cpu:.2f} | {wall:.2f} | {peak / 1024:.0f} | {cpu / floor:.2f} |")
PYTHON
