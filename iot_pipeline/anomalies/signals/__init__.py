"""Formulas of industrial signals as pure functions, and how far values are from what a past lets expect.

Frames and arrays in, frames and arrays out; no files and no orchestration. What of it is flagged in a minute is in
`detectors/` and `models/scoring/`. What the marts keep by hour and day (`machine_current_hour`, `machine_start`,
`machine_vibration_hour`, `machine_state_hour`) is the truth for history; the functions here serve scoring, live use
and checks, and give the same figures on the same readings, which tests compare to 1e-9.
"""
