"""The tables of what devices owed and sent on a day: by fleet, and the devices that have something to look at."""

from collections.abc import Sequence

from iot_pipeline.serving import quality
from iot_pipeline.serving.pages.overview.view import fleet_title
from iot_pipeline.serving.pages.parts import links
from iot_pipeline.serving.pages.parts.markup import box, text
from iot_pipeline.serving.pages.parts.tables import Cell, Column, table
from iot_pipeline.serving.pages.parts.wording import NO_VALUE, decimals, format_count, format_duration

# Below the first a device is bad, below the second it is worth a look.
BAD_PERCENT, FAIR_PERCENT = 90.0, 99.0


def draw_fleets(fleets: Sequence[quality.FleetDay]) -> None:
    """One row a fleet."""
    columns = [
        Column("Fleet"),
        Column("Complete", hint="readings that are there of those that the usual intervals let expect"),
        Column("Devices", numeric=True),
        Column("Silent", numeric=True, hint="heard in the week before, and not on this day"),
        Column("Below 99 %", numeric=True, hint="devices, of those with a regular series"),
        Column("Lateness p95", numeric=True, hint="of the device in the middle; from event to receipt"),
        Column("Latest device", numeric=True),
        Column("Gaps", numeric=True, hint="silences longer than two and a half usual intervals"),
        Column("Longest gap", numeric=True),
        Column("Repeated", numeric=True, hint="readings that came again and were left out"),
        Column("Unread", numeric=True, hint="messages in quarantine whose device is known"),
        Column("Bad quality", "%", numeric=True),
        Column("Flat lines", numeric=True, hint="devices with a value that did not move for ten minutes or longer"),
    ]
    rows: list[list[Cell]] = [
        [
            "never heard" if one.fleet is None else fleet_title(one.fleet),
            _completeness(one.completeness_percent),
            format_count(one.devices),
            format_count(one.silent),
            format_count(one.judged - one.complete),
            _seconds(one.lateness_p95_seconds),
            _seconds(one.worst_lateness_seconds),
            format_count(one.gaps),
            format_duration(one.longest_gap_seconds),
            format_count(one.duplicates),
            format_count(one.quarantined),
            _percent(one.bad_percent),
            format_count(one.flat_devices),
        ]
        for one in fleets
    ]
    table(columns, rows, label="Fleets of the day")


def draw_devices(devices: Sequence[dict[str, object]], among: int) -> None:
    """Rows of `device_slo`, worst first, of `among` devices of that day."""
    text("Devices with something to look at, worst first", "card-sub", tag="h3")
    if not devices:
        with box("verdict-line"):
            box("dot dot-ok", tag="span", aria_hidden="true")
            text(f"None of {format_count(among)} devices lacks a reading or sent one that could not be read.", "muted")
        return
    columns = [
        Column("Device"),
        Column("Fleet"),
        Column("Complete"),
        Column("Missing", numeric=True, hint="readings, of those expected"),
        Column("Readings", numeric=True),
        Column("Lateness p95", numeric=True),
        Column("Gaps", numeric=True),
        Column("Longest gap", numeric=True),
        Column("Repeated", numeric=True),
        Column("Unread", numeric=True, hint="messages in quarantine"),
        Column("Bad quality", "%", numeric=True),
        Column("Flat line", "min", numeric=True, hint="longest together, of the series that has most"),
    ]
    table(columns, [_device_row(row) for row in devices], label="Devices of the day, worst first")
    if len(devices) == quality.DEVICES_LISTED:
        text(
            f"The worst {len(devices)} of {format_count(among)}; all of them are in the view device_slo.", "muted small"
        )


def _device_row(row: dict[str, object]) -> list[Cell]:
    def count(name: str) -> str:
        value = row[name]
        return format_count(value) if isinstance(value, int) else NO_VALUE

    def number(name: str) -> float | None:
        value = row[name]
        return value if isinstance(value, float) else None

    device, fleet = str(row["device_id"]), row["fleet"]
    return [
        lambda: links.device_link(device),
        fleet_title(str(fleet)) if fleet else "never heard",
        _completeness(number("completeness_percent"), silent=row["readings"] == 0),
        count("missing"),
        count("readings"),
        _seconds(number("lateness_p95_seconds")),
        count("gaps"),
        format_duration(number("longest_gap_seconds")),
        count("duplicates"),
        count("quarantined"),
        _percent(number("bad_percent")),
        count("flat_line_minutes"),
    ]


def _percent(value: float | None, digits: int = 1) -> str:
    # 99.97 % must not look complete.
    shown = value if value is None or value in (0, 100) else min(max(value, 0.05), 99.9 if value < 100 else value)
    return decimals(shown, digits)


def _seconds(value: float | None) -> str:
    return NO_VALUE if value is None else f"{value:+.1f} s" if value < 0 else format_duration(value)


def _grade(percent: float | None, *, silent: bool = False) -> str:
    if silent or (percent is not None and percent < BAD_PERCENT):
        return "pill-bad"
    if percent is None:
        return ""
    return "pill-ok" if percent >= FAIR_PERCENT else "pill-warn"


def _completeness(percent: float | None, *, silent: bool = False) -> Cell:
    def draw() -> None:
        words = "silent" if silent else "not judged" if percent is None else f"{_percent(percent)} %"
        text(words, f"pill {_grade(percent, silent=silent)} num")

    return draw
