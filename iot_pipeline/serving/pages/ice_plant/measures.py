"""The card with the largest, mean and smallest measure of each device by period, as the report `ice-plant` has them."""

from datetime import datetime, timedelta

import polars as pl
from nicegui import background_tasks

from iot_pipeline.clock import utc_now
from iot_pipeline.errors import IotError
from iot_pipeline.serving.api.problems import Problem
from iot_pipeline.serving.pages import shell
from iot_pipeline.serving.pages.ice_plant import view
from iot_pipeline.serving.pages.ice_plant.places import decimal
from iot_pipeline.serving.pages.parts import links, states
from iot_pipeline.serving.pages.parts.controls import Segments, button
from iot_pipeline.serving.pages.parts.grids import Cell, Column, LiveTable
from iot_pipeline.serving.pages.parts.inplace import Clock, put, show_if
from iot_pipeline.serving.pages.parts.markup import Tag, box, text
from iot_pipeline.serving.pages.parts.refresh import words_of
from iot_pipeline.serving.reports.catalog import REPORTS
from iot_pipeline.serving.reports.run import run_report

REPORT = "ice-plant"
HOUR = timedelta(hours=1)
_MODELS = {grain: f"device_{grain}" for grain in ("minute", "hour", "day", "month", "year")} | {"second": "readings"}
_DATES = ("day", "month", "year")
_COLUMNS = (
    Column("Device", "link", classes="plant-optional"),
    Column("Description", "link"),
    Column("Type", classes="plant-optional"),
    Column("Max", "num", "largest measure of the period"),
    Column("Mean", "num", "arithmetic mean of the period"),
    Column("Min", "num", "smallest measure of the period"),
    Column("Unit"),
    Column("Last hour", "spark", "means of the minutes of the last hour, live", classes="plant-optional plant-spark"),
)


class MeasuresCard:
    """The card; `look` reads the published figures, `draw_last_hour` the live ones."""

    def __init__(self, context: shell.PageContext) -> None:
        self._context = context
        self._node, self._grain = "", "minute"
        self._report = pl.DataFrame()
        self._periods: list[datetime] = []
        self._begin: datetime | None = None  # None: the newest
        self._sparks: dict[str, str] = {}
        self._drawn_at: datetime | None = None
        with box("card"):
            with box("card-head"):
                text("Measures by period", "card-title", tag="h2")
                Segments({grain: grain for grain in view.GRAINS}, self._grain, self._choose, label="Period")
            with box("row spread"):
                with box("row"):
                    self._earlier = button("Earlier", self._go_earlier)
                    self._later = button("Later", self._go_later)
                    self._newest = button("Newest", self._go_newest)
                    self._clock = Clock(None, "full", none="")
                    self._utc_date = text("", "num")
                    self._open = text("", "muted")
                self._csv = Tag("a", "CSV", "link", download="")
            self._table = LiveTable(_COLUMNS, label="Measures of each device in the chosen period")
            self._nothing = box("hidden")
            with self._nothing:
                states.empty(
                    "No data found for this period.",
                    "Minutes are published a minute or two after they end, hours and days once an hour.",
                )
            self._trouble = text("", "refresh-problem hidden", role="status")
            with box("origins"):
                links.report_link(REPORT)
                self._origins = {
                    grain: (links.dbt_model(model) if grain != "second" else links.dagster_asset(model))
                    for grain, model in _MODELS.items()
                }
                text("three decimals; periods are UTC")

    async def look(self, node: str) -> None:
        """Read the figures of the chosen period anew."""
        self._node = node
        grain = self._grain
        try:
            report = await self._context.workers.run(run_report, self._context.paths, REPORT, {"period": grain})
        except (IotError, Problem) as error:
            self._tell(f"{words_of(error)}. Asked again by itself.")
            return
        self._tell("")
        if grain == self._grain:  # nobody chose another one meanwhile
            self._report = report
            self._show()

    def draw_last_hour(self, plant: view.PlantView, now: datetime) -> None:
        """The lines of the last hour, every few seconds."""
        if self._drawn_at is not None and now - self._drawn_at < timedelta(seconds=10):
            return
        self._drawn_at = now
        live = self._context.live
        for measure in (*plant.measures, *plant.further):
            device_id = measure.device_id
            if device_id is None:
                continue
            for reading in live.latest(device_id)[:1]:
                windows = live.minutes(device_id, reading.metric, reading.unit, since=now - HOUR)
                self._sparks[device_id] = " ".join(f"{window.mean:.6g}" for window in windows)
        self._show()

    def _tell(self, trouble: str) -> None:
        put(self._trouble, trouble)
        show_if(self._trouble, bool(trouble))

    def _choose(self, grain: str) -> None:
        self._grain, self._begin = grain, None
        self._report = self._report.clear()
        background_tasks.create(self.look(self._node), name="ice plant measures")

    def _go_earlier(self) -> None:
        self._step(1)

    def _go_later(self) -> None:
        self._step(-1)

    def _go_newest(self) -> None:
        self._begin = None
        self._show()

    def _step(self, by: int) -> None:
        if self._periods:
            at = self._periods.index(self._begin) if self._begin in self._periods else 0
            index = min(max(at + by, 0), len(self._periods) - 1)
            self._begin = self._periods[index] if index else None
            self._show()

    def _show(self) -> None:
        grain = self._grain
        rows: list[dict[str, object]] = []
        if self._report.columns:
            self._periods, rows = view.measures_table(self._report, self._node, self._begin)
        begin = self._begin if self._begin in self._periods else self._periods[0] if self._periods else None
        at = self._periods.index(begin) if begin is not None else 0
        put(self._earlier, disabled=True if at >= len(self._periods) - 1 else None)
        put(self._later, disabled=None if at else True)
        put(self._newest, disabled=None if at else True)
        self._clock.show(None if grain in _DATES else begin)
        put(self._utc_date, "" if begin is None or grain not in _DATES else view.utc_period(begin, grain))
        put(self._open, "so far" if begin is not None and view.is_open(begin, grain, utc_now()) else "")
        put(self._csv, href=links.page_url(f"/api/v1/reports/{REPORT}", period=grain, format="spreadsheet"))
        put(self._csv, title=f"The report of the last {_length(grain)} as CSV")
        for name, origin in self._origins.items():
            show_if(origin, name == grain)
        show_if(self._nothing, not rows)
        self._table.show([self._cells(row) for row in rows])

    def _cells(self, row: dict[str, object]) -> list[Cell]:
        device_id = str(row["DEVICE_NAME"])
        description = str(row["DESCRIPTION"] or "")
        figures = [row["MAXIMUM_MEASURE"], row["MEAN_MEASURE"], row["MINIMUM_MEASURE"]]
        return [
            Cell(device_id.rpartition("/")[2], links.device_url(device_id), title=device_id),
            Cell(description or device_id, links.device_url(device_id), title=device_id),
            Cell(str(row["DEVICE_TYPE"] or "")),
            *(Cell(decimal(value, 3) if isinstance(value, float) else view.NONE) for value in figures),
            Cell(str(row["UNIT"] or "")),
            Cell(self._sparks.get(device_id, ""), title=f"{description}: means of the minutes of the last hour"),
        ]


def _length(grain: str) -> str:
    usual = REPORTS[REPORT].queries[grain].usual
    return f"{usual.days} days" if usual.days > 1 else f"{usual // timedelta(minutes=1)} minutes"
