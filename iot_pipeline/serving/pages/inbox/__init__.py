"""Anomalies to be looked at, labelled and put away."""
