"""One customer's page: what a home or business uses now, used today and over time, and how the bill differs.

What is shown is computed in `customer/view.py`; which customers there are is `customer/search.py`.
"""

from collections.abc import Sequence

import polars as pl
from nicegui import ui
from nicegui.events import GenericEventArguments

from iot_pipeline.clock import DAY, day_start, utc_now
from iot_pipeline.errors import IotError
from iot_pipeline.live.model import LiveState
from iot_pipeline.serving.api.problems import Problem
from iot_pipeline.serving.history import NotPublished
from iot_pipeline.serving.pages import shell
from iot_pipeline.serving.pages.customer.card import UtilityCard
from iot_pipeline.serving.pages.customer.history import DAYS_SHOWN, bill_card, history_card
from iot_pipeline.serving.pages.customer.search import (
    MOST_CHARACTERS,
    Account,
    Customer,
    account,
    customers_by_region,
    find_customers,
)
from iot_pipeline.serving.pages.customer.view import (
    Correction,
    Use,
    corrections,
    uses,
    usual_day,
    utility_uses,
)
from iot_pipeline.serving.pages.parts import links, states
from iot_pipeline.serving.pages.parts.inplace import put, show_if
from iot_pipeline.serving.pages.parts.markup import Tag, anchor, box, text
from iot_pipeline.serving.pages.parts.refresh import every, words_of
from iot_pipeline.serving.pages.sheets import sheet
from iot_pipeline.serving.reports.run import UnknownName, WarehouseUnavailable, run_report
from iot_pipeline.serving.usage import customer_usage

LIVE_SECONDS = 2.0
DAYS_READ = 366
_EMIT_VALUE = "(event) => emit(event.target.value)"


def register(context: shell.PageContext) -> None:
    """Serve the page."""

    @ui.page("/customer")
    async def customer(id: str = "") -> None:  # noqa: A002 -- the name in the address
        sheet("grid")
        crumbs = [("Utility", "/utility")]
        name = id.strip()
        if not name:
            with shell.frame(context, title="Customers", active="utility", crumbs=crumbs):
                await _choose(context)
            return
        title = name[:MOST_CHARACTERS]
        with shell.frame(context, title=title, active="utility", crumbs=[*crumbs, ("Customers", "/customer")]):
            await _Home(context, name).build()


def customer_url(name: str) -> str:
    """The page of a customer."""
    return links.page_url("/customer", id=name)


def search_field(context: shell.PageContext, value: str = "") -> None:
    """A field that suggests customers while somebody types; Enter opens the exact name."""
    with box("find", tag="form", action="/customer", method="get", role="search"):
        field = Tag(
            "input",
            type="search",
            name="id",
            value=value[:MOST_CHARACTERS],
            placeholder="Customer, e.g. c-0000012",
            autocomplete="off",
            spellcheck="false",
            maxlength=MOST_CHARACTERS,
            aria_label="Find a customer by any part of the name",
        )
        Tag("button", "Open", "button button-main", type="submit")
        found = box("suggestions hidden", role="listbox", aria_label="Customers")

    shown: list[Customer] = []

    async def suggest(event: GenericEventArguments) -> None:
        wanted = str(event.args)[:MOST_CHARACTERS]
        try:
            customers = await context.workers.run(find_customers, context.paths, wanted, limit=8) if wanted else []
        except (IotError, Problem) as error:
            customers, told = [], words_of(error)
        else:
            told = "No customer is called like that."
        if customers and customers == shown:
            return  # Whoever is in the list with the arrow keys already stays there.
        shown[:] = customers
        found.clear()
        show_if(found, bool(wanted))
        with found:
            for one in customers:
                anchor(f"{one.name} · {_about(one)}", customer_url(one.name), "suggestion", role="option")
            if not customers:
                text(told, "suggestion muted")

    field.on("input", suggest, throttle=0.2, js_handler=_EMIT_VALUE)


def customer_chips(customers: Sequence[Customer]) -> None:
    """Links to customers."""
    with box("chips"):
        for one in customers:
            anchor(one.name or "(no name)", customer_url(one.name), "chip", title=_about(one))


async def _choose(context: shell.PageContext) -> None:
    """The page without a customer: search, and some to begin with."""
    search_field(context)
    try:
        regions = await context.workers.run(customers_by_region, context.paths, each=8)
    except (IotError, Problem) as error:
        states.empty("No customer is known yet.", words_of(error))
        return
    if not regions:
        states.empty(
            "No meter has told of a customer yet.",
            "Customers appear a minute or two after their meters' first message.",
        )
    with box("cards"):
        for region, customers in regions.items():
            with box("card"):
                text(region, "card-title", tag="h2")
                customer_chips(customers)


class _Home:
    """The page of one customer: fills in as figures come, and changes in place."""

    def __init__(self, context: shell.PageContext, name: str) -> None:
        self._context = context
        self._name = name
        self._account: Account | None = None
        self._cards: dict[tuple[str, str | None], UtilityCard] = {}
        self._days: list[Use] = []
        self._corrections: list[Correction] = []
        self._told: tuple[bool, list[Use], list[Correction]] | None = None

    async def build(self) -> None:
        """Live figures at once and every two seconds, published ones when the page is open and every minute."""
        self._about = text("", "muted", tag="p")
        self._now = box("stack")
        self._past = box("stack past")
        with self._past:
            states.loading("Days and bill are being looked up…")
        await self._read_account()
        self._live()
        every(LIVE_SECONDS, self._live, at_once=False)
        every(60.0, self._published)

    async def _read_account(self) -> None:
        try:
            self._account = await self._context.workers.run(account, self._context.paths, self._name)
        except NotPublished:
            self._account = None
        if self._account is not None:
            put(self._about, _about(self._account.customer))

    def _live(self) -> None:
        status, now = self._context.live.status(), utc_now()
        series = customer_usage(self._context.live, self._name, now)
        if series is None:
            self._nothing_live(rebuilding=status.state is LiveState.REBUILDING)
            return
        utilities = self._account.utilities if self._account else {}
        found = utility_uses(series, utilities, now)
        if [(one.utility, one.unit) for one in found] != list(self._cards):
            self._now.clear()
            with self._now, box("use-cards"):
                self._cards = {(one.utility, one.unit): UtilityCard(one) for one in found}
        for one in found:
            self._cards[one.utility, one.unit].show(one, usual_day(self._days, one.utility))

    def _nothing_live(self, *, rebuilding: bool) -> None:
        told = "rebuilding" if rebuilding else "silent" if self._account else "unknown"
        if self._now.props.get("data-told") == told:
            return
        self._cards = {}
        self._now.set(data_told=told).clear()
        with self._now:
            if rebuilding:
                states.loading("Live figures are being rebuilt; they appear here by themselves.")
            elif self._account:
                states.empty(
                    "None of this customer's meters was heard in the last 25 hours.",
                    "As soon as one is, its figures appear here; what was billed is below.",
                )
            else:
                states.empty(
                    f"We know no customer called {self._name[:MOST_CHARACTERS]!r}.",
                    "Names are exact. If the meters were just installed, this page fills in by itself with their "
                    "first message.",
                )
                search_field(self._context, self._name)

    async def _published(self) -> None:
        if self._account is None:
            await self._read_account()
        run, paths = self._context.workers.run, self._context.paths
        asked: dict[str, object] = {"customer": self._name}
        # The running day is not billed yet, whatever was built of it.
        today = day_start(utc_now().date())
        asked |= {"from": today - DAYS_READ * DAY, "to": today}
        try:
            days = await run(run_report, paths, "customer-usage", {**asked, "period": "day"})
            differences = await run(
                run_report, paths, "usage-corrections", {**asked, "rows": "all", "from": today - DAYS_SHOWN * DAY}
            )
        except (UnknownName, WarehouseUnavailable):
            days, differences = pl.DataFrame(), pl.DataFrame()
        is_known = self._account is not None or bool(self._cards)
        told = is_known, uses(days), corrections(differences)
        if told == self._told:
            return
        self._told = told
        _, self._days, self._corrections = told
        self._past.clear()
        with self._past:
            # Whom nobody knows has no bill to wait for.
            if is_known:
                history_card(self._days)
                bill_card(self._corrections)
        self._live()


def _about(customer: Customer) -> str:
    kind = (customer.kind or "customer").capitalize()
    place = f" in {customer.region}" if customer.region else ""
    return f"{kind}{place} · {customer.meters} meter{'' if customer.meters == 1 else 's'}"
