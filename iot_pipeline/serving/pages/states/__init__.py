"""Temperatures of the US states: the older order, and a map of tiles."""
