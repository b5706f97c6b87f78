"""One device: now, before, and why it was flagged."""
