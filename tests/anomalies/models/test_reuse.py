"""A model is learned again when something it is learned from has changed, and judged again in any case."""

from collections.abc import Callable
from datetime import date
from pathlib import Path

import polars as pl
import pytest

from iot_pipeline.anomalies.feedback import FeedbackLabel, FlagKey, record_feedback
from iot_pipeline.anomalies.models import reuse
from iot_pipeline.anomalies.models.fitting import Fitted, fit_day
from iot_pipeline.anomalies.models.life import learn_day
from iot_pipeline.anomalies.models.store import Change, model_folder, promotions
from iot_pipeline.clock import DAY
from iot_pipeline.files import write_parquet
from iot_pipeline.settings import Settings, load_settings
from iot_pipeline.stats.relations import DIM_DEVICE_SCHEMA, dim_device_file
from tests.anomalies.models.days import MONDAY, at, frame, values, write_day, write_days

TODAY = MONDAY + 2 * DAY


@pytest.fixture(name="settings")
def plant(tmp_path: Path) -> Settings:
    """Two days without faults and some hours of a third, whose model scores."""
    settings = load_settings(data=tmp_path)
    write_days(settings.paths, 2)
    hours_of_today(settings, 6)
    assert learn_day(settings, TODAY).promoted
    return settings


@pytest.fixture(name="fits")
def counted_fits(monkeypatch: pytest.MonkeyPatch) -> list[date]:
    """The days whose model is learned from now on; comes after `settings`."""
    learned: list[date] = []

    def counted(settings: Settings, day: date) -> Fitted | None:
        learned.append(day)
        return fit_day(settings, day)

    monkeypatch.setattr(reuse, "fit_day", counted)
    return learned


def hours_of_today(settings: Settings, hours: int, *, more: float = 0.0) -> None:
    told = {device: numbers + more for device, numbers in values(TODAY).items()}
    write_day(settings.paths, TODAY, frame(TODAY, told).filter(pl.col("minute") < at(TODAY, hours)))


def device(settings: Settings, kind: str) -> None:
    row = {"device_id": "hall/m1", "fleet": "hall", "type": kind, "last_received_at": at(TODAY, len(kind))}
    write_parquet(pl.DataFrame([row], schema=DIM_DEVICE_SCHEMA), dim_device_file(settings.paths))


def test_hours_that_pass_on_the_day_itself_teach_nothing_and_are_judged(settings: Settings, fits: list[date]) -> None:
    before = learn_day(settings, TODAY)
    hours_of_today(settings, 12, more=50)
    after = learn_day(settings, TODAY)

    assert fits == []
    assert before.manifest == after.manifest
    assert (before.promoted, after.promoted) == (True, False)
    assert [one.change for one in promotions(settings.paths)] == [Change.PROMOTED, Change.WITHDRAWN]


def late_data(settings: Settings) -> None:
    write_day(settings.paths, MONDAY, frame(MONDAY, values(MONDAY, seed=2)))


def a_confirmed_event(settings: Settings) -> None:
    flag = FlagKey("hall/m1", "temperature", "°C", at(MONDAY, 10), "spike")
    record_feedback(settings.paths, flag, FeedbackLabel.confirmed, author="ann")


def false_alarms(settings: Settings) -> None:
    flag = FlagKey("hall/m3", "temperature", "°C", at(TODAY, 1), "step")
    record_feedback(settings.paths, flag, FeedbackLabel.false_alarm, author="ann")


def another_class(settings: Settings) -> None:
    device(settings, "oven")


def a_damaged_table(settings: Settings) -> None:
    (path,) = settings.paths.models.glob("dt=*/v=*/series.parquet")
    path.write_bytes(b"PAR1")


def a_changed_table(settings: Settings) -> None:
    (path,) = settings.paths.models.glob("dt=*/v=*/series.parquet")
    pl.read_parquet(path).with_columns(pl.col("step_threshold") * 2).write_parquet(path)


def a_table_that_is_gone(settings: Settings) -> None:
    (path,) = settings.paths.models.glob("dt=*/v=*/inputs.parquet")
    path.unlink()


def a_torn_record(settings: Settings) -> None:
    (path,) = settings.paths.models.glob("dt=*/learned.json")
    path.write_bytes(path.read_bytes()[:20])


@pytest.mark.parametrize("change", [late_data, a_confirmed_event, false_alarms, another_class])
def test_what_it_is_learned_from_has_changed(
    settings: Settings, fits: list[date], change: Callable[[Settings], None]
) -> None:
    before = learn_day(settings, TODAY).manifest
    change(settings)
    after = learn_day(settings, TODAY).manifest

    assert fits == [TODAY]
    assert before is not None
    assert after is not None
    assert after.version != before.version


@pytest.mark.parametrize("damage", [a_damaged_table, a_changed_table, a_table_that_is_gone, a_torn_record])
def test_a_model_that_is_not_as_it_was_written_is_made_again(
    settings: Settings, fits: list[date], damage: Callable[[Settings], None]
) -> None:
    damage(settings)
    lived = learn_day(settings, TODAY)

    assert fits == [TODAY]
    assert lived.promoted
    assert lived.manifest is not None
    assert model_folder(settings.paths, TODAY, lived.manifest.version).exists()
    learn_day(settings, TODAY)
    assert fits == [TODAY]


def test_devices_that_only_spoke_again_change_nothing(settings: Settings, fits: list[date]) -> None:
    device(settings, "oven")
    learn_day(settings, TODAY)
    row = pl.read_parquet(dim_device_file(settings.paths)).with_columns(last_received_at=at(TODAY, 7))
    write_parquet(row, dim_device_file(settings.paths))
    learn_day(settings, TODAY)

    assert fits == [TODAY]
