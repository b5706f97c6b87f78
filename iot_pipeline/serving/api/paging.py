"""Cursors: where the next page begins, by the key of the last row given and never by a row number.

So rows that come in between neither repeat nor hide others. No queries here.
"""

import base64
import binascii

import msgspec

Key = tuple[str | None, ...]


class CursorError(ValueError):
    """A cursor that this API did not give."""


def encode_cursor(key: Key) -> str:
    """An opaque text for the key of the last row of a page."""
    return base64.urlsafe_b64encode(msgspec.json.encode(key)).rstrip(b"=").decode()


def decode_cursor(cursor: str, parts: int) -> Key:
    """The key of `parts` parts that `cursor` was made of. Raises CursorError for anything else."""
    try:
        padded = cursor.encode("ascii") + b"=" * (-len(cursor) % 4)
        key = msgspec.json.decode(base64.b64decode(padded, altchars=b"-_", validate=True), type=Key)
    except (UnicodeEncodeError, binascii.Error, msgspec.DecodeError) as error:
        raise CursorError("expected the `next_cursor` of the page before, unchanged") from error
    if len(key) != parts:
        raise CursorError("this `next_cursor` belongs to another question")
    return key
