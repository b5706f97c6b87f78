"""Parts of a mapping: values, leaves, times, qualities, conditions. A whole mapping is in `model.py`.

Every text that has a grammar of its own (paths, templates, zones) is parsed here once, so that a
wrong one is an error of the file and never of a message.
"""

from typing import Annotated, Literal, Self

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, FiniteFloat, model_validator

from iot_pipeline.readings.language.beside import check_beside
from iot_pipeline.readings.language.fields import parse_path
from iot_pipeline.readings.language.templates import is_key, parse_template
from iot_pipeline.readings.language.times import SpanUnit, TimeUnit, load_zone
from iot_pipeline.readings.language.topics import NamePattern, TopicPattern
from iot_pipeline.readings.language.values import TextRule
from iot_pipeline.readings.schema import Quality


def _topic(text: str) -> str:
    return TopicPattern(text).pattern


def _path(text: str) -> str:
    parse_path(text)
    return text


def _template(text: str) -> str:
    for name in parse_template(text).names:
        if not name.startswith("@") and not is_key(name):
            parse_path(name)
    return text


def _zone(name: str) -> str:
    load_zone(name)
    return name


def _name_pattern(text: str) -> str:
    return NamePattern(text).pattern


def _one_or_more(value: object) -> object:
    return value if isinstance(value, list | tuple) else [value]


def _constant_text(value: object) -> object:
    # In YAML `latitude: 47.1` is a number: a constant, written without quotes.
    return str(value) if isinstance(value, int | float) and not isinstance(value, bool) else value


def _word(value: object) -> object:
    # Messages say true and 192 where YAML does: both are compared as texts.
    if isinstance(value, bool):
        return str(value).lower()
    return str(value) if isinstance(value, int) else value


TopicText = Annotated[str, AfterValidator(_topic)]
PathText = Annotated[str, AfterValidator(_path)]
TemplateText = Annotated[str, AfterValidator(_template)]
AttributeText = Annotated[TemplateText, BeforeValidator(_constant_text, json_schema_input_type=str | float)]
BesideText = Annotated[str, AfterValidator(check_beside)]
ZoneName = Annotated[str, AfterValidator(_zone)]
Topics = Annotated[tuple[TopicText, ...], BeforeValidator(_one_or_more, json_schema_input_type=str | list[str])]
Paths = Annotated[tuple[PathText, ...], BeforeValidator(_one_or_more, json_schema_input_type=str | list[str])]
# What may be written is more than what is kept: editors are told by `json_schema_input_type`.
OneWord = bool | int | str
Word = Annotated[str, BeforeValidator(_word, json_schema_input_type=OneWord)]
Words = Annotated[tuple[Word, ...], BeforeValidator(_one_or_more, json_schema_input_type=OneWord | list[OneWord])]
NoValues = Annotated[
    tuple[FiniteFloat | str, ...],
    BeforeValidator(_one_or_more, json_schema_input_type=float | str | list[float | str]),
]


class Part(BaseModel):
    """Base of all parts of a mapping: unknown keys are errors, nothing changes after loading."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Lookup(Part):
    """A text by another text, such as a unit by a kind of meter."""

    template: TemplateText = Field(description="What is looked up.")
    table: dict[str, str] = Field(description="Its translation; what is not in it has none.")


Unit = TemplateText | Lookup


class Linear(Part):
    """A raw number made a quantity: `value * scale + offset`."""

    scale: FiniteFloat = 1.0
    offset: FiniteFloat = 0.0


class TimeCandidate(Part):
    """One place where a time may be: a path, or a template that puts date and time together."""

    path: PathText | None = None
    template: TemplateText | None = Field(default=None, description="Such as '{date}T{time}'.")
    unit: TimeUnit | None = None
    format: str | None = Field(default=None, min_length=2, description="A strptime pattern, such as '%d.%m.%Y %H:%M'.")
    zone: ZoneName | None = None

    @model_validator(mode="after")
    def _one_place(self) -> Self:
        if (self.path is None) == (self.template is None):
            raise ValueError("either `path` or `template` must say where the time is")
        if self.format is not None and self.unit is not None:
            raise ValueError("`format` says how the time is written; `unit` does not apply")
        return self


class TimeShift(Part):
    """What is added to the time: an offset within a series, or the age of a reading."""

    path: PathText | None = Field(default=None, description="Where the length of time is told.")
    value: FiniteFloat | None = Field(default=None, description="Or the length itself.")
    unit: SpanUnit = SpanUnit.SECONDS
    per_index: bool = Field(default=False, description="Times the position in `each`: a series at equal intervals.")
    subtract: bool = Field(default=False, description="An age: it is taken off the time.")

    @model_validator(mode="after")
    def _one_length(self) -> Self:
        if (self.path is None) == (self.value is None):
            raise ValueError("either `path` or `value` must say how long")
        return self


class TimeRule(Part):
    """Where the event time is: the first usable of `paths`, else what `fallback` says.

    Usable is what can be read, lies after 1970 (0 is no time) and within the allowed lateness and skew.
    """

    paths: Annotated[
        tuple[PathText | TimeCandidate, ...],
        BeforeValidator(_one_or_more, json_schema_input_type=str | TimeCandidate | list[str | TimeCandidate]),
    ] = ()
    unit: TimeUnit = TimeUnit.AUTO
    zone: ZoneName = Field(default="UTC", description="IANA zone of times that tell none.")
    fallback: Literal["received", "reject"] = "reject"
    refused: Literal["received", "reject"] = Field(
        default="reject", description="When each time that was told lies outside of what is allowed."
    )
    shift: TimeShift | None = None


class QualityRule(Part):
    """Where the quality is told and which words mean what. Not told means good."""

    path: PathText
    good: Words = ()
    uncertain: Words = ()
    bad: Words = ()
    codes: Literal["opc_da", "opc_ua"] | None = Field(
        default=None, description="Numbers of OPC: classic quality bytes (192 is good) or UA status codes (0 is good)."
    )
    otherwise: Quality = Field(default=Quality.BAD, description="What any other word means.")


class ValueRule(Part):
    """One value at one path."""

    path: PathText
    metric: TemplateText | None = Field(
        default=None, description="Name of the metric; default: the mapping's `metric`."
    )
    unit: Unit | None = Field(default=None, description="Default: `units`, then the mapping's `unit`.")
    text: TextRule | None = Field(default=None, description="What becomes of other text; default: reject.")
    scale: FiniteFloat | None = Field(default=None, description="Default: `scales`.")
    offset: FiniteFloat | None = Field(default=None, description="Added after `scale`.")
    words: dict[str, float] | None = Field(default=None, description="Default: the mapping's `words`.")
    no_value: NoValues | None = Field(default=None, description="Default: the mapping's `no_value`.")
    timestamp: Paths = Field(default=(), description="Times of this value alone, before the record's.")
    quality: PathText | None = Field(default=None, description="Quality of this value, in words of `quality`.")


class LeafRule(Part):
    """Every numeric leaf below a path, except fields that the mapping uses otherwise."""

    under: PathText = Field(default=".", description="Where to start; the paths of leaves still start at the record.")
    include: tuple[str, ...] = Field(default=("*",), description="Globs over leaf paths; `*` crosses dots.")
    exclude: tuple[str, ...] = Field(default=(), description="Globs over leaf paths; win over include.")
    text: TextRule = Field(default=TextRule.IGNORE, description="What becomes of leaves that are other text.")
    arrays: Literal["skip", "index"] = Field(default="skip", description="`index`: elements are leaves `name[0]`, ...")
    timestamp: BesideText | None = Field(
        default=None, description="Time beside each leaf, before the record's: '{path}_ts', '$.meta.{leaf}.t'."
    )
    quality: BesideText | None = Field(default=None, description="Quality beside each leaf: '{parent}.status'.")
    unit: BesideText | None = Field(default=None, description="Unit beside each leaf: '{path}_unit'.")


class Condition(Part):
    """A field that must be there, or say one of some words. All conditions of a list must hold."""

    path: PathText
    exists: bool | None = Field(default=None, description="Whether it must be there and not be null.")
    equals: Words = Field(default=(), description="It is one of these.")
    differs: Words = Field(default=(), description="It is none of these, or not there.")

    @model_validator(mode="after")
    def _something_is_asked(self) -> Self:
        if self.exists is None and not self.equals and not self.differs:
            raise ValueError("one of `exists`, `equals`, `differs` must say what is asked")
        return self


class Split(Part):
    """A field whose parts are names for templates, such as `Channel1.Device1.Tag`."""

    path: PathText
    pattern: Annotated[str, AfterValidator(_name_pattern)] = Field(description="'{channel}.{device}.{tag...}'")


class Rewrite(Part):
    """How a name that was put together is changed, in this order."""

    strip_prefix: str = ""
    strip_suffix: str = ""
    replace: dict[str, str] = Field(default={}, description="Texts to what stands for them, in order.")
    lower: bool = False


def check_scales(scales: dict[str, FiniteFloat | Linear]) -> dict[str, FiniteFloat | Linear]:
    """Scales by glob. Raises ValueError for one that makes every value the same."""
    for glob, scale in scales.items():
        if not glob or (scale.scale if isinstance(scale, Linear) else scale) == 0:
            raise ValueError("a glob cannot be empty and a scale cannot be 0")
    return scales
