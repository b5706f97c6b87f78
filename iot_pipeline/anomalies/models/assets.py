"""Learned models as a Dagster asset, by day, with the checks that promotion asks for. What they are is plain Python."""

from collections.abc import Sequence

import dagster as dg

from iot_pipeline.anomalies.models.judging import CHECKS
from iot_pipeline.anomalies.models.life import Lived, learn_day
from iot_pipeline.anomalies.precision import precision_table
from iot_pipeline.partitions import DAY_POOL, day_backfill, day_partitions, day_window
from iot_pipeline.settings import Settings
from iot_pipeline.stats.sealing import days_between

MODEL = dg.AssetKey("anomaly_model")

_SAYS = {
    "coverage": "Series of the unseen day that the model can score.",
    "false_alerts": "Alerts a device-day without a known fault, on the unseen day, within the budget.",
    "alert_rate": "Share of the unseen day's minutes that are flagged.",
    "input_drift": "Whether the model was learned from other data than the one before (population stability index).",
    "reproducible": "The stored tables are those that the version names.",
    "labelled_faults": "VUS-PR on the simulators' labelled faults of the unseen day, where there are any.",
    "random_tripwire": "Random scores must fail where the model passes, or the labels tell nothing.",
}


def model_assets(settings: Settings) -> dg.AssetsDefinition:
    """`anomaly_model`: what was usual on the days before, used to flag minutes once its checks passed."""

    @dg.asset(
        key=MODEL,
        # Judged on the day itself, so it comes after it; it is learned from the minutes of the days before.
        deps=["device_day"],
        check_specs=[
            dg.AssetCheckSpec(name=name, asset=MODEL, blocking=True, description=_SAYS[name]) for name in CHECKS
        ],
        partitions_def=day_partitions(settings),
        backfill_policy=day_backfill(),
        pool=DAY_POOL,
        group_name="anomalies",
        kinds={"numpy", "parquet"},
        owners=["team:data"],
        description=(
            "Levels, spreads and thresholds of each series and class, learned from earlier days only and kept as plain "
            "tables under the hash of their contents. Judged on the day itself, which it has not seen, and promoted "
            "when every check passes; from then on minutes of that day and later are scored with it."
        ),
    )
    # Dagster reads the annotation, and with checks it understands only the bare class.
    def anomaly_model(context: dg.AssetExecutionContext) -> dg.MaterializeResult:  # type: ignore[type-arg]
        lived = []
        for day in days_between(*day_window(context)):
            lived.append(learn_day(settings, day))
            if (manifest := lived[-1].manifest) is not None:
                context.add_asset_metadata(
                    {"dagster/row_count": manifest.series, "version": manifest.version}, partition_key=day.isoformat()
                )
        return dg.MaterializeResult(metadata=_metadata(settings, lived), check_results=list(_results(lived)))

    return anomaly_model


def _metadata(settings: Settings, lived: Sequence[Lived]) -> dict[str, dg.MetadataValue]:
    rows = [
        [
            str(one.day),
            "-" if one.manifest is None else one.manifest.version,
            "-" if one.manifest is None else f"{one.manifest.first} to {one.manifest.last}",
            "-" if one.manifest is None else f"{one.manifest.ready} ready, {one.manifest.learning} learning",
            "promoted" if one.promoted else "not promoted",
            one.in_force or "none: learning",
        ]
        for one in lived
    ]
    told: dict[str, dg.MetadataValue] = {
        "models": dg.MetadataValue.md(_table(["day", "version", "learned from", "series", "", "in force"], rows))
    }
    precision = precision_table(settings.paths)
    if precision.height:
        cells = [[_shown(cell) for cell in row] for row in precision.iter_rows()]
        told["precision_by_people"] = dg.MetadataValue.md(_table(precision.columns, cells))
    return told


def _results(lived: Sequence[Lived]) -> list[dg.AssetCheckResult]:
    """One result a check, over all days of the run: the first day that failed, or else the last one, is told."""
    results = []
    for name in CHECKS:
        found = [(one.day, verdict) for one in lived for verdict in one.verdicts if verdict.name == name]
        failed = [(day, verdict) for day, verdict in found if not verdict.passed]
        metadata: dict[str, str | float] = {}
        if found:
            day, verdict = (failed or found)[-1]
            metadata = {"day": day.isoformat(), "version": next(_version(one) for one in lived if one.day == day)}
            metadata |= {} if verdict.figure is None else {"figure": verdict.figure}
            metadata |= {} if verdict.limit is None else {"limit": verdict.limit}
            said = f"{day}: {verdict.said}"
        else:
            said = "no model to judge yet: still learning, or nothing of the day is known"
        results.append(
            dg.AssetCheckResult(
                check_name=name, asset_key=MODEL, passed=not failed, description=said, metadata=metadata
            )
        )
    return results


def _version(one: Lived) -> str:
    return "" if one.manifest is None else one.manifest.version


def _table(names: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [names, ["---"] * len(names), *([cell.replace("|", "\\|") for cell in row] for row in rows)]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _shown(cell: object) -> str:
    return "-" if cell is None else f"{cell:.2f}" if isinstance(cell, float) else str(cell)
