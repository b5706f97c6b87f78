"""What a newcomer sees in the first minutes after `iot up`, asked for in the ways that a newcomer asks."""

import csv
import io
import json
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from itertools import pairwise
from pathlib import Path

import polars as pl
import pytest
from polars.testing import assert_frame_equal

from iot_pipeline.clock import MINUTE, floor_minute, minute_key, minutes_between, utc_now
from iot_pipeline.operations.status import Freshness
from iot_pipeline.stats.published import published_minute
from sensors_sim.fleet import Message
from sensors_sim.mqtt import MqttPublisher
from sensors_sim.registry import FLEETS
from tests.product.conftest import FIRST_MINUTE_SECONDS, Holder
from tests.product.live import Live, newest_filled

pytestmark = pytest.mark.usefixtures("first_minute", "hand_made")

# By hand, so that no timetable of the simulators decides what is tested: payload and reason.
MALFORMED = {
    "weather/hand-made/observation": (b'{"temperature": 3.5', "bad_json"),
    "utility/gateway/hand-made": (b"[]", "wrong_shape"),
    "spBv1.0/ice_plant/DDATA/sensors/hand-made": (b"\xff\xff\xff", "bad_protobuf"),
    "nobody/knows/this": (b'{"a": 1}', "no_mapping"),
}


@pytest.fixture(scope="module")
def hand_made(live: Live) -> None:
    """The malformed messages, sent before the first test of this module so that none has to wait for them."""
    publisher = MqttPublisher(live.settings, "hand-made", window=10)
    publisher.start()
    try:
        publisher.wait_connected(10)
        for topic, (payload, _) in MALFORMED.items():
            publisher.publish(Message(utc_now(), topic, payload))
        publisher.drain(10)
    finally:
        publisher.close()


@pytest.fixture(scope="module")
def second_minute(live: Live) -> None:
    """One more minute, so that there are two whole ones to look at."""
    marts = live.paths.marts / "device_minute"
    live.wait(lambda: len(list(marts.glob("open/dt=*/hm=*/part.parquet"))) >= 2, "two minutes", seconds=120)


def test_first_statistics_and_flags_come_within_three_minutes(first_minute: float) -> None:
    print(f"first minute with statistics and flags after {first_minute:.0f} s")
    assert first_minute < FIRST_MINUTE_SECONDS


def test_status_tells_processes_messages_and_freshness(live: Live) -> None:
    status = live.status()
    assert status.running
    assert status.up_pid == live.process.pid
    assert status.dagster_url == live.dagster_url
    assert status.broker.answers
    assert [process.name for process in status.processes if process.state != "running" or process.restarts] == []
    assert {process.name for process in status.processes} == {
        "broker",
        "simulator-opcua",
        "collector",
        "collector-sparkplug",
        "collector-opcua",
        "code-server",
        "webserver",
        "daemon",
        "web",
        "simulator",
    }
    assert [collector.source for collector in status.collectors] == ["mqtt", "opcua", "sparkplug"]
    assert all(collector.alive and collector.connected for collector in status.collectors)
    assert sum(collector.messages for collector in status.collectors) >= status.today.messages > 0
    account = status.today
    assert account.messages == account.decoded + account.duplicates + account.no_reading + account.quarantined
    assert {status.landing.freshness, status.readings.freshness, status.device_minute.freshness} == {Freshness.ok}
    people = live.command("status")
    assert people.returncode == 0
    assert live.dagster_url in people.stdout


def test_sql_answers_in_three_formats_while_runs_write(live: Live) -> None:
    live.wait(lambda: any(run.status == "STARTED" for run in live.runs()), "a run under way", seconds=120)
    query = 'SELECT minute, device_id, metric, "count" FROM device_minute ORDER BY ALL LIMIT 5'
    with ThreadPoolExecutor() as pool:
        done = dict(
            zip(
                ("table", "csv", "json"),
                pool.map(lambda style: live.command("sql", "--format", style, query), ("table", "csv", "json")),
                strict=True,
            )
        )
    assert [(style, answer.stderr) for style, answer in done.items() if answer.returncode] == []
    rows = json.loads(done["json"].stdout)
    assert len(rows) == 5
    assert [row["device_id"] for row in csv.DictReader(io.StringIO(done["csv"].stdout))] == [
        row["device_id"] for row in rows
    ]
    assert "5 rows" in done["table"].stdout
    assert rows[0]["minute"] in done["table"].stdout


def test_a_program_that_holds_the_catalog_sees_new_minutes(live: Live, holder: Holder) -> None:
    before, newest = holder.ask()
    marts = live.paths.marts / "device_minute"

    def next_minute() -> bool:
        part = newest_filled(marts)
        return part is not None and part.timestamp() > newest

    live.wait(next_minute, "a minute that was not there when the catalog was asked first", seconds=150)
    after, later = holder.ask()
    assert after > before
    assert later > newest
    assert [run for run in live.runs() if run.status == "FAILURE"] == []


@pytest.fixture(scope="module")
def whole_minute(live: Live) -> None:
    """A minute that began after everything ran, so that each fleet had its say."""
    marts, begin = live.paths.marts / "device_minute", floor_minute(utc_now()) + MINUTE

    def there() -> bool:
        minute = newest_filled(marts)
        return minute is not None and minute >= begin

    live.wait(there, "a whole minute", seconds=240)


@pytest.mark.usefixtures("whole_minute")
def test_all_five_fleets_have_statistics(live: Live) -> None:
    found = live.query("select distinct fleet from device_minute join dim_device using (device_id)")
    assert set(FLEETS) <= set(found["fleet"])


@pytest.mark.usefixtures("whole_minute")
def test_devices_tell_units_and_attributes(live: Live) -> None:
    plant = live.query(
        "select device_id, type, description from dim_device where starts_with(device_id, 'ice_plant/sensors/')"
    )
    units = live.query("select distinct fleet, metric, unit from device_minute join dim_device using (device_id)")
    assert plant["device_id"].sort().to_list() == sorted(f"ice_plant/sensors/device_{n}" for n in range(1, 11))
    assert plant.null_count().row(0) == (0, 0, 0)
    assert units.filter(pl.col("unit").is_null(), pl.col("fleet").is_in(list(FLEETS))).rows() == []
    told = set(units.rows())
    assert {
        ("weather", "temperature", "°C"),
        ("us_states", "temperature", "°F"),
        ("utility", "register", "kWh"),
        ("industrial_line", "current_l1", "A"),
    } <= told


def test_malformed_messages_are_in_quarantine_with_their_reason(live: Live) -> None:
    def found() -> dict[str, tuple[bytes, str]]:
        rows = live.query(
            "select topic, payload, reason, detail from quarantine where list_contains(?, topic)", list(MALFORMED)
        ).rows()
        assert all(detail for *_, detail in rows)
        return {topic: (payload, reason) for topic, payload, reason, _ in rows}

    live.wait(lambda: len(found()) == len(MALFORMED), "hand-made messages in quarantine", seconds=150)
    assert found() == MALFORMED


@pytest.mark.usefixtures("second_minute")
def test_what_the_simulators_made_malformed_is_in_quarantine(live: Live) -> None:
    labels = [json.loads(line) for path in live.paths.labels.glob("*.jsonl") for line in path.read_text().splitlines()]
    built: datetime = live.query("select max(minute) as minute from intake").item()
    bad = live.query("select received_at from quarantine where reason <> 'no_mapping'")["received_at"].to_list()
    times = [datetime.fromisoformat(label["start"]) for label in labels if label["fault"] == "malformed"]
    for at in times:
        if at < built:
            assert any(abs(received - at) < MINUTE for received in bad), at


@pytest.mark.usefixtures("second_minute")
def test_building_two_minutes_again_changes_nothing(live: Live) -> None:
    first, last = _two_built_minutes(live)
    before = _content(live, first, last)
    stamps = [published_minute(live.paths, minute) for minute in (first, last)]
    done = live.command("backfill", f"{minute_key(first)}..{minute_key(last)}", "--wait")
    assert done.returncode == 0, done.stdout + done.stderr
    again = [published_minute(live.paths, minute) for minute in (first, last)]
    assert all(old and new and new >= old for old, new in zip(stamps, again, strict=True))
    after = _content(live, first, last)
    # Devices with late readings may change meanwhile, and that is as it should be.
    late = _late_devices(live)
    for name, frame in before.items():
        assert frame.height or name == "anomaly_flags", name
        kept = ~pl.col("device_id").is_in(late) if "device_id" in frame.columns else pl.lit(value=True)
        assert_frame_equal(after[name].filter(kept), frame.filter(kept))


def _two_built_minutes(live: Live) -> tuple[datetime, datetime]:
    minutes = sorted(
        datetime.strptime(f"{path.parts[-3]}{path.parts[-2]}+0000", "dt=%Y-%m-%dhm=%H%M%z")
        for path in Path(live.paths.marts / "device_minute").glob("open/dt=*/hm=*/part.parquet")
    )
    return next((one, two) for one, two in pairwise(minutes) if len(minutes_between(one, two)) == 2)


def _content(live: Live, first: datetime, last: datetime) -> dict[str, pl.DataFrame]:
    """What the minute chain makes of two minutes, by table."""
    when = {
        "device_minute": "select * from device_minute where minute between ? and ? order by all",
        "anomaly_flags": "select * from anomaly_flags where minute between ? and ? order by all",
        "readings": "select * from readings where date_trunc('minute', event_ts) between ? and ? order by all",
        # When it was built changes, of course, and nothing is touched the second time.
        "intake": "select * exclude (built_at, touched_minutes, touched_days) from intake "
        "where minute between ? and ? order by all",
    }
    return {name: live.query(sql, first, last) for name, sql in when.items()}


def _late_devices(live: Live) -> list[str]:
    """Devices of which a reading came after the minute that it happened in was closed."""
    return live.query(
        "select distinct device_id from readings where received_at >= date_trunc('minute', event_ts) + ?",
        MINUTE + live.settings.intake_delay,
    )["device_id"].to_list()
