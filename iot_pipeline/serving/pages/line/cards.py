"""The machines of a line at a glance, and their states as strips of time. Both change in place."""

from collections.abc import Sequence
from datetime import datetime
from functools import partial

from iot_pipeline.clock import floor_minute
from iot_pipeline.serving.pages.line.history import STATE_TONES
from iot_pipeline.serving.pages.line.machine import Figure
from iot_pipeline.serving.pages.line.past import Span, time_in_state
from iot_pipeline.serving.pages.line.view import MachineNow, name_of
from iot_pipeline.serving.pages.parts import links
from iot_pipeline.serving.pages.parts.grids import Cell, Column, LiveTable
from iot_pipeline.serving.pages.parts.inplace import Clock, put, put_class, show_if
from iot_pipeline.serving.pages.parts.markup import Tag, box, text
from iot_pipeline.serving.pages.parts.timeline import Stretch, Strip
from iot_pipeline.serving.pages.parts.wording import format_duration

AXIS_PARTS = 4


def state_class(state: str | None) -> str:
    """The class that gives a state its colour; none of a name from outside gets into it."""
    if state is None:
        return "unknown"
    known = state.casefold()
    return f"state-paint state-{known if known in STATE_TONES else 'other'}"


class MachineCard:
    """A machine now; a link that chooses it."""

    def __init__(self, machine: MachineNow, url: str, *, chosen: bool) -> None:
        with Tag("a", "", "card machine", href=url) as whole:
            if chosen:
                whole.set(aria_current="true")
            with box("card-head"):
                text(machine.name, "card-title", tag="h2")
                self._flags = text("", "pill pill-warn hidden")
            with box("row"):
                self._state = text("", "pill pill-state state-other")
                self._since = text("", "muted num")
            with box("use-figures"):
                self._current = Figure("Current", "Mean of the three phases")
                self._unbalance = Figure("Unbalance", "Largest deviation of a phase from the mean; not at rest")
                self._vibration = Figure("Vibration", "Newest velocity, rms")
            with box("origins"):
                text("Heard")
                self._age = Clock(machine.newest, "ago")

    def show(self, machine: MachineNow, found: Sequence[Span], begin: datetime, flags: int) -> None:
        """Tell of the machine and how long it has been in its state."""
        put(self._state, machine.state or ("silent" if machine.is_quiet else "state not told"))
        state = (machine.state or "").casefold()
        put_class(self._state, "state-", state if state in STATE_TONES else "other")
        put(self._since, _since(machine, found, begin))
        self._current.show(machine.mean_current, "A", 1)
        self._unbalance.show(machine.unbalance, "%", 1)
        self._vibration.show(machine.v_rms, "mm/s", 2)
        show_if(self._flags, flags > 0)
        put(self._flags, f"{flags} flag{'' if flags == 1 else 's'} in the hour" if flags else "")
        self._age.show(machine.newest)


class States:
    """Strips of the last hours, a row a machine, and the time in each state of the chosen one."""

    def __init__(self, devices: Sequence[str], chosen: str) -> None:
        self._chosen = chosen
        self._strips: dict[str, Strip] = {}
        with box("card"):
            with box("card-head"):
                text("States", "card-title", tag="h2")
                text("last 2 hours", "card-sub")
            for device_id in devices:
                with box("timeline-row"):
                    links.device_link(device_id, name_of(device_id))
                    self._strips[device_id] = Strip(partial(_in_words, name_of(device_id)))
            with box("timeline-row"):
                text("")
                with box("timeline-axis"):
                    self._axis = [Clock(None, "minute", none="") for _ in range(AXIS_PARTS)]
                    text("now")
            self._legend = box("legend")
            self._legend_names: list[str] = []
            columns = [
                Column(f"{name_of(chosen)} was"),
                Column("Time", "num"),
                Column("Share", "num"),
                Column("Entered", "num", "How often it came into it from another state"),
            ]
            self._table = LiveTable(columns, label=f"Time in state of {chosen}, last 2 hours")
            with box("origins"):
                links.dagster_asset("machine_state_hour")
                links.dbt_model("machine_state_hour")
                links.report_link("line-states")

    def show(self, by_machine: dict[str, list[Span]], begin: datetime, now: datetime) -> None:
        """Tell of all machines."""
        names: dict[str, None] = {}
        for device_id, found in by_machine.items():
            names.update(dict.fromkeys(span.state for span in found if span.state is not None))
            if (strip := self._strips.get(device_id)) is not None:
                strip.show([_stretch(span) for span in found], begin, now)
        for at, clock in enumerate(self._axis):
            clock.show(floor_minute(begin + (now - begin) * at / AXIS_PARTS))
        self._show_legend(sorted(names))
        found = by_machine.get(self._chosen, [])
        whole = (now - begin).total_seconds()
        self._table.show(
            [
                [
                    Cell(state or "not known", classes="" if state else "muted"),
                    Cell(format_duration(seconds)),
                    Cell(f"{100 * seconds / whole:.1f} %"),
                    Cell(str(entries)),
                ]
                for state, seconds, entries in time_in_state(found)
                if seconds >= 1
            ]
        )

    def _show_legend(self, names: list[str]) -> None:
        if names == self._legend_names:
            return
        self._legend_names = names
        self._legend.clear()
        with self._legend:
            for name in [*names, None]:
                with box("legend-item", tag="span"):
                    box(f"swatch {state_class(name)}", tag="span", aria_hidden="true")
                    text(name or "nobody knows: silent, or not decoded yet")


def _stretch(span: Span) -> Stretch:
    told = f"{span.state or 'not known'}, {format_duration(span.seconds)}, until {span.end:%H:%M:%S} UTC"
    return Stretch(span.begin, span.end, state_class(span.state), told)


def _since(machine: MachineNow, found: Sequence[Span], begin: datetime) -> str:
    if machine.state is None or not found or found[-1].state != machine.state:
        return ""
    last = found[-1]
    more = "over " if last.begin <= begin else ""
    return f"for {more}{format_duration(last.seconds)}"


def _in_words(name: str, found: Sequence[Stretch]) -> str:
    return (
        f"States of {name}: {len(found)} stretches in the last 2 hours, the last: {found[-1].told if found else 'none'}"
    )
