"""Real and awkward files, played over MQTT into the running product with their own event times, add up exactly."""

from datetime import date

import polars as pl
import pytest

from iot_pipeline.landing.heartbeat import read_heartbeats
from iot_pipeline.stats.lateness import journal_path, read_touches
from iot_pipeline.stats.published import published_day
from tests.product.live import Live
from tests.product.replays import WEATHER, Played

# From sending to the day's statistics: closing of the minute, decoding, the late-days sensor, the day chain.
PUBLISHED_SECONDS = 600
FIGURES = ("count", "min", "max", "mean")
pytestmark = [pytest.mark.usefixtures("first_minute"), pytest.mark.timeout(1200)]


@pytest.fixture(scope="module", params=["awkward", "nyc"])
def played(request: pytest.FixtureRequest, live: Live, sent: dict[str, Played]) -> Played:
    """A file whose days are published, all of them after their last change."""
    if request.param not in sent:
        pytest.skip(f"{WEATHER} is not there")
    file = sent[request.param]
    days: list[date] = file.days["day"].unique().to_list()

    def published() -> bool:
        touches, _ = read_touches(journal_path(live.paths), 0)
        changed = {day: touch.built_at for touch in touches for day in touch.days}
        done = {day: published_day(live.paths, day) for day in days}
        return all(day in changed and (at := done[day]) is not None and at >= changed[day] for day in days)

    live.wait(published, f"{len(days)} days of {file.dataset}", seconds=PUBLISHED_SECONDS)
    return file


def test_days_are_those_of_the_file(live: Live, played: Played) -> None:
    found = live.query(
        'select day, device_id, metric, "count", min, max, mean from device_day where starts_with(device_id, ?)',
        f"{played.dataset}/",
    )
    keys = ["day", "device_id", "metric"]
    both = played.days.join(found, on=keys, how="full", suffix="_found", coalesce=True)
    assert found.height == played.days.height
    assert both.null_count().sum_horizontal().item() == 0, both.filter(pl.any_horizontal(pl.all().is_null()))
    for figure in FIGURES:
        error = (pl.col(figure) - pl.col(f"{figure}_found")).abs()
        wrong = both.filter(error > 1e-9 * pl.max_horizontal(1.0, pl.col(figure).abs()))
        assert wrong.is_empty(), (figure, wrong)


def test_every_row_landed_and_every_null_is_accounted_for(live: Live, played: Played) -> None:
    # Sparkplug payloads are no text; the others that are sent with nulls are these two.
    told = (
        pl.scan_parquet(live.paths.landing / "dt=*" / "hm=*" / "*.parquet")
        .filter(pl.col("topic").str.starts_with("replay/") | pl.col("topic").str.starts_with("opcua/"))
        .select("topic", "payload", nulls=pl.col("payload").cast(pl.String).str.count_matches(":null"))
        .collect()
    )
    replayed = told.filter(pl.col("topic").str.starts_with("replay/"))
    copies = replayed.filter(pl.col("topic").str.starts_with(f"replay/{played.dataset}/"))
    # QoS 1 may deliver a message twice; what matters is that each one is there.
    once = copies.unique(["topic", "payload"])
    assert once.height == played.rows
    assert once["nulls"].sum() == played.nulls
    [heartbeat] = [beat for beat in read_heartbeats(live.paths) if beat.source == "mqtt"]
    assert copies.height - once.height <= heartbeat.duplicates_flagged
    # The account counts what landed, both files and second copies included.
    assert live.query("select sum(null_fields) from intake").item() == told["nulls"].sum()
