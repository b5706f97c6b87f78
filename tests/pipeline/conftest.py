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


@pytest.fixture(scope="module")
def new_world(tmp_path_factory: pytest.TempPathFactory, parsed_dbt: Path) -> Iterator[NewWorld]:
    """Makes worlds; keyword arguments are settings."""
    with ExitStack() as stack:

        def make(**overrides: object) -> World:
            folder = tmp_path_factory.mktemp("world")
            # The window starts later than by default: nothing is looked at that cannot be there.
            start = (TEN - DAY).date()
            settings = load_settings(**{"data": folder / "data", "minute_start": start, **overrides})
            shutil.copytree(parsed_dbt, settings.paths.tmp / "dbt")
            instance = stack.enter_context(
                dg.DagsterInstance.local_temp(str(folder), overrides={"telemetry": {"enabled": False}})
            )
            return World(settings, define(settings), instance)

        yield make
