"""When walking forward learns anew."""

import itertools

from iot_pipeline.anomalies.evaluation.lattice import refits

DAY = 86_400


def test_what_is_young_is_learned_anew_when_twice_as_much_has_come_and_then_daily() -> None:
    assert refits(0, 400, 5 * DAY, DAY).tolist()[:6] == [400, 1200, 3600, 10_800, 32_400, 97_200]
    later = refits(0, 400, 5 * DAY, DAY).tolist()[5:]
    assert [end - begin for begin, end in itertools.pairwise(later[:-1])] == [DAY] * (len(later) - 2)


def test_a_long_past_is_learned_anew_when_a_tenth_has_come() -> None:
    assert refits(0, 100_000, 300_000, 1000).tolist()[:3] == [100_000, 110_000, 121_000]


def test_without_a_past_the_first_day_is_waited_for() -> None:
    assert refits(7, 7, 3000, 1000).tolist()[:2] == [7, 1007]
