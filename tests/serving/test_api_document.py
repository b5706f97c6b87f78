"""docs/api.md: every example does what it says, with the real curl against the real application."""

import re
import shlex
import shutil
import subprocess
from datetime import UTC, datetime, timedelta

import pytest

from iot_pipeline.landing.message import Message
from iot_pipeline.landing.writer import BatchWriter
from iot_pipeline.paths import PROJECT_ROOT
from iot_pipeline.serving.api.times import LONGEST, Resolution
from iot_pipeline.settings import load_settings
from tests.serving.recorded_live import RecordedLive, reading
from tests.serving.served import MIDNIGHT, event, publish_events, publish_world, serving

DOCUMENT = (PROJECT_ROOT / "docs" / "api.md").read_text()
EXAMPLES = re.findall(r"^curl .*$", DOCUMENT, re.MULTILINE)
WRITTEN = "http://127.0.0.1:8080"
DEVICES = ("line_2/conveyor_1", "m-0000001")
EVENT = "1f0c9a5be27d4413"
BATCH = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=1795335296450912)


def test_every_example_is_answered(tmp_path_factory: pytest.TempPathFactory) -> None:
    if shutil.which("curl") is None:
        pytest.skip("curl is not installed")
    settings = load_settings(data=tmp_path_factory.mktemp("document"))
    publish_world(settings.paths, DEVICES)
    publish_events(settings.paths, event(EVENT, MIDNIGHT, DEVICES[0]))
    messages = [Message(received_at=BATCH, source="mqtt", topic="a", payload=b"1") for _ in range(8)]
    BatchWriter(settings.paths, "collector-1", intake_delay=settings.intake_delay, now=lambda: BATCH).write(messages)
    live = RecordedLive([reading(name) for name in DEVICES], customers={"c-0000001": ["m-0000001"]})
    assert len(EXAMPLES) > 10
    with serving(settings, live) as client:
        for example in EXAMPLES:
            assert WRITTEN in example
            command = [*shlex.split(example.replace(WRITTEN, str(client.base_url).rstrip("/"))), "--fail", "--silent"]
            done = subprocess.run([*command, "--show-error"], capture_output=True, timeout=120, check=False)
            assert done.returncode == 0, f"{example}\n{done.stderr.decode()}"
            assert done.stdout


def test_the_document_tells_the_limits_and_paths() -> None:
    told = {Resolution.minute: 2, Resolution.hour: 31, Resolution.day: 366}
    for resolution, days in told.items():
        assert LONGEST[resolution].days == days
        assert f"{days} days by {resolution}" in DOCUMENT
