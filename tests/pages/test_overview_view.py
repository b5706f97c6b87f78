"""Whether the plant is fine, from records."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

from iot_pipeline.landing.heartbeat import CollectorHeartbeat, write_heartbeat
from iot_pipeline.live.model import FleetPulse, LiveState
from iot_pipeline.operations.status import BUILD_LATE, LANDING_LATE
from iot_pipeline.paths import DataPaths
from iot_pipeline.serving.pages.overview import view
from tests.serving.recorded_live import RecordedLive

NOW = datetime(2026, 11, 22, 10, 0, 30, tzinfo=UTC)
FINE = FleetPulse("weather", 3, 3, 12.0, NOW, 1.0, 0)
STATUS = RecordedLive().status()


def beat(**changes: object) -> CollectorHeartbeat:
    known = CollectorHeartbeat(
        collector="collector-1",
        pid=1,
        started_at=NOW,
        written_at=NOW,
        connected=True,
        messages=10,
        payload_bytes=100,
        batches=1,
        duplicates_flagged=0,
        unacked=0,
        pending_rows=0,
        last_received_at=NOW,
        landed_through=NOW,
        reconnects=0,
        last_error=None,
        broker="127.0.0.1:1883",
        cpu_seconds=1.0,
        rss_bytes=1,
    )
    return replace(known, **changes)  # type: ignore[arg-type]


def piped(*beats: CollectorHeartbeat, late: timedelta = timedelta(seconds=70)) -> view.Pipeline:
    level = view.Level.warn if late > view.BUILD_LATE else view.Level.ok
    stage = view.Stage(name="Minutes", asset="device_minute", last=NOW - late, behind=late, level=level, what="")
    landing = view.Stage(name="Landing", asset="landing", last=NOW, behind=timedelta(0), level=view.Level.ok, what="")
    return view.Pipeline(collectors=beats, stages=(landing, stage), last_day=None, learned="", at=NOW)


def test_all_is_well_when_every_part_is() -> None:
    verdict = view.verdict(STATUS, view.fleet_cards([FINE]), piped(beat()), critical=0)
    assert verdict == view.Verdict(view.Level.ok, "All well", ())


def test_a_silent_fleet_is_said_first() -> None:
    cards = view.fleet_cards([FINE, replace(FINE, fleet="us_states", lag_seconds=400.0)])
    verdict = view.verdict(STATUS, cards, piped(beat()), critical=2)
    assert (verdict.level, verdict.headline) == (view.Level.bad, "Needs attention")
    assert verdict.reasons == (
        (view.Level.bad, "States is silent for 6 min 40 s"),
        (view.Level.warn, "2 critical anomalies in the last hour"),
    )


def test_what_is_wrong_with_collectors_and_stages_is_said_with_its_reason() -> None:
    lost = beat(connected=False, last_error="connection refused")
    late = view.verdict(STATUS, view.fleet_cards([FINE]), piped(lost, late=timedelta(minutes=9)), critical=0)
    assert [reason for _, reason in late.reasons] == [
        "Collector collector-1 (127.0.0.1:1883) not connected: connection refused",
        "Minutes: behind by 9 min",
    ]


def test_a_collector_that_was_stopped_on_purpose_is_no_alarm() -> None:
    assert view.collector_level(beat(stopped=True), NOW) == (view.Level.unknown, "stopped")
    silent, words = view.collector_level(beat(), NOW + timedelta(minutes=2))
    assert (silent, words) == (view.Level.bad, "no sign of life for 2 min")


def test_before_the_first_reading_it_waits_and_while_rebuilding_it_says_so() -> None:
    assert view.verdict(STATUS, [], piped(beat()), critical=0).headline == "Waiting for the first readings"
    rebuilding = replace(STATUS, state=LiveState.REBUILDING, progress=0.4)
    told = view.verdict(rebuilding, view.fleet_cards([FINE]), piped(beat()), critical=0)
    assert (told.level, told.headline) == (view.Level.unknown, "Reading the last hour again, 40% done")


def test_fleets_have_the_names_that_people_use_and_unknown_ones_their_own() -> None:
    named = [replace(FINE, fleet=fleet) for fleet in ("", "zigbee", "ice_plant")]
    assert [card.title for card in view.fleet_cards(named)] == ["Ice plant", "zigbee", "Other devices"]


def test_an_empty_folder_is_the_first_run(tmp_path: Path) -> None:
    found = view.pipeline(DataPaths(tmp_path), NOW)
    assert not found.heard
    assert {stage.level for stage in found.stages} == {view.Level.unknown}
    assert [step.done for step in view.first_steps(found)] == [False] * 5


def test_steps_are_done_one_after_the_other(tmp_path: Path) -> None:
    paths = DataPaths(tmp_path)
    paths.state.mkdir(parents=True)
    write_heartbeat(paths, beat())
    found = view.pipeline(paths, NOW)
    assert [step.done for step in view.first_steps(found)] == [True, True, True, False, False]


def test_lateness_is_judged_as_on_the_command_line() -> None:
    assert (view.LANDING_LATE, view.BUILD_LATE) == (LANDING_LATE, BUILD_LATE)


def test_rates_are_kept_for_a_while_only() -> None:
    rates = view.RateHistory()
    for index in range(view.SAMPLES + 5):
        rates.sample([replace(FINE, readings_per_second=float(index))])
    assert rates.of("weather")[0] == 5.0
    assert len(rates.of("weather")) == view.SAMPLES
    assert rates.of("nowhere") == []
