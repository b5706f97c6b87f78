"""The `iot` application object and what its commands share: options, settings, stopping on signals."""

# ruff: noqa: PLC0415 -- late imports keep `iot --help` quick

import contextlib
import signal
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from datetime import datetime

    from iot_pipeline.clock import MinuteRange
    from iot_pipeline.settings import Settings

app = typer.Typer(
    name="iot",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
)

DataOption = Annotated[
    Path | None,
    typer.Option("--data", metavar="DIR", help="Data folder. [default: IOT_DATA, or ./data of the project]"),
]
BrokerOption = Annotated[
    str | None, typer.Option("--broker-url", metavar="URL", help="mqtt://host[:port] or mqtts://host[:port].")
]
DagsterPortOption = Annotated[
    int | None,
    typer.Option("--dagster-port", metavar="N", min=1, max=65535, help="Port of the Dagster UI. [default: 3000]"),
]

JsonOption = Annotated[bool, typer.Option("--json", help="For programs: JSON with stable keys.")]


def minute_range(text: str) -> "MinuteRange":
    """First and last minute of `A..B`. Raises ConfigurationError for anything else."""
    from iot_pipeline.clock import parse_minute_range
    from iot_pipeline.errors import ConfigurationError

    try:
        return parse_minute_range(text)
    except ValueError as error:
        raise ConfigurationError(
            f"{text!r} are no minutes ({error}); expected 2026-11-22T10:00..2026-11-22T11:00 or a single one, in UTC"
        ) from error


def one_minute(text: str) -> "datetime":
    """The minute of an option. Raises ConfigurationError for anything but one minute."""
    first, last = minute_range(text)
    if first != last:
        from iot_pipeline.errors import ConfigurationError

        raise ConfigurationError(f"{text!r}: one minute is expected here, such as 2026-11-22T10:00 (UTC)")
    return first


def settings_with(**options: object) -> "Settings":
    """Settings, with the options that were given; logs go to standard error from here on.

    Raises:
        SettingsError: a setting or an option cannot be used.
    """
    from iot_pipeline.logs import log_lines
    from iot_pipeline.settings import load_settings

    # Standard output is for results: `iot sql ... > file` must hold nothing else.
    log_lines()
    return load_settings(**{name: value for name, value in options.items() if value is not None})


@contextlib.contextmanager
def stop_on_signals() -> Iterator[threading.Event]:
    """An event that SIGINT and SIGTERM set."""
    stop = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stop.set())
    yield stop
