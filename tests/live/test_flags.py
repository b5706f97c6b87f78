"""Live flags are those of the batch layer's detectors, until its own flags are published."""

import random
from datetime import timedelta
from pathlib import Path

import polars as pl
import pytest

from iot_pipeline.clock import MINUTE
from iot_pipeline.live import flags
from iot_pipeline.stats.relations import FLAGS_SCHEMA, flags_tree
from tests.live.world import NOW, Told, ago, land, layer_on, minute, publish_minutes, settings_in, turn

HOUR_AGO = NOW - timedelta(hours=1)


def steady(seconds: int) -> list[Told]:
    chance = random.Random(1)
    return [Told(ago(second), 20.0 + chance.gauss(0, 0.1)) for second in range(seconds, 0, -1)]


def test_a_spike_of_this_minute_is_flagged_by_the_same_detectors(tmp_path: Path) -> None:
    own = settings_in(tmp_path)
    told = [*steady(2100), Told(ago(0.5), 95.0)]
    publish_minutes(own, told, minute(2))
    land(own, [one for one in told if one.event_ts >= minute(3)])
    layer = layer_on(own)
    (flag,) = layer.flags(since=HOUR_AGO, limit=10)
    assert (flag.device_id, flag.value, flag.detector) == ("pump", 95.0, "rolling_z")
    assert flag.score > 1
    assert "is above the usual" in flag.reason
    assert [pulse.flags_last_hour for pulse in layer.fleets()] == [1]
    turn(layer)
    assert len(layer.flags(since=HOUR_AGO, limit=10)) == 1
    assert layer.flags(since=NOW, limit=10) == []
    assert layer.flags(since=HOUR_AGO, device_id="other", limit=10) == []


def working(seconds: int, *, since: int, tells: str) -> list[Told]:
    """Ten times the current `since` seconds ago, and what the machine says of its state each second."""
    chance = random.Random(2)
    told = []
    for second in range(seconds, 0, -1):
        level = 20.0 if second <= since else 2.0
        told.append(Told(ago(second), level + chance.gauss(0, 0.1), "press", "current", "A"))
        told.append(Told(ago(second), tells if second <= since else "idle", "press", "state", None))
    return told


@pytest.mark.parametrize(("tells", "flagged"), [("running", False), ("idle", True)])
def test_only_what_the_told_state_does_not_explain_is_flagged(tmp_path: Path, tells: str, flagged: bool) -> None:
    own = settings_in(tmp_path)
    land(own, working(900, since=40, tells=tells))
    assert bool(layer_on(own).flags(since=HOUR_AGO, limit=10)) is flagged


def test_states_are_kept_as_long_as_detectors_look_back_and_repetitions_are_not(tmp_path: Path) -> None:
    own = settings_in(tmp_path)
    land(own, working(600, since=40, tells="running"))
    layer = layer_on(own)
    assert sum(frame.height for frame in layer._flags._states) <= 2 * (600 // 60 + 2)
    turn(layer, now=NOW + timedelta(hours=2))
    assert sum(frame.height for frame in layer._flags._states) == 0


def test_published_flags_replace_live_ones_of_their_minute(tmp_path: Path) -> None:
    own = settings_in(tmp_path)
    land(own, [*steady(600), Told(ago(65.5), 95.0)])
    layer = layer_on(own)
    assert [one.value for one in layer.flags(since=HOUR_AGO, limit=10)] == [95.0]
    tree = flags_tree(own.paths)
    row = {"minute": minute(1), "event_ts": ago(70), "device_id": "pump", "metric": "pressure", "unit": "bar"}
    row |= {"value": 1.0, "detector": "d", "detector_version": "1", "score": 2.0, "reason": "told by the batch layer"}
    tree.write(minute(1), pl.DataFrame([row], schema=FLAGS_SCHEMA))
    turn(layer)
    assert [one.reason for one in layer.flags(since=HOUR_AGO, limit=10)] == ["told by the batch layer"]
    tree.write(minute(1), tree.empty())
    turn(layer)
    assert layer.flags(since=HOUR_AGO, limit=10) == []


def test_series_that_are_too_many_to_be_scored_are_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(flags, "SCORED_SERIES", 1)
    own = settings_in(tmp_path)
    spike = Told(ago(0.5), 95.0)
    others = [Told(one.event_ts, one.value, device="other") for one in [*steady(600), spike]]
    land(own, [*steady(600), spike], others)
    layer = layer_on(own)
    assert [one.device_id for one in layer.flags(since=HOUR_AGO, limit=10)] == ["pump"]
    assert "of 2" in (layer.status().flags_skipped or "")


def test_readings_of_minutes_ago_are_kept_no_longer_than_they_are_scored(tmp_path: Path) -> None:
    own = settings_in(tmp_path)
    land(own, steady(900))
    layer = layer_on(own)
    kept = sum(frame.height for frame in layer._flags._readings)
    assert 0 < kept <= flags.SCORED_MINUTES * 60
    turn(layer, now=NOW + 10 * MINUTE)
    assert sum(frame.height for frame in layer._flags._readings) == 0
