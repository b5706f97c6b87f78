"""The billed days of a customer: bars by day and month, and the bill beside the live figures.

What they show is computed in `customer/view.py`.
"""

from collections.abc import Sequence
from datetime import date

from iot_pipeline.clock import DAY
from iot_pipeline.serving.pages.customer.card import tone_of
from iot_pipeline.serving.pages.customer.view import (
    Correction,
    Use,
    by_month,
    correction_sentence,
    of_utility,
    utilities_of,
)
from iot_pipeline.serving.pages.parts import links, states
from iot_pipeline.serving.pages.parts.bars import Bars, named_bars
from iot_pipeline.serving.pages.parts.charts import option_chart
from iot_pipeline.serving.pages.parts.controls import Segments
from iot_pipeline.serving.pages.parts.markup import box, text
from iot_pipeline.serving.pages.parts.tables import Column, table
from iot_pipeline.serving.pages.parts.wording import format_unit

DAYS_SHOWN = 31
CORRECTIONS_SHOWN = 14
PERIODS = {"day": "Days", "month": "Months"}
FIRST_BILL = (
    "The first day is added up shortly after 00:20 UTC of the day after the first reading; "
    "from then on days and months are here."
)


def history_card(days: Sequence[Use]) -> None:
    """What was billed by day and month, of one utility at a time."""
    with box("card"):
        if not days:
            text("By day and month", "card-title", tag="h2")
            states.empty("No day has been billed yet.", FIRST_BILL)
            return
        utilities = utilities_of(days)
        with box("card-head"):
            with box():
                text("By day and month", "card-title", tag="h2")
                text("What is billed. Days are those of the bill: 00:00 to 24:00 UTC.", "card-sub", tag="p")
            with box("row"):
                labels = {one: one.capitalize() for one in utilities}
                utility = Segments(labels, utilities[0], lambda _: draw(), label="Utility")
                period = Segments(PERIODS, "day", lambda _: draw(), label="Period")
        place = box("stack")
        _origins("customer_usage_day", "customer-usage")

    def draw() -> None:
        chosen = of_utility(days if period.chosen == "day" else by_month(days), utility.chosen)
        shown = chosen[-DAYS_SHOWN:]
        place.clear()
        with place:
            _bars_of(shown, utility.chosen, period.chosen)

    draw()


def _bars_of(shown: Sequence[Use], utility: str, period: str) -> None:
    names = [_date_text(one.start, period) for one in shown]
    unit = format_unit(shown[-1].unit)
    by_day = {one.start: one.use for one in shown}
    if period == "day":
        # A day that nobody heard is a gap, not a neighbour.
        every_day = [shown[0].start + index * DAY for index in range((shown[-1].start - shown[0].start).days + 1)]
        names = [_date_text(day, period) for day in every_day]
        values = [by_day.get(day) for day in every_day]
    else:
        values = [one.use for one in shown]
    option_chart(
        named_bars(names, [Bars(utility, values, tone_of(utility))], unit=unit),
        label=f"{utility} by {period}, {unit or 'unit not told'}, {names[0]} to {names[-1]}",
        height=230,
    )
    with box("", tag="details"):
        text("As a table", tag="summary")
        columns = [Column(period.capitalize()), Column("Used", unit, numeric=True), Column("Resets", numeric=True)]
        rows = [[_date_text(one.start, period), f"{one.use:.3f}", str(one.resets)] for one in reversed(shown)]
        table(columns, rows, label=f"{utility} by {period}")


def bill_card(found: Sequence[Correction]) -> None:
    """How live figures and bill differ: a sentence, and day by day."""
    with box("card"):
        text("Live figures and the bill", "card-title", tag="h2")
        text(correction_sentence(found), "sentence", tag="p", data_role="correction")
        newest = found[0].day if found else None
        shown = [one for one in found if newest is not None and one.day > newest - CORRECTIONS_SHOWN * DAY]
        if shown:
            with box("", tag="details"):
                text("Day by day", tag="summary")
                columns = [
                    Column("Day"),
                    Column("Utility"),
                    Column("Shown live", numeric=True, hint="What the minutes of the day add up to"),
                    Column("Billed", numeric=True, hint="By all readings of the day"),
                    Column("Difference", numeric=True, hint="Billed minus shown live"),
                ]
                rows = [
                    [
                        one.day.isoformat(),
                        one.utility,
                        _four(one.minutes, one.unit),
                        _four(one.billed, one.unit),
                        _four(one.difference, one.unit, sign=True),
                    ]
                    for one in shown
                ]
                table(columns, rows, label="Live figures and the bill by day")
        _origins("usage_correction_day", "usage-corrections")


def _four(value: float, unit: str | None, *, sign: bool = False) -> str:
    rounded = round(value, 4) + 0.0
    shown = f"{rounded:+.4f}" if sign and rounded else f"{rounded:.4f}"
    return shown.replace("-", "\u2212") + (f" {format_unit(unit)}" if unit else "")


def _origins(model: str, report: str) -> None:
    with box("origins"):
        links.dagster_asset(model)
        links.dbt_model(model)
        links.report_link(report)


def _date_text(day: date, period: str) -> str:
    return f"{day:%Y-%m}" if period == "month" else day.isoformat()
