"""What pages are made of: numbers, times, states, charts, links. No figures and no questions to any layer here."""
