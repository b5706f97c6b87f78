"""What came, what was expected, and what could not be read."""
