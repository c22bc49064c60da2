"""What can go wrong, and what a reader must be told although nothing went wrong.

In: what the binary said. Out: exceptions and a warning category. There are three outcomes to tell apart: nothing was made
(:class:`KeytrailError`), the case was made and holds what the caller asked to fail on (:class:`FindingsMet`), and the case was
made but something about it must be known before it is believed (:class:`KeytrailWarning`).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from keytrail._case import Case


class KeytrailError(Exception):
    """keytrail could not do what it was asked to.

    ``exit_code`` is the binary's exit code, negative for the signal that ended it, None when it was not run at all;
    ``stderr`` is the end of what it wrote there.
    """

    def __init__(self, message: str, *, exit_code: int | None = None, stderr: str = "") -> None:
        super().__init__(message)
        self.exit_code = exit_code
        self.stderr = stderr


class FindingsMet(Exception):
    """The case was made, and a finding reaches the severity given as ``fail_on``.

    ``case`` is the complete case. It is deliberately no :class:`KeytrailError`: code that handles a run that failed must not
    swallow a finding.
    """

    def __init__(self, message: str, case: Case) -> None:
        super().__init__(message)
        self.case = case


class KeytrailWarning(UserWarning):
    """The case was made, but a reader must know this before believing it: some input was not understood, a rule could not
    be run, or no KMS event was found. ``warnings.simplefilter("error", KeytrailWarning)`` makes it an exception."""
