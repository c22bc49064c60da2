"""Where the ``keytrail`` binary is, and how it is run.

In: arguments. Out: how the run ended. The binary that the wheel installed comes first, so that the module and the binary are of
one version; ``PATH`` is for source checkouts. Nothing passes through a shell.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
import sysconfig
from collections.abc import Iterator, Sequence
from pathlib import Path

from keytrail._errors import KeytrailError

# Lines and characters of stderr that an error carries: enough for clap's usage text or a list of faults in query files.
TAIL_LINES = 40
TAIL_CHARACTERS = 8_000


def _places() -> Iterator[Path]:
    """The folders that installers put a wheel's scripts into, the most specific first."""
    yield Path(sysconfig.get_path("scripts"))
    yield Path(sysconfig.get_path("scripts", scheme=sysconfig.get_preferred_scheme("user")))
    # `pip install --target DIR` makes DIR/bin beside DIR/keytrail.
    yield Path(__file__).resolve().parent.parent / "bin"
    # An environment whose scripts folder was moved, or a frozen interpreter.
    yield Path(sys.executable).parent


def binary() -> Path:
    """The path of the ``keytrail`` binary.

    Raises :class:`KeytrailError` when there is none, with the folders that were searched.
    """
    name = "keytrail.exe" if sys.platform == "win32" else "keytrail"
    places = list(dict.fromkeys(_places()))
    for place in places:
        if (place / name).is_file():
            return place / name
    found = shutil.which("keytrail")
    if found is not None:
        return Path(found)
    searched = "\n".join(f"  {place}" for place in places)
    raise KeytrailError(
        f"the keytrail binary was not found: install the wheel (pip install keytrail), or put the binary on PATH; searched\n"
        f"{searched}\n  and PATH"
    )


def run(arguments: Sequence[str], *, text_in: str | None = None) -> subprocess.CompletedProcess[str]:
    """Runs the binary with ``arguments`` and ``text_in`` on its stdin; its stdout is not kept.

    Raises :class:`KeytrailError` when it cannot be started, could not run (exit code 1), or was killed.
    """
    program = binary()
    try:
        done = subprocess.run(
            [str(program), *arguments],
            input="" if text_in is None else text_in,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            encoding="utf-8",
            errors="replace",
            check=False,
        )
    except OSError as error:
        raise KeytrailError(f"{program}: could not be started: {error}") from error
    if done.returncode in (0, 2, 3):
        return done
    tail = "\n".join(done.stderr.splitlines()[-TAIL_LINES:])[-TAIL_CHARACTERS:]
    how = f"was ended by signal {-done.returncode}" if done.returncode < 0 else f"exit code {done.returncode}"
    raise KeytrailError(f"keytrail {arguments[0]}: {how}\n{tail}".rstrip(), exit_code=done.returncode, stderr=tail)
