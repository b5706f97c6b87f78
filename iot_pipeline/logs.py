"""What logs look like: a line each on standard error. What is logged is said where it happens."""

import sys

import structlog


def log_lines() -> None:
    """Write a line an event to standard error, whatever was configured before.

    Standard output is for results. Dagster has structlog hand events on as dicts, which only its own loggers render.
    """
    structlog.reset_defaults()
    structlog.configure(logger_factory=lambda *_: structlog.PrintLogger(sys.stderr))
