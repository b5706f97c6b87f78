"""What a mapping file may say: pydantic models, checked on load. How messages are read by them is `decoding`.

The parts that a mapping is made of are in `rules.py`.
"""

from typing import Annotated, Any, Literal, Self

from pydantic import BeforeValidator, Field, FiniteFloat, field_validator, model_validator
from pydantic.functional_serializers import model_serializer

from iot_pipeline.readings.language.formats import PayloadFormat
from iot_pipeline.readings.language.rules import (
    AttributeText,
    Condition,
    LeafRule,
    Linear,
    Lookup,
    NoValues,
    Part,
    Paths,
    PathText,
    QualityRule,
    Rewrite,
    Split,
    TemplateText,
    TimeCandidate,
    TimeRule,
    TimeShift,
    Topics,
    Unit,
    ValueRule,
    check_scales,
)
from iot_pipeline.readings.language.templates import Field as TemplateField
from iot_pipeline.readings.language.templates import parse_template
from iot_pipeline.readings.language.topics import NamePattern, TopicPattern

__all__ = [
    "UNLIMITED",
    "Condition",
    "LeafRule",
    "Linear",
    "Lookup",
    "Mapping",
    "QualityRule",
    "Reading",
    "Rewrite",
    "Split",
    "TimeCandidate",
    "TimeRule",
    "TimeShift",
    "Unit",
    "ValueRule",
    "Variant",
]
UNLIMITED = "unlimited"


def _listed(value: object) -> object:
    return [value] if isinstance(value, dict) else value


Conditions = Annotated[
    tuple[Condition, ...], BeforeValidator(_listed, json_schema_input_type=Condition | list[Condition])
]


class Reading(Part):
    """What is read of a message, and how."""

    when: Conditions = Field(default=(), description="Messages for which it does not hold are left out, by rule.")
    only: Conditions = Field(default=(), description="Records for which it does not hold are left out, by rule.")
    each: PathText | None = Field(default=None, description="An array or object whose elements are records.")
    then_each: Paths = Field(
        default=(), description="Arrays or objects within those, level by level; `^.` is the record around."
    )
    each_optional: bool = Field(default=False, description="Where the array is missing there is nothing, by rule.")
    deep: bool = Field(default=False, description="Objects below at any depth are records too, `{key}` their path.")
    columns: PathText | None = Field(
        default=None, description="An object of arrays of equal length: position by position they are records."
    )
    names: PathText | None = Field(default=None, description="Names for the elements of records that are arrays.")
    metric: TemplateText = Field(default="{path}", description="{path} of the value; {leaf}: below `leaves.under`.")
    split: tuple[Split, ...] = Field(default=(), description="Fields whose parts are names for templates.")
    device_name: Rewrite | None = Field(default=None, description="How device ids are changed.")
    metric_name: Rewrite | None = Field(default=None, description="How metrics are changed.")
    same_device: TemplateText | None = Field(
        default=None, description="A second place that names the device; records that disagree are refused."
    )
    values: tuple[ValueRule, ...] = ()
    leaves: LeafRule | None = None
    timestamp: TimeRule = TimeRule(fallback="received")
    unit: Unit | None = Field(default=None, description="Unit of every metric that `units` does not name.")
    units: dict[str, str] = Field(default={}, description="Glob over value paths to unit; the first match wins.")
    metric_units: dict[str, str] = Field(default={}, description="Glob over metrics to unit; wins over `units`.")
    unit_suffixes: dict[str, str] = Field(
        default={}, description="End of a metric to unit, such as _kWh: kWh; after `units`, the longest wins."
    )
    strip_suffix: bool = Field(default=False, description="Whether such an end is taken off the metric.")
    unit_in_text: bool = Field(default=False, description="Whether a text such as '21.5 °C' is a number with its unit.")
    words: dict[str, float] = Field(default={}, description="Texts that are numbers, such as 'ON': 1; case is ignored.")
    numeric_text: bool = Field(default=True, description="Whether a text such as '21.5' is a number.")
    decimal_comma: bool = Field(default=False, description="Whether '21,5' is 21.5.")
    no_value: NoValues = Field(default=(), description="Numbers and texts that mean no value, as null does.")
    scales: dict[str, FiniteFloat | Linear] = Field(
        default={}, description="Glob over metrics to a factor, or to {scale, offset}; the first match wins."
    )
    quality: QualityRule | None = None
    attributes: dict[str, AttributeText] = Field(default={}, description="What the device page shows beside readings.")

    @field_validator("units", "metric_units", "unit_suffixes")
    @classmethod
    def _globs(cls, units: dict[str, str]) -> dict[str, str]:
        if any(not glob for glob in units):
            raise ValueError("a glob cannot be empty")
        return units

    _scales = field_validator("scales")(check_scales)


class Variant(Reading):
    """One of several kinds of message on the same topics: what it does not say, the mapping says."""

    device_id: TemplateText = ""
    skip: bool = Field(default=False, description="Messages of this kind hold no readings, by rule.")

    @model_serializer(mode="plain")
    def _told(self) -> dict[str, Any]:
        return {name: getattr(self, name) for name in sorted(self.model_fields_set)}


class Mapping(Reading):
    """How the messages of some topics become readings."""

    name: str = Field(default="", pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]{0,63}$", description="Default: the file's name.")
    description: str = ""
    fleet: str = Field(min_length=1, description="The group of devices, as pages and marts name it.")
    topic: Topics = Field(min_length=1, description="Topic patterns; the first mapping that matches is used.")
    exclude: Topics = Field(default=(), description="Topic patterns that are left to other mappings.")
    ignore: Topics = Field(default=(), description="Topic patterns whose messages hold no readings, by rule.")
    format: PayloadFormat = PayloadFormat.JSON
    unpack: dict[PathText, Literal["json", "base64_json"]] = Field(
        default={}, description="Texts of the message that hold JSON: path to how it is packed."
    )
    device_id: TemplateText
    parts: tuple[Variant, ...] = Field(default=(), description="Kinds of message, by `when`; all that hold are read.")
    max_lateness: int | Literal["unlimited"] | None = Field(
        default=None, description="Seconds; default: the setting. `unlimited` for replayed history."
    )

    def variants(self) -> "tuple[Mapping, ...]":
        """The mapping itself, or one mapping for each of its parts that is read."""
        return tuple(self._variant(part) for part in self.parts) if self.parts else (self,)

    def _variant(self, part: Variant) -> "Mapping":
        told = {name: getattr(part, name) for name in part.model_fields_set - {"skip"}}
        return self.model_copy(update={**told, "parts": ()})

    @model_validator(mode="after")
    def _something_is_read(self) -> Self:
        if self.format is PayloadFormat.SPARKPLUG_B:
            self._sparkplug()
        for number, variant in enumerate(self.variants()):
            if self.parts and self.parts[number].skip:
                continue
            try:
                variant.check()
            except ValueError as error:
                raise ValueError(f"parts.{number}: {error}" if self.parts else str(error)) from error
        return self

    def _sparkplug(self) -> None:
        if self.values or self.each:
            raise ValueError("format sparkplug_b: choose metrics with `leaves`; `values` and `each` do not apply")
        wrong = sorted(self.model_fields_set & _NOT_SPARKPLUG)
        if wrong:
            raise ValueError(f"format sparkplug_b: {', '.join(f'`{key}`' for key in wrong)} do not apply")

    def check(self) -> None:
        """Raise ValueError for keys that do not fit together."""
        if self.format is PayloadFormat.SCALAR and (self.leaves or self.each or len(self.values) > 1):
            raise ValueError("format scalar has one value: `leaves`, `each` and further `values` do not apply")
        if self.format in _OF_RECORDS and not (self.leaves or self.values):
            raise ValueError("either `values` or `leaves` must say what is read")
        if self.format is PayloadFormat.SCALAR and "path" in parse_template(self.metric).names:
            raise ValueError("metric: a scalar has no path; name the metric by a capture of the topic")
        if (
            "metric" in self.model_fields_set
            and {"path", "leaf"} & parse_template(self.metric).names & self._captured()
        ):
            raise ValueError(
                "metric: {path} and {leaf} are those of the value; name the capture of the topic otherwise"
            )
        if self.then_each and self.each is None:
            raise ValueError("then_each: `each` must name the first level")
        if self.strip_suffix and not self.unit_suffixes:
            raise ValueError("strip_suffix: `unit_suffixes` must name the ends")
        needs_quality = [rule.path for rule in self.values if rule.quality]
        if self.quality is None and (needs_quality or (self.leaves and self.leaves.quality)):
            raise ValueError("quality: must say which words mean good; a value names only the place")
        self._captures_agree()

    def _captured(self) -> set[str]:
        return {name for topic in self.topic for name in TopicPattern(topic).captures}

    def _captures_agree(self) -> None:
        captured = [TopicPattern(topic).captures for topic in self.topic]
        parts = {name for split in self.split for name in NamePattern(split.pattern).captures}
        if parts & captured[0]:
            raise ValueError(f"split: {', '.join(sorted(parts & captured[0]))} is captured by `topic` already")
        # What a template cannot do without; `[{line}/]` and `{line|site}` say what to do when it is not there.
        parsed = [parse_template(self.device_id), parse_template(self.metric)]
        needed = {
            part.names[0]
            for template in parsed
            for part in template.parts
            if isinstance(part, TemplateField) and len(part.names) == 1
        }
        for topic in self.topic[1:]:
            missing = (captured[0] ^ TopicPattern(topic).captures) & needed
            if missing:
                raise ValueError(
                    f"topic: {topic!r} captures other names ({', '.join(sorted(missing))}) than {self.topic[0]!r}"
                )


_OF_RECORDS = frozenset(PayloadFormat) - {PayloadFormat.SCALAR, PayloadFormat.SPARKPLUG_B}
_NOT_SPARKPLUG = frozenset(
    {
        *(
            "when",
            "only",
            "then_each",
            "each_optional",
            "deep",
            "columns",
            "names",
            "split",
            "device_name",
            "metric_name",
        ),
        *("same_device", "unpack", "unit_in_text", "no_value", "decimal_comma", "scales", "parts"),
        *("metric_units", "unit_suffixes", "strip_suffix"),
    }
)
