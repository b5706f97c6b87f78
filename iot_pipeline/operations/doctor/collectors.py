"""Collectors that ran on this data folder and are not asked for any more: the broker keeps their sessions.

Whether the collectors that are asked for keep up is `status.py`'s question.
"""

from collections.abc import Iterator

from iot_pipeline.clock import utc_now
from iot_pipeline.landing.collectors import SourceKind, collector_id, configured_kinds
from iot_pipeline.landing.heartbeat import read_heartbeats
from iot_pipeline.operations.doctor.finding import Finding, Verdict
from iot_pipeline.settings import Settings


def check_collectors(settings: Settings) -> Iterator[Finding]:
    """No session of a collector that was renamed or switched off hoards messages."""
    wanted = [collector_id(settings, kind) for kind in configured_kinds(settings)]
    now = utc_now()
    # Only this kind has a session that outlives its connection.
    known = [beat for beat in read_heartbeats(settings.paths) if beat.source is SourceKind.mqtt]
    forgotten = [beat for beat in known if beat.collector not in wanted and not beat.alive(now)]
    for beat in forgotten:
        yield Finding(
            "collectors",
            Verdict.warn,
            f"{beat.collector!r} ran here until {beat.written_at:%Y-%m-%d %H:%M} UTC and is not asked for any more; "
            f"{beat.broker} keeps messages for it",
            f"`IOT_COLLECTOR_ID={beat.collector} iot collect` lands them, `iot forget {beat.collector}` drops them",
        )
    if not forgotten:
        yield Finding("collectors", Verdict.ok, f"asked for: {', '.join(wanted)}; no other has a session")
