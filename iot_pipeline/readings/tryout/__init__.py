"""Trying mappings out before they count: on sample messages, and on what has landed.

Decoding itself is the stage's own; nothing here writes to the data folder. Commands are in `cli`.
"""
