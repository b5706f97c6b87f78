"""`iot status` for people: the record of `status.py` as a few lines and a table."""

from datetime import datetime, timedelta

from rich.console import Console
from rich.table import Table

from iot_pipeline.operations.status import Collector, Freshness, Stage, Status

_COLOURS = {Freshness.ok: "green", Freshness.late: "red", Freshness.unknown: "yellow"}


def print_status(status: Status, console: Console) -> None:
    """Print what runs, what came in today and how far each stage is."""
    if status.running and status.up_since:
        age = _duration(status.at - status.up_since)
        console.print(f"iot up   pid {status.up_pid}, for {age}, {status.dagster_url or 'without Dagster'}")
        if status.web_url:
            console.print(f"pages    {status.web_url}, the API at {status.web_url}/api/v1/docs")
    else:
        console.print("iot up   nothing runs on this data folder; start it with `iot up`")
    reach = "answers" if status.broker.answers else "does not answer"
    console.print(f"broker   {status.broker.url} {reach}")
    console.print(f"data     {status.data}, {status.disk_free_bytes / 1e9:.1f} GB free")
    today = status.today
    console.print(
        f"today    {today.messages:,} messages, {today.readings:,} readings, {today.duplicates:,} duplicates, "
        f"{today.quarantined:,} quarantined, in {today.minutes:,} minutes (UTC)\n"
    )
    console.print(_stages(status))
    if status.collectors:
        console.print()
    for collector in status.collectors:
        console.print(_collector(collector), soft_wrap=True, markup=False, highlight=False)
    if status.processes:
        console.print()
        console.print(_processes(status))


def _collector(collector: Collector) -> str:
    state = "connected to" if collector.connected else "not connected to"
    if not collector.alive:
        state = "stopped; was at" if collector.stopped else "no heartbeat; was at"
    counts = "".join(f", {count:,} {name.replace('_', ' ')}" for name, count in collector.counts.items() if count)
    trouble = f"; {collector.last_error}" if collector.last_error else ""
    return (
        f"{collector.collector} ({collector.source})  {state} {collector.broker}: {collector.messages:,} messages "
        f"since it started, {collector.pending_rows:,} waiting for their batch{counts}{trouble}"
    )


def _stages(status: Status) -> Table:
    table = Table("stage", "up to (UTC)", "behind", "freshness", show_edge=False, pad_edge=False)
    stages = {"landing": status.landing, "readings": status.readings, "device_minute": status.device_minute}
    for name, stage in stages.items():
        table.add_row(name, _instant(stage.last), _lag(stage), f"[{_COLOURS[stage.freshness]}]{stage.freshness}")
    return table


def _processes(status: Status) -> Table:
    table = Table("process", "state", "pid", "for", "restarts", show_edge=False, pad_edge=False)
    for process in status.processes:
        age = _duration(status.at - process.since) if process.since and process.pid else ""
        table.add_row(process.name, process.state, str(process.pid or ""), age, str(process.restarts))
    return table


def _instant(instant: datetime | None) -> str:
    return f"{instant:%Y-%m-%d %H:%M:%S}" if instant else "nothing yet"


def _lag(stage: Stage) -> str:
    return "" if stage.lag_seconds is None else _duration(timedelta(seconds=max(stage.lag_seconds, 0)))


def _duration(span: timedelta) -> str:
    """Two units at most: `3 s`, `2 min 5 s`, `4 h 10 min`, `3 d 2 h`."""
    seconds = int(span.total_seconds())
    units = (("d", 86_400), ("h", 3_600), ("min", 60), ("s", 1))
    parts: list[str] = []
    for name, size in units:
        count, seconds = divmod(seconds, size)
        if count or parts:
            parts.append(f"{count} {name}")
    return " ".join(parts[:2]) or "0 s"
