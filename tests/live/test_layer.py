"""The layer with its thread: visible in time, bounded, asked from many threads, and alive whatever happens."""

import random
import threading
import time
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import pytest

from iot_pipeline.clock import utc_now
from iot_pipeline.landing.writer import BatchWriter
from iot_pipeline.live.layer import LiveLayer
from iot_pipeline.live.model import LiveState
from iot_pipeline.live.state import State
from iot_pipeline.stats.relations import device_minute_tree
from tests.live.world import NOW, Told, ago, land, layer_on, minute, publish_minutes, settings_in, turn

SINCE = NOW - timedelta(hours=26)


def wait_for(condition: Callable[[], bool], seconds: float = 90.0) -> None:
    until = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < until, "did not happen in time"
        time.sleep(0.01)


def test_a_reading_is_visible_once_it_landed(tmp_path: Path) -> None:
    own = settings_in(tmp_path)
    layer = LiveLayer(own)
    layer.start()
    try:
        wait_for(lambda: layer.status().state is LiveState.LIVE)
        now = utc_now()
        land(own, [Told(now, 1.0, received_at=now)])
        wait_for(lambda: bool(layer.latest("pump")))
        wait_for(lambda: layer.status().newest_landed_at is not None)
        assert 0 < layer.status().visible_lag_seconds < 90
    finally:
        layer.stop()
    assert layer.status().state is LiveState.STALE
    assert layer.latest("pump")
    layer.stop()


def test_an_error_does_not_end_the_thread_and_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    own = settings_in(tmp_path)
    layer = LiveLayer(own)
    broken = threading.Event()
    broken.set()
    take = State.take

    def failing(self: State, *given: object, **named: object) -> object:
        if broken.is_set():
            raise OSError("disk on fire")
        return take(self, *given, **named)  # type: ignore[arg-type]

    monkeypatch.setattr(State, "take", failing)
    layer.start()
    try:
        now = utc_now()
        land(own, [Told(now, 1.0, received_at=now)])
        wait_for(lambda: "disk on fire" in (layer.status().error or ""))
        assert layer.status().state is LiveState.STALE
        broken.clear()
        land(own, [Told(now + timedelta(milliseconds=1), 2.0, received_at=now)])
        wait_for(lambda: layer.status().error is None and bool(layer.latest("pump")))
        assert [one.value for one in layer.recent("pump", "pressure", "bar", since=now)] == [1.0, 2.0]
    finally:
        layer.stop()


def ask_everything(layer: LiveLayer, device: str) -> list[object]:
    """What is wrong with the answers."""
    wrong: list[object] = []
    since = utc_now() - timedelta(hours=2)
    for reading in layer.latest(device):
        series = device, reading.metric, reading.unit
        wrong += [] if reading.device_id == device else [reading]
        for window in layer.hours(*series, since=since) + layer.minutes(*series, since=since):
            ordered = window.min <= window.mean <= window.max and window.min <= window.first <= window.max
            wrong += [] if ordered and window.count else [window]
        layer.recent(*series, since=since)
    layer.status(), layer.fleets(), layer.regions(), layer.state_windows()
    layer.devices(fleet="bench", prefix="d-1", limit=10, after=None)
    layer.customer_devices("c-1")
    return wrong


def test_questions_from_many_threads_meet_whole_answers(tmp_path: Path) -> None:
    own = settings_in(tmp_path, live_memory_mb=64)
    layer = LiveLayer(own)
    wrong: list[object] = []
    done = threading.Event()

    def ask(seed: int) -> None:
        chance = random.Random(seed)
        try:
            while not done.is_set():
                wrong.extend(ask_everything(layer, f"d-{chance.randrange(3000)}"))
        except Exception as error:  # noqa: BLE001  # told to the test
            wrong.append(error)

    threads = [threading.Thread(target=ask, args=(seed,)) for seed in range(3)]
    layer.start()
    try:
        for thread in threads:
            thread.start()
        total = 0
        for batch in range(6):
            now = utc_now()
            told = [
                Told(
                    now - timedelta(seconds=number % 300),
                    float(number),
                    device=f"d-{(number * 7 + batch) % 3000}",
                    customer=f"c-{number % 50}",
                    region="north",
                    state="OH",
                    received_at=now,
                )
                for number in range(3000)
            ]
            land(own, told)
            total += len(told)
        wait_for(lambda: layer.status().readings + layer.status().duplicates == total)
    finally:
        done.set()
        for thread in threads:
            thread.join()
        layer.stop()
    assert wrong == []


def test_series_that_were_not_heard_for_longest_make_room(tmp_path: Path) -> None:
    own = settings_in(tmp_path, live_memory_mb=64)
    layer = layer_on(own)
    layer._state.limit = 1_000
    early, late = ago(40), ago(20)
    land(
        own,
        [Told(early, 1.0, device=f"old-{n}", customer="old", metric=f"m{n}", received_at=early) for n in range(800)],
    )
    turn(layer)
    land(own, [Told(late, 2.0, device=f"new-{n}", customer="new", received_at=late) for n in range(700)])
    turn(layer)
    status = layer.status()
    assert status.series <= 1_000
    assert status.evicted_series == 500
    assert len(layer.customer_devices("new")) == 700
    assert len(layer.customer_devices("old")) == 300
    names = layer.devices(fleet=None, prefix=None, limit=10_000, after=None)
    assert len(names) == 1_000
    for name in names:
        (reading,) = layer.latest(name)
        assert reading.value == (1.0 if name.startswith("old") else 2.0)
        (hour,) = layer.hours(name, reading.metric, "bar", since=SINCE)
        assert hour.count == 1
    land(own, [Told(ago(10), 3.0, device="old-0", metric=f"again-{n}") for n in range(400)])
    turn(layer)
    assert len(layer.latest("old-0")) >= 400
    assert len(layer._state.series._kinds) <= 1_000


def test_more_new_series_at_once_than_there_is_room_for_are_counted(tmp_path: Path) -> None:
    own = settings_in(tmp_path, live_memory_mb=64)
    layer = layer_on(own)
    layer._state.limit = 100
    land(own, [Told(ago(1), 1.0, device=f"d-{number}") for number in range(250)])
    turn(layer)
    status = layer.status()
    assert (status.series, status.evicted_series) == (100, 150)
    assert len(layer.devices(fleet=None, prefix=None, limit=1_000, after=None)) == 100
    assert len(layer._state.series.devices) == 100


def test_what_landed_long_before_the_start_does_not_make_the_layer_stale(tmp_path: Path) -> None:
    own = settings_in(tmp_path)
    past = utc_now() - timedelta(hours=1)
    BatchWriter(own.paths, "c-1", intake_delay=own.intake_delay, now=lambda: past).write(
        [Told(past, 1.0, received_at=past).message]
    )
    layer = LiveLayer(own)
    layer.start()
    try:
        wait_for(lambda: layer.status().state is LiveState.LIVE)
        assert layer.latest("pump")
        assert layer.status().visible_lag_seconds < 3.0
    finally:
        layer.stop()


def test_a_mart_that_cannot_be_read_is_told_and_landing_is_followed(tmp_path: Path) -> None:
    own = settings_in(tmp_path)
    publish_minutes(own, [], minute(2))
    device_minute_tree(own.paths).file(minute(2)).write_bytes(b"torn")
    layer = LiveLayer(own, now=lambda: NOW)
    layer.start()
    try:
        wait_for(lambda: layer.status().error is not None)
        land(own, [Told(ago(1), 1.0)])
        wait_for(lambda: bool(layer.latest("pump")))
    finally:
        layer.stop()
