"""Schemathesis asks the API what its description allows, and what it does not; nothing of it may change a file."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
import schemathesis
from hypothesis import HealthCheck, given, settings
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    negative_data_rejection,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
    unsupported_method,
)

from iot_pipeline.serving.api.application import PREFIX, describe
from iot_pipeline.settings import load_settings
from tests.serving.recorded_live import RecordedLive, reading
from tests.serving.served import publish_world, serving, tree_of

# A time that is written as it should be can still be in the future, so not all that fits the description is answered.
CHECKS = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
    negative_data_rejection,
    unsupported_method,
]
DESCRIPTION = schemathesis.openapi.from_dict(describe(load_settings(data=Path("nowhere"))))
OPERATIONS = [
    (path, verb, mode)
    for path, verbs in DESCRIPTION.raw_schema["paths"].items()
    for verb, operation in verbs.items()
    for mode in schemathesis.GenerationMode
    # Where nothing is asked for, nothing can be asked for wrongly.
    if mode is schemathesis.GenerationMode.POSITIVE or "parameters" in operation or "requestBody" in operation
]


@pytest.fixture(scope="module")
def api(tmp_path_factory: pytest.TempPathFactory) -> Iterator[httpx.Client]:
    world = load_settings(data=tmp_path_factory.mktemp("described"), api_rate=100_000)
    publish_world(world.paths, ("a/b", "c"))
    before = tree_of(world.paths)
    with serving(world, RecordedLive([reading("a/b")], customers={"0": ["a/b"]})) as client:
        yield client
    assert tree_of(world.paths) == before


@pytest.mark.parametrize(("path", "verb", "mode"), OPERATIONS)
def test_every_answer_is_as_described(
    api: httpx.Client, path: str, verb: str, mode: schemathesis.GenerationMode
) -> None:
    @given(case=DESCRIPTION[path][verb].as_strategy(generation_mode=mode))
    @settings(max_examples=8, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck), database=None)
    def ask(case: "schemathesis.Case[Any]") -> None:
        case.call_and_validate(base_url=f"{api.base_url}{PREFIX}", checks=CHECKS)

    ask()
