import pytest

from iot_pipeline.readings.topics import TopicPattern


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
    ],
)
def test_patterns_match_as_they_read(pattern: str, topic: str, captures: dict[str, str] | None) -> None:
    assert TopicPattern(pattern).match(topic) == captures
