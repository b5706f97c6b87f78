"""The documents that dbt makes of the models, as one page that needs nothing else: `make docs`, or the first visitor.

Which models there are, and running dbt, is `dbt_build.py`; serving the page is `serving/dbt_docs.py`.
"""

import json
import shutil
import sys
import uuid
from collections.abc import Iterator, Mapping
from importlib.resources import files
from pathlib import Path
from typing import Any

import duckdb
import polars as pl
import structlog
from filelock import FileLock

from iot_pipeline.clock import parse_day
from iot_pipeline.errors import IotError
from iot_pipeline.files import write_bytes
from iot_pipeline.paths import DataPaths
from iot_pipeline.sealed_days import SEED_DAY
from iot_pipeline.settings import load_settings
from iot_pipeline.stats.dbt_build import DbtProjectError, generate_catalog, prepare_manifest
from iot_pipeline.stats.relations import DAY_MODELS, dim_device_file, prepare_relations, published_file
from iot_pipeline.stats.session import engine
from iot_pipeline.stats.views import view_queries

log = structlog.get_logger(__name__)

# Parsed JSON whose shape is dbt's.
Catalog = dict[str, Any]
PUBLISHED = "published_"
# What the page of dbt asks its server for although it stands alone: an icon of its build, and pictures by names
# that its template engine has not filled in yet.
MENDED = {
    """${require('./assets/favicons/favicon.ico')}""": "data:,",
    'xlink:href="{{': 'ng-attr-xlink:href="{{',
}


def build_docs(paths: DataPaths) -> Path:
    """Write the page anew, with the types of the columns and the sizes of the marts as they are now.

    Returns:
        `<data>/docs/dbt.html`; it was replaced in one step, so that whoever reads it sees a whole one.

    Raises:
        DbtProjectError: the models cannot be parsed or described. The page is as it was before.
        StorageUnavailable: it cannot be written. The page is as it was before.
    """
    prepare_relations(paths)
    manifest = prepare_manifest(paths)
    fingerprint = manifest.with_suffix(".sha256").read_text()
    folder = paths.tmp / "dbt" / f"docs-{uuid.uuid4().hex[:12]}"
    paths.dbt_docs.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(paths.tmp / "dbt" / "docs.lock"):
        try:
            folder.mkdir(parents=True)
            database = folder / "warehouse.duckdb"
            _make_relations(paths, database, json.loads(manifest.read_bytes()))
            catalog, described = generate_catalog(database)
            _add_sizes(catalog, paths)
            write_bytes(_page(described, catalog), paths.dbt_docs)
            write_bytes(fingerprint.encode(), _known(paths))
        finally:
            shutil.rmtree(folder, ignore_errors=True)
    log.info("docs_built", path=str(paths.dbt_docs), bytes=paths.dbt_docs.stat().st_size)
    return paths.dbt_docs


def docs_are_current(paths: DataPaths) -> bool:
    """Whether the page is there and describes the models that the pipeline parsed last."""
    parsed = paths.tmp / "dbt" / "manifest.sha256"
    if not paths.dbt_docs.exists() or not _known(paths).exists():
        return False
    return not parsed.exists() or parsed.read_text() == _known(paths).read_text()


def _known(paths: DataPaths) -> Path:
    return paths.dbt_docs.with_suffix(".sha256")


def _make_relations(paths: DataPaths, database: Path, manifest: Mapping[str, Any]) -> None:
    """Views under the names that models and sources have in a run, over what is published."""
    queries = view_queries(paths)
    nodes = [*manifest["nodes"].values(), *manifest["sources"].values()]
    wanted = {(node["schema"], node.get("identifier") or node["name"]) for node in nodes if node.get("relation_name")}
    with engine(paths, database) as connection:
        for name, query in queries.items():
            connection.execute(f"create view {name} as {query}")
        for schema in sorted({schema for schema, _ in wanted} - {"main"}):
            connection.execute(f"create schema {schema}")
        for schema, name in sorted(wanted):
            published = name.removeprefix(PUBLISHED)
            if schema != "main" and published in queries:
                _create(connection, f"{schema}.{name}", f"main.{published}")


def _create(connection: duckdb.DuckDBPyConnection, name: str, source: str) -> None:
    # `dt` is the folder of a partition and no column of the model.
    has_partition = "dt" in connection.sql(f"from {source}").columns
    connection.execute(f"create view {name} as select * {'exclude (dt)' if has_partition else ''} from {source}")


def _add_sizes(catalog: Catalog, paths: DataPaths) -> None:
    """Rows and partitions of the marts that are published by day: the footers of their newest files tell them."""
    for name, stats in _sizes(paths):
        node = catalog["nodes"].get(f"model.iot_pipeline.{name}")
        if node is not None:
            node["stats"] = {
                key: {"id": key, "label": label, "value": value, "include": True, "description": label}
                for key, label, value in stats
            } | {"has_stats": {"id": "has_stats", "label": "Has Stats?", "value": True, "include": False}}


def _sizes(paths: DataPaths) -> Iterator[tuple[str, list[tuple[str, str, int | str]]]]:
    yield "dim_device", [("rows", "Rows", _rows(dim_device_file(paths)))]
    for model in DAY_MODELS:
        folders = (paths.marts / model.name).glob("dt=*")
        days = sorted(day for path in folders if (day := parse_day(path.name.removeprefix("dt="))) != SEED_DAY)
        if days:
            rows = _rows(published_file(paths, model.name, days[-1]))
            yield (
                model.name,
                [
                    ("partitions", "Partitions published", len(days)),
                    ("newest", "Newest partition", f"{days[-1]}"),
                    ("rows", "Rows in the newest partition", rows),
                ],
            )


def _rows(path: Path) -> int:
    count: int = pl.scan_parquet(path, hive_partitioning=False).select(pl.len()).collect().item()
    return count


def _page(manifest: Mapping[str, Any], catalog: Catalog) -> bytes:
    """The page of dbt with both documents inside, so that it asks nobody for anything."""
    page = files("dbt.task.docs").joinpath("index.html").read_text(encoding="utf-8")
    for asking, silent in MENDED.items():
        page = page.replace(asking, silent)
    for name, content in (("MANIFEST", manifest), ("CATALOG", catalog)):
        mark = f'"{name}.JSON INLINE DATA"'
        if mark not in page:
            raise DbtProjectError(
                f"the page of this release of dbt has no place for the {name.lower()}; nothing was written"
            )
        # A description must not be able to end the script it stands in.
        page = page.replace(mark, json.dumps(content, separators=(",", ":")).replace("</", "<\\/"))
    return page.encode()


def main() -> int:
    """Build the page; exit code 1 says that it is as it was before."""
    try:
        path = build_docs(load_settings().paths)
    except IotError as error:
        print(error, file=sys.stderr)
        return 1
    print(f"{path}: open it in a browser, or /docs/dbt/ of `iot serve`")
    return 0


if __name__ == "__main__":
    sys.exit(main())
