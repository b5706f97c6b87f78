"""How right scores and flags are: measures, labelled sets, injected faults, walking forward in time.

No detector is here (`detectors/`, `engine/`, `channels/`); nothing here changes what is flagged.
"""
