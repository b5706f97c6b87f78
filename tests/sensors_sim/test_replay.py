"""Files of real data as messages: times, nulls, quoted numbers, topics; and the way through a real broker."""

import json
from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from iot_pipeline.errors import BrokerUnavailable, ConfigurationError, DataError, IotError
from iot_pipeline.paths import PROJECT_ROOT
from iot_pipeline.settings import Settings, load_settings
from sensors_sim.replay import Replay, load_replay, replay_file
from sensors_sim.replay_topics import topic_level
from tests.sensors_sim.worlds import read
from tests.servers import RunningBroker

DATASETS = PROJECT_ROOT.parent / "shared" / "datasets"
Write = Callable[[str], Path]


@pytest.fixture
def csv(tmp_path: Path) -> Write:
    def write(text: str) -> Path:
        path = tmp_path / "house.csv"
        path.write_text(text)
        return path

    return write


def payloads(replay: Replay) -> list[dict[str, object]]:
    return [json.loads(message.payload) for message, _ in replay.messages()]


def test_cells_become_numbers_texts_and_nulls(csv: Write) -> None:
    path = csv('date,a,b,c,d,id\n2020-01-01 00:00:00,"  50",NA,wet,NaN,007\n2020-01-01 00:01:00," 2.5", ,T,1,010\n')
    replay = load_replay(path)
    assert payloads(replay) == [
        {"event_time": "2020-01-01T00:00:00.000000Z", "a": 50, "b": None, "c": "wet", "d": None, "id": "007"},
        {"event_time": "2020-01-01T00:01:00.000000Z", "a": 2.5, "b": None, "c": "T", "d": 1, "id": "010"},
    ]
    assert [nulls for _, nulls in replay.messages()] == [2, 1]


def test_a_word_among_numbers_leaves_the_numbers_numbers(csv: Write) -> None:
    rows = payloads(load_replay(csv("date,rain\n2020-01-01,0.5\n2020-01-02,T\n2020-01-03,2\n")))
    assert [row["rain"] for row in rows] == [0.5, "T", 2]


def test_a_header_one_column_short_names_no_row_names(csv: Write) -> None:
    rows = payloads(load_replay(csv('"date","t"\r\n"1","2020-01-01 00:00:00",5\r\n"2","2020-01-01 00:01:00",6\r\n')))
    assert rows[1] == {"event_time": "2020-01-01T00:01:00.000000Z", "t": 6}


def test_the_hour_that_comes_twice_is_told_apart_for_each_device(csv: Write) -> None:
    hours = ["00:30", "01:00", "01:30", "01:00", "01:30", "02:00"]
    lines = [f"{device},2013-11-03 {hour},1" for device in ("EWR", "JFK") for hour in hours]
    path = csv("origin,when,v\n" + "\n".join(lines) + "\n")
    replay = load_replay(path, device="{origin}", zone="America/New_York")
    per_device = sorted(m.due for m, _ in replay.messages() if m.topic.endswith("EWR"))
    first = datetime(2013, 11, 3, 4, 30, tzinfo=UTC)
    assert per_device == [first + timedelta(minutes=30 * step) for step in (0, 1, 2, 3, 4, 5)]
    assert replay.repeated == 0
    assert load_replay(path, device="{origin}").repeated == 4


def test_rows_play_in_order_of_time_and_ties_in_the_files_order(csv: Write) -> None:
    rows = payloads(load_replay(csv("date,v\n2020-01-03,3\n2020-01-01,1\n2020-01-03,4\n")))
    assert [row["v"] for row in rows] == [1, 3, 4]


def test_now_puts_the_last_row_at_the_present(csv: Write) -> None:
    before = datetime.now(UTC)
    replay = load_replay(csv("date,v\n2020-01-01T00:00:00,1\n2020-01-01T01:00:00,2\n"), now=True)
    first, last = (message.due for message, _ in replay.messages())
    assert before <= last <= datetime.now(UTC)
    assert last - first == timedelta(hours=1)


@pytest.mark.parametrize(
    ("column", "cells"),
    [
        ("when", ["2020-01-01T00:00:00Z", "2020-01-01T01:00:00+01:00"]),
        ("when", ["2020/01/01 00:00", "2020/01/01 00:00:00"]),
        ("timestamp", ["1577836800", "1577836800000"]),
        ("ts", ["1577836800.0", "1577836800000000"]),
    ],
)
def test_times_are_understood(csv: Write, column: str, cells: list[str]) -> None:
    rows = payloads(load_replay(csv(f"{column},v\n" + "".join(f"{cell},1\n" for cell in cells))))
    assert {row["event_time"] for row in rows} == {"2020-01-01T00:00:00.000000Z"}


def test_parquet_types(tmp_path: Path) -> None:
    path = tmp_path / "typed.parquet"
    frame = pl.DataFrame(
        {
            "at": [datetime(2020, 1, 1, tzinfo=UTC)],
            "on": [True],
            "day": ["x"],
            "gap": [float("nan")],
            "exact": [2**60],
        }
    )
    frame.write_parquet(path)
    [row] = payloads(load_replay(path))
    assert row == {
        "event_time": "2020-01-01T00:00:00.000000Z",
        "on": True,
        "day": "x",
        "gap": None,
        "exact": 2**60,
    }
    pl.DataFrame({"d": [date(2020, 1, 1)], "v": [1]}).write_parquet(path)
    assert payloads(load_replay(path)) == [{"event_time": "2020-01-01T00:00:00.000000Z", "v": 1}]


def test_topics_from_columns_are_fit_for_mqtt(csv: Write) -> None:
    path = csv("date,site,room,v\n2020-01-01,North Wing,a/b+c#,1\n2020-01-02,,x,2\n")
    replay = load_replay(path, topic="replay/{stem}/{site}/{room}")
    assert replay.topics == ["replay/house/North_Wing/a_b_c_", "replay/house/unknown/x"]
    assert payloads(replay)[0] == {"event_time": "2020-01-01T00:00:00.000000Z", "v": 1}
    kept = load_replay(path, topic="replay/{stem}/{room}", columns=["site", "v"])
    assert payloads(kept)[1] == {"event_time": "2020-01-02T00:00:00.000000Z", "site": None, "v": 2}


@given(st.text())
def test_any_value_becomes_one_level_of_a_topic(value: str) -> None:
    level = topic_level(value)
    assert level
    assert not set(level) & set(" /+#\x00\t\n")


@pytest.mark.parametrize(
    ("text", "options", "error", "words"),
    [
        ("a,b\n1,2\n", {}, ConfigurationError, "no column looks like a time.*a, b"),
        ("d,e,v\n2020-01-01,2020-01-02,1\n", {}, ConfigurationError, "several columns can be the time: d, e"),
        ("d,v\n2020-01-01,1\n", {"time_column_name": "x"}, ConfigurationError, "valid values are: d, v"),
        ("d,v\n2020-01-01,1\n", {"topic": "replay/{x}"}, ConfigurationError, "valid values are: d, v, stem, dataset"),
        ("d,v\n2020-01-01,1\n", {"topic": "replay/a b"}, ConfigurationError, "blank"),
        ("d,v\n2020-01-01,1\n", {"exclude": ["w"]}, ConfigurationError, "'w'"),
        ("d,v\n2020-01-01,1\n", {"zone": "Mars/Base"}, ConfigurationError, "IANA"),
        ("d,v\n2020-01-01,1\nsoon,2\n", {"time_column_name": "d"}, DataError, "row 2, column 'd': 'soon'"),
        ("d,v\n7,1\n", {"time_column_name": "d"}, DataError, "too small"),
        ("d,d\n2020-01-01,1\n", {}, DataError, "more than once"),
        ("d,v\n", {}, DataError, "at least one row"),
        ("d,v\n2020-01-01,1\n2020-01-01,1,3,4\n", {}, DataError, "house.csv"),
    ],
)
def test_errors_say_what_and_where(
    csv: Write, text: str, options: dict[str, str], error: type[IotError], words: str
) -> None:
    with pytest.raises(error, match=words):
        load_replay(csv(text), **options)  # type: ignore[arg-type]


def test_a_missing_file_and_a_missing_broker_are_told(csv: Write, free_port: int, settings: Settings) -> None:
    with pytest.raises(ConfigurationError, match="no such file"):
        load_replay(Path("nowhere.csv"))
    with pytest.raises(ConfigurationError, match="speed"):
        replay_file(csv("d,v\n2020-01-01,1\n"), settings=settings, speed=-1)


@pytest.mark.skipif(not DATASETS.is_dir(), reason="the datasets are not here")
@pytest.mark.parametrize(
    ("file", "device", "rows", "nulls"),
    [
        ("noaa_nycflights13/weather.csv", "{origin}", 26_115, 23_974),
        ("noaa_vega/weather.csv", "{location}", 2_922, 0),
        ("occupancy/datatest.txt", "{stem}", 2_665, 0),
        ("occupancy/datatest2.txt", "{stem}", 9_752, 0),
        ("appliances/testing.csv", "{stem}", 4_932, 0),
        ("river_waterflow_unlabelled.parquet", "{stem}", 1_268, 0),
    ],
)
def test_real_files_are_read_whole_and_the_pipeline_understands_them(
    file: str, device: str, rows: int, nulls: int
) -> None:
    replay = load_replay(DATASETS / file, device=device)
    messages = list(replay.messages())
    assert (len(messages), sum(count for _, count in messages), replay.repeated) == (rows, nulls, 0)
    sink = read(message for message, _ in messages[:200])
    assert not sink.problems
    numbers = {key for key, value in json.loads(messages[0][0].payload).items() if isinstance(value, int | float)}
    assert numbers <= {row[3] for row in sink.rows}


def test_every_row_is_acknowledged_by_a_real_broker(csv: Write, nats_broker: RunningBroker) -> None:
    lines = [f"dev{n % 3},2020-01-01 00:{n // 60:02}:{n % 60:02},{n if n % 5 else 'NA'}" for n in range(600)]
    path = csv("origin,date,v\n" + "\n".join(lines) + "\n")
    told: list[tuple[int, int]] = []
    summary = replay_file(
        path,
        settings=load_settings(broker_url=nats_broker.url),
        device="{origin}",
        speed=1_000,
        progress=lambda sent, total: told.append((sent, total)),
    )
    assert (summary.rows, summary.acknowledged, summary.null_fields, summary.repeated) == (600, 600, 120, 0)
    assert summary.seconds >= 0.599  # ten minutes, a thousand times faster
    assert told[-1] == (600, 600)
    assert summary.last_event == "2020-01-01T00:09:59.000000Z"


def test_without_a_broker_the_error_names_its_address(
    csv: Write, free_port: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sensors_sim.replay.CONNECT_TIMEOUT_S", 0.2)
    settings = load_settings(broker_url=f"mqtt://127.0.0.1:{free_port}")
    with pytest.raises(BrokerUnavailable, match=f"127.0.0.1:{free_port}"):
        replay_file(csv("d,v\n2020-01-01,1\n"), settings=settings)
