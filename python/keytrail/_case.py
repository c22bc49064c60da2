"""A case folder, read from Python.

In: the folder that ``keytrail analyze`` wrote. Out: its tables as Polars LazyFrames, and rows of SQL over all of them. Nothing is
computed here: every table was made by the binary. Polars and DuckDB are imported when they are needed, so that ``analyze`` and
the manifest work without them.
"""

from __future__ import annotations

import difflib
import importlib.util
import json
import os
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from keytrail._binary import run
from keytrail._errors import KeytrailError

if TYPE_CHECKING:
    import duckdb
    import polars as pl

Engine = Literal["duckdb", "keytrail"]


class Case:
    """A case: ``Case("case").findings``.

    Every table is an attribute and a ``polars.LazyFrame``: ``events``, ``keys``, ``principals``, ``grants``, ``exposure``,
    ``key_timeline``, ``findings`` and so on; :meth:`tables` lists them, docs/SCHEMA.md explains them. Times are UTC without a zone.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        # Absolute, so that a notebook may change its folder.
        self._path = Path(path).absolute()
        self._connection: duckdb.DuckDBPyConnection | None = None
        if not (self._path / "manifest.json").is_file():
            raise KeytrailError(f"{self._path}: not a case: expected a folder written by keytrail.analyze")

    def __repr__(self) -> str:
        return f"Case({str(self._path)!r})"

    def __reduce__(self) -> tuple[type[Case], tuple[Path]]:
        """Copies and other processes get the path; a DuckDB connection cannot be shared."""
        return Case, (self._path,)

    @property
    def path(self) -> Path:
        """The folder."""
        return self._path

    @property
    def manifest(self) -> dict[str, Any]:
        """What was run, on what, with what result: ``manifest.json``, read each time."""
        text = (self._path / "manifest.json").read_text(encoding="utf-8")
        manifest: dict[str, Any] = json.loads(text)
        return manifest

    def tables(self) -> list[str]:
        """The names of all tables, sorted."""
        return sorted(["events", *self._files()])

    @property
    def events(self) -> pl.LazyFrame:
        """One row per KMS record and per related record of other services, sorted by time within a day.

        ``date`` is the partition: a filter on it opens only the files of those days.
        """
        _need("polars")
        import polars as pl

        folder = self._path / "events"
        if any(folder.glob("date=*/*.parquet")):
            # The folder and no glob: a case may lie in a path with `[`, `*` or `name=value` in it.
            return pl.scan_parquet(folder, glob=False, hive_partitioning=True, hive_schema={"date": pl.Date})
        return self._no_events().lazy().with_columns(date=pl.lit(None, dtype=pl.Date))

    @property
    def keys(self) -> pl.LazyFrame:
        """One row per key: origin, state, rotation, tags, first and last use."""
        return self.table("keys")

    @property
    def principals(self) -> pl.LazyFrame:
        """One row per principal: what it did, when, and from where."""
        return self.table("principals")

    @property
    def grants(self) -> pl.LazyFrame:
        """One row per grant: by whom, to whom, for what, and whether it is still open."""
        return self.table("grants")

    @property
    def findings(self) -> pl.LazyFrame:
        """What the rules found. ``event_ids`` is JSON: ``event_ids.str.json_decode(pl.List(pl.String))`` makes it a list."""
        return self.table("findings")

    def table(self, name: str) -> pl.LazyFrame:
        """The table called ``name``.

        Raises :class:`KeytrailError` when the case has none of that name.
        """
        if name == "events":
            return self.events
        files = self._files()
        if name not in files:
            near = difflib.get_close_matches(name, files, n=3)
            hint = f"did you mean {' or '.join(near)}?" if near else "tables() lists them"
            raise KeytrailError(f"{self._path}: no table {name!r}: {hint}")
        _need("polars")
        import polars as pl

        return pl.scan_parquet(files[name], glob=False, hive_partitioning=False)

    def __getattr__(self, name: str) -> pl.LazyFrame:
        """Tables that have no property of their own, those of later versions among them."""
        if name.startswith("_"):
            raise AttributeError(name)
        try:
            return self.table(name)
        except KeytrailError as error:
            raise AttributeError(str(error)) from None

    def __dir__(self) -> list[str]:
        return sorted({*super().__dir__(), *self.tables()})

    def sql(
        self,
        query: str,
        *,
        engine: Engine | None = None,
        query_parameters: Mapping[str, str | int | float] | None = None,
    ) -> pl.DataFrame:
        """The rows of one SELECT over the tables of the case.

        ``engine`` is ``"duckdb"``, all of DuckDB's SQL, or ``"keytrail"``, the engine inside the binary: it runs the portable
        subset of the query library, refuses the rest with the line and what to write instead, and knows ``query_parameters`` (the
        one-row table ``params``). Default: DuckDB where it is installed and no parameters are given, else keytrail. Polars'
        own SQL is deliberately not offered: some of its constructs give wrong rows without saying so.

        Raises :class:`KeytrailError` when the engine refuses the query.
        """
        _need("polars")
        import polars as pl

        if engine is None:
            engine = "duckdb" if query_parameters is None and _has("duckdb") else "keytrail"
        if engine == "keytrail":
            return self._query(query, query_parameters or {})
        if engine != "duckdb":
            raise ValueError(f"engine is 'duckdb' or 'keytrail', not {engine!r}")
        if query_parameters is not None:
            raise ValueError("query_parameters are for engine='keytrail': DuckDB takes them with connect().execute(query, [...])")
        _need("duckdb")
        import duckdb

        try:
            return pl.DataFrame(self.connect().sql(query))
        except duckdb.Error as error:
            raise KeytrailError(f"DuckDB: {error}") from error

    def connect(self) -> duckdb.DuckDBPyConnection:
        """A DuckDB connection, in memory, with one view per table. Every call gives the same one.

        It cannot fetch extensions, so no query of it reaches the network.
        """
        if self._connection is None:
            _need("duckdb")
            import duckdb

            connection = duckdb.connect(config={"autoinstall_known_extensions": False, "autoload_known_extensions": False})
            for name, path in self._files().items():
                connection.execute(f"CREATE VIEW {_name(name)} AS SELECT * FROM {_parquet(path)}")
            events = self._path / "events"
            if any(events.glob("date=*/*.parquet")):
                connection.execute(f"CREATE VIEW events AS SELECT * FROM {_parquet(events, '/date=*/*.parquet')}")
            else:
                with tempfile.TemporaryDirectory(prefix="keytrail-") as folder:
                    rows = Path(folder, "events.parquet")
                    self._no_events().write_parquet(rows)
                    connection.execute(f"CREATE TABLE events AS SELECT * FROM {_parquet(rows)}")
            self._connection = connection
        return self._connection

    def _files(self) -> dict[str, Path]:
        """The file of every table but ``events``."""
        return {path.stem: path for folder in (self._path, self._path / "tables") for path in folder.glob("*.parquet")}

    def _query(self, query: str, parameters: Mapping[str, str | int | float]) -> pl.DataFrame:
        """The rows of a query on the engine inside the binary."""
        import polars as pl

        settings = [f"--set={name}={value}" for name, value in parameters.items()]
        with tempfile.TemporaryDirectory(prefix="keytrail-") as folder:
            rows = Path(folder, "rows.parquet")
            case = f"--case={self._path}"
            run(["query", case, "--format=parquet", f"--output={rows}", "--color=never", *settings, "-"], text_in=query)
            return pl.read_parquet(rows, glob=False, hive_partitioning=False)

    def _no_events(self) -> pl.DataFrame:
        """The columns of ``events`` and no row, for a case without events: it has no file that could tell them."""
        return self._query("SELECT * FROM events", {})


def _has(package: str) -> bool:
    return importlib.util.find_spec(package) is not None


def _need(package: str) -> None:
    """Says how to install a package that is not there."""
    if not _has(package):
        raise KeytrailError(f"the package {package} is not installed: pip install 'keytrail[{package}]'")


def _name(name: str) -> str:
    """A quoted SQL name."""
    return '"' + name.replace('"', '""') + '"'


def _parquet(path: Path, pattern: str = "") -> str:
    """The SQL that reads ``path``, whatever characters it has, and the files of ``pattern`` in it.

    Hive partitioning is off: the tables then have the columns that ``keytrail query`` knows, and a folder called ``a=b`` above
    the case adds none.
    """
    escaped = "".join(f"[{letter}]" if letter in "*?[" else letter for letter in str(path)) + pattern
    return "read_parquet('" + escaped.replace("'", "''") + "', hive_partitioning = false)"
