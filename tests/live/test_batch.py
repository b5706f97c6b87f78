"""Two speeds, one truth: the real batch stages and the layer agree, and the layer takes over what they correct."""

import shutil
from pathlib import Path

from iot_pipeline.clock import MINUTE, floor_minute, landing_minute
from iot_pipeline.readings.build import build_minutes
from iot_pipeline.readings.language.mapping import load_mappings
from iot_pipeline.stats.build import build_minutes_stats
from iot_pipeline.stats.relations import device_minute_tree, prepare_relations
from tests.live.test_rebuild import assert_same_windows, known, story
from tests.live.world import NOW, land, layer_on, minute, settings_in


def test_the_batch_layer_and_the_live_layer_agree(tmp_path: Path, parsed_dbt: Path) -> None:
    own = settings_in(tmp_path, minute_start=(NOW - 2 * 1440 * MINUTE).date())
    shutil.copytree(parsed_dbt, own.paths.tmp / "dbt")
    prepare_relations(own.paths)
    told = story()
    land(own, told)
    alone = layer_on(own)
    landed = sorted({landing_minute(one.received_at, own.intake_delay) for one in told})
    through = minute(2)
    build_minutes(own, load_mappings(own.mappings), [one for one in landed if one <= through])
    build_minutes_stats(own, floor_minute(told[0].event_ts), through, "run")
    assert not device_minute_tree(own.paths).read(minute(5), through).is_empty()
    after = layer_on(own)
    assert after.status().readings < alone.status().readings
    assert known(after) == known(alone)
    for reading in known(after):
        assert_same_windows(after, alone, reading)
    assert after.customer_devices("c-1") == ["pump"]
    assert [pulse.fleet for pulse in after.fleets()] == ["bench"]
