"""Weather stations on a map, their hours and their anomalies."""
