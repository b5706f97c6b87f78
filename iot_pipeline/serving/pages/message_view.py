"""A raw message as text that people can read: JSON indented, Sparkplug B decoded, other bytes in hexadecimal.

Only how it reads; finding it is `serving/messages.py`, and what it means is the business of `readings`.
"""

import dataclasses
import json
from dataclasses import dataclass

from iot_pipeline.protocols.sparkplug_b import SparkplugError, decode_payload, parse_topic

BYTES_IN_HEX = 1_024
MOST_CHARACTERS = 40_000
_LINE = 16


@dataclass(frozen=True, slots=True)
class PayloadText:
    """What is shown of a payload: `kind` says how it was read, `note` what is missing."""

    kind: str
    text: str
    note: str = ""


def payload_text(topic: str, payload: bytes, size: int) -> PayloadText:
    """The payload as text. `payload` holds the first bytes of `size`."""
    note = f"the first {len(payload):,} of {size:,} bytes" if size > len(payload) else ""
    kind, shown = _read(topic, payload, complete=not note)
    if len(shown) > MOST_CHARACTERS:
        shown, note = shown[:MOST_CHARACTERS], f"the first {MOST_CHARACTERS:,} characters"
    return PayloadText(kind, shown, note)


def _read(topic: str, payload: bytes, *, complete: bool) -> tuple[str, str]:
    if not payload:
        return "empty", ""
    if complete and parse_topic(topic) is not None:
        try:
            return "Sparkplug B", _indented(dataclasses.asdict(decode_payload(payload)))
        except SparkplugError:
            pass
    try:
        text = payload.decode("utf-8")
    except UnicodeDecodeError as error:
        # A text that was cut in the middle of a character is still a text.
        if complete or error.start < len(payload) - 3:
            return "bytes", _hexadecimal(payload[:BYTES_IN_HEX])
        text = payload[: error.start].decode("utf-8")
    try:
        return "JSON", _indented(json.loads(text))
    except (ValueError, RecursionError):
        return "text", text


def _indented(value: object) -> str:
    return json.dumps(value, indent=2, ensure_ascii=False, default=str)


def _hexadecimal(payload: bytes) -> str:
    lines = []
    for start in range(0, len(payload), _LINE):
        row = payload[start : start + _LINE]
        readable = "".join(chr(byte) if 32 <= byte < 127 else "·" for byte in row)
        lines.append(f"{start:06x}  {row.hex(' '):<{_LINE * 3}} {readable}")
    return "\n".join(lines)
