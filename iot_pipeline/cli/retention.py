"""`iot retention`: what is old enough to go, level by level, and removing it. The rules are in `operations/`."""

# ruff: noqa: D301 -- \b tells the help to keep the lines of the examples as they are
# ruff: noqa: PLC0415 -- late imports keep `iot --help` quick

import json
from datetime import date
from typing import TYPE_CHECKING, Annotated

import typer

from iot_pipeline.cli.application import DataOption, app, settings_with
from iot_pipeline.errors import ConfigurationError

if TYPE_CHECKING:
    from iot_pipeline.operations.retention import LevelPlan
    from iot_pipeline.settings import Settings


@app.command()
def retention(
    *,
    data: DataOption = None,
    preview: Annotated[bool, typer.Option("--preview", help="Only show what would go. This is the default.")] = False,
    apply: Annotated[bool, typer.Option("--apply", help="Remove it now instead of tonight.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="For programs: one JSON object with stable keys.")] = False,
) -> None:
    """Show what is older than it is kept, and remove it.

    How long each level is kept is set by IOT_RETENTION_..._DAYS; without them everything is kept. The nightly
    housekeeping removes what is shown here. What is made of a removed day is final: see docs/operations.md.

    \b
    Examples:
      iot retention
      IOT_RETENTION_LANDING_DAYS=90 iot retention --json
      iot retention --apply
    """
    from iot_pipeline.clock import utc_now
    from iot_pipeline.operations.retention import apply_retention, plan_retention, warnings

    if preview and apply:
        raise ConfigurationError("--preview and --apply exclude each other; nothing was removed")
    settings = settings_with(data=data)
    plans = plan_retention(settings, utc_now())
    if as_json:
        typer.echo(json.dumps(_as_json(settings, plans, removed=apply), indent=1))
    else:
        _print(settings, plans)
        for warning in warnings(settings):
            typer.echo(f"note: {warning}", err=True)
    if apply:
        removed = apply_retention(settings, plans, most_days=None, progress=_tell)
        typer.echo(f"{removed} days removed", err=True)


def _tell(level: str, day: date) -> None:
    typer.echo(f"removed {level} of {day}", err=True)


def _as_json(settings: "Settings", plans: "list[LevelPlan]", *, removed: bool) -> dict[str, object]:
    from iot_pipeline.anomalies.models.forgetting import outlived

    levels: dict[str, object] = {
        plan.level: {
            "keep_days": plan.keep_days,
            "days": len(plan.days),
            "files": plan.files,
            "bytes": plan.bytes,
            "oldest": plan.days[0].isoformat() if plan.days else None,
            "newest": plan.days[-1].isoformat() if plan.days else None,
            "held_back": len(plan.held),
            "why_held_back": plan.why_held or None,
        }
        for plan in plans
    }
    models = {"outlived": [one.version for one in outlived(settings.paths)]}
    return {
        "applied": removed,
        "levels": levels,
        "models": models,
        "runs": {"keep_days": settings.retention_runs_days},
    }


def _print(settings: "Settings", plans: "list[LevelPlan]") -> None:
    from rich.console import Console
    from rich.table import Table

    from iot_pipeline.anomalies.models.forgetting import outlived

    table = Table(show_edge=False, pad_edge=False)
    for name in ("level", "kept for", "days to go", "files", "MB", "oldest", "newest", "held back"):
        table.add_column(name, justify="right" if name in ("days to go", "files", "MB") else "left")
    for plan in plans:
        table.add_row(
            plan.level,
            f"{plan.keep_days} days" if plan.keep_days else "ever",
            str(len(plan.days)),
            str(plan.files),
            f"{plan.bytes / 1e6:.1f}",
            str(plan.days[0]) if plan.days else "",
            str(plan.days[-1]) if plan.days else "",
            f"{len(plan.held)}: {plan.why_held}" if plan.held else "",
        )
    models = outlived(settings.paths)
    oldest, newest = (str(models[place].day) if models else "" for place in (0, -1))
    table.add_row(
        "models", "as their flags", str(len(models)), "", "", oldest, newest, "by the nightly job, after the flags"
    )
    runs = settings.retention_runs_days
    table.add_row("runs", f"{runs} days" if runs else "the minute window", "", "", "", "", "", "by the nightly job")
    Console(highlight=False, soft_wrap=True).print(table)
