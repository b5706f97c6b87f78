"""The JSON API over live and published figures. What is in a figure is decided by marts and live layer, not here."""
