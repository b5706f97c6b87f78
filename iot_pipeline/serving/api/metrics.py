"""Prometheus metrics of collectors, live layer, pipeline and API, in a registry of their own.

Labels are collectors, stages, reasons and routes; never devices, which would be a series each. Figures are read when
they are asked for, from small files that are replaced whole; nothing is counted twice.
"""

import time
from collections.abc import Callable, Iterable, Iterator
from datetime import datetime, timedelta

import polars as pl
from prometheus_client import CollectorRegistry, Counter, Histogram, ProcessCollector
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from iot_pipeline.clock import MINUTE, day_start, floor_minute, utc_now
from iot_pipeline.landing.heartbeat import CollectorHeartbeat, read_heartbeats
from iot_pipeline.live.model import LiveState
from iot_pipeline.paths import DataPaths
from iot_pipeline.readings.quarantine import Chosen, counts
from iot_pipeline.serving.events import open_by_severity
from iot_pipeline.serving.live_view import LiveView
from iot_pipeline.stats.published import newest_day, newest_in
from iot_pipeline.stats.relations import minute_trees

HOUR = timedelta(hours=1)
OUTCOMES = ("decoded", "duplicates", "no_reading", "quarantined")
STAGES = {"readings": "intake", "device_minute": "device_minute", "anomaly_flags": "anomaly_flags"}
SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.02, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 15)

_COUNTERS: dict[str, tuple[str, Callable[[CollectorHeartbeat], float]]] = {
    "messages": ("Messages taken over for landing since it was started.", lambda beat: beat.messages),
    "payload_bytes": ("Bytes of their payloads.", lambda beat: beat.payload_bytes),
    "landed_rows": ("Messages whose batch is durable.", lambda beat: beat.landed_rows),
    "batches": ("Batches landed.", lambda beat: beat.batches),
    "storage_failures": ("Attempts to write a batch that failed.", lambda beat: beat.storage_failures),
    "reconnects": ("Connections made again.", lambda beat: beat.reconnects),
    "cpu_seconds": ("CPU time of its process.", lambda beat: beat.cpu_seconds),
}
_GAUGES: dict[str, tuple[str, Callable[[CollectorHeartbeat, datetime], float]]] = {
    "up": ("1: it reported within the last seconds.", lambda beat, now: beat.alive(now)),
    "connected": ("1: connected, and subscribed to all it was told to.", lambda beat, _: beat.connected),
    "pending_rows": ("Messages in memory, not landed yet.", lambda beat, _: beat.pending_rows),
    "unacked_messages": ("Messages the sender still holds.", lambda beat, _: beat.unacked),
    "heartbeat_age_seconds": ("Age of its last heartbeat.", lambda beat, now: beat.age(now).total_seconds()),
    "landing_lag_seconds": (
        "Now minus the instant before which all it received is on disk.",
        lambda beat, now: (now - beat.landed_through).total_seconds(),
    ),
    "resident_memory_bytes": ("Memory of its process.", lambda beat, _: beat.rss_bytes),
}


class PipelineMetrics(Collector):
    """What is read anew at each scrape."""

    def __init__(self, paths: DataPaths, live: LiveView) -> None:
        self._paths, self._live = paths, live

    def describe(self) -> Iterable[Metric]:
        """Nothing: so that registering does not read a file."""
        return ()

    def collect(self) -> Iterator[Metric]:
        """All families, at this instant."""
        now = utc_now()
        yield from self._collectors(now)
        yield from self._live_layer()
        yield from self._pipeline(now)

    def _collectors(self, now: datetime) -> Iterator[Metric]:
        beats = read_heartbeats(self._paths)
        for name, (text, counted) in _COUNTERS.items():
            counter = CounterMetricFamily(f"iot_collector_{name}", text, labels=("collector", "source"))
            for beat in beats:
                counter.add_metric((beat.collector, beat.source), counted(beat))
            yield counter
        for name, (text, measured) in _GAUGES.items():
            gauge = GaugeMetricFamily(f"iot_collector_{name}", text, labels=("collector", "source"))
            for beat in beats:
                gauge.add_metric((beat.collector, beat.source), measured(beat, now))
            yield gauge

    def _live_layer(self) -> Iterator[Metric]:
        status = self._live.status()
        state = GaugeMetricFamily("iot_live_state", "1 for the state it is in.", labels=("state",))
        for each in LiveState:
            state.add_metric((each,), status.state is each)
        yield state
        gauges = {
            "rebuild_progress_ratio": ("Share of the rebuilding that is done.", status.progress),
            "visible_lag_seconds": ("From landed to visible.", status.visible_lag_seconds),
            "series": ("Series held.", status.series),
            "series_limit": ("Most series that the memory allowed can hold.", status.series_limit),
            "memory_bytes": ("What its columns take.", status.memory_bytes),
        }
        for name, (text, value) in gauges.items():
            yield GaugeMetricFamily(f"iot_live_{name}", text, value)
        counters = {
            "readings": ("Readings taken in since the start.", status.readings),
            "evicted_series": ("Series dropped, those not heard for longest first.", status.evicted_series),
            "files_skipped": ("Landed files that could not be read.", status.files_skipped),
        }
        for name, (text, value) in counters.items():
            yield CounterMetricFamily(f"iot_live_{name}", text, value)

    def _pipeline(self, now: datetime) -> Iterator[Metric]:
        trees = minute_trees(self._paths)
        lag = GaugeMetricFamily(
            "iot_pipeline_lag_seconds",
            "Now minus the end of what is newest.",
            labels=("stage",),
        )
        for stage, tree in STAGES.items():
            if (minute := newest_in(trees[tree])) is not None:
                lag.add_metric((stage,), (now - minute - MINUTE).total_seconds())
        if (day := newest_day(self._paths)) is not None:
            lag.add_metric(("device_day",), max((now - day_start(day)).total_seconds() - 86_400, 0))
        yield lag
        first, last = floor_minute(now) - HOUR, floor_minute(now)
        account = trees["intake"].read(first, last)
        messages = GaugeMetricFamily(
            "iot_intake_messages_last_hour", "Messages of the last hour's landing minutes.", labels=("outcome",)
        )
        for outcome in OUTCOMES:
            messages.add_metric((outcome,), int(account[outcome].sum()))
        yield messages
        quarantine = GaugeMetricFamily(
            "iot_quarantine_rows_last_hour", "Messages and fields that could not be read.", labels=("reason",)
        )
        if self._paths.quarantine.exists():
            found = counts(self._paths, Chosen(since=first, until=last))
            for reason, rows in found.group_by("reason").agg(pl.col("rows").sum()).sort("reason").iter_rows():
                quarantine.add_metric((reason,), rows)
        yield quarantine
        events = GaugeMetricFamily("iot_anomaly_events_open", "Anomaly events that are not over.", labels=("severity",))
        for severity, number in open_by_severity(self._paths, now).items():
            events.add_metric((severity,), number)
        yield events


class ApiMetrics:
    """Counts and times the answers of the API, by route."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.answers = Counter(
            "iot_api_answers", "Answers of the API.", ("route", "method", "status"), registry=registry
        )
        self.seconds = Histogram(
            "iot_api_answer_seconds", "Time to the head of the answer.", ("route",), buckets=SECONDS, registry=registry
        )


class Measured:
    """ASGI middleware of the API that feeds `ApiMetrics`."""

    def __init__(self, app: ASGIApp, metrics: ApiMetrics) -> None:
        self._app, self._metrics = app, metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on and look at what begins to come back."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        began = time.perf_counter()

        async def looking(message: Message) -> None:
            if message["type"] == "http.response.start":
                # Paths that are no route are as many as callers like: they share a label.
                route = getattr(scope.get("route"), "path", "none")
                # So do methods.
                method = scope["method"] if scope["method"] in ("GET", "POST") else "other"
                self._metrics.answers.labels(route, method, str(message["status"])).inc()
                self._metrics.seconds.labels(route).observe(time.perf_counter() - began)
            await send(message)

        await self._app(scope, receive, looking)


def make_registry(paths: DataPaths, live: LiveView) -> CollectorRegistry:
    """A registry with everything but `ApiMetrics`."""
    registry = CollectorRegistry(auto_describe=False)
    registry.register(PipelineMetrics(paths, live))
    ProcessCollector(registry=registry)
    return registry
