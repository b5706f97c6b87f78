"""What could not be read, counted."""

from datetime import datetime
from typing import Annotated

from pydantic import Field

from iot_pipeline.serving.api.models.base import Answer


class QuarantineCount(Answer):
    """Rows of quarantine of one reason, mapping and topic."""

    reason: str
    mapping: Annotated[str | None, Field(description="Null: no mapping matched.")]
    topic: str
    rows: Annotated[int, Field(description="Messages, or fields of them, that could not be read.")]
    messages: int
    unattributed: Annotated[int, Field(description="Rows of which nobody can tell the device.")]
    first_minute: datetime
    last_minute: datetime


class QuarantineCounts(Answer):
    """What could not be read, most first."""

    since: datetime
    until: datetime
    rows: Annotated[int, Field(description="Sum over all counts, also those that are not listed.")]
    counts: list[QuarantineCount]
    left_out: Annotated[int, Field(description="Counts beyond `limit`.")]
