"""Wire formats: bytes to plain typed structures and back, nothing else.

No connections (see `sources`), no device names or units (see `readings`). A decoder here
raises its own error for bytes that are not its format and never anything else.
"""
