"""Readings: what the landed messages mean, by configuration.

Here messages become readings, devices and quarantine rows, and every message is accounted for.
How messages came in is for `landing`; statistics over readings are for `stats`.
"""
