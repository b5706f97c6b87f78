"""What all answers of the API have in common."""

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

from iot_pipeline.live.model import LiveState

Name = Annotated[str, Field(min_length=1, max_length=1024)]


class Answer(BaseModel):
    """Made of any object with these attributes, and never changed."""

    model_config = ConfigDict(from_attributes=True, frozen=True)


class Page(Answer):
    """What every list has."""

    next_cursor: Annotated[str | None, Field(description="Give it as `cursor` for what follows; null at the end.")]


class LiveHealth(Answer):
    """How far the live layer can be believed."""

    state: LiveState
    visible_lag_seconds: float
