"""The country's page: what each region uses now, in the running hour, and by hour, day and month.

What is shown is computed in `country/view.py`; one customer's page is `customer/page.py`.
"""

from collections.abc import Mapping, Sequence
from datetime import timedelta

from nicegui import ui

from iot_pipeline.clock import DAY, day_start, utc_now
from iot_pipeline.errors import IotError
from iot_pipeline.live.model import LiveState
from iot_pipeline.serving.pages import shell
from iot_pipeline.serving.pages.country.card import RegionsCard, region_tone, three
from iot_pipeline.serving.pages.country.view import Periods, agreement, country_now, over_time
from iot_pipeline.serving.pages.customer.page import customer_chips, search_field
from iot_pipeline.serving.pages.customer.search import Customer, customers_by_region, known_by_region
from iot_pipeline.serving.pages.parts import links, states
from iot_pipeline.serving.pages.parts.bars import Bars, hour_bars, named_bars
from iot_pipeline.serving.pages.parts.charts import option_chart
from iot_pipeline.serving.pages.parts.controls import Segments
from iot_pipeline.serving.pages.parts.markup import anchor, box, text
from iot_pipeline.serving.pages.parts.refresh import every, words_of
from iot_pipeline.serving.pages.parts.tables import Cell, Column, table
from iot_pipeline.serving.pages.parts.wording import NO_VALUE, format_count, format_unit
from iot_pipeline.serving.pages.sheets import sheet
from iot_pipeline.serving.reports.run import WarehouseUnavailable, run_report

LIVE_SECONDS = 2.0
PERIODS = {"hour": "Hours", "day": "Days", "month": "Months"}
# How far back each looks, and how many bars that makes at most.
LOOKS_BACK = {"hour": 3 * DAY, "day": 31 * DAY, "month": 366 * DAY}
HOURS_SHOWN = 48
FIRST_DAY = (
    "Hours and days are added up from all readings when a day is over: the first ones are here shortly after "
    "00:20 UTC of the day after the first reading. Figures above are live until then."
)


def register(context: shell.PageContext) -> None:
    """Serve the page."""

    @ui.page("/utility")
    def utility() -> None:
        sheet("grid")
        with shell.frame(context, title="Utility: the country by region", active="utility"):
            _Country(context).build()


class _Country:
    """Live figures change in place; published ones are read once a minute."""

    def __init__(self, context: shell.PageContext) -> None:
        self._context = context
        self._cards: dict[tuple[str, str | None, tuple[str, ...]], RegionsCard] = {}
        self._published: dict[str, list[Periods]] | None = None
        self._known: tuple[object, object] | None = None

    def build(self) -> None:
        """Live figures at once and every two seconds, published ones when the page is open and every minute."""
        with box("row spread"):
            text(
                "Sums over meters heard in the last five minutes; every total is the sum of the rows above it.",
                "muted",
                tag="p",
            )
            anchor("All customers", "/customer", "link")
        self._now = box("use-cards")
        self._past = box("stack past")
        with self._past:
            states.loading("Hours, days and months are being looked up…")
        self._customers = box("stack")
        self._live()
        every(LIVE_SECONDS, self._live, at_once=False)
        every(60.0, self._read)

    def _live(self) -> None:
        found = country_now(self._context.live.regions())
        keys = [(one.utility, one.unit, tuple(row.region for row in one.regions)) for one in found]
        if not found:
            self._nothing_live()
            return
        if keys != list(self._cards):
            self._now.clear()
            self._now.set(data_told=None)
            with self._now:
                self._cards = {key: RegionsCard(one) for key, one in zip(keys, found, strict=True)}
        for key, one in zip(keys, found, strict=True):
            self._cards[key].show(one)

    def _nothing_live(self) -> None:
        rebuilding = self._context.live.status().state is LiveState.REBUILDING
        told = "rebuilding" if rebuilding else "silent"
        if self._now.props.get("data-told") == told:
            return
        self._cards = {}
        self._now.set(data_told=told).clear()
        with self._now:
            if rebuilding:
                states.loading("Live figures are being rebuilt; they appear here by themselves.")
            else:
                states.empty(
                    "No meter with a region was heard in the last five minutes.",
                    "Meters tell their region with their readings: attribute `region` of the mapping.",
                )

    async def _read(self) -> None:
        published = {period: await self._periods(period) for period in PERIODS}
        if published != self._published:
            self._published = published
            self._past.clear()
            with self._past:
                _past(published)
        await self._read_customers()

    async def _periods(self, period: str) -> list[Periods]:
        # The running day is not over, whatever was built of it.
        today = day_start(utc_now().date())
        asked = {"period": period, "from": today - LOOKS_BACK[period], "to": today}
        try:
            return over_time(await self._context.workers.run(run_report, self._context.paths, "country-usage", asked))
        except WarehouseUnavailable:
            return []

    async def _read_customers(self) -> None:
        run, paths = self._context.workers.run, self._context.paths
        try:
            known = await run(known_by_region, paths), await run(customers_by_region, paths)
        except IotError as error:
            if self._known is None:
                self._customers.clear()
                with self._customers:
                    states.empty("No customer is known yet.", words_of(error))
            return
        if known != self._known:
            self._known = known
            self._customers.clear()
            with self._customers:
                _customers(self._context, *known)


def _past(published: Mapping[str, Sequence[Periods]]) -> None:
    utilities = list(dict.fromkeys(one.utility for one in published["day"]))
    with box("card"):
        if not utilities:
            text("By hour, day and month", "card-title", tag="h2")
            states.empty("No day of usage has been published yet.", FIRST_DAY)
            return
        with box("card-head"):
            with box():
                text("By hour, day and month", "card-title", tag="h2")
                text("Added up from all readings, late ones included. Days are UTC.", "card-sub", tag="p")
            with box("row"):
                labels = {one: one.capitalize() for one in utilities}
                utility = Segments(labels, utilities[0], lambda _: draw(), label="Utility")
                period = Segments(PERIODS, "day", lambda _: draw(), label="Period")
        place = box("stack")
        with box("origins"):
            for model in ("region_usage_hour", "region_usage_day"):
                links.dagster_asset(model)
                links.dbt_model(model)
            links.report_link("country-usage")

    def draw() -> None:
        place.clear()
        with place:
            for one in published[period.chosen]:
                if one.utility == utility.chosen:
                    _over_time(one, period.chosen)
            _agreement(published, utility.chosen)

    draw()


def _agreement(published: Mapping[str, Sequence[Periods]], utility: str) -> None:
    difference = agreement(published["hour"], published["day"], utility)
    if difference is not None:
        unit = format_unit(next((one.unit for one in published["day"] if one.utility == utility), None))
        told = "exactly" if difference < 0.0005 else f"to within {difference:.3f} {unit}"
        text(
            f"Hours add up to their day {told}, and regions to the country: all are sums over the same meters, "
            "shown with three decimals.",
            "card-sub",
            tag="p",
        )


def _over_time(one: Periods, period: str) -> None:
    shown = one.periods[-HOURS_SHOWN:] if period == "hour" else one.periods
    unit = format_unit(one.unit)
    bars = [
        Bars(region, [each.by_region[at] for each in shown], region_tone(at)) for at, region in enumerate(one.regions)
    ]
    if period == "hour":
        first, last = shown[0].start, shown[-1].start
        by_start = {each.start: each for each in shown}
        starts = [first + index * timedelta(hours=1) for index in range(int((last - first) / timedelta(hours=1)) + 1)]
        filled = [by_start.get(start) for start in starts]
        bars = [
            Bars(region, [None if each is None else each.by_region[at] for each in filled], region_tone(at))
            for at, region in enumerate(one.regions)
        ]
        options = hour_bars(starts, bars, unit=unit)
    else:
        form = "%Y-%m" if period == "month" else "%Y-%m-%d"
        options = named_bars([f"{each.start:{form}}" for each in shown], bars, unit=unit)
    option_chart(options, label=f"{one.utility} by region and {period}, {unit}", height=280)
    totals = [round(sum(each.by_region[at] or 0.0 for each in shown), 3) for at in range(len(one.regions))]
    whole = round(sum(totals), 3)
    newest = shown[-1]
    columns = [
        Column("Region"),
        Column("Used in all shown", unit, numeric=True),
        Column("Share", "%", numeric=True),
        Column(f"Newest {period}", unit, numeric=True, hint=f"{period} that begins {newest.start:%Y-%m-%d %H:%M} UTC"),
    ]
    rows: list[list[Cell]] = [
        [
            region,
            three(totals[at]),
            f"{100 * totals[at] / whole:.1f}" if whole else NO_VALUE,
            three(newest.by_region[at]),
        ]
        for at, region in enumerate(one.regions)
    ]
    total: list[Cell] = ["Country", three(whole), "100.0" if whole else NO_VALUE, three(newest.total)]
    label = f"{one.utility} by region over the {len(shown)} {period}s shown"
    table(columns, rows, label=label, total=total, classes="tight")
    number = f"{len(shown)} {period}{'' if len(shown) == 1 else 's'}"
    heard = f"{format_count(newest.customers)} customers and {format_count(newest.meters)} meters"
    text(f"{number} · {heard} with readings in the newest {period}", "card-sub", tag="p")


def _customers(
    context: shell.PageContext, counted: dict[str, int] | None, regions: Mapping[str, Sequence[Customer]]
) -> None:
    with box("card"):
        with box("card-head"):
            text("Customers", "card-title", tag="h2")
            if counted is not None:
                text(f"{format_count(sum(counted.values()))} known, by what their meters told", "card-sub")
        search_field(context)
        if not regions:
            states.empty("No meter has told of a customer yet.", "They appear a minute or two after the first message.")
        with box("stack"):
            for region, customers in regions.items():
                with box("region-row"):
                    text(region)
                    text("" if counted is None else f"{format_count(counted.get(region, 0))} customers", "muted num")
                    customer_chips(customers)
        with box("origins"):
            links.dagster_asset("dim_device")
            links.dbt_model("dim_device")
