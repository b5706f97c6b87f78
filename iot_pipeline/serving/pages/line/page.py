"""The line's page: machines with states, currents, charge, starts and vibration, valves with travel times, flags.

Figures come from `line/view.py` (now), `line/past.py` (hours) and the reports (days); a machine in detail is
`line/machine.py`, valves are `line/valves.py`, flags `line/flags.py`, days `line/history.py`.
"""

import json
from collections.abc import Sequence
from datetime import datetime, timedelta

import polars as pl
from nicegui import ui

from iot_pipeline.clock import DAY, day_start, floor_minute, utc_now
from iot_pipeline.live.model import LiveFlag, LiveState
from iot_pipeline.serving.anomalies import Wanted, flags
from iot_pipeline.serving.api.problems import Problem
from iot_pipeline.serving.history import NotPublished, known_device
from iot_pipeline.serving.pages import shell
from iot_pipeline.serving.pages.line.cards import MachineCard, States
from iot_pipeline.serving.pages.line.flags import Flags
from iot_pipeline.serving.pages.line.history import REPORTS, machine_history
from iot_pipeline.serving.pages.line.machine import Currents, Vibration
from iot_pipeline.serving.pages.line.past import Span, Start, spans, starts, told_states, with_live
from iot_pipeline.serving.pages.line.valves import Valves, trends
from iot_pipeline.serving.pages.line.vibration_zones import Zones, zones_of
from iot_pipeline.serving.pages.line.view import FLEET, MachineNow, charge, lines_of, machines, name_of, travels
from iot_pipeline.serving.pages.parts import links, states
from iot_pipeline.serving.pages.parts.markup import anchor, box
from iot_pipeline.serving.pages.parts.refresh import every, words_of
from iot_pipeline.serving.pages.sheets import sheet
from iot_pipeline.serving.reports.run import UnknownName, WarehouseUnavailable, run_report

LIVE_SECONDS = 2.0
STATES_OVER = timedelta(hours=2)
STARTS_OVER = timedelta(hours=3)
FLAGS_OVER = timedelta(hours=1)
DAYS_SHOWN = 30
MOST_DEVICES = 5_000


def register(context: shell.PageContext) -> None:
    """Serve the page."""

    @ui.page("/line")
    async def line(line: str = "", machine: str = "") -> None:
        sheet("grid")
        with shell.frame(context, title=f"Industrial line · {line}" if line else "Industrial line", active="line"):
            await _Line(context, line, machine).build()


def line_url(line: str, machine: str | None = None) -> str:
    """The page of a line, with a machine chosen."""
    return links.page_url("/line", line=line, machine=machine)


class _Line:
    """The page of one line: built when its first device is heard, then changed in place."""

    def __init__(self, context: shell.PageContext, line: str, machine: str) -> None:
        self._context, self._line, self._machine = context, line, machine
        self._devices: list[str] = []
        self._cards: dict[str, MachineCard] = {}
        self._told: dict[str, tuple[tuple[datetime, str], ...]] = {}
        self._heard: dict[str, list[tuple[datetime, str]]] = {}
        self._starts: tuple[Start, ...] = ()
        self._problem = "Starts of the last hours are being looked for."
        self._parts: _Parts | None = None

    async def build(self) -> None:
        """Live figures at once and every two seconds, the rest when the page is open and less often."""
        self._picker = box("chips", tag="nav", aria_label="Lines")
        self._place = box("stack")
        await self._begin()
        every(LIVE_SECONDS, self._live, at_once=False)
        every(20.0, self._lately)
        every(60.0, self._published)

    async def _begin(self) -> None:
        lines = lines_of(self._context.live.devices(fleet=FLEET, prefix=None, limit=MOST_DEVICES, after=None))
        if not self._line and lines:
            self._line = next(iter(lines))
        self._devices = list(lines.get(self._line, []))
        self._picker.clear()
        with self._picker:
            for name, devices in lines.items():
                chip = anchor(f"{name or 'without a line'} · {len(devices)} devices", line_url(name), "chip")
                if name == self._line:
                    chip.set(aria_current="page")
        found = machines(self._context.live, self._devices, utc_now())
        self._place.clear()
        with self._place:
            if not self._devices:
                self._nobody(list(lines))
                return
            chosen = next((one for one in found if one.device_id == self._machine), found[0] if found else None)
            zones = await self._zones(chosen.device_id) if chosen else None
            with box("use-cards"):
                self._cards = {
                    one.device_id: MachineCard(one, line_url(self._line, one.device_id), chosen=one is chosen)
                    for one in found
                }
            self._parts = _Parts(chosen, found, zones)
        self._live_now(found)

    def _nobody(self, lines: Sequence[str]) -> None:
        if self._context.live.status().state is LiveState.REBUILDING:
            states.loading("Live figures are being rebuilt; the line appears here by itself.")
        elif lines:
            states.empty(f"No device of a line called {self._line!r} was heard.", "Choose one of the lines above.")
        else:
            states.empty(
                "No machine was heard in the last 25 hours.",
                "Machines of the fleet industrial_line appear here with their first message, by MQTT or OPC UA.",
            )

    async def _zones(self, device_id: str) -> Zones:
        try:
            known = await self._context.workers.run(known_device, self._context.paths, device_id)
        except (NotPublished, Problem):
            known = None
        told = json.loads(str(known["attributes"])) if known and known["attributes"] else {}
        return zones_of(told.get("machine_group"), told.get("support"))

    async def _live(self) -> None:
        devices = self._context.live.devices(fleet=FLEET, prefix=None, limit=MOST_DEVICES, after=None)
        if lines_of(devices).get(self._line, []) != self._devices or self._parts is None:
            if devices:
                await self._begin()
                await self._lately()
                await self._published()
            return
        self._live_now(machines(self._context.live, self._devices, utc_now()))

    def _live_now(self, found: Sequence[MachineNow]) -> None:
        if self._parts is None:
            return
        now = utc_now()
        for one in found:
            heard = self._heard.setdefault(one.device_id, [])
            if one.state is not None and one.told_at is not None and (not heard or heard[-1][0] < one.told_at):
                heard.append((one.told_at, one.state))
                del heard[:-2_000]
        begin = now - STATES_OVER
        by_machine = {
            one.device_id: spans(
                with_live(self._told.get(one.device_id, ()), self._heard.get(one.device_id, ())), begin, now
            )
            for one in found
        }
        counts = self._parts.flag_counts
        for one in found:
            if (card := self._cards.get(one.device_id)) is not None:
                card.show(one, by_machine[one.device_id], begin, counts.get(one.device_id, 0))
        self._parts.show(self._context, found, by_machine, begin, now)
        self._parts.valves.show(travels(self._context.live, self._devices, now))

    async def _lately(self) -> None:
        """States, starts and flags of the last hours."""
        if self._parts is None:
            return
        run, paths, until = self._context.workers.run, self._context.paths, floor_minute(utc_now())
        try:
            for device_id in self._cards:
                self._told[device_id] = await run(told_states, paths, device_id, until - STATES_OVER, until)
            if self._parts.chosen is not None:
                self._starts = await run(starts, paths, self._parts.chosen, until - STARTS_OVER, until)
                self._problem = ""
        except NotPublished as error:
            self._problem = words_of(error)
        self._parts.show_starts(self._starts, self._problem)
        self._parts.show_flags(await self._flags())

    async def _flags(self) -> list[LiveFlag]:
        now = utc_now()
        wanted = Wanted(since=now - FLAGS_OVER, until=now + timedelta(minutes=5))
        try:
            found = await self._context.workers.run(flags, self._context.paths, self._context.live, wanted)
        except NotPublished:
            return [
                flag
                for flag in self._context.live.flags(since=wanted.since, limit=10_000)
                if flag.device_id in self._devices
            ]
        mine = set(self._devices)
        return [one.flag for one in found if one.flag.device_id in mine]

    async def _published(self) -> None:
        if self._parts is None:
            return
        run, paths = self._context.workers.run, self._context.paths
        # The running day is not over, whatever was built of it.
        today = day_start(utc_now().date())
        over = {"from": today - DAYS_SHOWN * DAY, "to": today}
        try:
            valves = await run(run_report, paths, "line-valves", over)
        except WarehouseUnavailable:
            valves = pl.DataFrame()
        frames: dict[str, pl.DataFrame] = {}
        for report in REPORTS:
            asked = {"period": "day", "device": self._parts.chosen, **over}
            try:
                frames[report] = await run(run_report, paths, report, asked)
            except (WarehouseUnavailable, UnknownName):
                frames[report] = pl.DataFrame()
        self._parts.show_published(frames, valves, self._line)


class _Parts:
    """What stands below the cards."""

    def __init__(self, chosen: MachineNow | None, found: Sequence[MachineNow], zones: Zones | None) -> None:
        self.chosen = chosen.device_id if chosen else None
        self.flag_counts: dict[str, int] = {}
        self._frames: dict[str, pl.DataFrame] | None = None
        self._valve_days: pl.DataFrame | None = None
        self._states = States([one.device_id for one in found], chosen.device_id) if chosen else None
        self._currents = Currents(chosen.device_id) if chosen else None
        with box("columns"):
            with box("span-6 stack"):
                self._vibration = Vibration(chosen.device_id, zones) if chosen and zones else None
            with box("span-6 stack"):
                self.valves = Valves()
        self._flags = Flags()
        self._history = box("stack past")
        with self._history:
            states.loading("Days are being looked up…")

    def show(
        self,
        context: shell.PageContext,
        found: Sequence[MachineNow],
        by_machine: dict[str, list[Span]],
        begin: datetime,
        now: datetime,
    ) -> None:
        """Tell of the present."""
        machine = next((one for one in found if one.device_id == self.chosen), None)
        if self._states is not None:
            self._states.show(by_machine, begin, now)
        if machine is not None and self._currents is not None:
            self._currents.show(context.live, machine, charge(context.live, machine.device_id, now), now)
        if self._vibration is not None:
            self._vibration.show(context.live, now)

    def show_starts(self, found: Sequence[Start], problem: str) -> None:
        """Tell of starts."""
        if self._currents is not None:
            self._currents.show_starts(found, problem)

    def show_flags(self, found: Sequence[LiveFlag]) -> None:
        """Tell of flags, newest first."""
        self.flag_counts = {}
        for flag in found:
            self.flag_counts[flag.device_id] = self.flag_counts.get(flag.device_id, 0) + 1
        self._flags.show(found)

    def show_published(self, frames: dict[str, pl.DataFrame], valves: pl.DataFrame, line: str) -> None:
        """Tell of published days, when they are others than before."""
        if self._valve_days is None or not self._valve_days.equals(valves):
            self._valve_days = valves
            self.valves.show_trends([] if valves.is_empty() else trends(valves, line))
        known = self._frames
        if known is None or any(not known[name].equals(frame) for name, frame in frames.items()):
            self._frames = frames
            self._history.clear()
            with self._history:
                if self.chosen is not None:
                    machine_history(name_of(self.chosen), frames)
