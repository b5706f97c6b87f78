"""Sources: connections to where messages come from, and the collector that lands what they deliver.

These modules understand connections, not payloads; decoding belongs to `readings`.
"""
