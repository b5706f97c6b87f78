"""The card of the maxima: the highest temperature of each station by day or month, as the report tells it."""

from collections.abc import Mapping, Sequence
from datetime import date

import polars as pl
from nicegui import background_tasks

from iot_pipeline.errors import IotError
from iot_pipeline.serving.api.problems import Problem
from iot_pipeline.serving.pages import shell
from iot_pipeline.serving.pages.parts import links, states
from iot_pipeline.serving.pages.parts.controls import Segments
from iot_pipeline.serving.pages.parts.grids import Cell, Column, LiveTable
from iot_pipeline.serving.pages.parts.inplace import put, show_if
from iot_pipeline.serving.pages.parts.markup import Tag, box, text
from iot_pipeline.serving.pages.parts.refresh import words_of
from iot_pipeline.serving.pages.parts.wording import format_count
from iot_pipeline.serving.pages.weather import view
from iot_pipeline.serving.reports.run import run_report

_MOST_ROWS = 62


class MaximaCard:
    """Maximum temperature by day and by month, with an explicit word when there is none."""

    _COLUMNS = (
        Column("Date (UTC)"),
        Column("Station", "link"),
        Column("Maximum", "num"),
        Column("Count", "num", "temperatures of that time"),
    )

    def __init__(self, context: shell.PageContext) -> None:
        self._context, self._period = context, "day"
        self._sites: list[view.Site] = []
        with box("card"):
            with box("card-head"):
                text("Maximum temperature", "card-title", tag="h2")
                Segments({"day": "by day", "month": "by month"}, self._period, self._choose, label="Period")
            self._table = LiveTable(self._COLUMNS, label="Maximum temperature by day or month")
            self._nothing = box("hidden")
            with self._nothing:
                states.empty(
                    "No data found.", "Days and months are published once an hour, complete after midnight UTC."
                )
            self._trouble = text("", "refresh-problem hidden", role="status")
            with box("row spread"):
                with box("origins"):
                    links.report_link("weather-by-day")
                    self._models = {period: links.dbt_model(f"device_{period}") for period in ("day", "month")}
                self._csv = Tag("a", "CSV", "link", download="")

    async def read(self, sites: Sequence[view.Site]) -> None:
        """Read the report of the chosen period."""
        self._sites, period = list(sites), self._period
        try:
            report = await self._context.workers.run(
                run_report, self._context.paths, "weather-by-day", {"period": period}
            )
        except (IotError, Problem) as error:
            self._tell(f"{words_of(error)}. Asked again by itself.")
            return
        self._tell("")
        if period == self._period:
            self._show(report)

    def _show(self, report: pl.DataFrame) -> None:
        names = {site.device_id: site.name for site in self._sites}
        rows = view.maxima(report, names)[:_MOST_ROWS]
        self._table.show([self._cells(row, names) for row in rows])
        show_if(self._nothing, not rows)
        for period, model in self._models.items():
            show_if(model, period == self._period)
        put(self._csv, href=links.page_url("/api/v1/reports/weather-by-day", period=self._period, format="spreadsheet"))

    def _cells(self, row: Mapping[str, object], names: Mapping[str, str]) -> list[Cell]:
        device_id, day, value, count = str(row["deviceid"]), row["date"], row["max_temperature"], row["count"]
        form = "%d %b %Y" if self._period == "day" else "%B %Y"
        return [
            Cell(day.strftime(form) if isinstance(day, date) else ""),
            Cell(names.get(device_id, device_id), links.device_url(device_id), title=device_id),
            Cell(view.temperature_text(value if isinstance(value, float) else None, str(row["unit"] or ""))),
            Cell(format_count(count) if isinstance(count, int) else ""),
        ]

    def _choose(self, period: str) -> None:
        self._period = period
        background_tasks.create(self.read(self._sites), name="weather maxima")

    def _tell(self, trouble: str) -> None:
        put(self._trouble, trouble)
        show_if(self._trouble, bool(trouble))
