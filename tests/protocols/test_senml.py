"""SenML: base fields, times and what makes a pack or a record unusable. Examples of the RFC are golden cases."""

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from iot_pipeline.protocols.senml import RELATIVE_BELOW, Record, SenmlError, resolve

NOW_US = 1_795_341_630_000_000


def resolved(pack: object) -> list[Record]:
    records = [record for _, record in resolve(pack, NOW_US)]
    assert not [record for record in records if isinstance(record, SenmlError)]
    return [record for record in records if not isinstance(record, SenmlError)]


def test_base_fields_hold_until_they_are_told_again() -> None:
    pack = [{"bn": "a/", "bu": "V", "n": "x", "v": 1}, {"n": "y", "v": 2}, {"bn": "b", "v": 3, "u": "A"}]
    assert resolved(pack) == [
        {"n": "a/x", "bn": "a/", "base_name": "a", "own_name": "x", "u": "V", "v": 1},
        {"n": "a/y", "bn": "a/", "base_name": "a", "own_name": "y", "u": "V", "v": 2},
        {"n": "b", "bn": "b", "base_name": "b", "u": "A", "v": 3},
    ]


def test_a_record_of_base_fields_only_holds_no_measurement() -> None:
    assert resolved([{"bn": "a:", "bt": 1.5e9}, {"n": "x", "v": 1}]) == [
        {"n": "a:x", "bn": "a:", "base_name": "a", "own_name": "x", "t": 1.5e9, "v": 1}
    ]


@pytest.mark.parametrize(
    ("record", "seconds"),
    [
        ({"t": 0}, None),
        ({"bt": 5, "t": -5}, None),
        ({"t": RELATIVE_BELOW}, RELATIVE_BELOW),
        ({"t": RELATIVE_BELOW - 1}, NOW_US / 1e6 + RELATIVE_BELOW - 1),
        ({"t": -1}, NOW_US / 1e6 - 1),
        ({"bt": 1795341600, "t": -30}, 1795341570),
    ],
)
def test_times(record: dict[str, object], seconds: float | None) -> None:
    assert resolved([{"n": "x", "v": 1, **record}])[0].get("t") == seconds


def test_integers_keep_their_digits() -> None:
    assert resolved([{"n": "x", "v": (1 << 60) + 1}])[0]["v"] == (1 << 60) + 1


@pytest.mark.parametrize(
    ("record", "error"),
    [
        ({"n": "x"}, "one value is expected, found none"),
        ({"n": "x", "v": 1, "vb": True}, "one value is expected, found v and vb"),
        ({"v": 1}, "neither a name nor a base name"),
        ({"n": 7, "v": 1}, "n is not a text"),
        ({"n": "x", "v": True}, "v is not a number"),
        ({"n": "x", "v": None}, "v is not a number"),
        ({"n": "x", "vb": 1}, "vb is not true or false"),
        ({"n": "x", "v": 1e308, "bv": 1e308}, "bv and v add up to more than a double can hold"),
        ({"n": "x", "v": 10**400, "bv": 0.5}, "bv and v add up to more than a double can hold"),
        ({"n": "x", "v": 1, "t": -1e300}, "t is .* before 1970"),
    ],
)
def test_a_record_that_cannot_be_used(record: dict[str, object], error: str) -> None:
    [(index, found)] = resolve([record], NOW_US)
    assert index == 0
    assert isinstance(found, SenmlError)
    with pytest.raises(SenmlError, match=error):
        raise found


@pytest.mark.parametrize(
    ("pack", "error"),
    [
        ({"n": "x", "v": 1}, "a pack is an array"),
        (None, "a pack is an array"),
        ([{"n": "x", "v": 1}, {"bver": 11}], "record 1: version 11"),
        ([{"bver": "10"}], "record 0: version 10"),
        ([{"n": "x", "v": 1, "new_": 2}], "record 0: 'new_' must be understood"),
        ([{"bu": 5}], "record 0: bu is not a text"),
    ],
)
def test_a_pack_that_may_not_be_used(pack: object, error: str) -> None:
    with pytest.raises(SenmlError, match=error):
        list(resolve(pack, NOW_US))


anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=5,
)
keys = st.sampled_from(
    ["bn", "bt", "bu", "bv", "bs", "bver", "n", "u", "v", "vs", "vb", "vd", "s", "t", "ut", "x", "x_"]
)


@given(st.lists(st.dictionaries(keys, anything, max_size=6) | anything, max_size=4) | anything)
def test_any_json_is_resolved_or_its_own_error(pack: object) -> None:
    try:
        found = list(resolve(pack, NOW_US))
    except SenmlError:
        return
    for _, record in found:
        assert isinstance(record, SenmlError) or record["n"]
        msgspec.json.encode(None if isinstance(record, SenmlError) else record)
