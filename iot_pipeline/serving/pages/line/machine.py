"""What the line's page shows of the chosen machine: currents, charge, starts, vibration. It changes in place.

Figures come from `line/view.py` and `line/past.py`.
"""

from collections.abc import Sequence
from datetime import datetime, timedelta

from iot_pipeline.serving.live_view import LiveView
from iot_pipeline.serving.pages.line.past import Start
from iot_pipeline.serving.pages.line.vibration_zones import MEANING, SOURCE, Zones
from iot_pipeline.serving.pages.line.view import PHASES, Charge, MachineNow
from iot_pipeline.serving.pages.parts import links
from iot_pipeline.serving.pages.parts.charts import Chart, Line, series_chart, series_spec
from iot_pipeline.serving.pages.parts.grids import Cell, Column, LiveTable
from iot_pipeline.serving.pages.parts.inplace import put, put_class, show_if
from iot_pipeline.serving.pages.parts.markup import Tag, box, text
from iot_pipeline.serving.pages.parts.wording import NO_VALUE, decimals

CURRENTS_OVER = timedelta(minutes=5)
VIBRATION_OVER = timedelta(hours=1)
STARTS_SHOWN = 6
_PHASE_NAMES = ("L1", "L2", "L3")
UNBALANCE = (
    "Largest deviation of a phase from the mean of the three, as NEMA MG 1 has it for voltages; "
    "means of 10 s. At rest it is noise and not shown"
)


class Currents:
    """Three phases live, their unbalance, and the integral of the running hour with the last starts."""

    def __init__(self, device_id: str) -> None:
        self._device_id = device_id
        with box("columns"):
            with box("card span-8"):
                with box("card-head"):
                    text("Currents", "card-title", tag="h2")
                    text("last 5 minutes, live", "card-sub")
                with box("figures"):
                    self._phases = [Figure(name, f"Newest current of phase {name[1]}") for name in _PHASE_NAMES]
                    self._unbalance = Figure("Unbalance", UNBALANCE)
                self._chart: Chart = series_chart(label=f"Currents of {device_id}", unit="A", lines=(), height=230)
                with box("origins"):
                    links.device_link(device_id)
                    links.dagster_asset("machine_current_hour")
                    links.dbt_model("machine_current_hour")
            with box("stack span-4"):
                self._charge = _ChargeCard()
                with box("card"):
                    with box("card-head"):
                        text("Last starts", "card-title", tag="h2")
                        text("of three hours", "card-sub")
                    columns = [
                        Column("At", "time", form="time"),
                        Column("Load (A)", "num", "What it draws when it works: median of the phases' mean"),
                        Column("Peak (A)", "num", "Largest mean of the phases within 10 s: a lower bound"),
                        Column("Ratio", "num", "Peak by load"),
                        Column("Settled (s)", "num", "Until 1.2 times the load"),
                    ]
                    self._starts = LiveTable(columns, label="Last starts with their inrush")
                    self._no_start = text("", "muted", tag="p")
                    text(
                        "At one reading a second an inrush of tenths of a second is seen late and low: "
                        "peaks are lower bounds.",
                        "card-sub",
                        tag="p",
                    )
                    with box("origins"):
                        links.dagster_asset("machine_start")
                        links.dbt_model("machine_start")
                        links.report_link("line-starts")

    def show(self, live: LiveView, machine: MachineNow, charge: Charge, now: datetime) -> None:
        """Tell of the machine as it is."""
        for figure, current in zip(self._phases, machine.currents, strict=True):
            figure.show(current, "A", 2)
        self._unbalance.show(machine.unbalance, "%", 1)
        if machine.unbalance is None and machine.mean_current is not None:
            self._unbalance.say("at rest")
        since = now - CURRENTS_OVER
        lines = [
            Line(
                name=name,
                points=[(point.ts, point.value) for point in live.recent(self._device_id, phase, "A", since=since)],
            )
            for name, phase in zip(_PHASE_NAMES, PHASES, strict=True)
        ]
        self._chart.show(series_spec(unit="A", lines=lines))
        self._charge.show(charge)

    def show_starts(self, found: Sequence[Start], problem: str) -> None:
        """Tell of the last starts, newest first; `problem` says why there are none."""
        rows = [
            [
                Cell(at=start.at),
                Cell(f"{start.load:.1f}"),
                Cell(f"{start.peak:.1f}"),
                Cell(f"{start.ratio:.2f}"),
                Cell(NO_VALUE if start.settled is None else f"{start.settled:.0f}"),
            ]
            for start in found[:STARTS_SHOWN]
        ]
        self._starts.show(rows)
        put(self._no_start, problem or "No start in the last three hours.")
        show_if(self._no_start, not rows)


class _ChargeCard:
    """A·h by phase with the part of the hour that they cover."""

    def __init__(self) -> None:
        with box("card"):
            with box("card-head"):
                text("Integral of the hour", "card-title", tag="h2")
                self._coverage_text = text("", "card-sub num")
            with box("phases"):
                self._phases = [Figure(name, "Integral of the current since the hour began") for name in _PHASE_NAMES]
            with box("meter-bar", aria_hidden="true"):
                self._bar: Tag = box()
            self._width = ""

    def show(self, charge: Charge) -> None:
        for figure, ampere_hours in zip(self._phases, charge.ampere_hours, strict=True):
            figure.show(ampere_hours, "A·h", 3)
        put(self._coverage_text, f"{charge.coverage:.1%} covered since {charge.since:%H:%M} UTC")
        width = f"width: {charge.coverage:.1%}"
        if width != self._width:
            self._bar.style(replace=width)
            self._width = width


class Vibration:
    """Velocity of the last hour with the borders of the zones, and the zone now."""

    def __init__(self, device_id: str, zones: Zones) -> None:
        self._device_id, self._zones = device_id, zones
        with box("card"):
            with box("card-head"):
                text("Vibration", "card-title", tag="h2")
                text("last hour by minute", "card-sub")
            with box("row"):
                self._velocity = Figure("Velocity, last minute", "Mean of the readings of the newest minute")
                self._badge = text("", "zone zone-A", role="img")
                self._meaning = text("", "muted")
            self._scale()
            self._chart = series_chart(label=f"Vibration of {device_id}", unit="mm/s rms", lines=(), height=190)
            text(
                f"Zones of {SOURCE}; class: {zones.told}. A {MEANING['A']}, B {MEANING['B']}, C {MEANING['C']}, "
                f"D {MEANING['D']}.",
                "card-sub",
                tag="p",
            )
            with box("origins"):
                links.dagster_asset("machine_vibration_hour")
                links.dbt_model("machine_vibration_hour")
                links.report_link("line-vibration")

    def _scale(self) -> None:
        zones = self._zones
        self._top = zones.d * 1.35
        with box("", aria_hidden="true"):
            with box("zone-needle"):
                self._needle: Tag = box()
            with box("zone-scale"):
                for name, begin, end in (
                    ("A", 0.0, zones.b),
                    ("B", zones.b, zones.c),
                    ("C", zones.c, zones.d),
                    ("D", zones.d, self._top),
                ):
                    text(name, f"zone-{name}", tag="div").style(f"width: {100 * (end - begin) / self._top:.2f}%")
        self._left = ""

    def show(self, live: LiveView, now: datetime) -> None:
        """Tell of the last hour."""
        windows = live.minutes(self._device_id, "v_rms", "mm/s", since=now - VIBRATION_OVER)
        velocity = windows[-1].mean if windows else None
        self._velocity.show(velocity, "mm/s rms", 2)
        zone = self._zones.zone(velocity) if velocity is not None else ""
        show_if(self._badge, bool(zone))
        if zone:
            put(self._badge, zone, aria_label=f"Zone {zone}")
            put_class(self._badge, "zone-", zone)
        put(self._meaning, MEANING[zone] if zone else "no vibration is told")
        left = f"left: {min(100 * (velocity or 0.0) / self._top, 100):.1f}%"
        if left != self._left:
            self._needle.style(replace=left)
            self._left = left
        lines = [
            Line(name="mean", points=[(window.start, window.mean) for window in windows], colour="--c1"),
            Line(name="largest", points=[(window.start, window.max) for window in windows], colour="--c6", dashed=True),
        ]
        reach = 1.3 * max((window.max for window in windows), default=0.0)
        borders = (("B", self._zones.b, "--c4"), ("C", self._zones.c, "--flag-low"), ("D", self._zones.d, "--bad"))
        ends = (windows[0].start, windows[-1].start) if windows else ()
        lines += [
            Line(name=f"{name} from {border:g}", points=[(ts, border) for ts in ends], colour=colour, dashed=True)
            for name, border, colour in borders
            if border <= reach
        ]
        self._chart.show(series_spec(unit="mm/s rms", lines=lines))


class Figure:
    """A figure with its unit under its label."""

    def __init__(self, label: str, told: str) -> None:
        with box("figure", title=told):
            text(label, "figure-label")
            with box("figure-value"):
                self._number = text("", "figure-number num")
                self._unit = text("", "figure-unit")

    def show(self, value: float | None, unit: str, digits: int) -> None:
        """Change it: `digits` decimals."""
        put(self._number, decimals(value, digits))
        put(self._unit, unit if value is not None else "")

    def say(self, words: str) -> None:
        """Words in its place."""
        put(self._number, words)
