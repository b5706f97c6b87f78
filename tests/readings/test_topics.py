import pytest

from iot_pipeline.readings.language.topics import NamePattern, TopicPattern


@pytest.mark.parametrize(
    ("pattern", "topic", "captures"),
    [
        ("a/{x}", "a/b", {"x": "b"}),
        ("a/{x}", "a/b/c", None),
        ("a/{x}", "a/", None),
        ("a/{x...}", "a/b/c", {"x": "b/c"}),
        ("a/pump-{n}/v", "a/pump-7/v", {"n": "7"}),
        ("+/x", "b/x", {}),
        ("a/#", "a", {}),
        ("a/#", "a/b/c", {}),
        ("#", "$SYS/broker", None),
        ("/a/{x}", "/a/b", {"x": "b"}),
        ("a/{x}", "a/Sala de máquinas\n1", {"x": "Sala de máquinas\n1"}),
        ("a.b/{x}", "aXb/c", None),
        ("a/{x...}/b", "a/1/2/b", {"x": "1/2"}),
        ("a/{x...}/b", "a/1/b/2", None),
        ("a/{x...}/b", "a/b/b/b", {"x": "b/b"}),
        ("u/{x...}/_{c}/{y...}", "u/1/2/_raw/3/4", {"x": "1/2", "c": "raw", "y": "3/4"}),
        ("u/{x...}/_{c}/{y...}", "u/1/_a/_b/3", {"x": "1", "c": "a", "y": "_b/3"}),
        ("u/{x...}/_{c}/{y...}", "u/1/_a", None),
        ("$aws/{x}", "$aws/b", {"x": "b"}),
    ],
)
def test_patterns_match_as_they_read(pattern: str, topic: str, captures: dict[str, str] | None) -> None:
    assert TopicPattern(pattern).match(topic) == captures


def test_a_long_hostile_topic_is_matched_in_time() -> None:
    assert TopicPattern("{a...}/x/{b...}/y").match("x/" * 30_000) is None


@pytest.mark.parametrize(
    ("pattern", "name", "parts"),
    [
        ("{a}.{b}", "x.y", {"a": "x", "b": "y"}),
        ("{a}.{rest...}", "x.y.z", {"a": "x", "rest": "y.z"}),
        ("{rest...}.{a}", "x.y.z", {"rest": "x.y", "a": "z"}),
        ("urn:{kind}:{id}", "urn:mac:1", {"kind": "mac", "id": "1"}),
        ("{a}.{b}", "x", None),
        ("ns={n};s={name}", "ns=2;s=Oven.Temp", {"n": "2", "name": "Oven.Temp"}),
        ("{a}.{b}", "x." * 1000, None),
    ],
)
def test_names_are_split_as_they_read(pattern: str, name: str, parts: dict[str, str] | None) -> None:
    assert NamePattern(pattern).match(name) == parts
