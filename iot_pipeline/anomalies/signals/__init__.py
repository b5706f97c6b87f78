"""Formulas of industrial signals as pure functions, and what is unusual in them compared with the device's own past.

Frames and arrays in, frames and arrays out; no files and no orchestration. What the marts keep by hour and day
(`machine_current_hour`, `machine_start`, `machine_vibration_hour`, `machine_state_hour`, `valve_travel_day`)
is the truth for history; the functions here serve scoring, live use and checks, and give the same figures on the same
readings, which tests compare to 1e-9.
"""
