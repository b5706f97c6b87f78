"""Where people read: a connection with all views, and `data/warehouse.duckdb`, which holds nothing else.

Data is in Parquet files, so a new minute needs no publishing: the catalog is written again only when its
views, comments or the data folder change. It is replaced by rename, so a program that keeps it open for a
week holds nobody up; `connect` does not even open it. The SQL of the views is in `views.py`.
"""

import contextlib
import hashlib
import json
import uuid
from collections.abc import Iterator, Mapping
from typing import Any

import duckdb
import structlog
from filelock import FileLock

from iot_pipeline.errors import StorageUnavailable
from iot_pipeline.files import fsync_folder
from iot_pipeline.paths import DataPaths
from iot_pipeline.stats.dbt_build import prepare_manifest
from iot_pipeline.stats.inputs import quoted
from iot_pipeline.stats.relations import prepare_relations
from iot_pipeline.stats.views import DT_COLUMN, WITHOUT_DT, view_queries

log = structlog.get_logger(__name__)

# So that DuckDB 1.5 tools (the newest command line tool on PyPI) open what 2.0 wrote.
STORAGE_VERSION = "v1.5.0"
CATALOG_NAME = "warehouse"


def connect(paths: DataPaths) -> duckdb.DuckDBPyConnection:
    """A private in-memory connection with all views, in UTC. Nothing is locked by it.

    Each query lists files anew, so a connection that is held for days sees each minute as it is published.

    Raises:
        StorageUnavailable: the files without rows that a fresh data folder needs cannot be written.
    """
    prepare_relations(paths)
    connection = duckdb.connect(":memory:")
    connection.execute("set TimeZone = 'UTC'")
    _create_views(connection, view_queries(paths))
    return connection


def publish_catalog(paths: DataPaths) -> bool:
    """Write `data/warehouse.duckdb` if it is not there or says something else. Safe for many processes.

    Returns:
        Whether it was written.

    Raises:
        DbtProjectError: the descriptions cannot be taken from the dbt project.
        StorageUnavailable: it cannot be written; the one before is as it was.
    """
    prepare_relations(paths)
    queries = view_queries(paths)
    comments = list(_comments(json.loads(prepare_manifest(paths).read_bytes()), queries))
    content = hashlib.sha256("\n".join([duckdb.__version__, *queries.values(), *comments]).encode()).hexdigest()
    known = paths.tmp / "warehouse.sha256"
    with FileLock(paths.tmp / "warehouse.lock"):
        if paths.warehouse.exists() and known.exists() and known.read_text() == content:
            return False
        _replace_catalog(paths, queries, comments)
        known.write_text(content)
    log.info("catalog_published", path=str(paths.warehouse), views=len(queries))
    return True


def _replace_catalog(paths: DataPaths, queries: Mapping[str, str], comments: list[str]) -> None:
    # The stem names the database inside, so it is the same as at last.
    folder = paths.tmp / f"catalog-{uuid.uuid4().hex[:12]}"
    building = folder / paths.warehouse.name
    try:
        folder.mkdir(parents=True)
        with contextlib.closing(
            duckdb.connect(building, config={"storage_compatibility_version": STORAGE_VERSION})
        ) as connection:
            # Hundreds of statements, each of which would wait for the disk by itself.
            connection.begin()
            _create_views(connection, queries)
            for comment in comments:
                connection.execute(comment)
            connection.commit()
            connection.execute("checkpoint")
        # A log that another program left beside the old file would not fit the new one: DuckDB refuses such a pair.
        paths.warehouse.with_name(f"{paths.warehouse.name}.wal").unlink(missing_ok=True)
        building.replace(paths.warehouse)
        fsync_folder(paths.warehouse.parent)
    except OSError as error:
        raise StorageUnavailable(
            f"cannot write {paths.warehouse}: {error.strerror or error}; the catalog is as it was before. "
            "Check free space and permissions with `iot doctor`."
        ) from error
    finally:
        for path in folder.glob("*"):
            path.unlink(missing_ok=True)
        folder.rmdir()


def _create_views(connection: duckdb.DuckDBPyConnection, queries: Mapping[str, str]) -> None:
    for name, query in queries.items():
        connection.execute(f"create view {name} as {query}")


def _comments(manifest: Mapping[str, Any], views: Mapping[str, str]) -> Iterator[str]:
    """COMMENT statements with the descriptions that the dbt project has of the views and their columns."""
    nodes = {**manifest["sources"], **manifest["nodes"]}
    documented = {
        node["name"]: node
        for node in nodes.values()
        if node["resource_type"] == "model" or node.get("source_name") in ("raw", CATALOG_NAME)
    }
    for name in views:
        if (node := documented.get(name)) is None:
            continue
        yield f"comment on view {name} is {quoted(' '.join(node['description'].split()))}"
        columns = {column["name"]: column["description"] for column in node["columns"].values()}
        for column, description in columns.items():
            yield f"comment on column {name}.{column} is {quoted(' '.join(description.split()))}"
        if name not in WITHOUT_DT:
            yield f"comment on column {name}.dt is {quoted(DT_COLUMN)}"
