"""Helpers of these tests: running fleets through time without a broker, and reading them as the pipeline does."""

from collections.abc import Iterable
from datetime import UTC, datetime, timedelta

from iot_pipeline.readings.decoding.sink import Sink
from sensors_sim.fleet import Fleet, Message
from sensors_sim.labels import Label
from tests.readings.landed import BUILT_IN, decode

START = datetime(2026, 11, 18, 9, 59, 30, tzinfo=UTC)  # a Wednesday


class Labels(list[Label]):
    """A label sink that is a list."""

    def write(self, label: Label) -> None:
        self.append(label)


def run(fleet: Fleet, seconds: float, *, start: datetime = START, step_s: float = 0.25) -> list[Message]:
    """All messages of a fleet over a time, asked for in even steps."""
    steps = round(seconds / step_s)
    instants = (start + timedelta(seconds=step_s * step) for step in range(steps + 1))
    return [message for now in instants for message in fleet.messages(now)]


def read(messages: Iterable[Message]) -> Sink:
    """The messages decoded by the built-in mappings, received when they were due."""
    return decode(BUILT_IN, [(message.due, message.topic, message.payload) for message in messages])
