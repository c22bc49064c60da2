"""`Case`: every table as a LazyFrame, and SQL on two engines."""

from __future__ import annotations

import copy
import os
import pickle
import warnings
from datetime import date
from pathlib import Path

import duckdb
import keytrail
import polars as pl
import pytest
from polars.testing import assert_frame_equal

Damaged = tuple[keytrail.Case, list[warnings.WarningMessage]]


def test_a_folder_that_is_no_case_is_refused(tmp_path: Path) -> None:
    with pytest.raises(keytrail.KeytrailError, match="not a case"):
        keytrail.Case(tmp_path)


def test_every_table_has_the_rows_that_the_manifest_counts(case: keytrail.Case) -> None:
    counted: dict[str, int] = case.manifest["tables"]
    assert len(counted) > 25
    for name, rows in counted.items():
        frame = getattr(case, name)
        assert isinstance(frame, pl.LazyFrame), name
        assert frame.select(pl.len()).collect().item() == rows, name
    assert set(counted) <= set(case.tables()) <= set(dir(case))
    assert case.events.select(pl.len()).collect().item() == case.manifest["events"]["rows"]
    assert case.inputs.select(pl.len()).collect().item() == case.manifest["inputs"]["files"] + sum(
        case.manifest["inputs"]["left_out"].values()
    )


def test_events_are_partitioned_by_day(case: keytrail.Case) -> None:
    day = date(2025, 10, 16)
    assert case.events.collect_schema()["date"] == pl.Date
    plan = case.events.filter(pl.col("date") == day)
    of_day = plan.collect()
    assert 0 < of_day.height < case.manifest["events"]["rows"]
    assert of_day["event_date"].unique().to_list() == [day]
    assert case.events.filter(pl.col("date") != pl.col("event_date")).collect().is_empty()


def test_what_the_story_tells_is_in_the_tables(case: keytrail.Case) -> None:
    open_grants = case.grants.filter(pl.col("grant_id").str.starts_with("0ddba11feed")).collect()
    assert open_grants["grantee_principal"].to_list() == ["arn:aws:iam::777788889999:role/magpie-nest"]
    rules = case.findings.filter(severity="critical").collect()["rule"]
    assert "kms-grant-to-external-account" in rules
    assert case.keys.filter(pl.col("key_arn").str.contains("5ea51de0")).collect().height == 1
    assert case.principals.filter(pl.col("principal").str.ends_with("/terraform-legacy")).collect().height == 1


def test_an_unknown_table_names_its_neighbours(case: keytrail.Case) -> None:
    with pytest.raises(keytrail.KeytrailError, match="no table 'exposur': did you mean exposure"):
        case.table("exposur")
    with pytest.raises(AttributeError, match="did you mean exposure"):
        _ = case.exposur
    assert not hasattr(case, "_ipython_display_")


def test_a_case_can_be_copied_and_pickled(case: keytrail.Case) -> None:
    connection = case.connect()
    for other in (copy.copy(case), copy.deepcopy(case), pickle.loads(pickle.dumps(case))):
        assert other.path == case.path
        assert other.connect() is not connection
    assert repr(case) == f"Case({str(case.path)!r})"


def test_a_case_stays_where_it_is_when_the_folder_changes(case: keytrail.Case, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(case.path.parent)
    relative = keytrail.Case("case")
    monkeypatch.chdir(os.sep)
    rows = case.manifest["events"]["rows"]
    assert relative.sql("SELECT COUNT(*) AS n FROM events").item() == rows
    assert relative.events.collect().height == rows


PORTABLE = """
SELECT e.event_date, e.event_name, e.outcome, CAST(COUNT(*) AS BIGINT) AS calls, MIN(e.event_time) AS first_time
FROM events AS e
JOIN keys AS k ON k.key_arn = e.key_arn
GROUP BY e.event_date, e.event_name, e.outcome
ORDER BY e.event_date, e.event_name, e.outcome
"""


def test_both_engines_give_the_same_rows(case: keytrail.Case) -> None:
    on_duckdb = case.sql(PORTABLE, engine="duckdb")
    assert on_duckdb.height > 50
    assert_frame_equal(on_duckdb, case.sql(PORTABLE, engine="keytrail"))
    columns = "SELECT * FROM events ORDER BY event_time, event_id LIMIT 3"
    assert_frame_equal(case.sql(columns, engine="duckdb"), case.sql(columns, engine="keytrail"))


def test_every_table_is_a_view_in_duckdb(case: keytrail.Case) -> None:
    for name in case.tables():
        rows = case.sql(f'SELECT COUNT(*) AS n FROM "{name}"').item()
        assert rows == case.table(name).select(pl.len()).collect().item(), name


def test_duckdb_is_the_default_and_parameters_ask_for_keytrail(case: keytrail.Case) -> None:
    assert case.sql("SELECT 1 AS one WHERE '20251016' SIMILAR TO '[0-9]+'").item() == 1
    query = "SELECT k.key_arn FROM keys AS k CROSS JOIN params AS p WHERE k.key_arn LIKE '%5ea51de0%' AND p.wanted = 'it''s' ORDER BY k.key_arn"
    query = "-- params: wanted = ''\n" + query
    assert case.sql(query, query_parameters={"wanted": "it's"}).height == 1
    assert case.sql(query, query_parameters={"wanted": "other"}).height == 0
    with pytest.raises(ValueError, match="query_parameters are for engine='keytrail'"):
        case.sql(query, engine="duckdb", query_parameters={"wanted": "it's"})
    with pytest.raises(ValueError, match="engine is 'duckdb' or 'keytrail'"):
        case.sql(query, engine="polars")  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("query", "engine", "message"),
    [
        ("SELEC 1", "duckdb", "syntax error"),
        ("SELECT * FROM nowhere", "duckdb", "nowhere does not exist"),
        ("SELECT CAST(event_name AS INTEGER) FROM events", "duckdb", "Could not convert"),
        ("SELECT COUNT(*) FROM keys, grants", "keytrail", "tables joined by a comma"),
    ],
)
def test_a_refused_query_is_an_error(
    case: keytrail.Case, query: str, engine: keytrail._case.Engine, message: str
) -> None:
    with pytest.raises(keytrail.KeytrailError, match=message):
        case.sql(query, engine=engine)


def test_duckdb_cannot_fetch_anything(case: keytrail.Case) -> None:
    with pytest.raises(duckdb.Error, match="httpfs"):
        case.connect().sql("SELECT * FROM 'https://192.0.2.1/rows.parquet'")
    assert case.connect() is case.connect()


def test_a_case_without_events_has_tables_without_rows(damaged: Damaged) -> None:
    """Its path has quotes, brackets, wildcards and `=`, too."""
    case, _ = damaged
    assert "*" in str(case.path) and "a=b" in str(case.path)
    events = case.events.collect()
    assert events.height == 0
    assert {"event_id", "event_time", "date", "content_hash"} <= set(events.columns)
    assert events.schema["event_time"] == pl.Datetime("us")
    assert case.findings.collect().height == 0
    for engine in ("duckdb", "keytrail"):
        assert case.sql("SELECT COUNT(*) AS n FROM events", engine=engine).item() == 0
        assert case.sql("SELECT COUNT(*) AS n FROM inputs", engine=engine).item() == 2


def test_a_path_with_special_characters_reads_like_any_other(case: keytrail.Case, tmp_path: Path) -> None:
    folder = tmp_path / "it's [x] a=b *?"
    folder.mkdir()
    (folder / "case").symlink_to(case.path)
    odd = keytrail.Case(folder / "case")
    assert_frame_equal(odd.events.collect(), case.events.collect())
    assert_frame_equal(odd.findings.collect(), case.findings.collect())
    query = "SELECT * FROM events ORDER BY event_time, event_id, content_hash"
    assert_frame_equal(odd.sql(query), case.sql(query))
