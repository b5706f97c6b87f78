"""`run_sql` reads and never writes, whatever it is told."""

import contextlib
from pathlib import Path

import polars as pl
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from iot_pipeline.paths import DataPaths
from iot_pipeline.serving.queries import QueryError, run_sql


@pytest.fixture
def paths(tmp_path: Path) -> DataPaths:
    (tmp_path / "data").mkdir()
    pl.DataFrame({"a": [1, 2]}).write_parquet(tmp_path / "data" / "mine.parquet")
    (tmp_path / "outside.txt").write_text("a secret")
    return DataPaths(tmp_path / "data")


READS = (
    "SELECT 1 AS x",
    "WITH a AS (SELECT 1 AS x) FROM a",
    "FROM range(3)",
    "VALUES (1)",
    "SHOW TABLES",
    "DESCRIBE SELECT 1",
    "SUMMARIZE SELECT 1",
    "EXPLAIN SELECT 1",
    "explain analyze SELECT 1",
    "/* note */ SELECT 1; -- end",
    "SELECT 'insert into; copy to' AS x",
    'SELECT INTERVAL 1 DAY AS span, 2 AS "odd ""name"',
    "SELECT 1 AS a, 2 AS a",
)

WRITES = (
    "CREATE TABLE t (i INT)",
    "CREATE VIEW v AS SELECT 1",
    "DROP VIEW device_minute",
    "COPY (SELECT 1) TO '{new}'",
    "COPY (SELECT 1) TO '{own}'",
    "WITH a AS (COPY (SELECT 1) TO '{new}') FROM a",
    "WITH a AS (COPY (SELECT 1) TO '{own}') SELECT 2",
    "EXPLAIN ANALYZE COPY (SELECT 1) TO '{new}'",
    "EXPLAIN ANALYZE WITH a AS (COPY (SELECT 1) TO '{new}') FROM a",
    "EXPORT DATABASE '{new}'",
    "ATTACH '{new}' AS other",
    "SELECT * FROM json_execute_serialized_sql(json_serialize_sql('WITH a AS (COPY (SELECT 1) TO ''{new}'') FROM a'))",
    "FROM query('WITH a AS (COPY (SELECT 1) TO ''{new}'') FROM a')",
    "FROM enable_logging(storage := 'file', storage_path := '{new}')",
    "FROM enable_profiling(save_location := '{new}')",
    "SELECT 1; COPY (SELECT 1) TO '{new}'",
    "SET enable_external_access = true",
    "SET lock_configuration = false",
    "RESET allowed_directories",
    "INSTALL httpfs",
    "LOAD httpfs",
    "CREATE SECRET s (TYPE s3)",
    "PRAGMA enable_profiling",
    "CALL checkpoint()",
    "BEGIN",
    "",
)

OUTSIDE = (
    "FROM read_text('{outside}')",
    "FROM read_csv('{outside}')",
    "FROM '{outside}'",
    "FROM glob('/etc/*')",
    "FROM read_text('{data}/../outside.txt')",
    "FROM read_parquet('https://example.org/x.parquet')",
)


def tree(folder: Path) -> dict[str, bytes]:
    return {str(path): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


def told(statement: str, paths: DataPaths) -> str:
    return statement.format(
        new=paths.root / "new.csv",
        own=paths.root / "mine.parquet",
        outside=paths.root.parent / "outside.txt",
        data=paths.root,
    )


@pytest.mark.parametrize("statement", READS)
def test_reads(statement: str, paths: DataPaths) -> None:
    assert isinstance(run_sql(paths, statement), pl.DataFrame)


def test_reads_files_of_the_data_folder_in_utc(paths: DataPaths) -> None:
    assert run_sql(paths, f"SELECT sum(a) AS s FROM '{paths.root}/mine.parquet'").item() == 3
    assert run_sql(paths, "SELECT TIMESTAMPTZ '2026-01-01T12:00:00+02:00' AS t").schema["t"] == pl.Datetime("us", "UTC")
    assert run_sql(paths, "SELECT TIMESTAMPTZ '2026-01-01T12:00:00+02:00' AS t").item().hour == 10


@pytest.mark.parametrize("statement", WRITES + OUTSIDE)
def test_refuses(statement: str, paths: DataPaths) -> None:
    run_sql(paths, "SELECT 1")  # a fresh folder gets the files without rows that views need
    before = tree(paths.root.parent)
    with pytest.raises(QueryError):
        run_sql(paths, told(statement, paths))
    assert tree(paths.root.parent) == before


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    write=st.sampled_from([write for write in WRITES if "{" in write]),
    before=st.sampled_from(
        ["", " ", "\n\t", "-- x\n", "/* select */ ", "/* ; */", "SELECT 1; ", "EXPLAIN ", "explain analyze "]
    ),
    after=st.sampled_from(["", ";", ";;", " -- x", " /* x */", "; SELECT 1", " LIMIT 1"]),
    upper=st.booleans(),
)
def test_no_dress_makes_a_write_pass(paths: DataPaths, write: str, before: str, after: str, upper: bool) -> None:
    statement = before + (write if upper else write.lower()) + after
    run_sql(paths, "SELECT 1")
    kept = tree(paths.root.parent)
    with contextlib.suppress(QueryError):
        run_sql(paths, told(statement, paths))
    # Whether it was refused or was harmless in this dress: nothing has changed.
    assert tree(paths.root.parent) == kept


def test_an_error_says_what_the_engine_said(paths: DataPaths) -> None:
    with pytest.raises(QueryError, match="no_such_table"):
        run_sql(paths, "SELECT * FROM no_such_table")
    with pytest.raises(QueryError, match="COPY was refused"):
        run_sql(paths, f"COPY (SELECT 1) TO '{paths.root}/x.csv'")
