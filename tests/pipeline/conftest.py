"""Worlds for the tests of the flow; each module makes its own and tells one story in it."""

import shutil
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import dagster as dg
import pytest

from iot_pipeline.clock import DAY
from iot_pipeline.settings import load_settings
from tests.pipeline.world import TEN, World, define

NewWorld = Callable[..., World]


@pytest.fixture(scope="session")
def known_lineage(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Column lineage of the marts: the first world works it out, which takes seconds, and hands it on."""
    return tmp_path_factory.mktemp("lineage")


@pytest.fixture(scope="module")
def new_world(tmp_path_factory: pytest.TempPathFactory, parsed_dbt: Path, known_lineage: Path) -> Iterator[NewWorld]:
    """Makes worlds; keyword arguments are settings. One about lineage does not take over what is known."""
    with ExitStack() as stack:

        def make(*, takes_lineage_over: bool = True, **overrides: object) -> World:
            folder = tmp_path_factory.mktemp("world")
            # The window starts later than by default: nothing is looked at that cannot be there.
            start = (TEN - DAY).date()
            settings = load_settings(**{"data": folder / "data", "minute_start": start, **overrides})
            kept = settings.paths.tmp / "dbt"
            shutil.copytree(parsed_dbt, kept)
            if takes_lineage_over:
                shutil.copytree(known_lineage, kept, dirs_exist_ok=True)
            stack.callback(_hand_on, kept, known_lineage)
            instance = stack.enter_context(
                dg.DagsterInstance.local_temp(str(folder), overrides={"telemetry": {"enabled": False}})
            )
            return World(settings, define(settings), instance)

        yield make


def _hand_on(found: Path, known: Path) -> None:
    """Keep the lineage of more marts than are known."""
    for path in found.glob("lineage-*.json"):
        already = known / path.name
        if not already.exists() or already.stat().st_size < path.stat().st_size:
            shutil.copy2(path, already)
