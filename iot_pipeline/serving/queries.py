"""Read-only SQL over everything that is stored, safe to hand to a person or a program.

What the views are called and how they are built belongs to `stats/warehouse.py`; how a result
looks on a terminal to `tables.py`.

Three walls, because none of them is enough alone:

1. DuckDB's own parser has to find exactly one SELECT (or EXPLAIN of one).
2. The engine may open files below the data folder only, and its configuration is locked.
3. The *plan* must hold no step that writes: a CTE may contain COPY or INSERT, and then the
   statement still counts as a SELECT.
"""

import contextlib
import json
import re
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import duckdb
import polars as pl

from iot_pipeline.errors import ConfigurationError
from iot_pipeline.paths import DataPaths
from iot_pipeline.stats.warehouse import connect

ALLOWED = "SELECT, WITH, FROM, VALUES, DESCRIBE, SUMMARIZE, SHOW or EXPLAIN"

_EXPLAIN = re.compile(r"^\s*explain\s+(analyze\s+)?(?=\S)", re.IGNORECASE)
# Steps of a physical plan that change something outside the result. The names are DuckDB's.
_WRITING_STEP = re.compile(
    r"COPY_TO|INSERT|UPDATE|DELETE|MERGE_INTO|CREATE|DROP|ALTER|ATTACH|DETACH|CHECKPOINT|TRUNCATE"
    r"|EXECUTE_SERIALIZED|EXTERNAL_RESOURCE|ENABLE_|DISABLE_"
)


class QueryError(ConfigurationError):
    """A query was refused, or the engine could not run it. Nothing was changed."""


def run_sql(paths: DataPaths, sql: str) -> pl.DataFrame:
    """Run one read-only statement over the views of the warehouse.

    Works while everything else runs: nothing is locked, and each file is seen whole.
    Times in the result are `Datetime("us", "UTC")`.

    Raises:
        QueryError: more than one statement, a statement that is not read-only, or an SQL error
            (the engine's own words, with the position where it knows one).
    """
    with _confined(paths) as connection, _in_plain_words():
        _refuse_writes(connection, sql)
        return _frame(connection.sql(_without_end(sql)))


@contextlib.contextmanager
def _confined(paths: DataPaths) -> Iterator[duckdb.DuckDBPyConnection]:
    """A connection that reads below the data folder, spills to a private folder and nothing else."""
    connection = connect(paths)
    spill = Path(tempfile.mkdtemp(prefix="iot-sql-"))
    try:
        connection.execute("SET TimeZone = 'UTC'")
        connection.execute(f"SET temp_directory = {_quoted(spill)}")
        connection.execute(f"SET allowed_directories = [{_quoted(paths.root)}, {_quoted(spill)}]")
        connection.execute("SET enable_external_access = false")
        connection.execute("SET lock_configuration = true")
        yield connection
    finally:
        connection.close()
        shutil.rmtree(spill, ignore_errors=True)


@contextlib.contextmanager
def _in_plain_words() -> Iterator[None]:
    try:
        yield
    except duckdb.Error as error:
        raise QueryError(str(error).strip()) from error


def _refuse_writes(connection: duckdb.DuckDBPyConnection, sql: str) -> None:
    statements = connection.extract_statements(sql)
    if len(statements) != 1:
        raise QueryError(f"one statement at a time, please: found {len(statements)}")
    kind = statements[0].type
    if kind == duckdb.StatementType.EXPLAIN:
        # EXPLAIN ANALYZE runs what it explains, so that must be read-only itself.
        inner, prefixes = _EXPLAIN.subn("", sql, count=1)
        if not prefixes:
            raise QueryError("EXPLAIN: begin the statement with EXPLAIN or EXPLAIN ANALYZE and the query itself")
        _refuse_writes(connection, inner)
        return
    if kind != duckdb.StatementType.SELECT:
        raise QueryError(
            f"{kind.name} was refused: `iot sql` is read-only, and nothing was changed. "
            f"Begin with {ALLOWED}. Write a result with `--format csv` and a redirection."
        )
    writing = sorted(step for step in _plan_steps(connection, sql) if _WRITING_STEP.search(step))
    if writing:
        raise QueryError(f"refused: the query would write ({', '.join(writing)}); nothing was changed")


def _plan_steps(connection: duckdb.DuckDBPyConnection, sql: str) -> set[str]:
    """Names of all steps of the physical plan; planning runs nothing."""
    rows = connection.execute(f"EXPLAIN (FORMAT json) {sql}").fetchall()
    steps: set[str] = set()
    pending = [node for _, plan in rows for node in json.loads(plan)]
    while pending:
        node = pending.pop()
        steps.add(str(node["name"]).strip().upper())
        pending.extend(node.get("children", []))
    return steps


def _without_end(sql: str) -> str:
    """A single statement without its semicolon and what follows: a relation cannot be made of those."""
    text = sql.encode()
    ends = (at for at, kind in duckdb.tokenize(sql) if kind == duckdb.token_type.operator and text[at : at + 1] == b";")
    return text[: next(ends, len(text))].decode()


def _frame(result: duckdb.DuckDBPyRelation) -> pl.DataFrame:
    """The rows; intervals, which Polars has no type for, become text."""
    columns = [
        f"#{index}{'::VARCHAR' if str(kind) == 'INTERVAL' else ''} AS {_identifier(name)}"
        for index, (name, kind) in enumerate(zip(result.columns, result.types, strict=True), start=1)
    ]
    frame: pl.DataFrame = result.project(", ".join(columns)).pl()
    return frame


def _identifier(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


def _quoted(path: Path) -> str:
    return "'" + str(path).replace("'", "''") + "'"
