"""What the tests share: the sample case, made once, and a case with problems and no event.

The module under test is the installed one: `python/test.sh` builds the wheel and installs it. Making a case with a binary of
the dev profile takes ten to twenty seconds, so tests look at the same few cases.
"""

from __future__ import annotations

import shutil
import warnings
from pathlib import Path

import keytrail
import pytest

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="session")
def root() -> Path:
    return ROOT


@pytest.fixture(scope="session")
def case(tmp_path_factory: pytest.TempPathFactory) -> keytrail.Case:
    """The case of sample-logs, whose story is in sample-logs/STORY.md. No test changes it."""
    return keytrail.analyze(ROOT / "sample-logs", tmp_path_factory.mktemp("sample") / "case")


@pytest.fixture(scope="session")
def damaged(tmp_path_factory: pytest.TempPathFactory) -> tuple[keytrail.Case, list[warnings.WarningMessage]]:
    """A case of two files, one of them not understood, without any event; and the warnings that came with it.

    Its path has every character that globs, SQL and Hive partitions give a meaning to.
    """
    folder = tmp_path_factory.mktemp("damaged") / "it's [x] a=b *?" / "q={z}"
    folder.mkdir(parents=True)
    good, bad = folder / "empty.json", folder / "bad.json"
    good.write_text('{"Records":[]}', encoding="utf-8")
    bad.write_text("garbage{", encoding="utf-8")
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        # A list that names files: as an argument a path with `*` is a pattern.
        listed = tmp_path_factory.mktemp("list") / "files.txt"
        listed.write_text(f"{good}\n{bad}\n", encoding="utf-8")
        made = keytrail.analyze([], folder / "case", files_from=listed, jobs=1)
    return made, caught


@pytest.fixture(scope="session")
def grown(damaged: tuple[keytrail.Case, object], tmp_path_factory: pytest.TempPathFactory) -> keytrail.Case:
    """A copy of the damaged case, to which one file of the sample logs was added."""
    folder = tmp_path_factory.mktemp("grown") / "case"
    shutil.copytree(damaged[0].path, folder)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", keytrail.KeytrailWarning)
        return keytrail.analyze(sample_file(), folder, append=True)


def sample_file() -> Path:
    """The first file of the sample logs."""
    return min((ROOT / "sample-logs" / "AWSLogs").rglob("*.json.gz"))
