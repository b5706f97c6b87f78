from dataclasses import replace
from datetime import UTC, datetime, timedelta

import structlog.testing

from iot_pipeline.landing.heartbeat import CollectorHeartbeat, heartbeat_file, read_heartbeats, write_heartbeat
from iot_pipeline.paths import DataPaths

NOON = datetime(2026, 11, 22, 12, tzinfo=UTC)
BEAT = CollectorHeartbeat(
    collector="collector-1",
    pid=1,
    started_at=NOON,
    written_at=NOON,
    connected=True,
    messages=1,
    payload_bytes=2,
    batches=3,
    duplicates_flagged=4,
    unacked=5,
    pending_rows=6,
    last_received_at=None,
    landed_through=NOON,
    reconnects=0,
    last_error=None,
    broker="127.0.0.1:1883",
    cpu_seconds=0.5,
    rss_bytes=7,
)


def test_heartbeats_of_all_collectors_are_read_back(data_paths: DataPaths) -> None:
    assert read_heartbeats(data_paths) == []
    other = replace(BEAT, collector="collector-2", last_received_at=NOON, last_error="no route")
    for beat in (other, BEAT, BEAT):
        write_heartbeat(data_paths, beat)
    assert read_heartbeats(data_paths) == [BEAT, other]
    assert BEAT.age(NOON + timedelta(seconds=3)) == timedelta(seconds=3)
    assert sorted(path.suffix for path in data_paths.state.iterdir()) == [".json", ".json"]


def test_without_room_for_a_new_file_the_old_one_is_overwritten(data_paths: DataPaths) -> None:
    write_heartbeat(data_paths, replace(BEAT, last_error="a long story " * 10))
    # A folder of that name stands for every reason why no new file can be made.
    heartbeat_file(data_paths, BEAT.collector).with_suffix(".tmp").mkdir()
    write_heartbeat(data_paths, BEAT)
    assert read_heartbeats(data_paths) == [BEAT]


def test_a_torn_heartbeat_is_left_out(data_paths: DataPaths) -> None:
    write_heartbeat(data_paths, BEAT)
    heartbeat_file(data_paths, "collector-2").write_text('{"collector": "coll')
    with structlog.testing.capture_logs() as logs:
        assert read_heartbeats(data_paths) == [BEAT]
    assert [entry["event"] for entry in logs] == ["heartbeat_unreadable"]
