"""An industrial line: states, currents, starts, vibration, valves."""
