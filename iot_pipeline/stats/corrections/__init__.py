"""Corrections: what a person found wrong with readings, recorded with author and reason, and undone by a record too.

Readings themselves are never changed: what is in force is applied whenever they are read (`applying.py`), and what was
built from them before is built again (`stats/correction_effect.py`).
"""
