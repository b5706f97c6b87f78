"""Readings that are not like the others: detectors, the flags they raise, and how right they are.

Statistics of devices are in `stats`; what people see of flags is in `serving`.
"""
