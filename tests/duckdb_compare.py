"""Runs every view and rule of the library on DuckDB over a case's Parquet files and compares all rows with keytrail's.

In: the keytrail binary and a case. Out: one line per query that differs, and a count. The statement is the one `--explain`
prints, so what is compared is exactly what keytrail runs. Lists (STRING_AGG) have no order that engines share: their items
are compared sorted.
"""
import datetime, json, subprocess, sys

import duckdb

keytrail, case = sys.argv[1:3]


def run(*arguments):
    return subprocess.run([keytrail, *arguments], stdout=subprocess.PIPE, text=True, check=True).stdout


def plain(value):
    if isinstance(value, datetime.datetime):
        text = value.strftime("%Y-%m-%dT%H:%M:%S")
        return text + (f".{value.microsecond:06d}Z" if value.microsecond else "Z")
    if isinstance(value, datetime.date):
        return value.isoformat()
    if isinstance(value, float):
        return round(value, 6)
    if isinstance(value, str) and "," in value:
        return sorted(value.split(","))
    return value


queries = [q for q in json.loads(run("queries", "list", "--format", "json")) if q["kind"] in ("views", "detect")]
faults, rows_compared = [], 0
for query in queries:
    name = query["id"]
    script = run("query", "--case", case, name, "--explain").split("<<'KEYTRAIL_SQL'\n")[1].split("KEYTRAIL_SQL")[0]
    ours = [[plain(v) for v in json.loads(line).values()] for line in run("query", "--case", case, name, "--format", "ndjson").splitlines()]
    connection = duckdb.connect()
    theirs = [[plain(v) for v in row] for row in connection.execute(script).fetchall()]
    rows_compared += len(theirs)
    if ours != theirs:
        different = [(a, b) for a, b in zip(ours, theirs) if a != b][:1]
        faults.append(f"{name}: {len(ours)} rows here, {len(theirs)} on DuckDB; first difference {different}")
print("\n".join(faults))
print(f"{len(queries)} queries and {rows_compared} rows compared, {len(faults)} faults")
sys.exit(1 if faults or rows_compared == 0 else 0)
