"""`iot correct`: record a correction of readings, list corrections, remove one. What it means is in `stats/`."""

# ruff: noqa: D301 -- \b tells the help to keep the lines of the examples as they are
# ruff: noqa: PLC0415 -- late imports keep `iot --help` quick

import getpass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated

import typer

from iot_pipeline.cli.application import DataOption, app, settings_with
from iot_pipeline.errors import ConfigurationError

if TYPE_CHECKING:
    from iot_pipeline.stats.correction_effect import Effect
    from iot_pipeline.stats.corrections.correction import Correction

correct = typer.Typer(invoke_without_command=True, rich_markup_mode=None)
app.add_typer(correct, name="correct")

AuthorOption = Annotated[str | None, typer.Option(metavar="NAME", help="Who says so. [default: the user]")]
WhyOption = Annotated[str, typer.Option(metavar="TEXT", help="The reason, kept with the correction.")]


@correct.callback()
def record_correction(
    context: typer.Context,
    *,
    data: DataOption = None,
    device: Annotated[str, typer.Option(help="The device, exactly as in `readings`.")] = "",
    metric: Annotated[str, typer.Option(help="The metric, exactly as in `readings`.")] = "",
    unit: Annotated[str | None, typer.Option(help='Only this unit; "" for none. [default: every unit]')] = None,
    start: Annotated[str, typer.Option("--from", metavar="TIME", help="First event time, ISO 8601, UTC.")] = "",
    end: Annotated[str, typer.Option("--to", metavar="TIME", help="End, not included.")] = "",
    drop: Annotated[bool, typer.Option("--drop", help="These readings count no more.")] = False,
    scale: Annotated[float | None, typer.Option(metavar="F", help="Multiply each value by F.")] = None,
    offset: Annotated[float | None, typer.Option(metavar="F", help="Add F, after --scale if that is given.")] = None,
    replace: Annotated[float | None, typer.Option(metavar="V", help="Each value is V.")] = None,
    why: WhyOption = "",
    author: AuthorOption = None,
    preview: Annotated[bool, typer.Option("--preview", help="Only tell what it would touch.")] = False,
) -> None:
    """Correct readings that are wrong; list corrections, remove one.

    Raw data stays as it is. Minutes, days and flags that the readings are in are built again by the running Dagster.
    Several corrections of a reading apply in the order in which they were recorded. See docs/operations.md.

    \b
    Examples:
      iot correct --device pump-1 --metric pressure --from 2026-11-20T10:00 --to 2026-11-20T12:00 --drop
          --why "sensor was dismounted" --preview
      iot correct --device pump-1 --metric pressure --from 2026-11-01 --to 2026-11-08 --scale 0.1
          --why "sent mbar/10 for bar"
      iot correct list
      iot correct remove 20261122T101500-3f2a --why "it was right after all"
    """
    if context.invoked_subcommand is not None:
        return
    from iot_pipeline.stats.correction_effect import effect_of, record
    from iot_pipeline.stats.corrections.correction import Action, new_correction

    scaled = scale is not None or offset is not None
    chosen = [action for action, on in zip(Action, (drop, scaled, replace is not None), strict=True) if on]
    if len(chosen) != 1:
        raise ConfigurationError("say one thing to do: --drop, --scale F (with --offset F) or --replace V")
    settings = settings_with(data=data)
    correction = new_correction(
        device_id=device,
        metric=metric,
        unit=unit,
        from_ts=_instant("--from", start),
        to_ts=_instant("--to", end),
        action=chosen[0],
        author=_author(author),
        reason=why,
        factor=(1.0 if scale is None else scale) if scaled else None,
        addend=(offset or 0.0) if scaled else None,
        replacement=replace,
    )
    if preview:
        typer.echo(f"would touch {_words(effect_of(settings, correction))}; nothing was recorded")
        return
    effect = record(settings, correction)
    typer.echo(f"{correction.id}: touches {_words(effect)}; {_follows(effect)}")


@correct.command("list")
def list_corrections(*, data: DataOption = None) -> None:
    """Show all corrections, removed ones too, in the order in which they apply.

    \b
    Example:
      iot correct list
    """
    from iot_pipeline.stats.corrections.store import read_corrections

    found = read_corrections(settings_with(data=data).paths)
    for correction in found:
        typer.echo(_line(correction))
    if not found:
        typer.echo("no corrections")


@correct.command("remove")
def remove_correction(
    correction_id: Annotated[str, typer.Argument(metavar="ID", help="As `iot correct list` shows it.")],
    *,
    data: DataOption = None,
    why: WhyOption = "",
    author: AuthorOption = None,
) -> None:
    """Take a correction back: its readings count again as they were told. The record stays, with the reason.

    \b
    Example:
      iot correct remove 20261122T101500-3f2a --why "it was right after all"
    """
    from iot_pipeline.stats.correction_effect import record
    from iot_pipeline.stats.corrections.correction import removed
    from iot_pipeline.stats.corrections.store import find_correction

    if not why.strip():
        raise ConfigurationError("--why is empty: a removal says why")
    settings = settings_with(data=data)
    correction = removed(find_correction(settings.paths, correction_id), author=_author(author), reason=why)
    effect = record(settings, correction)
    typer.echo(f"{correction.id} removed: touches {_words(effect)}; {_follows(effect)}")


def _instant(option: str, text: str) -> datetime:
    try:
        found = datetime.fromisoformat(text)
    except ValueError as error:
        raise ConfigurationError(
            f"{option}: received {text!r}; expected ISO 8601 like 2026-11-22T10:00 or 2026-11-22 (UTC without a zone)"
        ) from error
    return found.replace(tzinfo=UTC) if found.tzinfo is None else found.astimezone(UTC)


def _author(name: str | None) -> str:
    try:
        return name if name is not None else getpass.getuser()
    except (OSError, KeyError):
        raise ConfigurationError("this user has no name; say who corrects with --author") from None


def _words(effect: "Effect") -> str:
    if not effect.minutes:
        return "no reading at present"
    first, last = effect.minutes[0], effect.minutes[-1]
    return (
        f"{effect.readings} readings of {len(effect.minutes)} minutes on {len(effect.days)} days, "
        f"{first:%Y-%m-%dT%H:%M} to {last:%Y-%m-%dT%H:%M} UTC"
    )


def _follows(effect: "Effect") -> str:
    return "Dagster builds them again" if effect.minutes else "readings that come later in its range are corrected"


def _line(correction: "Correction") -> str:
    unit = "" if correction.unit is None else f" [{correction.unit or 'no unit'}]"
    what = {
        "drop": "drop",
        "scale": f"value * {correction.factor:g} + {correction.addend:g}" if correction.factor is not None else "",
        "replace": f"value = {correction.replacement}",
    }[correction.action]
    range_ = f"{correction.from_ts:%Y-%m-%dT%H:%M:%S} to {correction.to_ts:%Y-%m-%dT%H:%M:%S}"
    lines = [
        f"{correction.id}  {correction.device_id} {correction.metric}{unit}  {range_}  {what}",
        f"    {correction.author}, {correction.created_at:%Y-%m-%d %H:%M} UTC: {correction.reason}",
    ]
    if correction.removed_at is not None:
        lines.append(
            f"    removed by {correction.removed_by}, {correction.removed_at:%Y-%m-%d %H:%M} UTC: "
            f"{correction.removal_reason}"
        )
    return "\n".join(lines)
