"""The notebook runs from top to bottom, is committed without outputs, and shows what it promises."""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import Any

import keytrail
import nbclient
import pytest

Notebook = Any
# Not every function of it has types, and which ones differs between its versions.
nbformat: Any = importlib.import_module("nbformat")


def read(root: Path) -> Notebook:
    return nbformat.read(root / "notebooks" / "triage.ipynb", as_version=4)


def run(notebook: Notebook, folder: Path) -> Notebook:
    """Runs every cell; the first error of a cell is raised with its text."""
    client = nbclient.NotebookClient(notebook, timeout=600, kernel_name="python3", resources={"metadata": {"path": str(folder)}})
    client.execute()
    return notebook


def outputs(notebook: Notebook, kind: str) -> list[str]:
    """All outputs of a MIME type, in order; `text` is what was printed."""
    found = [output for cell in notebook.cells for output in cell.get("outputs", [])]
    if kind == "text":
        return [output["text"] for output in found if output["output_type"] == "stream" and output["name"] == "stdout"]
    return [output["data"][kind] for output in found if kind in output.get("data", {})]


def test_it_is_committed_without_outputs(root: Path) -> None:
    notebook = read(root)
    nbformat.validate(notebook)
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    assert len(code) > 8
    assert [cell.outputs for cell in code] == [[]] * len(code)
    assert {cell.execution_count for cell in code} == {None}
    before = [notebook.cells[notebook.cells.index(cell) - 1].cell_type for cell in code]
    assert set(before) == {"markdown"}, "each step is explained"


def test_it_tells_the_night_of_the_sample_logs(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without KEYTRAIL_CASE: the first cell makes the sample case itself."""
    monkeypatch.delenv("KEYTRAIL_CASE", raising=False)
    notebook = run(read(root), root / "notebooks")
    printed = "".join(outputs(notebook, "text"))
    assert "events: Polars and DuckDB agree" in printed
    assert "critical: " in printed and "terraform-legacy" in printed
    assert len(outputs(notebook, "image/png")) == 2
    tables = "".join(outputs(notebook, "text/html"))
    assert "kms-tampering-sequence" in tables
    assert "203.0.113.66" in tables, "the finding's events are shown"
    assert ".json.gz" in tables, "each event names the file of the evidence"


def test_it_reads_a_case_of_ones_own_with_next_to_nothing_in_it(
    root: Path, grown: keytrail.Case, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KEYTRAIL_CASE", str(grown.path))
    notebook = run(read(root), tmp_path)
    printed = "".join(outputs(notebook, "text"))
    assert f"{grown.manifest['events']['rows']} events: Polars and DuckDB agree" in printed
    assert "bad.json" in "".join([printed, *outputs(notebook, "text/html")]), "what was not understood is shown"


def test_a_case_without_events_is_refused_at_once(
    root: Path, damaged: tuple[keytrail.Case, object], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KEYTRAIL_CASE", str(damaged[0].path))
    with pytest.raises(nbclient.exceptions.CellExecutionError, match="has no events, so there is nothing to triage"):
        run(read(root), tmp_path)
