"""Offline CloudTrail forensics for AWS KMS, from Python.

In: archives, or a case that was made before. Out: a :class:`Case`, whose tables are Polars LazyFrames. The work is done by the
``keytrail`` binary that the wheel installs; this module starts it and reads what it wrote, and holds no logic of its own, so
a notebook and the command line cannot disagree. No network, ever.

    import keytrail

    case = keytrail.analyze("AWSLogs", "case", since="2025-10-01")
    case.findings.filter(severity="critical").collect()
    case.sql("SELECT principal, COUNT(*) AS calls FROM events GROUP BY ALL ORDER BY calls DESC")
"""

from keytrail._analyze import AnalyzeOptions, analyze
from keytrail._binary import binary
from keytrail._case import Case
from keytrail._errors import FindingsMet, KeytrailError, KeytrailWarning

__all__ = [
    "AnalyzeOptions",
    "Case",
    "FindingsMet",
    "KeytrailError",
    "KeytrailWarning",
    "analyze",
    "binary",
]
