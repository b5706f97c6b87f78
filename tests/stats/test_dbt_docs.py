"""The documents of the models: one page with types and sizes, which replaces the one before and asks nobody."""

import json
import re
from datetime import date

import polars as pl

from iot_pipeline.files import write_parquet
from iot_pipeline.settings import Settings
from iot_pipeline.stats.dbt_docs import build_docs, docs_are_current
from iot_pipeline.stats.relations import DEVICE_SLO_SCHEMA, prepare_relations, published_file


def test_the_page_holds_types_sizes_and_exposures(settings: Settings) -> None:
    prepare_relations(settings.paths)
    day = published_file(settings.paths, "device_slo", date(2026, 11, 20))
    write_parquet(
        pl.DataFrame({"device_id": ["a", "b"]}, schema_overrides=None).select(
            **{
                name: pl.lit(None, dtype) if name != "device_id" else pl.col(name)
                for name, dtype in DEVICE_SLO_SCHEMA.items()
            }
        ),
        day,
    )
    assert not docs_are_current(settings.paths)
    path = build_docs(settings.paths)
    assert docs_are_current(settings.paths)
    page = path.read_text()
    assert "INLINE DATA" not in page.replace('"MANIFEST.JSON INLINE DATA"==', "")
    start = page.index('{"metadata":{"dbt_schema_version":"https://schemas.getdbt.com/dbt/catalog')
    catalog, _ = json.JSONDecoder().raw_decode(page[start:])
    model = catalog["nodes"]["model.iot_pipeline.device_slo"]
    assert model["columns"]["completeness_percent"]["type"] == "DOUBLE"
    assert "dt" not in model["columns"]
    assert model["stats"]["rows"]["value"] == 2
    assert catalog["sources"]["source.iot_pipeline.raw.readings"]["columns"]["event_ts"]["type"].startswith("TIMESTAMP")
    assert "exposure.iot_pipeline.page_quality" in page
    assert not re.search(r'<(?:script|link|img)[^>]+(?:src|href)="https?:', page)
    assert list((settings.paths.tmp / "dbt").glob("docs-*")) == []


def test_a_page_of_other_models_is_not_current(settings: Settings) -> None:
    settings.paths.dbt_docs.parent.mkdir(parents=True)
    settings.paths.dbt_docs.write_text("<html>")
    settings.paths.dbt_docs.with_suffix(".sha256").write_text("of other models")
    assert not docs_are_current(settings.paths)
