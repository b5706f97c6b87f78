"""The command line, `iot`: arguments, help and exit codes. What a command does is in its stage.

Exit codes: 0 as asked; 2 the arguments, the settings or the environment have to be changed; 1
anything else that went wrong. Errors are one message on standard error, without a traceback
unless `iot --debug`.

Everything heavy is imported inside the commands, so that `iot --help` answers at once.
"""

import sys
from typing import Annotated

import typer

from iot_pipeline.cli import correct, evaluate, mapping, quarantine, report, retention, run, serve, view
from iot_pipeline.cli.application import app
from iot_pipeline.errors import ConfigurationError, IotError

__all__ = ["app", "correct", "evaluate", "main", "mapping", "quarantine", "report", "retention", "run", "serve", "view"]


@app.callback()
def iot(
    context: typer.Context,
    *,
    debug: Annotated[bool, typer.Option("--debug", help="Show tracebacks of errors.")] = False,
) -> None:
    """An open IoT data pipeline: sensors to statistics, started with one command.

    Settings come from the environment (IOT_...) or `.env`; options win over them.
    """
    context.obj["debug"] = debug


def main() -> None:
    """Entry point of the `iot` command."""
    state = {"debug": False}
    try:
        app(obj=state)
    except IotError as error:
        if state["debug"]:
            raise
        typer.echo(f"iot: {error}", err=True)
        sys.exit(2 if isinstance(error, ConfigurationError) else 1)
