"""Anomaly events: flags of one series that belong together, told once, with a life of their own."""
