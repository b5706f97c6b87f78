"""Formulas of industrial signals as pure functions: frames and arrays in, frames and arrays out.

What of it is flagged in a minute is in `detectors/` and `models/scoring/`, how far a figure is from its past in
`detectors/past.py`.

The marts keep the figures of hours and days, which are the truth for history. The same formulas stand here for what
is scored (starts, changes of state, unbalance, borders of zones), and as what the SQL of marts is held against to 1e-9
(charge, time in state, starts, unbalance, zones). `waveform` and `travel_times` are for machines that send samples and
edges instead of figures; those of the shipped fleets send figures.
"""
