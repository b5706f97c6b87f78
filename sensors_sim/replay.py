"""Plays a file of real data over MQTT, row by row: `python -m sensors_sim.replay FILE`.

A row becomes a flat JSON object on `replay/{dataset}/{device}`. What a cell is worth is `replay_table.py`'s,
how messages travel `mqtt.py`'s.
"""

import argparse
import os
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import msgspec

from iot_pipeline.clock import utc_now
from iot_pipeline.errors import ConfigurationError, IotError
from iot_pipeline.settings import Settings, load_settings
from sensors_sim.fleet import Message, from_us, iso, to_us
from sensors_sim.mqtt import MqttPublisher
from sensors_sim.replay_table import Table, instants, read_table, time_column
from sensors_sim.replay_topics import columns_of, topics_of

DEFAULT_TOPIC = "replay/{dataset}/{device}"
DEFAULT_DEVICE = "{stem}"
ACK_TIMEOUT_S = 60.0
CONNECT_TIMEOUT_S = 15.0
PROGRESS_EVERY_S = 1.0
_WINDOW = 1000
Progress = Callable[[int, int], None]


@dataclass(frozen=True, slots=True)
class ReplaySummary:
    """What was played. `repeated` rows have topic and time of an earlier row; the pipeline keeps the first."""

    rows: int
    acknowledged: int
    null_fields: int
    repeated: int
    first_event: str
    last_event: str
    seconds: float


@dataclass(frozen=True, slots=True)
class Replay:
    """A file that is ready to be played: rows in order of time, each with its topic and instant."""

    table: Table
    topics: list[str]
    times_us: list[int]
    columns: list[str]
    repeated: int

    def messages(self) -> Iterator[tuple[Message, int]]:
        """Each row's message, due at its event time, and how many of its fields are null."""
        rows = self.table.frame.select(self.columns).iter_rows()
        for topic, at_us, row in zip(self.topics, self.times_us, rows, strict=True):
            payload: dict[str, object] = {"event_time": iso(at_us)}
            nulls = 0
            for column, raw in zip(self.columns, row, strict=True):
                cell = self.table.cell(column, raw)
                nulls += cell is None
                payload[column] = cell
            yield Message(from_us(at_us), topic, msgspec.json.encode(payload)), nulls


def load_replay(
    path: Path,
    *,
    topic: str = DEFAULT_TOPIC,
    device: str = DEFAULT_DEVICE,
    dataset: str | None = None,
    time_column_name: str | None = None,
    zone: str = "UTC",
    now: bool = False,
    columns: Sequence[str] = (),
    exclude: Sequence[str] = (),
) -> Replay:
    """Read a file and settle every row's topic and time; nothing is sent.

    The payload holds all columns but the time, those that the topic tells, and `exclude`; or exactly
    `columns`. See `replay_file` for the arguments and errors.
    """
    table = read_table(path)
    names = table.frame.columns
    for name in (*columns, *exclude):
        if name not in names:
            raise ConfigurationError.unknown_value(f"{path}: column", name, names)
    when = time_column(table, time_column_name)
    fixed = {"stem": path.stem, "dataset": dataset or path.stem}
    # A column of that name wins over the file's name.
    pattern = topic if "device" in names else topic.replace("{device}", device)
    used = columns_of(pattern, names, fixed)
    topics = topics_of(table, pattern, used, fixed)
    times_us = instants(table, when, _zone(zone), topics)
    left_out = {when, *used, *exclude, "event_time"}
    wanted = [name for name in names if (name in columns if columns else name not in left_out)]
    order = sorted(range(len(topics)), key=times_us.__getitem__)  # stable: the file's order within an instant
    ordered = Table(path, table.frame[order], table.mixed)
    shift_us = to_us(utc_now()) - max(times_us) if now else 0
    repeated = len(topics) - len(set(zip(topics, times_us, strict=True)))
    return Replay(ordered, [topics[i] for i in order], [times_us[i] + shift_us for i in order], wanted, repeated)


def replay_file(
    path: Path,
    *,
    settings: Settings,
    topic: str = DEFAULT_TOPIC,
    device: str = DEFAULT_DEVICE,
    dataset: str | None = None,
    speed: float = 1.0,
    time_column_name: str | None = None,
    zone: str = "UTC",
    now: bool = False,
    columns: Sequence[str] = (),
    exclude: Sequence[str] = (),
    progress: Progress | None = None,
) -> ReplaySummary:
    """Play a file; returns when the broker has confirmed every message (QoS 1).

    Args:
        path: a CSV or Parquet file.
        settings: the broker.
        topic: template; `{name}` is a column, `{stem}` the file's name, `{dataset}` and `{device}` see below.
        device: template for `{device}`, the part of the topic that tells devices apart.
        dataset: for `{dataset}`; default: the file's name without ending.
        speed: how many times faster than the events happened; 0: as fast as the broker takes them.
        time_column_name: the column that says when; default: the only one that can be it.
        zone: IANA name of the zone of times without an offset.
        now: move all times so that the last row is at the present, whatever the speed.
        columns: the only columns to send (default: all but time and topic columns).
        exclude: columns not to send.
        progress: called about once a second, and at the end, with rows sent and rows in all.

    Raises:
        ConfigurationError: an argument does not fit the file; nothing was sent.
        DataError: the file cannot be read; nothing was sent.
        BrokerUnavailable: no connection, or no acknowledgement for a minute.
    """
    if speed < 0:
        raise ConfigurationError(f"speed: received {speed:g}; it must be 0 (as fast as possible) or more")
    replay = load_replay(
        path,
        topic=topic,
        device=device,
        dataset=dataset,
        time_column_name=time_column_name,
        zone=zone,
        now=now,
        columns=columns,
        exclude=exclude,
    )
    started = time.monotonic()
    publisher = MqttPublisher(settings, f"sensors-sim-replay-{os.getpid()}", window=_WINDOW)
    publisher.start()
    try:
        publisher.wait_connected(CONNECT_TIMEOUT_S)
        nulls = _play(replay, publisher, speed, progress)
        publisher.drain(ACK_TIMEOUT_S)
    finally:
        publisher.close()
    return ReplaySummary(
        rows=len(replay.topics),
        acknowledged=publisher.acknowledged,
        null_fields=nulls,
        repeated=replay.repeated,
        first_event=iso(replay.times_us[0]),
        last_event=iso(replay.times_us[-1]),
        seconds=round(time.monotonic() - started, 3),
    )


def _play(replay: Replay, publisher: MqttPublisher, speed: float, progress: Progress | None) -> int:
    total, nulls = len(replay.topics), 0
    began = told = time.monotonic()
    for number, (message, null_fields) in enumerate(replay.messages(), start=1):
        if speed > 0:
            ahead_s = (replay.times_us[number - 1] - replay.times_us[0]) / 1e6 / speed
            time.sleep(max(0.0, began + ahead_s - time.monotonic()))
        publisher.wait_ready(ACK_TIMEOUT_S)
        publisher.publish(message)
        nulls += null_fields
        if progress is not None and (number == total or time.monotonic() - told >= PROGRESS_EVERY_S):
            told = time.monotonic()
            progress(number, total)
    return nulls


def _zone(name: str) -> ZoneInfo:
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError) as error:
        raise ConfigurationError(f"zone: received {name!r}; expected an IANA name such as Europe/Berlin") from error


def print_progress(sent: int, total: int) -> None:
    """Progress on stderr, in place."""
    print(f"\r{sent} of {total} rows sent", end="\n" if sent == total else "", file=sys.stderr, flush=True)


def main(arguments: Sequence[str] | None = None) -> int:
    """Entry point of `python -m sensors_sim.replay`. Returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m sensors_sim.replay", description="Plays a file over MQTT.")
    parser.add_argument("file", type=Path, help="CSV or Parquet")
    parser.add_argument("--broker-url", help="mqtt://host[:port]; default: IOT_BROKER_URL")
    parser.add_argument("--topic", default=DEFAULT_TOPIC, help="template (default: %(default)s)")
    parser.add_argument("--device", default=DEFAULT_DEVICE, help="template for {device} (default: %(default)s)")
    parser.add_argument("--speed", type=float, default=1.0, help="times the pace of the events; 0: flat out")
    parser.add_argument("--time-column", help="default: the only column that can be it")
    parser.add_argument("--zone", default="UTC", help="IANA zone of times without offset (default: %(default)s)")
    parser.add_argument("--now", action="store_true", help="move all times so that the last row is at the present")
    parser.add_argument("--columns", nargs="+", default=[], help="the only columns to send")
    parser.add_argument("--exclude", nargs="+", default=[], help="columns not to send")
    options = parser.parse_args(arguments)
    try:
        summary = replay_file(
            options.file,
            settings=load_settings(**({"broker_url": options.broker_url} if options.broker_url else {})),
            topic=options.topic,
            device=options.device,
            speed=options.speed,
            time_column_name=options.time_column,
            zone=options.zone,
            now=options.now,
            columns=options.columns,
            exclude=options.exclude,
            progress=print_progress,
        )
    except IotError as error:
        print(error, file=sys.stderr)
        return 2
    print(summary_line(summary))
    return 0


def summary_line(summary: ReplaySummary) -> str:
    """The summary for people, in one line, with a warning where rows repeat an instant."""
    line = (
        f"{summary.rows} rows, {summary.acknowledged} messages acknowledged, {summary.null_fields} null fields, "
        f"{summary.first_event} to {summary.last_event}, {summary.seconds:g} s"
    )
    if summary.repeated:
        line += (
            f"; {summary.repeated} rows repeat the time of an earlier row of their topic and count as duplicates: "
            "tell devices apart with --device, or name the zone of local times with --zone"
        )
    return line


if __name__ == "__main__":
    sys.exit(main())
