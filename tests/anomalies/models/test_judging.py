"""Each check that promotion asks for holds a model back by itself, as the sole one that fails."""

import json
from collections.abc import Callable
from datetime import datetime
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from iot_pipeline.anomalies.models.fitting import fit_day
from iot_pipeline.anomalies.models.judging import CHECKS, judge, most_alerts
from iot_pipeline.anomalies.models.life import Lived, learn_day
from iot_pipeline.anomalies.models.store import keep, model_folder, promote, promoted_on, promotions
from iot_pipeline.clock import DAY
from iot_pipeline.settings import Settings, load_settings
from tests.anomalies.models.days import MONDAY, at, frame, values, write_day, write_days

TODAY = MONDAY + 2 * DAY


@pytest.fixture(name="settings")
def plant(tmp_path: Path) -> Settings:
    """Two days without faults; a third like them would let its model pass."""
    settings = load_settings(data=tmp_path)
    write_days(settings.paths, 2)
    return settings


def write_today(settings: Settings, told: dict[str, np.ndarray], *more: pl.DataFrame) -> None:
    write_day(settings.paths, TODAY, pl.concat([frame(TODAY, told), *more]))


def write_labels(settings: Settings, *faults: tuple[str, datetime, datetime]) -> None:
    settings.paths.labels.mkdir(parents=True)
    lines = [
        {"device_id": device, "metric": "temperature", "fault": "step", "magnitude": 9.0}
        | {"start": begin.isoformat(), "end": end.isoformat()}
        for device, begin, end in faults
    ]
    (settings.paths.labels / "plant.jsonl").write_text("\n".join(json.dumps(line) for line in lines) + "\n")


def half_of_the_series_are_of_an_unknown_kind(settings: Settings) -> None:
    write_today(settings, values(TODAY), frame(TODAY, values(TODAY), metric="pressure", unit="bar"))


def a_device_jumps_now_and_then(settings: Settings) -> None:
    told = values(TODAY)
    for start in range(60, 1440, 200):
        told["hall/m2"][start] += 3
    write_today(settings, told)


def a_device_is_rough_for_hours(settings: Settings) -> None:
    told = values(TODAY)
    told["hall/m2"][300:700] += np.random.default_rng(1).normal(0, 3, 400)
    write_today(settings, told)


def labels_where_nothing_happens(settings: Settings) -> None:
    told = values(TODAY)
    write_today(settings, told)
    write_labels(settings, *((device, at(TODAY, 5 + n), at(TODAY, 5 + n, 29)) for n, device in enumerate(told)))


def labels_of_half_the_day(settings: Settings) -> None:
    told = values(TODAY)
    write_today(settings, told)
    write_labels(settings, *((device, at(TODAY, 6), at(TODAY, 18)) for device in told))


@pytest.mark.parametrize(
    ("check", "happens"),
    [
        ("coverage", half_of_the_series_are_of_an_unknown_kind),
        ("false_alerts", a_device_jumps_now_and_then),
        ("alert_rate", a_device_is_rough_for_hours),
        ("labelled_faults", labels_where_nothing_happens),
        ("random_tripwire", labels_of_half_the_day),
    ],
)
def test_what_happens_on_the_unseen_day_holds_a_model_back(
    settings: Settings, check: str, happens: Callable[[Settings], None]
) -> None:
    happens(settings)
    assert_held_back_by(check, settings, learn_day(settings, TODAY))


def test_other_inputs_than_those_of_the_model_before_hold_a_model_back(settings: Settings) -> None:
    assert learn_day(settings, MONDAY + DAY).promoted
    for day in (MONDAY, MONDAY + DAY, TODAY):
        write_day(settings.paths, day, frame(day, {device: row + 3 for device, row in values(day).items()}))
    assert_held_back_by("input_drift", settings, learn_day(settings, TODAY))


def test_tables_that_are_not_those_of_the_version_hold_a_model_back(settings: Settings) -> None:
    write_today(settings, values(TODAY))
    fitted = fit_day(settings, TODAY)
    assert fitted is not None
    keep(settings.paths, fitted.model, fitted.manifest)
    path = model_folder(settings.paths, TODAY, fitted.manifest.version) / "series.parquet"
    pl.read_parquet(path).with_columns(pl.col("step_threshold") * 2).write_parquet(path)

    verdicts = judge(settings, fitted.model, fitted.manifest)
    promoted = promote(settings.paths, fitted.manifest, verdicts)
    assert_held_back_by("reproducible", settings, Lived(TODAY, fitted.manifest, verdicts, promoted, None))


def assert_held_back_by(check: str, settings: Settings, lived: Lived) -> None:
    assert [verdict.name for verdict in lived.verdicts] == list(CHECKS)
    failed = [verdict for verdict in lived.verdicts if not verdict.passed]
    assert [verdict.name for verdict in failed] == [check], failed
    assert not lived.promoted
    assert promoted_on(settings.paths, TODAY) is None
    assert all(one.day != TODAY for one in promotions(settings.paths))


def test_a_budget_allows_what_a_poisson_process_of_its_rate_seldom_exceeds() -> None:
    rng = np.random.default_rng(1)
    for devices in (1, 100, 10_000):
        assert (rng.poisson(0.1 * devices, 5_000) > most_alerts(0.1, devices)).mean() < 0.005
