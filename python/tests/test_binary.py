"""The wheel: the module and the binary under test are the installed ones, and a missing binary is said clearly."""

from __future__ import annotations

import importlib.metadata
import os
import stat
import subprocess
import sys
import sysconfig
from pathlib import Path

import keytrail
import pytest
from keytrail import _binary


def test_module_and_binary_come_from_the_wheel(root: Path) -> None:
    assert not Path(keytrail.__file__).resolve().is_relative_to(root / "python")
    assert keytrail.binary().parent == Path(sysconfig.get_path("scripts"))
    shown = subprocess.run([keytrail.binary(), "--version"], capture_output=True, text=True, check=True).stdout
    assert shown == f"keytrail {importlib.metadata.version('keytrail')}\n"


def test_the_wheel_holds_the_binary_the_typed_module_and_nothing_else() -> None:
    files = importlib.metadata.files("keytrail")
    assert files is not None
    names = {str(file) for file in files}
    code = {name for name in names if name.startswith("keytrail/") and not name.endswith(".pyc")}
    assert code == {
        "keytrail/__init__.py",
        "keytrail/_analyze.py",
        "keytrail/_binary.py",
        "keytrail/_case.py",
        "keytrail/_errors.py",
        "keytrail/py.typed",
    }
    folders = {name.split("/")[0] for name in names if not name.startswith("..")}
    assert folders == {"keytrail", f"keytrail-{importlib.metadata.version('keytrail')}.dist-info"}
    assert [Path(name).name for name in names if name.startswith("..")] == [keytrail.binary().name]


def program(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
    path.chmod(path.stat().st_mode | stat.S_IXUSR)
    return path


def test_path_is_searched_last(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    on_path = program(tmp_path / "path" / "keytrail", "#!/bin/sh\n")
    monkeypatch.setenv("PATH", str(on_path.parent))
    assert keytrail.binary() != on_path
    monkeypatch.setattr(_binary, "_places", lambda: iter([tmp_path / "scripts"]))
    assert keytrail.binary() == on_path
    installed = program(tmp_path / "scripts" / "keytrail", "#!/bin/sh\n")
    assert keytrail.binary() == installed


def test_a_missing_binary_names_the_places_searched(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    monkeypatch.setattr(_binary, "_places", lambda: iter([tmp_path / "scripts"]))
    with pytest.raises(keytrail.KeytrailError, match="pip install keytrail") as caught:
        keytrail.analyze(tmp_path, tmp_path / "case")
    assert str(tmp_path / "scripts") in str(caught.value)
    assert caught.value.exit_code is None


@pytest.mark.skipif(sys.platform == "win32", reason="signals and shell scripts")
def test_a_killed_run_is_an_error_with_its_last_words(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    killed = program(tmp_path / "scripts" / "keytrail", "#!/bin/sh\necho 'half way' >&2\nkill -9 $$\n")
    monkeypatch.setattr(_binary, "_places", lambda: iter([killed.parent]))
    with pytest.raises(keytrail.KeytrailError, match="ended by signal 9") as caught:
        keytrail.analyze(tmp_path, tmp_path / "case")
    assert (caught.value.exit_code, caught.value.stderr) == (-9, "half way")


def test_a_binary_that_cannot_be_started_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    broken = program(tmp_path / "scripts" / "keytrail", "")
    broken.chmod(0o644)
    if os.access(broken, os.X_OK):
        pytest.skip("this file system makes every file executable")
    monkeypatch.setattr(_binary, "_places", lambda: iter([broken.parent]))
    with pytest.raises(keytrail.KeytrailError, match="could not be started"):
        keytrail.analyze(tmp_path, tmp_path / "case")


def test_polars_and_duckdb_are_optional(case: keytrail.Case) -> None:
    """Without them the module imports, the manifest reads, and the tables say what to install."""
    script = (
        "import sys\n"
        "hidden = {'polars', 'duckdb'}\n"
        "class Hide:\n"
        "    def __init__(self, finder): self.finder = finder\n"
        "    def find_spec(self, name, path=None, target=None):\n"
        "        return None if name in hidden else self.finder.find_spec(name, path, target)\n"
        "sys.meta_path = [Hide(finder) for finder in sys.meta_path]\n"
        "import keytrail\n"
        "case = keytrail.Case(sys.argv[1])\n"
        "print(case.manifest['tool'], 'keys' in case.tables())\n"
        "for use in (lambda: case.events, lambda: case.keys, lambda: case.sql('SELECT 1 AS one'), case.connect):\n"
        "    try: use()\n"
        "    except keytrail.KeytrailError as error: print(error)\n"
    )
    run = [sys.executable, "-c", script, str(case.path)]
    lines = subprocess.run(run, capture_output=True, text=True, check=True).stdout.splitlines()
    polars = "the package polars is not installed: pip install 'keytrail[polars]'"
    duckdb = "the package duckdb is not installed: pip install 'keytrail[duckdb]'"
    assert lines == ["keytrail True", polars, polars, polars, duckdb]
