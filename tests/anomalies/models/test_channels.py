"""Machines with several channels: which series are one, what is learned of them, and which channel is named."""

import itertools
from datetime import date
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import settings as profile
from hypothesis import strategies as st
from polars.testing import assert_frame_equal

from iot_pipeline.anomalies.channels.minutes import WINDOW
from iot_pipeline.anomalies.detectors import ScoringWindow
from iot_pipeline.anomalies.events.grouping import group, stretches_of_flags
from iot_pipeline.anomalies.events.pace import PACE_SCHEMA
from iot_pipeline.anomalies.feedback import FeedbackLabel, FlagKey, record_feedback
from iot_pipeline.anomalies.flags import score_minutes, score_window
from iot_pipeline.anomalies.kinds import with_type
from iot_pipeline.anomalies.models.channels import LEAST_CHANNELS, MOST_BETWEEN, MOST_CHANNELS, in_parts, machines_of
from iot_pipeline.anomalies.models.fitting import fit_day
from iot_pipeline.anomalies.models.life import learn_day
from iot_pipeline.anomalies.models.scoring.channels import LearnedChannels
from iot_pipeline.anomalies.models.store import load, model_folder
from iot_pipeline.clock import DAY, MINUTE
from iot_pipeline.readings.schema import READING_SCHEMA
from iot_pipeline.settings import Settings, load_settings
from iot_pipeline.stats.relations import flags_tree
from tests.anomalies.models.days import MONDAY, at, frame, write_day
from tests.anomalies.models.machines import CHANNELS, MACHINES, Told, rows, values, write_days

TODAY = MONDAY + 3 * DAY
NO_PACE = pl.DataFrame(schema=PACE_SCHEMA)
NOTHING = pl.DataFrame(schema=READING_SCHEMA)


@pytest.fixture(name="settings", scope="module")
def plant(tmp_path_factory: pytest.TempPathFactory) -> Settings:
    """Three days without faults."""
    settings = load_settings(data=tmp_path_factory.mktemp("machines"))
    write_days(settings.paths, 3)
    return settings


@pytest.fixture(name="scorer", scope="module")
def learned(settings: Settings) -> LearnedChannels:
    fitted = fit_day(settings, TODAY)
    assert fitted is not None
    return LearnedChannels(fitted.model.channels, fitted.manifest.version)


def scored(scorer: LearnedChannels, minutes: pl.DataFrame, first: int, last: int) -> pl.DataFrame:
    """Flags of minutes of TODAY, made from no more than the look-back."""
    begin, end = at(TODAY, 0, first), at(TODAY, 0, last)
    seen = minutes.filter(pl.col("minute").is_between(begin - scorer.lookback, end))
    return score_window(ScoringWindow(NOTHING, seen, begin, end), [scorer])


def flags(scorer: LearnedChannels, told: Told, first: int = 500, last: int = 719) -> pl.DataFrame:
    return scored(scorer, rows(TODAY, told), first, last)


def leaning(channel: str = "pressure", *, size: float = 0.8) -> Told:
    """One channel of the first pump leaves the others from minute 600 on, within the range of its day."""
    told = values(TODAY)
    own = told[MACHINES[0], channel]
    # Towards the middle of its range: nothing that looks at the channel alone has a reason to mind.
    side = -1 if own[600:720].mean() > own.mean() else 1
    own[600:720] += side * size * (own.max() - own.min()) / 2
    return told


def table(*machines: tuple[str, int], minutes: int = 4000) -> pl.DataFrame:
    """Series as they were learned: so many metrics of each device."""
    named = [(device, f"m{number:02d}") for device, count in machines for number in range(count)]
    return pl.DataFrame(named, schema=["device_id", "metric"], orient="row").with_columns(
        pl.lit("bar").alias("unit"),
        pl.lit("a").alias("class"),
        pl.lit("ready").alias("state"),
        pl.lit(minutes).alias("minutes"),
        pl.lit(0.0).alias("resting_share"),
    )


def sizes(series: pl.DataFrame) -> list[tuple[str, int]]:
    found = machines_of(series)
    assert found["number"].is_sorted()
    return [(str(one["machine"][0]), one.height) for one in found.partition_by("number", maintain_order=True)]


@pytest.mark.parametrize(
    ("devices", "machines"),
    [
        ([("pump", 5)], [("pump", 5)]),
        ([("pump", LEAST_CHANNELS - 1)], []),
        ([("site/a", 1), ("site/b", 1), ("site/c", 1)], [("site", 3)]),
        ([("site/a", 2), ("site/b", 4), ("site/c", 1)], [("site", 3), ("site/b", 4)]),
        ([("a", 1), ("b", 1), ("c", 1)], []),
        ([("pump", MOST_CHANNELS + 1)], [("pump", 17), ("pump", 16)]),
        ([(f"city/{number}", 1) for number in range(MOST_CHANNELS + 1)], []),
        ([("", 3)], [("", 3)]),
        (
            [("site/a", 1), *((f"site/m/{number}", 1) for number in range(MOST_BETWEEN)), ("site/y", 1), ("site/z", 1)],
            [],
        ),
    ],
)
def test_a_machine_is_a_device_or_the_parent_of_few(
    devices: list[tuple[str, int]], machines: list[tuple[str, int]]
) -> None:
    assert sorted(sizes(table(*devices))) == sorted(machines)


def test_totals_states_the_young_and_the_seldom_heard_are_no_channels() -> None:
    odd = table(("pump", 8)).with_columns(
        pl.Series("state", ["counter", "learning", *["ready"] * 6]),
        pl.Series("resting_share", [0.0, 0.0, 1.0, *[0.0] * 5]),
        pl.Series("minutes", [4000, 4000, 4000, 1000, 3900, 4000, 4000, 4000]),
    )
    assert machines_of(odd)["metric"].to_list() == ["m04", "m05", "m06", "m07"]


@given(counts=st.lists(st.integers(3, 40), max_size=12), minutes=st.integers(1, 10_000_000))
def test_parts_hold_whole_machines_in_order(counts: list[int], minutes: int) -> None:
    channels = pl.DataFrame({"number": np.repeat(np.arange(len(counts)), counts)})
    parts = list(in_parts(channels, minutes))
    assert pl.concat([channels.clear(), *parts]).equals(channels)
    held = [number for part in parts for number in part["number"].unique(maintain_order=True)]
    assert held == list(range(len(counts)))


def test_a_day_as_usual_has_no_flag(scorer: LearnedChannels) -> None:
    assert flags(scorer, values(TODAY), WINDOW, 1439).is_empty()


@pytest.mark.parametrize("channel", list(CHANNELS))
def test_the_channel_that_leaves_the_others_within_its_own_range_is_named(
    scorer: LearnedChannels, channel: str
) -> None:
    found = flags(scorer, leaning(channel))
    assert found.height > 60
    assert set(found["device_id"]) == {MACHINES[0]}
    assert set(found["metric"]) == {channel}
    assert found["minute"].sort()[0] <= at(TODAY, 10, WINDOW)
    assert (found.group_by("minute").len()["len"] == 1).all()
    assert set(with_type(found)["type"]) == {"multichannel"}
    assert set(found["detector_version"]) == {scorer.version}
    assert not found["value"].is_between(found["expected_low"], found["expected_high"]).any()


def test_the_expected_band_is_where_the_others_are(scorer: LearnedChannels) -> None:
    found = flags(scorer, leaning("flow")).filter(pl.col("minute") >= at(TODAY, 10, WINDOW))
    usual = values(TODAY)[MACHINES[0], "flow"]
    column = ((found["minute"] - at(TODAY, 0)).dt.total_minutes()).to_numpy()
    means = np.array([usual[end - WINDOW + 1 : end + 1].mean() for end in column])
    assert (found["expected_low"].to_numpy() < means).all()
    assert (means < found["expected_high"].to_numpy()).all()


def test_an_event_of_it_is_a_sentence_that_names_channel_and_what_the_others_let_expect(
    scorer: LearnedChannels,
) -> None:
    stretches = stretches_of_flags(with_type(flags(scorer, leaning("pressure"))))
    (event,) = group(stretches, NO_PACE, scored_until=at(TODAY, 12)).iter_rows(named=True)
    assert event["type"] == "multichannel"
    assert event["sentence"].startswith("hall/pump_1 pressure: ")
    words = (
        r"^hall/pump_1 pressure: [\d.]+ bar on average of 10 minutes is (above|below) the [\d.]+ to [\d.]+ bar that "
    )
    words += r"the other 3 channels let expect, most of all (current|flow|speed); \d+ readings in 1?\d+"
    assert pl.Series([event["sentence"]]).str.contains(words).all()


def test_of_siblings_the_others_are_named_with_their_device(tmp_path: Path) -> None:
    settings = load_settings(data=tmp_path)

    def siblings(day: date, told: Told) -> pl.DataFrame:
        return pl.concat(
            frame(day, {f"plant/node/{channel}": numbers}, metric="measure")
            for (machine, channel), numbers in told.items()
            if machine == MACHINES[0]
        )

    for offset in range(3):
        day = MONDAY + offset * DAY
        write_day(settings.paths, day, siblings(day, values(day)))
    fitted = fit_day(settings, TODAY)
    assert fitted is not None
    assert set(fitted.model.channels["machine"]) == {"plant/node"}
    scorer = LearnedChannels(fitted.model.channels, "1")
    window = ScoringWindow(NOTHING, siblings(TODAY, leaning("flow")), at(TODAY, 10), at(TODAY, 11))
    found = score_window(window, [scorer])
    assert set(found["device_id"]) == {"plant/node/flow"}
    assert found["reason"].str.contains(r"most of all (current|pressure|speed) measure$").all()


@given(seed=st.integers(0, 1000), cuts=st.sets(st.integers(1, 49), max_size=4))
@profile(max_examples=12, deadline=None)
def test_a_range_gives_the_flags_of_its_parts(scorer: LearnedChannels, seed: int, cuts: set[int]) -> None:
    told = leaning()
    rng = np.random.default_rng(seed)
    for numbers in told.values():
        numbers[rng.random(numbers.size) < 0.2] = np.nan
        numbers[rng.integers(560, 640)] *= 1.5
    minutes = rows(TODAY, told)
    whole = scored(scorer, minutes, 590, 639)
    bounds = [590, *(590 + cut for cut in sorted(cuts)), 640]
    parts = [scored(scorer, minutes, start, end - 1) for start, end in itertools.pairwise(bounds)]
    assert whole.height > 0
    assert_frame_equal(pl.concat(parts), whole, check_exact=True)


def test_a_machine_with_a_silent_channel_is_not_judged_and_others_are(scorer: LearnedChannels) -> None:
    told = leaning()
    told[MACHINES[1], "flow"][600:720] *= 0.7
    told[MACHINES[0], "speed"][600:720] = np.nan
    found = flags(scorer, told)
    assert set(found.filter(pl.col("minute") >= at(TODAY, 10, WINDOW))["device_id"]) == {MACHINES[1]}


def test_a_machine_that_rests_for_the_first_time_has_no_guilty_channel_and_one_that_fails_has(
    scorer: LearnedChannels,
) -> None:
    told = values(TODAY)
    for channel in CHANNELS:
        told[MACHINES[0], channel][600:700] *= 0.1
    told[MACHINES[1], "flow"][600:700] *= 0.1
    found = flags(scorer, told).filter(pl.col("minute").is_between(at(TODAY, 10, WINDOW), at(TODAY, 11, 39)))
    assert set(found["device_id"]) == {MACHINES[1]}
    assert set(found["metric"]) == {"flow"}


def test_a_machine_that_nobody_knows_and_one_that_is_silent_are_not_judged(scorer: LearnedChannels) -> None:
    other = {("hall/new", channel): numbers for (machine, channel), numbers in leaning().items() if "1" in machine}
    assert flags(scorer, other).is_empty()
    assert score_window(
        ScoringWindow(NOTHING, rows(TODAY, other).clear(), at(TODAY, 1), at(TODAY, 2)), [scorer]
    ).is_empty()


@pytest.mark.parametrize("device", MACHINES)
def test_a_window_of_some_devices_gives_their_flags(scorer: LearnedChannels, device: str) -> None:
    told = leaning()
    told[MACHINES[1], "flow"][600:720] *= 0.7
    some = {(machine, channel): numbers for (machine, channel), numbers in told.items() if machine == device}
    of_all = flags(scorer, told).filter(pl.col("device_id") == device)
    assert of_all.height > 0
    assert_frame_equal(flags(scorer, some), of_all, check_exact=True)


@pytest.mark.parametrize("silent", list(CHANNELS))
def test_a_machine_of_which_a_device_never_spoke_is_not_judged(scorer: LearnedChannels, silent: str) -> None:
    told = {key: numbers for key, numbers in leaning().items() if key != (MACHINES[0], silent)}
    assert flags(scorer, told).is_empty()


@pytest.mark.parametrize("fill", [5.0, np.nan], ids=["constant", "missing"])
def test_a_channel_without_news_takes_no_part(tmp_path: Path, fill: float) -> None:
    settings = load_settings(data=tmp_path)
    for offset in range(2):
        day = MONDAY + offset * DAY
        told = values(day)
        told[MACHINES[0], "speed"][:] = fill
        write_day(settings.paths, day, rows(day, told))
    fitted = fit_day(settings, MONDAY + 2 * DAY)
    assert fitted is not None
    own = fitted.model.channels.filter(pl.col("machine") == MACHINES[0])
    assert own["metric"].to_list() == ["current", "flow", "pressure"]


def test_half_a_day_is_learning(tmp_path: Path) -> None:
    settings = load_settings(data=tmp_path)
    write_day(settings.paths, MONDAY, rows(MONDAY, values(MONDAY)).filter(pl.col("minute") < at(MONDAY, 5)))
    fitted = fit_day(settings, MONDAY + DAY)
    assert fitted is not None
    assert fitted.model.channels.is_empty()
    assert (
        LearnedChannels(fitted.model.channels, "1")
        .score(ScoringWindow(NOTHING, rows(MONDAY, values(MONDAY)), at(MONDAY, 8), at(MONDAY, 9)))
        .is_empty()
    )


def test_machines_learned_some_at_a_time_give_the_same_version(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = fit_day(settings, TODAY)
    monkeypatch.setattr("iot_pipeline.anomalies.models.history.CELLS_AT_ONCE", 3 * 1440)
    monkeypatch.setattr("iot_pipeline.anomalies.models.channels.CELLS_AT_ONCE", 3 * 1440)
    monkeypatch.setattr("iot_pipeline.anomalies.models.channels.MOST_CHANNELS", 4)
    parts = fit_day(settings, TODAY)
    assert whole is not None
    assert parts is not None
    assert_frame_equal(parts.model.channels, whole.model.channels, check_exact=True)
    assert parts.manifest.version == whole.manifest.version


def test_false_alarms_that_people_told_of_raise_the_threshold_of_the_machine(tmp_path: Path) -> None:
    settings = load_settings(data=tmp_path)
    write_days(settings.paths, 3)
    before = fit_day(settings, TODAY)
    for minute in range(20):
        wrong = FlagKey(MACHINES[1], "flow", "l/min", at(TODAY - DAY, 12, minute), "multichannel")
        record_feedback(settings.paths, wrong, FeedbackLabel.false_alarm, author="ann")
    after = fit_day(settings, TODAY)
    assert before is not None
    assert after is not None
    own, raised = (fitted.model.channels["threshold"].to_numpy() for fitted in (before, after))
    assert np.log1p(raised) / np.log1p(own) == pytest.approx(1.5, rel=0.05)


def test_minutes_in_files_are_scored_with_the_promoted_model_and_alone_as_together(tmp_path: Path) -> None:
    settings = load_settings(data=tmp_path)
    today: date = write_days(settings.paths, 3)
    write_day(settings.paths, today, rows(today, values(today)))
    lived = learn_day(settings, today)
    assert lived.promoted, lived.verdicts
    assert lived.manifest is not None
    stored = load(settings.paths, today, lived.manifest.version).channels
    assert stored.height == len(MACHINES) * len(CHANNELS)
    write_day(settings.paths, today, rows(today, leaning()))

    report = score_minutes(settings, at(today, 10), at(today, 10, 40))

    assert report.by_detector["multichannel"] > 20
    kept = flags_tree(settings.paths).read(at(today, 10), at(today, 10, 40))
    for minute in (at(today, 10, 12), at(today, 10, 31)):
        score_minutes(settings, minute, minute)
    assert_frame_equal(flags_tree(settings.paths).read(at(today, 10), at(today, 10, 40)), kept, check_exact=True)


def test_alerts_of_machines_count_against_a_model(tmp_path: Path) -> None:
    settings = load_settings(data=tmp_path)
    machines = tuple(f"hall/pump_{number}" for number in range(6))
    today = write_days(settings.paths, 3, machines=machines)
    told = values(today, machines)
    for machine in machines:  # the load no longer moves the pressure: nothing but the relation has changed
        told[machine, "pressure"][:] = 8.0 - told[machine, "pressure"]
    write_day(settings.paths, today, rows(today, told))
    lived = learn_day(settings, today)
    failed = {verdict.name for verdict in lived.verdicts if not verdict.passed}
    assert {"false_alerts", "alert_rate"} <= failed
    assert not lived.promoted


def test_a_model_of_before_the_channels_still_scores(settings: Settings, tmp_path: Path) -> None:
    own = load_settings(data=tmp_path)
    today = write_days(own.paths, 3)
    write_day(own.paths, today, rows(today, values(today)))
    manifest = learn_day(own, today).manifest
    assert manifest is not None
    (model_folder(own.paths, today, manifest.version) / "channels.parquet").unlink()
    assert load(own.paths, today, manifest.version).channels.is_empty()
    report = score_minutes(own, at(today, 10), at(today, 10) + MINUTE)
    assert report.by_detector["multichannel"] == 0
