"""What the overview says: is the plant fine, how is each fleet, how far is the pipeline, what is unusual.

Plain functions over records of the live layer and small files. How it looks is `page.py`.
"""

from collections import defaultdict, deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from enum import StrEnum

from iot_pipeline.clock import DAY, MINUTE, day_start
from iot_pipeline.landing.heartbeat import CollectorHeartbeat, read_heartbeats
from iot_pipeline.live.model import FleetPulse, LiveState, LiveStatus
from iot_pipeline.paths import DataPaths
from iot_pipeline.serving.pages.overview.learned import learned
from iot_pipeline.serving.pages.parts.wording import format_duration
from iot_pipeline.stats.published import front, newest_day, newest_in, newest_minute
from iot_pipeline.stats.relations import flags_tree

# As `iot status` judges.
LANDING_LATE = timedelta(seconds=30)
BUILD_LATE = timedelta(minutes=5)
# Fleets speak every few seconds; one that says nothing for so long has something wrong before the collector.
FLEET_QUIET = timedelta(minutes=2)
# A day is made every hour anew and sealed after its end.
DAY_LATE = timedelta(hours=26)
SAMPLES = 120


class Level(StrEnum):
    """How good something is; the order of the members is that of concern."""

    ok = "ok"
    unknown = "unknown"
    warn = "warn"
    bad = "bad"


_CONCERN = {level: place for place, level in enumerate(Level)}
FLEET_PAGES = {
    "ice_plant": ("Ice plant", "/ice-plant"),
    "weather": ("Weather", "/weather"),
    "utility": ("Utility", "/utility"),
    "industrial_line": ("Line", "/line"),
    "us_states": ("States", "/states"),
}


@dataclass(frozen=True, slots=True)
class FleetCard:
    """A fleet at a glance; `title` is the name that people use, `words` says its state."""

    fleet: str
    title: str
    level: Level
    words: str
    pulse: FleetPulse


@dataclass(frozen=True, slots=True, kw_only=True)
class Stage:
    """How far a stage of the pipeline is.

    Attributes:
        name: its name in words.
        asset: the Dagster asset that makes it; None: it is not Dagster's.
        last: instant up to which it is complete; None: nothing yet.
        behind: how long ago that was.
        level: whether that is usual.
        what: what it does, for whoever hovers.
    """

    name: str
    asset: str | None
    last: datetime | None
    behind: timedelta | None
    level: Level
    what: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Pipeline:
    """Everything about the pipeline that is read from files."""

    collectors: tuple[CollectorHeartbeat, ...]
    stages: tuple[Stage, ...]
    last_day: date | None
    learned: str
    at: datetime

    @property
    def heard(self) -> bool:
        """Whether any message ever came."""
        return any(beat.messages for beat in self.collectors) or any(stage.last for stage in self.stages[1:])


@dataclass(frozen=True, slots=True)
class Verdict:
    """The answer to `is everything fine?`: one headline, and each thing that is not."""

    level: Level
    headline: str
    reasons: tuple[tuple[Level, str], ...]


@dataclass(frozen=True, slots=True)
class Step:
    """A step of the first minutes."""

    done: bool
    text: str
    hint: str


class RateHistory:
    """Readings a second of each fleet over the last minutes, as sampled; lost with the process."""

    def __init__(self) -> None:
        self._rates: defaultdict[str, deque[float]] = defaultdict(lambda: deque(maxlen=SAMPLES))

    def sample(self, fleets: Iterable[FleetPulse]) -> None:
        """Note how it is now."""
        for fleet in fleets:
            self._rates[fleet.fleet].append(fleet.readings_per_second)

    def of(self, fleet: str) -> list[float]:
        """Oldest first; at most SAMPLES."""
        return list(self._rates[fleet]) if fleet in self._rates else []


def fleet_cards(fleets: Iterable[FleetPulse]) -> list[FleetCard]:
    """A card for each fleet, by title; devices without a fleet come last."""
    cards = [_card(pulse) for pulse in fleets]
    return sorted(cards, key=lambda card: (not card.fleet, card.title.casefold()))


def fleet_title(fleet: str) -> str:
    """The name that people use."""
    return FLEET_PAGES[fleet][0] if fleet in FLEET_PAGES else fleet or "Other devices"


def _card(pulse: FleetPulse) -> FleetCard:
    title = fleet_title(pulse.fleet)
    if pulse.lag_seconds is None:
        return FleetCard(pulse.fleet, title, Level.unknown, "nothing heard yet", pulse)
    if pulse.lag_seconds > FLEET_QUIET.total_seconds():
        return FleetCard(pulse.fleet, title, Level.bad, f"silent for {format_duration(pulse.lag_seconds)}", pulse)
    return FleetCard(pulse.fleet, title, Level.ok, "live", pulse)


def pipeline(paths: DataPaths, now: datetime) -> Pipeline:
    """Read heartbeats and how far each stage is; blocks for some milliseconds."""
    beats = tuple(sorted(read_heartbeats(paths), key=lambda beat: beat.collector))
    day = newest_day(paths)
    stages = (
        _landing(beats, now),
        _built(
            "Readings",
            "readings",
            front(paths),
            now,
            "Messages decoded by their mappings, each reading once; what cannot be read goes to quarantine.",
        ),
        _built(
            "Minutes",
            "device_minute",
            newest_minute(paths),
            now,
            "Statistics of each device and metric by event minute.",
        ),
        _built(
            "Flags",
            "anomaly_flags",
            newest_in(flags_tree(paths)),
            now,
            "Readings that a detector found unusual, with expected band and reason.",
        ),
        _days(day, now),
    )
    return Pipeline(collectors=beats, stages=stages, last_day=day, learned=learned(paths, now.date()), at=now)


def _landing(beats: Sequence[CollectorHeartbeat], now: datetime) -> Stage:
    alive = [beat for beat in beats if beat.alive(now)]
    # The slowest collector that is alive counts; when none is, the one that was last.
    last = min(beat.landed_through for beat in alive) if alive else max((b.landed_through for b in beats), default=None)
    what = "Raw messages on disk as they came, before anything is understood."
    return _stage("Landing", "landing", last, now - last if last else None, LANDING_LATE, what=what)


def _built(name: str, asset: str, last: datetime | None, now: datetime, what: str) -> Stage:
    end = last + MINUTE if last else None
    return _stage(name, asset, end, now - end if end else None, BUILD_LATE, what=what)


def _days(day: date | None, now: datetime) -> Stage:
    what = "Statistics by hour and day; yesterday is made after midnight UTC and sealed."
    end = min(day_start(day) + DAY, now) if day else None
    return _stage("Days", "device_day", end, now - end if end else None, DAY_LATE, what=what)


def _stage(
    name: str, asset: str, last: datetime | None, behind: timedelta | None, late: timedelta, *, what: str
) -> Stage:
    level = Level.unknown if behind is None else Level.warn if behind > late else Level.ok
    return Stage(name=name, asset=asset, last=last, behind=behind, level=level, what=what)


def collector_level(beat: CollectorHeartbeat, now: datetime) -> tuple[Level, str]:
    """How a collector is, in a word or two."""
    if beat.stopped:
        return Level.unknown, "stopped"
    if not beat.alive(now):
        return Level.bad, f"no sign of life for {format_duration(beat.age(now).total_seconds())}"
    if not beat.connected:
        return Level.bad, "not connected"
    if beat.last_error:
        return Level.warn, "connected, with trouble"
    return Level.ok, "connected"


def verdict(status: LiveStatus, cards: Sequence[FleetCard], pipe: Pipeline | None, *, critical: int) -> Verdict:
    """Whether all is well; `critical` is how many critical anomalies nobody has looked at."""
    reasons: list[tuple[Level, str]] = [
        (card.level, f"{card.title} is {card.words}") for card in cards if card.level is Level.bad
    ]
    if pipe is not None:
        for beat in pipe.collectors:
            level, words = collector_level(beat, pipe.at)
            if level in (Level.warn, Level.bad):
                detail = f": {beat.last_error}" if beat.last_error else ""
                reasons.append((level, f"Collector {beat.collector} ({beat.broker}) {words}{detail}"))
        reasons += [
            (stage.level, f"{stage.name}: behind by {format_duration(stage.behind.total_seconds())}")
            for stage in pipe.stages
            if stage.level is Level.warn and stage.behind is not None
        ]
    if status.state is LiveState.STALE:
        reasons.append((Level.warn, f"Live figures are {format_duration(status.visible_lag_seconds)} old"))
    if critical:
        reasons.append(
            (Level.warn, f"{critical} critical {'anomaly' if critical == 1 else 'anomalies'} in the last hour")
        )
    reasons.sort(key=lambda one: -_CONCERN[one[0]])
    if reasons:
        headline = "Needs attention" if reasons[0][0] is Level.bad else "Running, with something to look at"
        return Verdict(reasons[0][0], headline, tuple(reasons))
    if not cards:
        return Verdict(Level.unknown, "Waiting for the first readings", ())
    if status.state is LiveState.REBUILDING:
        return Verdict(Level.unknown, f"Reading the last hour again, {status.progress:.0%} done", ())
    return Verdict(Level.ok, "All well", ())


def first_steps(pipe: Pipeline) -> list[Step]:
    """What happens in the first minutes, and how far it is."""
    alive = any(beat.alive(pipe.at) for beat in pipe.collectors)
    connected = any(beat.alive(pipe.at) and beat.connected for beat in pipe.collectors)
    came = any(beat.messages for beat in pipe.collectors)
    built = {stage.name: stage.last is not None for stage in pipe.stages}
    return [
        Step(alive, "A collector runs", "`iot up` starts one for each kind of source; `iot collect` starts one alone."),
        Step(
            connected,
            "It is connected to the broker",
            "Where to: IOT_BROKER_URL. `iot doctor` tells what is in the way.",
        ),
        Step(
            came,
            "Messages come in and land",
            "`iot simulate` sends five fleets to try; what is collected is named by IOT_TOPICS.",
        ),
        Step(
            built["Minutes"],
            "The first minute is built, a minute or two after the first message",
            "Dagster makes each minute when it is closed; without `iot up` start it with `dagster dev`.",
        ),
        Step(built["Days"], "Hours and days follow", "The day so far is made anew each hour."),
    ]
