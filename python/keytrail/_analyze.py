"""``keytrail analyze`` as a function.

In: paths and options. Out: a :class:`Case`. An option is a flag of the command line with ``_`` for ``-``; values become text
here and are judged by the binary alone, so there is no second list of what is allowed.
"""

from __future__ import annotations

import os
import warnings
from collections.abc import Iterator, Mapping, Sequence
from datetime import date, datetime, timezone
from typing import TYPE_CHECKING, Literal, TypedDict

from keytrail._binary import run
from keytrail._case import Case
from keytrail._errors import FindingsMet, KeytrailWarning

if TYPE_CHECKING:
    from typing import Unpack

StrPath = str | os.PathLike[str]
Time = str | date | datetime
TextForm = Literal["csv", "ndjson"]
Severity = Literal["info", "low", "medium", "high", "critical"]

# Problems of input files that a warning quotes; the table `inputs` of the case has all of them.
QUOTED = 5


class AnalyzeOptions(TypedDict, total=False):
    """The options of :func:`analyze`. ``keytrail analyze --help`` explains each flag."""

    files_from: StrPath
    """A file that lists input files, one a line."""
    append: bool
    """Add new files to an existing case; only they are read."""
    force: bool
    """Replace an existing case."""
    format: TextForm | Sequence[TextForm]
    """Also write the tables in this form; Parquet is always written."""
    fail_on: Severity
    """Raise :class:`FindingsMet` when a finding is at least this severe."""
    since: Time
    """Only events at or after this time. Times without a zone are UTC, as they are in the tables."""
    until: Time
    """Only events up to this time; a date means its whole day."""
    account: str | Sequence[str]
    """Only these accounts (globs)."""
    region: str | Sequence[str]
    """Only these Regions (globs)."""
    key: str | Sequence[str]
    """Only these keys: ARN, id, alias or mrk- id (globs)."""
    principal: str | Sequence[str]
    """Only these principals: ARN, name, id, session or access key (globs)."""
    home_account: str | Sequence[str]
    """Accounts of your own; default: those that received the records."""
    queries: StrPath | Sequence[StrPath]
    """Folders of query files that are added to the library."""
    query_parameters: Mapping[str, str | int | float]
    """Parameters of queries, as with ``--set NAME=VALUE``."""
    jobs: int
    """Worker threads; default: one per processor."""
    memory: str
    """Memory for rows before they are written to disk, such as "128M" or "2G"."""
    max_inflated: str
    """Stop inflating a file after this many bytes, such as "100G"."""
    no_report: bool
    """Do not write report.html and the CSV files it links to."""
    no_verify: bool
    """Do not judge the logs by the digests among the inputs."""
    public_keys: StrPath | Sequence[StrPath]
    """Outputs of ``aws cloudtrail list-public-keys``."""
    signatures: StrPath | Sequence[StrPath]
    """Signatures of digests, from their S3 metadata: files, or folders of them."""
    bucket: str
    """The bucket that the files come from."""


def analyze(
    paths: StrPath | Sequence[StrPath], out: StrPath, **options: Unpack[AnalyzeOptions]
) -> Case:
    """Reads CloudTrail archives and writes a case: events, views, findings.

    ``paths`` are files, directories or globs, in whatever packing; ``out`` is the case folder to be made. It is complete
    when this returns, and untouched when this raises :class:`KeytrailError` (bad arguments, no input, output not writable).

    What a reader must know before believing the case (some input was not understood, a rule could not be run, no KMS event was
    found) comes as a :class:`KeytrailWarning`; the case is made all the same, and its ``inputs`` and ``manifest`` have the details.
    With ``fail_on``, a finding that severe raises :class:`FindingsMet`, which carries the complete case.
    """
    given = [paths] if isinstance(paths, (str, os.PathLike)) else list(paths)
    if not given and "files_from" not in options:
        raise ValueError("paths is empty: name files, directories or globs, or give files_from")
    arguments = ["analyze", f"--out={os.fspath(out)}", "--no-progress", "--color=never"]
    for name, value in options.items():
        arguments.extend(_flags(name, value))
    done = run([*arguments, "--", *(os.fspath(path) for path in given)] if given else arguments)
    case = Case(out)
    caution = _caution(case, done.returncode)
    if caution:
        warnings.warn(f"{case.path}: to know before believing this case:{caution}", KeytrailWarning, stacklevel=2)
    if done.returncode == 3:
        raise FindingsMet(f"{case.path}: a finding is at least {options.get('fail_on')}: {_counts(case)}", case)
    return case


def _flags(name: str, value: object) -> Iterator[str]:
    """The flags that say ``name = value`` on the command line. None and False say nothing."""
    if value is None or value is False:
        return
    if name == "query_parameters":
        if not isinstance(value, Mapping):
            raise TypeError("query_parameters is a mapping of names to values")
        for parameter, setting in value.items():
            yield f"--set={parameter}={_text(setting)}"
        return
    flag = "--" + name.replace("_", "-")
    if value is True:
        yield flag
    elif isinstance(value, Sequence) and not isinstance(value, (str, bytes)):
        # No flag at all would mean everything, and an empty list hardly ever does.
        if not value:
            raise ValueError(f"{name} is an empty list: leave it out to say that everything is wanted")
        for item in value:
            yield f"{flag}={_text(item)}"
    else:
        yield f"{flag}={_text(value)}"


def _text(value: object) -> str:
    """A value as the command line writes it."""
    if isinstance(value, datetime):
        utc = value.replace(tzinfo=timezone.utc) if value.tzinfo is None else value.astimezone(timezone.utc)
        return utc.isoformat().replace("+00:00", "Z")
    if isinstance(value, date):
        return value.isoformat()
    if isinstance(value, os.PathLike):
        return str(os.fspath(value))
    if isinstance(value, (str, int, float)) and not isinstance(value, bool):
        return str(value)
    raise TypeError(f"{value!r} cannot be given to the command line: expected text, a number, a time or a path")


def _caution(case: Case, exit_code: int) -> str:
    """What the manifest says a reader must know, one sentence a line; empty when there is nothing."""
    manifest = case.manifest
    problems: list[str] = manifest["problems"]
    lines = [*manifest["warnings"], *problems[:QUOTED]]
    if len(problems) > QUOTED:
        lines.append(f"and more: the table inputs has the problem of every file, the manifest lists {len(problems)}")
    if exit_code == 2 and not lines:
        lines.append("some input was not understood, or a query could not be run")
    return "".join(f"\n  {line}" for line in lines)


def _counts(case: Case) -> str:
    """Findings by severity, the worst first."""
    counts: dict[str, int] = case.manifest["findings"]
    order = ["critical", "high", "medium", "low", "info"]
    return ", ".join(f"{counts[severity]} {severity}" for severity in order if severity in counts)
