"""Runs whose worker went with an earlier `iot up` are ended; runs of the present one are left alone."""

from collections.abc import Iterator
from datetime import timedelta

import dagster as dg
import pytest

from iot_pipeline.clock import utc_now
from iot_pipeline.operations.sensors import end_abandoned_runs

STARTED, CANCELING, WAITING = (
    dg.DagsterRunStatus.STARTED,
    dg.DagsterRunStatus.CANCELING,
    dg.DagsterRunStatus.NOT_STARTED,
)


@dg.job
def nothing() -> None:
    """A job of no ops."""


@pytest.fixture
def instance() -> Iterator[dg.DagsterInstance]:
    with dg.DagsterInstance.ephemeral() as ephemeral:
        yield ephemeral


def run_of(instance: dg.DagsterInstance, status: dg.DagsterRunStatus) -> str:
    return instance.create_run_for_job(nothing, status=status).run_id


def status_of(instance: dg.DagsterInstance, run_id: str) -> dg.DagsterRunStatus:
    run = instance.get_run_by_id(run_id)
    assert run is not None
    return run.status


def test_what_began_before_the_present_iot_up_is_ended(instance: dg.DagsterInstance) -> None:
    started, canceling = run_of(instance, STARTED), run_of(instance, CANCELING)
    ended = end_abandoned_runs(instance, before=utc_now() + timedelta(seconds=1))
    assert set(ended) == {started, canceling}
    assert status_of(instance, started) is dg.DagsterRunStatus.FAILURE
    assert status_of(instance, canceling) is dg.DagsterRunStatus.CANCELED


def test_waiting_runs_and_those_of_the_present_iot_up_go_on(instance: dg.DagsterInstance) -> None:
    waiting = run_of(instance, WAITING)
    assert end_abandoned_runs(instance, before=utc_now() + timedelta(seconds=1)) == []
    started = run_of(instance, STARTED)
    assert end_abandoned_runs(instance, before=utc_now() - timedelta(minutes=1)) == []
    assert (status_of(instance, waiting), status_of(instance, started)) == (WAITING, STARTED)
