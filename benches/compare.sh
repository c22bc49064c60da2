#!/usr/bin/env bash
# Compares keytrail with the floor and with peers on one corpus, on this machine, with the same number of threads.
#
#   benches/compare.sh CORPUS_DIR [--jobs N] [--runs N] [--make small|half|big]
#
# In: a folder of CloudTrail logs; when it does not exist it is made by the corpus example (--make says in which shape).
# Out: a Markdown table on stdout: medians of wall time, CPU seconds (user + system), and peak memory, and the ratio of
# CPU to the floor. Everything else goes to stderr. Peers that are not installed are named and left out.
#
# The floor is what no reader can avoid: every byte read and inflated, nothing looked at (libdeflate-gunzip, in batches of
# files; else what the table says). The cache is warm: one run before the measured ones is thrown away. With xargs, peak
# memory is that of the largest process, not of all together; and what measures is counted too, about 14 MB.
set -euo pipefail

usage() { sed -n '2,14s/^# \{0,1\}//p' "$0"; }
corpus="" jobs=$(nproc) runs=5 make=small
while [ $# -gt 0 ]; do
    case "$1" in
        --help | -h) usage; exit 0 ;;
        --jobs) jobs=${2:?--jobs needs a number}; shift 2 ;;
        --runs) runs=${2:?--runs needs a number}; shift 2 ;;
        --make) make=${2:?--make needs a shape}; shift 2 ;;
        -*) echo "compare.sh: $1: no such option; see --help" >&2; exit 1 ;;
        *) corpus=$1; shift ;;
    esac
done
[ -n "$corpus" ] || { usage >&2; exit 1; }
here=$(cd "$(dirname "$0")/.." && pwd)
keytrail=${KEYTRAIL:-$here/target/release/keytrail}
[ -x "$keytrail" ] || { echo "compare.sh: $keytrail is missing: cargo build --release, or set KEYTRAIL" >&2; exit 1; }

if [ ! -e "$corpus" ]; then
    # The shapes that docs/benchmarks reports on.
    case "$make" in
        small) shape=(--files 20000 --records-per-file 10) ;;
        half) shape=(--files 2000 --bytes-per-file 500000) ;;
        big) shape=(--format one-gzip --files 2000 --bytes-per-file 500000) ;;
        *) echo "compare.sh: --make $make: known are small, half, big" >&2; exit 1 ;;
    esac
    echo "making $corpus: ${shape[*]}" >&2
    maker=${MAKE_CORPUS:-}
    if [ -n "$maker" ]; then
        "$maker" --out "$corpus" "${shape[@]}" >&2
    else
        (cd "$here" && cargo build --release --quiet --example make_corpus) >&2
        "$here/target/release/examples/make_corpus" --out "$corpus" "${shape[@]}" >&2
    fi
fi
corpus=$(cd "$corpus" && pwd)
if [ -n "$(find "$corpus" -type f -name '*.gz' -print -quit)" ]; then compressed=yes; else compressed=no; fi
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

# Runs a command several times through wait4: medians of wall and CPU, maximum of peak memory, over all child processes.
cat > "$work/measure.py" <<'PYTHON'
import os, statistics, subprocess, sys, time
runs, name, note, command = int(sys.argv[1]), sys.argv[2], sys.argv[3], sys.argv[4]
# A process of its own for each run: ru_maxrss of RUSAGE_CHILDREN never falls again, and counts grandchildren waited for.
PROBE = r"""
import resource, subprocess, sys, time
start = time.monotonic()
with open(sys.argv[2], "wb") as noise:
    code = subprocess.call(["bash", "-o", "pipefail", "-c", sys.argv[1]], stdout=subprocess.DEVNULL, stderr=noise)
wall = time.monotonic() - start
use = resource.getrusage(resource.RUSAGE_CHILDREN)
print(code, wall, use.ru_utime + use.ru_stime, use.ru_maxrss)
"""
log = os.path.join(os.path.dirname(sys.argv[0]), "stderr")
walls, cpus, peaks = [], [], []
for run in range(runs + 1):
    answer = subprocess.run([sys.executable, "-c", PROBE, command, log], stdout=subprocess.PIPE, text=True, check=True).stdout.split()
    # keytrail says 2 when some input was not understood; that is a result.
    if answer[0] not in ("0", "2"):
        said = open(log, errors="replace").read().strip().splitlines()
        said = [line for line in said if "rror" in line] or said[-1:]
        print(f"{name}: failed with {answer[0]}: {' '.join(said)}", file=sys.stderr)
        sys.exit(0)
    if run:
        walls.append(float(answer[1])); cpus.append(float(answer[2])); peaks.append(int(answer[3]))
print("\t".join([name, note, f"{statistics.median(walls):.3f}", f"{statistics.median(cpus):.3f}", f"{max(peaks) / 1024:.0f}"]))
PYTHON

measure() { # name, note, command
    echo "running: $1" >&2
    python3 "$work/measure.py" "$runs" "$1" "$2" "$3" >> "$work/rows"
}
skipped=()
have() { command -v "$1" > /dev/null 2>&1 || { skipped+=("$1"); return 1; }; }
: > "$work/rows"
c=$(printf '%q' "$corpus") k=$(printf '%q' "$keytrail") w=$(printf '%q' "$work")
# Batches, so that starting processes is not what is measured; small enough that all threads get some.
files=$(find "$corpus" -type f | wc -l)
batch=$(((files + jobs * 4 - 1) / (jobs * 4)))
[ "$batch" -lt 1000 ] || batch=1000
each="find $c -type f -print0 | xargs -0 -n $batch -P $jobs"

floor=""
if [ "$compressed" = yes ]; then
    # gzip itself is run only when nothing faster is there to be the floor.
    for tool in libdeflate-gunzip igzip gzip; do
        [ "$tool" != gzip ] || [ -z "$floor" ] || continue
        have "$tool" || continue
        measure "$tool" "inflates, looks at nothing" "$each $tool -dc > /dev/null"
        floor=${floor:-$tool}
    done
fi
measure "cat" "reads, does not inflate" "find $c -type f -print0 | xargs -0 -n $batch cat > /dev/null"
[ -n "$floor" ] || floor="cat"

measure "keytrail extract" "events table to Parquet" "$k extract $c -o $w/out.parquet --force --quiet --jobs $jobs"
measure "keytrail analyze" "the whole case: tables, queries, findings" "$k analyze $c --out $w/case --force --quiet --jobs $jobs"

unpack="cat"
if [ "$compressed" = yes ]; then unpack="gzip -dc"; fi
[ "$floor" != libdeflate-gunzip ] || unpack="libdeflate-gunzip -c"
if have jq; then
    filter='(.Records? // [.])[] | select(.eventSource == "kms.amazonaws.com") | [.eventTime, .eventName, .userIdentity.arn, .resources[0].ARN] | @tsv'
    measure "jq" "four columns of the KMS records" "$each sh -c '$unpack \"\$@\" | jq -r '\\''$filter'\\''' - > $w/jq.tsv"
fi
# DuckDB allots buffers of the largest object for each thread, so it is told about as much as this corpus needs.
largest=$(find "$corpus" -type f -printf '%s\n' | sort -n | tail -1)
object=$((largest * 16 > 16777216 ? largest * 16 : 16777216))
cat > "$work/duck.sql" <<SQL
SET threads = $jobs;
COPY (
  SELECT r.eventTime, r.eventName, r.userIdentity.arn AS arn, r.resources[1].ARN AS key_arn
  FROM read_json('$corpus/**/*.json*', format = 'auto', maximum_object_size = $object, columns = {'Records':
    'STRUCT(eventTime VARCHAR, eventSource VARCHAR, eventName VARCHAR, userIdentity STRUCT(arn VARCHAR), resources STRUCT(ARN VARCHAR)[])[]'})
  AS f, UNNEST(f.Records) AS u(r)
  WHERE r.eventSource = 'kms.amazonaws.com'
) TO '$work/duck.parquet' (FORMAT parquet);
SQL
if command -v duckdb > /dev/null 2>&1; then
    measure "DuckDB" "the same four columns, to Parquet" "duckdb -bail < $w/duck.sql"
elif python3 -c 'import duckdb' 2> /dev/null; then
    measure "DuckDB (Python)" "the same four columns, to Parquet" "python3 -c 'import duckdb, sys; duckdb.connect().execute(open(sys.argv[1]).read())' $w/duck.sql"
else
    skipped+=(duckdb)
fi

bytes=$(find "$corpus" -type f -printf '%s\n' | awk '{ sum += $1 } END { printf "%.1f MB", sum / 1e6 }')
commit=$(git -C "$here" rev-parse --short HEAD 2> /dev/null || echo "no commit")
processor=$(sed -n 's/^model name[^:]*: //p' /proc/cpuinfo | head -1)
version=$("$keytrail" --version 2> /dev/null || echo keytrail)
echo "$files files, $bytes; $jobs threads of ${processor:-an unknown processor}; median of $runs runs, warm cache; $version, $commit."
echo
echo "| program | does | wall s | CPU s | peak MB | CPU / floor |"
echo "| --- | --- | ---: | ---: | ---: | ---: |"
awk -F '\t' -v floor="$floor" '
    NR == FNR { if ($1 == floor) base = $4; next }
    {
        ratio = (base + 0 == 0) ? "" : sprintf("%.2f", $4 / base)
        printf("| %s | %s | %s | %s | %s | %s |\n", $1 ($1 == floor ? " (floor)" : ""), $2, $3, $4, $5, ratio)
    }
' "$work/rows" "$work/rows"
echo
echo "Peak memory is that of the largest single process; 16 MB and less is the measuring process itself."
[ ${#skipped[@]} -eq 0 ] || echo "Not installed here, left out: ${skipped[*]}."
