"""What a mapping file may say: pydantic models, checked on load. How they run is in `compile.py`.

Every text that has a grammar of its own (topic patterns, paths, templates, zones) is parsed here
once, so that a wrong one is an error of the file and never of a message.
"""

import re
from typing import Annotated, Literal, Self

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, field_validator, model_validator

from iot_pipeline.readings.fields import parse_path
from iot_pipeline.readings.formats import PayloadFormat
from iot_pipeline.readings.schema import Quality
from iot_pipeline.readings.templates import parse_template
from iot_pipeline.readings.times import TimeUnit, load_zone
from iot_pipeline.readings.topics import TopicPattern
from iot_pipeline.readings.values import TextRule


def _topic(text: str) -> str:
    return TopicPattern(text).pattern


def _path(text: str) -> str:
    parse_path(text)
    return text


def _template(text: str) -> str:
    for name in parse_template(text).names:
        if not name.startswith("@"):
            parse_path(name)
    return text


def _zone(name: str) -> str:
    load_zone(name)
    return name


def _one_or_more(value: object) -> object:
    return [value] if isinstance(value, str) else value


def _constant_text(value: object) -> object:
    # In YAML `latitude: 47.1` is a number: a constant, written without quotes.
    return str(value) if isinstance(value, int | float) and not isinstance(value, bool) else value


TopicText = Annotated[str, AfterValidator(_topic)]
PathText = Annotated[str, AfterValidator(_path)]
TemplateText = Annotated[str, AfterValidator(_template)]
AttributeText = Annotated[TemplateText, BeforeValidator(_constant_text)]
ZoneName = Annotated[str, AfterValidator(_zone)]
Topics = Annotated[tuple[TopicText, ...], BeforeValidator(_one_or_more)]
UNLIMITED = "unlimited"


class Part(BaseModel):
    """Base of all parts of a mapping: unknown keys are errors, nothing changes after loading."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Lookup(Part):
    """A text by another text, such as a unit by a kind of meter."""

    template: TemplateText = Field(description="What is looked up.")
    table: dict[str, str] = Field(description="Its translation; what is not in it has none.")


Unit = TemplateText | Lookup


class ValueRule(Part):
    """One value at one path."""

    path: PathText
    metric: TemplateText | None = Field(
        default=None, description="Name of the metric; default: the mapping's `metric`."
    )
    unit: Unit | None = Field(default=None, description="Default: `units`, then the mapping's `unit`.")
    text: TextRule | None = Field(default=None, description="What becomes of other text; default: reject.")


class LeafRule(Part):
    """Every numeric leaf below a path, except fields that the mapping uses otherwise."""

    under: PathText = Field(default=".", description="Where to start; the paths of leaves still start at the record.")
    include: tuple[str, ...] = Field(default=("*",), description="Globs over leaf paths; `*` crosses dots.")
    exclude: tuple[str, ...] = Field(default=(), description="Globs over leaf paths; win over include.")
    text: TextRule = Field(default=TextRule.IGNORE, description="What becomes of leaves that are other text.")
    arrays: Literal["skip", "index"] = Field(default="skip", description="`index`: elements are leaves `name[0]`, ...")


class TimeCandidate(Part):
    """One place where a time may be."""

    path: PathText
    unit: TimeUnit | None = None
    zone: ZoneName | None = None


class TimeRule(Part):
    """Where the event time is: the first usable of `paths`, else what `fallback` says."""

    paths: Annotated[tuple[PathText | TimeCandidate, ...], BeforeValidator(_one_or_more)] = ()
    unit: TimeUnit = TimeUnit.AUTO
    zone: ZoneName = Field(default="UTC", description="IANA zone of times that tell none.")
    fallback: Literal["received", "reject"] = "reject"


class QualityRule(Part):
    """Where the quality is told and which words mean what. Not told means good."""

    path: PathText
    good: tuple[str, ...] = ()
    uncertain: tuple[str, ...] = ()
    bad: tuple[str, ...] = ()
    otherwise: Quality = Field(default=Quality.BAD, description="What any other word means.")


class Mapping(Part):
    """How the messages of some topics become readings."""

    name: str = Field(default="", pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]{0,63}$", description="Default: the file's name.")
    description: str = ""
    fleet: str = Field(min_length=1, description="The group of devices, as pages and marts name it.")
    topic: Topics = Field(min_length=1, description="Topic patterns; the first mapping that matches is used.")
    exclude: Topics = Field(default=(), description="Topic patterns that are left to other mappings.")
    ignore: Topics = Field(default=(), description="Topic patterns whose messages hold no readings, by rule.")
    format: PayloadFormat = PayloadFormat.JSON
    each: PathText | None = Field(default=None, description="An array or object whose elements are records.")
    device_id: TemplateText
    metric: TemplateText = Field(default="{path}", description="{path} of the value; {leaf}: below `leaves.under`.")
    values: tuple[ValueRule, ...] = ()
    leaves: LeafRule | None = None
    timestamp: TimeRule = TimeRule(fallback="received")
    unit: Unit | None = Field(default=None, description="Unit of every metric that `units` does not name.")
    units: dict[str, str] = Field(default={}, description="Glob over value paths to unit; the first match wins.")
    words: dict[str, float] = Field(default={}, description="Texts that are numbers, such as 'ON': 1; case is ignored.")
    numeric_text: bool = Field(default=True, description="Whether a text such as '21.5' is a number.")
    quality: QualityRule | None = None
    attributes: dict[str, AttributeText] = Field(default={}, description="What the device page shows beside readings.")
    max_lateness: int | Literal["unlimited"] | None = Field(
        default=None, description="Seconds; default: the setting. `unlimited` for replayed history."
    )

    @field_validator("units")
    @classmethod
    def _globs(cls, units: dict[str, str]) -> dict[str, str]:
        if any(not glob for glob in units):
            raise ValueError("a glob cannot be empty")
        return units

    @model_validator(mode="after")
    def _something_is_read(self) -> Self:
        if self.format is PayloadFormat.SCALAR and (self.leaves or self.each or len(self.values) > 1):
            raise ValueError("format scalar has one value: `leaves`, `each` and further `values` do not apply")
        if self.format is PayloadFormat.SPARKPLUG_B and (self.values or self.each):
            raise ValueError("format sparkplug_b: choose metrics with `leaves`; `values` and `each` do not apply")
        if self.format in (PayloadFormat.JSON, PayloadFormat.NDJSON) and not (self.leaves or self.values):
            raise ValueError("either `values` or `leaves` must say what is read")
        if self.format is PayloadFormat.SCALAR and "path" in parse_template(self.metric).names:
            raise ValueError("metric: a scalar has no path; name the metric by a capture of the topic")
        self._captures_agree()
        return self

    def _captures_agree(self) -> None:
        captured = [TopicPattern(topic).captures for topic in self.topic]
        for topic in self.topic[1:]:
            missing = captured[0] ^ TopicPattern(topic).captures
            if missing and any(re.search(rf"\b{name}\b", self.device_id + self.metric) for name in missing):
                raise ValueError(
                    f"topic: {topic!r} captures other names ({', '.join(sorted(missing))}) than {self.topic[0]!r}"
                )
