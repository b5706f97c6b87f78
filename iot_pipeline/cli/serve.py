"""`iot serve`: live layer, pages and API, until Ctrl-C."""

# ruff: noqa: D301 -- \b tells the help to keep the lines of the examples as they are
# ruff: noqa: PLC0415 -- late imports keep `iot --help` quick

from typing import Annotated

import typer

from iot_pipeline.cli.application import DataOption, app, settings_with, stop_on_signals


@app.command()
def serve(
    *,
    data: DataOption = None,
    web_host: Annotated[
        str | None,
        typer.Option("--web-host", metavar="ADDRESS", help="Other than loopback only with IOT_API_KEYS."),
    ] = None,
    web_port: Annotated[
        int | None, typer.Option("--web-port", metavar="N", min=1, max=65535, help="[default: 8080]")
    ] = None,
) -> None:
    """Run only the live layer, the pages and the API, until Ctrl-C.

    They follow what a collector lands on the data folder. Pages are at /, and the API is described at /api/v1/docs.

    \b
    Examples:
      iot serve
      iot serve --data /tmp/second --web-port 8081
      IOT_API_KEYS=grafana:0123456789abcdef iot serve --web-host 0.0.0.0
    """
    from iot_pipeline.serving.server import run_server

    settings = settings_with(data=data, web_host=web_host, web_port=web_port)
    with stop_on_signals() as stop:
        run_server(settings, stop)
