"""Simulated sensors: five fleets that speak like real devices, faults with known truth, load and replay.

Everything here is a client of the broker. The pipeline does not know this package; it knows only topics
and payloads.
"""
