"""Runs every query of the library on DuckDB and compares all rows with keytrail's.

In: the keytrail binary, a case, and a folder to be made. Out: one line per difference, and a count. Each query is compared on
the case and on its own test, whose tables, statement and rows `keytrail queries check --keep` leaves in the folder. A query
that has rows on neither is a fault: nothing would be known about it. Timelines are asked for subjects of the sample story. The statement is the one `--explain` prints, so what is
compared is exactly what keytrail runs. Lists (STRING_AGG) have no order that engines share: their items are compared sorted.
"""
import concurrent.futures, datetime, decimal, json, os, pathlib, subprocess, sys

import duckdb

keytrail, case, kept = sys.argv[1:4]

# What the timelines are asked for, by the first word of their names.
SUBJECTS = {
    "key": "arn:aws:kms:us-east-1:111122223333:key/1ed6e400-77aa-4b0b-8c1e-90f3a5e0b002",
    "principal": "arn:aws:iam::111122223333:user/terraform-legacy",
    "grant": "0ddba11feed494b2df73c71260f3dd800be1c9396d887b97610472a1fba06763",
}


def run(*arguments):
    return subprocess.run([keytrail, *arguments], stdout=subprocess.PIPE, text=True, check=True).stdout


def keep():
    done = subprocess.run([keytrail, "queries", "check", "--keep", kept], capture_output=True, text=True)
    return [done.stderr] if done.returncode else []


def plain(value):
    if isinstance(value, datetime.datetime):
        text = value.strftime("%Y-%m-%dT%H:%M:%S")
        return text + (f".{value.microsecond:06d}Z" if value.microsecond else "Z")
    if isinstance(value, datetime.date):
        return value.isoformat()
    if isinstance(value, (float, decimal.Decimal)):
        return round(float(value), 6)
    if isinstance(value, str) and "," in value:
        return sorted(value.split(","))
    return value


def parsed(lines):
    return [json.loads(line) for line in lines.splitlines()]


def on_duckdb(script):
    with duckdb.connect(config={"threads": 1}) as connection:
        result = connection.execute(script)
        columns = [column[0] for column in result.description]
        return [dict(zip(columns, row)) for row in result.fetchall()]


def compare(name, place, explained, ours):
    """The number of rows, and what differs."""
    try:
        theirs = on_duckdb(explained.split("<<'KEYTRAIL_SQL'\n")[1].split("KEYTRAIL_SQL")[0])
    except duckdb.Error as error:
        return len(ours), [f"{name} on {place}: DuckDB says {error}"]
    if len(ours) != len(theirs):
        return len(ours), [f"{name} on {place}: {len(ours)} rows here, {len(theirs)} on DuckDB"]
    for number, (a, b) in enumerate(zip(ours, theirs), 1):
        if list(a) != list(b):
            return len(ours), [f"{name} on {place}: columns {list(a)} here, {list(b)} on DuckDB"]
        different = [f"{column} is {a[column]!r} here, {b[column]!r} there" for column in a if plain(a[column]) != plain(b[column])]
        if different:
            return len(ours), [f"{name} on {place}, row {number}: {'; '.join(different)}"]
    return len(ours), []


def check(name):
    table = pathlib.Path(case, "tables", f"{name}.parquet")
    subject = ["--set", f"subject={SUBJECTS[name.split('-')[0]]}"] if name in timelines else []
    query = ["query", "--case", case, name, *subject]
    ours = on_duckdb(f"SELECT * FROM '{table}'") if table.exists() else parsed(run(*query, "--format", "ndjson"))
    rows, faults = compare(name, "the case", run(*query, "--explain"), ours)
    test = pathlib.Path(kept, name)
    if (test / "rows.ndjson").exists():
        more, others = compare(name, "its test", (test / "explain.txt").read_text(), parsed((test / "rows.ndjson").read_text()))
        rows, faults = rows + more, faults + others
    if rows == 0:
        faults.append(f"{name}: no rows, so nothing was compared")
    return rows, faults


listed = json.loads(run("queries", "list", "--format", "json"))
ids = [q["id"] for q in listed]
timelines = {q["id"] for q in listed if q["kind"] == "timeline"}
faults = keep()
with concurrent.futures.ThreadPoolExecutor(os.cpu_count() or 1) as pool:
    results = list(pool.map(check, ids))
faults += [fault for _, more in results for fault in more]
print("\n".join(faults))
print(f"{len(ids)} queries and {sum(rows for rows, _ in results)} rows compared, {len(faults)} faults")
sys.exit(1 if faults or not ids else 0)
