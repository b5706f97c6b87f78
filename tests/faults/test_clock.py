"""The machine's clock is set back and forth while messages come: no closed minute gets a file that nobody sees."""

from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path

import pytest

from iot_pipeline.clock import minutes_between, utc_now
from iot_pipeline.landing.closing import IntakeCursor, Request, closed_through, next_request, note_landed
from iot_pipeline.landing.heartbeat import read_heartbeats
from iot_pipeline.landing.layout import landed_files, landed_minutes
from iot_pipeline.landing.ledger import LedgerCursor, read_since
from iot_pipeline.settings import Settings, load_settings
from tests.faults.world import HANDICAPPED, CollectorProcess, account, assert_nothing_lost, device, running
from tests.servers import RunningBroker
from tests.sources.publishing import landed

AHEAD, BACK, CAUGHT_UP = 180.0, -120.0, 400.0


class Clock:
    """What the collector's machine believes the time to be, and the sensor that runs on the same machine."""

    def __init__(self, file: Path, settings: Settings) -> None:
        self.file = file
        self._settings = settings
        self._cursor = IntakeCursor(ledger=LedgerCursor())
        self._offset = timedelta(0)
        self.set(0.0)

    def set(self, seconds: float) -> None:
        """Set it to `seconds` off the true time, at once."""
        written = self.file.with_suffix(".new")
        written.write_text(str(seconds))
        written.replace(self.file)
        self._offset = timedelta(seconds=seconds)

    def now(self) -> datetime:
        return utc_now() + self._offset

    def requests(self) -> Iterator[Request]:
        """What the sensor of landed minutes asks for now, until it has nothing left to ask for."""
        lines, ledger = read_since(self._settings.paths, self._cursor.ledger)
        self._cursor = note_landed(self._cursor, (line.minute for line in lines), ledger)
        beats = read_heartbeats(self._settings.paths)
        closed = closed_through(self.now(), beats, intake_delay=self._settings.intake_delay)
        while True:
            request, self._cursor = next_request(self._cursor, closed, self._settings.first_minute, 120)
            if request is None:
                return
            yield request


@pytest.fixture
def prompt(settings: Settings) -> Settings:
    """Minutes close as soon as they are over."""
    return load_settings(data=settings.data, intake_delay_seconds=0)


@pytest.fixture
def clock(tmp_path: Path, prompt: Settings) -> Clock:
    return Clock(tmp_path / "clock", prompt)


@pytest.fixture
def collector(prompt: Settings, nats_broker: RunningBroker, clock: Clock, tmp_path: Path) -> CollectorProcess:
    return CollectorProcess(
        prompt,
        nats_broker.url,
        tmp_path / "collector.log",
        launcher=HANDICAPPED,
        FAULT_CLOCK=str(clock.file),
        IOT_INTAKE_DELAY_SECONDS="0",
    )


def test_a_clock_that_is_set_back_stands_still_and_opens_no_closed_minute(
    prompt: Settings, nats_broker: RunningBroker, clock: Clock, collector: CollectorProcess
) -> None:
    with running(collector), device(nats_broker) as one:
        one.send(50)
        collector.until_landed(one.promised)
        clock.set(AHEAD)
        ahead = clock.now()
        before = collector.until(lambda beat: beat.landed_through >= ahead, "the collector to follow the clock")
        [front] = clock.requests()
        closed = minutes_between(front.first, front.last)
        files = [landed_files(prompt.paths, minute) for minute in closed]

        clock.set(BACK)
        one.send(50)
        collector.until_landed(one.promised)
        behind = collector.until(lambda beat: "clock was set back" in (beat.last_error or ""), "the fault to be told")
        assert behind.landed_through >= before.landed_through
        assert list(clock.requests()) == []

        clock.set(CAUGHT_UP)
        one.send(50)
        collector.until_landed(one.promised)
        collector.until(lambda beat: beat.last_error is None, "all to be well")
        [rest] = clock.requests()
    assert [landed_files(prompt.paths, minute) for minute in closed] == files
    assert rest.first == front.last + timedelta(minutes=1)
    assert landed(prompt.paths).sort("batch", "row")["received_at"].is_sorted()
    assert assert_nothing_lost(prompt, one).duplicates == 0


def test_what_a_restart_lands_in_closed_minutes_is_asked_for_again(
    prompt: Settings, nats_broker: RunningBroker, clock: Clock, collector: CollectorProcess
) -> None:
    """A new process has to take the time as it is; the ledger tells of files behind the front."""
    clock.set(AHEAD)
    with device(nats_broker) as one:
        with running(collector):
            one.send(50)
            collector.until_landed(one.promised)
        clock.set(AHEAD + 120)
        with running(collector):  # Says that the minutes before are over.
            [front] = clock.requests()
        known = landed_minutes(prompt.paths, None)
        assert account(prompt).messages == 50

        clock.set(BACK)
        with running(collector):
            one.send(50)
            collector.until_landed(one.promised)
            again = [minute for request in clock.requests() for minute in minutes_between(request.first, request.last)]
    late = [minute for minute in landed_minutes(prompt.paths, None) if minute not in known]
    assert late
    assert max(late) < front.last
    assert again == late
    assert assert_nothing_lost(prompt, one).duplicates == 0
