"""What the README says about other tools is run as it stands there."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path

import keytrail
import pytest


def snippets(root: Path) -> dict[str, str]:
    """The code blocks of the section, by the tool that their first line names."""
    text = (root / "README.md").read_text(encoding="utf-8")
    section = text.split("\n## In a notebook\n")[1].split("\n## ")[0]
    blocks = re.findall(r"^```(?:python|r)\n(.*?)^```", section, flags=re.MULTILINE | re.DOTALL)
    named = {}
    for block in blocks:
        first = re.search(r"polars|pandas|duckdb|arrow|pyspark", block)
        assert first is not None, block
        named[first.group()] = block
    assert set(named) == {"polars", "pandas", "duckdb", "arrow", "pyspark"}
    return named


def run(block: str, case: keytrail.Case, folder: Path) -> str:
    """Runs Python code in an interpreter of its own, in a folder with the case in it."""
    (folder / "case").symlink_to(case.path)
    done = subprocess.run([sys.executable, "-c", block], cwd=folder, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_each_tool_has_three_lines(root: Path) -> None:
    for tool, block in snippets(root).items():
        assert len(block.splitlines()) == 3, tool


@pytest.mark.parametrize("tool", ["polars", "pandas", "duckdb", "pyspark"])
def test_the_lines_run_and_count_the_refused_calls(tool: str, root: Path, case: keytrail.Case, tmp_path: Path) -> None:
    if tool == "pyspark":
        pytest.importorskip("pyspark", reason="Spark is not installed: pip install '.[spark]'")
        if shutil.which("java") is None:
            pytest.skip("Spark needs Java")
    expected = case.sql("SELECT principal, COUNT(*) AS calls FROM events WHERE outcome = 'denied' GROUP BY ALL")
    assert expected.height > 3
    shown = run(snippets(root)[tool], case, tmp_path)
    # Tools cut long names and draw different frames; all of them show the counts, one row each.
    counts = [int(re.findall(r"\d+", line)[-1]) for line in shown.splitlines() if re.search(r"arn:aws.*\d", line)]
    assert sorted(counts) == sorted(expected["calls"])
