"""`analyze`: options become flags, and each way a run can end has a form of its own."""

from __future__ import annotations

import json
import re
import subprocess
import warnings
from datetime import date, datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import keytrail
import polars as pl
import pytest
from keytrail import _analyze

# Flags that Python says otherwise: `paths` and `out` are arguments, `query_parameters` is --set, and what is shown is nothing.
NOT_OPTIONS = {"out", "set", "quiet", "no_progress", "color", "help"}


def flags(name: str, value: object) -> list[str]:
    return list(_analyze._flags(name, value))


@pytest.mark.parametrize(
    ("name", "value", "expected"),
    [
        ("append", True, ["--append"]),
        ("append", False, []),
        ("since", None, []),
        ("since", "2025-10-16", ["--since=2025-10-16"]),
        ("since", date(2025, 10, 16), ["--since=2025-10-16"]),
        ("since", datetime(2025, 10, 16, 2, 4, 22), ["--since=2025-10-16T02:04:22Z"]),
        (
            "until",
            datetime(2025, 10, 16, 4, 4, 22, 500, tzinfo=timezone(timedelta(hours=2))),
            ["--until=2025-10-16T02:04:22.000500Z"],
        ),
        ("home_account", ["111122223333", "444455556666"], ["--home-account=111122223333", "--home-account=444455556666"]),
        ("principal", "-odd*", ["--principal=-odd*"]),
        ("queries", Path("my rules"), ["--queries=my rules"]),
        ("jobs", 1, ["--jobs=1"]),
        ("query_parameters", {"min_window_days": 7, "name": "it's"}, ["--set=min_window_days=7", "--set=name=it's"]),
    ],
)
def test_options_become_flags(name: str, value: object, expected: list[str]) -> None:
    assert flags(name, value) == expected


def test_an_empty_list_is_not_taken_for_everything() -> None:
    with pytest.raises(ValueError, match="principal is an empty list"):
        flags("principal", [])
    with pytest.raises(ValueError, match="paths is empty"):
        keytrail.analyze([], "never-made")


@pytest.mark.parametrize("value", [b"bytes", {"a": 1}, object(), [["nested"]], [True]])
def test_what_no_flag_can_say_is_refused(value: object) -> None:
    with pytest.raises(TypeError):
        flags("since", value)


def test_the_options_are_those_of_the_binary() -> None:
    """Neither side has an option that the other lacks: a new flag needs a line in AnalyzeOptions."""
    shown = subprocess.run([keytrail.binary(), "analyze", "--help"], capture_output=True, text=True, check=True).stdout
    listed = re.findall(r"^ +(?:-\w, )?--([a-z][a-z-]+)", shown, flags=re.MULTILINE)
    of_binary = {flag.replace("-", "_") for flag in listed} - NOT_OPTIONS
    of_python = set(_analyze.AnalyzeOptions.__annotations__) - {"query_parameters"}
    assert of_python == of_binary


def test_a_run_that_cannot_be_done_is_an_error_and_leaves_nothing(tmp_path: Path) -> None:
    out = tmp_path / "case"
    with pytest.raises(keytrail.KeytrailError, match=r"exit code 1\n.*nowhere") as caught:
        keytrail.analyze(tmp_path / "nowhere", out)
    assert caught.value.exit_code == 1
    assert "nowhere" in caught.value.stderr
    assert list(tmp_path.iterdir()) == []


def test_an_existing_case_is_not_overwritten(case: keytrail.Case, root: Path) -> None:
    before = case.manifest
    with pytest.raises(keytrail.KeytrailError, match="--append adds new files to it, --force replaces it"):
        keytrail.analyze(root / "sample-logs", case.path)
    assert case.manifest == before


def test_the_binary_refuses_an_option_it_does_not_know(tmp_path: Path) -> None:
    unknown: dict[str, Any] = {"sinze": "2025-10-16"}
    with pytest.raises(keytrail.KeytrailError, match="unexpected argument '--sinze'"):
        keytrail.analyze(tmp_path, tmp_path / "case", **unknown)


def test_what_was_not_understood_is_a_warning_and_the_case_is_made(
    damaged: tuple[keytrail.Case, list[warnings.WarningMessage]],
) -> None:
    case, caught = damaged
    assert [warning.category for warning in caught] == [keytrail.KeytrailWarning]
    assert caught[0].filename == str(Path(__file__).with_name("conftest.py")), "the warning points at the caller"
    text = str(caught[0].message)
    assert "no KMS event was found" in text
    assert "bad.json: byte 0: malformed" in text
    assert case.inputs.filter(pl.col("problem").is_not_null()).collect().height == 1


def test_findings_met_carries_the_case_that_the_options_made(tmp_path: Path, root: Path) -> None:
    """One run with many options, because each takes many seconds: the second night of the story."""
    with pytest.raises(keytrail.FindingsMet, match=r"at least critical: \d+ critical, ") as caught:
        keytrail.analyze(
            [str(root / "sample-logs")],
            tmp_path / "case",
            since=date(2025, 10, 16),
            until=datetime(2025, 10, 16, 2, 47, tzinfo=timezone.utc),
            account=["1111*", "444455556666"],
            region="us-east-1",
            format=["csv", "ndjson"],
            fail_on="critical",
            query_parameters={"min_window_days": 7},
            memory="64M",
        )
    assert not isinstance(caught.value, keytrail.KeytrailError), "a handler for failed runs must not swallow it"
    case = caught.value.case
    first, last, regions = case.events.select(
        pl.col("event_time").min().alias("first"), pl.col("event_time").max().alias("last"), pl.col("region").n_unique()
    ).collect().row(0)
    assert datetime(2025, 10, 16) <= first <= last <= datetime(2025, 10, 16, 2, 47)
    assert regions == 1
    assert (case.path / "tables" / "keys.csv").is_file()
    rules = set(case.findings.collect()["rule"])
    assert "kms-ransom-chain" in rules
    # The deletion in the story has a window of seven days, which the parameter allows.
    assert "kms-key-deletion-short-window" not in rules


def test_append_adds_to_a_case(damaged: tuple[keytrail.Case, object], grown: keytrail.Case) -> None:
    before = damaged[0].inputs.collect()
    after = grown.inputs.collect()
    assert before.height + 1 == after.height
    assert set(before["path"]) < set(after["path"])
    assert grown.manifest["events"]["rows"] > 0
    assert grown.events.collect()["source_file"].n_unique() == 1


def test_the_manifest_keeps_the_command_line(case: keytrail.Case, root: Path) -> None:
    arguments = case.manifest["arguments"]
    assert arguments[0] == "analyze"
    assert arguments[-2:] == ["--", str(root / "sample-logs")]
    assert json.dumps(case.manifest)
