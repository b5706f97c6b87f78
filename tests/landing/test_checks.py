"""When collectors count as healthy: what the settings ask for, and what runs beside it."""

from dataclasses import replace
from datetime import timedelta

import pytest

from iot_pipeline.landing.checks import collector_verdict
from iot_pipeline.landing.collectors import SourceKind, collector_id, configured_kinds, settings_of
from iot_pipeline.landing.heartbeat import CollectorHeartbeat
from iot_pipeline.settings import Settings, load_settings
from tests.landing.test_heartbeat import BEAT, NOON

WELL = replace(BEAT, connected=True, written_at=NOON)
SILENT = replace(WELL, written_at=NOON - timedelta(seconds=16))
EXPECTED = ["collector-1", "collector-1-opcua"]
OPCUA = replace(WELL, collector="collector-1-opcua", source=SourceKind.opcua)


@pytest.mark.parametrize(
    ("beats", "healthy"),
    [
        ([WELL, OPCUA], True),
        ([WELL], False),
        ([WELL, replace(OPCUA, connected=False)], False),
        ([WELL, replace(SILENT, collector=OPCUA.collector)], False),
        ([WELL, replace(OPCUA, stopped=True)], False),
        ([WELL, OPCUA, replace(WELL, collector="other")], True),
        ([WELL, OPCUA, replace(SILENT, collector="other")], False),
        ([WELL, OPCUA, replace(SILENT, collector="other", stopped=True)], True),
        ([], False),
    ],
)
def test_verdict(beats: list[CollectorHeartbeat], healthy: bool) -> None:
    verdict, metadata = collector_verdict(beats, EXPECTED, NOON)
    assert verdict is healthy
    assert ("missing" in metadata) is (len(beats) < len(EXPECTED))


def test_each_kind_has_an_id_of_its_own(settings: Settings) -> None:
    settings = load_settings(data=settings.data, collector_id="x" * 32, opcua="servers.yaml")
    ids = [collector_id(settings, kind) for kind in configured_kinds(settings)]
    assert ids == ["x" * 32, "x" * 32 + "-sparkplug", "x" * 32 + "-opcua"]
    assert [settings_of(settings, kind).collector_id for kind in SourceKind] == ids
