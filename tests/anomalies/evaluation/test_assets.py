"""The evaluation as an asset: tables and pictures in the UI, files in the data folder."""

from pathlib import Path

import dagster as dg
import polars as pl

from iot_pipeline.anomalies.evaluation.assets import EVALUATION, evaluation_assets
from iot_pipeline.settings import Settings
from tests.anomalies.evaluation.histories import write_sets


def evaluated(settings: Settings) -> dict[str, dg.MetadataValue]:
    flags = dg.AssetSpec("anomaly_flags")
    done = dg.materialize(
        [flags, evaluation_assets(settings)],
        selection=[EVALUATION],
        run_config=dg.RunConfig(ops={"anomaly_evaluation": {"config": {"hours": 1.0, "series": 1}}}),
    )
    return dict(done.asset_materializations_for_node("anomaly_evaluation")[0].metadata)


def test_without_labelled_sets_the_flags_are_compared_with_the_simulators_truth(settings: Settings) -> None:
    metadata = evaluated(settings)
    assert str(metadata["truth"].value).startswith("| detector | fault |")
    assert "data:image/png;base64" in str(metadata["recall_by_fault"].value)
    assert "labelled_sets" not in metadata
    assert pl.read_parquet(settings.paths.evaluation / "truth.parquet").height > 0


def test_with_labelled_sets_each_detector_has_its_line(settings: Settings, tmp_path: Path) -> None:
    write_sets(tmp_path)
    metadata = evaluated(settings.model_copy(update={"labelled_sets": tmp_path}))
    shown = str(metadata["labelled_sets"].value)
    assert all(name in shown for name in ("| union |", "| random |", "global_z (sees the future)", "kmeans_minute"))
    measured = pl.read_parquet(settings.paths.evaluation / "sets.parquet")
    assert set(measured["set"]) == {"nab", "skab", "lro_water", "ucr6", "injected-7"}
    assert "data:image/png;base64" in str(metadata["vus_pr_by_set"].value)
