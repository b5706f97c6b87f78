"""Telling people of events: which are due, over which channels, and what was told already."""
