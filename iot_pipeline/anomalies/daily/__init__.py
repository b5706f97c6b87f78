"""The daily tier: what shows only beside whole days of the past, flagged once a day is over.

What shows within an hour is flagged by minute (`models/`); detectors and their union are the engine's.
"""
