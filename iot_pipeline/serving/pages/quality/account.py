"""What became of every message: the account of the last hours, and how late their readings were."""

from iot_pipeline.serving import quality
from iot_pipeline.serving.pages.parts import states
from iot_pipeline.serving.pages.parts.charts import Chart, Line, series_chart, series_spec
from iot_pipeline.serving.pages.parts.figure import figure
from iot_pipeline.serving.pages.parts.markup import box, text
from iot_pipeline.serving.pages.parts.wording import format_count


class Balance:
    """Messages that landed against what became of them, and the lateness of readings by minute."""

    def __init__(self) -> None:
        self._balance = box("stack")
        self._chart: Chart | None = None
        self._chart_place = box()

    def show(self, account: quality.Account) -> None:
        """Tell of the account as it is now."""
        self._balance.clear()
        messages = account.total("messages")
        with self._balance:
            if account.rows.is_empty():
                states.empty(
                    "No message was decoded in the last 3 hours.",
                    "The first minute comes a minute after the first message.",
                )
                return
            parts = (
                ("decoded", "decoded", "at least one reading was stored"),
                ("duplicates", "repeated", "everything in them was told before"),
                ("no_reading", "without reading", "nothing to store, by rule: deaths, commands, nulls"),
                ("quarantined", "quarantined", "nothing could be read"),
            )
            with box("figures balance"):
                figure(format_count(messages), None, "messages", "landed in these minutes")
                for at, (column, label, hint) in enumerate(parts):
                    text("=" if at == 0 else "+", "balance-sign", aria_hidden="true")
                    figure(format_count(account.total(column)), None, label, hint)
            if account.broken:
                states.problem(
                    f"The account does not add up in {format_count(len(account.broken))} minutes, the first being "
                    f"{account.broken[0]:%H:%M} UTC.",
                    "Materialise these minutes of `readings` again in Dagster.",
                )
            else:
                with box("verdict-line"):
                    box("dot dot-ok", tag="span", aria_hidden="true")
                    text(f"It adds up in each of {format_count(account.rows.height)} minutes: none is lost.", "muted")
        self._draw_lateness(account)

    def _draw_lateness(self, account: quality.Account) -> None:
        points = list(account.rows.select("minute", "lag_p95_seconds").iter_rows())
        unread = [(minute, float(count)) for minute, count in account.rows.select("minute", "quarantined").iter_rows()]
        lines = [Line(name="lateness, p95", points=points)]
        if self._chart is None:
            with self._chart_place:
                text("Lateness: from the event to its receipt, 95 % of readings within", "card-sub")
                self._chart = series_chart(
                    label="95th percentile of the lateness of readings by minute", unit="s", lines=lines, height=150
                )
                if any(count for _, count in unread):
                    text("Quarantined messages by minute", "card-sub")
                    series_chart(
                        label="quarantined messages by minute",
                        unit="messages",
                        lines=[Line(name="quarantined", points=unread, kind="bar", colour="--c2")],
                        height=110,
                    )
        else:
            self._chart.show(series_spec(unit="s", lines=lines))
