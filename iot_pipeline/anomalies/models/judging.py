"""Whether a model may score: what it does on a day that it has not seen, against the checks that promotion asks for.

What it does there is found by `unseen.py`. How right detectors are on labelled sets is in `evaluation/`; where models
lie and which one scores in `store.py`.
"""

import math
from collections.abc import Iterator

import numpy as np

from iot_pipeline.anomalies.models.inputs import stability
from iot_pipeline.anomalies.models.model import Manifest, MinuteModel
from iot_pipeline.anomalies.models.store import Verdict, is_whole, load, manifests
from iot_pipeline.anomalies.models.unseen import LASTING, Unseen, unseen_day
from iot_pipeline.settings import Settings

CHECKS = ("coverage", "false_alerts", "alert_rate", "input_drift", "reproducible", "labelled_faults", "random_tripwire")
"""Names of the verdicts, in their order."""

LEAST_COVERAGE = 0.8
"""Share of the series of the unseen day that are scored by their own past or their class's."""

MOST_IN_ALARM = 0.015
"""Share of the scored minutes that may be flagged, faults that are known left out."""

MOST_DRIFT = 0.2
"""Population stability index above which inputs count as changed; the median over classes is asked."""

VUS_FLOOR = 0.2
"""VUS-PR on labelled faults that a model must reach and that random scores must not."""


def judge(settings: Settings, model: MinuteModel, manifest: Manifest) -> tuple[Verdict, ...]:
    """What each of CHECKS finds about a stored model of `manifest.day`, on what is known of that day.

    Nothing of the day yet is no verdict at all: an empty tuple, and the model waits.
    """
    seen = unseen_day(settings, model, manifest)
    if seen is None:
        return ()
    return (
        _coverage(seen),
        _false_alerts(seen, manifest.budget),
        _alert_rate(seen),
        _input_drift(settings, model, manifest),
        _reproducible(settings, manifest),
        *_labelled(seen),
    )


def most_alerts(budget: float, device_days: float) -> float:
    """Alerts that a model within its budget has at most, but for one case in a thousand or so.

    Three standard deviations of the Poisson distribution above its mean, and never less than three: one day is a
    small sample of rare things.
    """
    mean = budget * device_days
    return max(3.0, mean + 3.0 * math.sqrt(mean))


def _coverage(seen: Unseen) -> Verdict:
    share = seen.scored / max(seen.series, 1)
    return Verdict(
        name="coverage",
        passed=share >= LEAST_COVERAGE,
        said=f"{seen.scored} of {seen.series} series are scored by their own past or that of their class",
        figure=share,
        limit=LEAST_COVERAGE,
    )


def _false_alerts(seen: Unseen, budget: float) -> Verdict:
    allowed = most_alerts(budget, seen.device_days)
    rate = seen.alerts.height / max(seen.device_days, 1e-9)
    return Verdict(
        name="false_alerts",
        passed=seen.alerts.height <= allowed,
        said=(
            f"{seen.alerts.height} alerts without a known fault in {seen.device_days:.1f} device-days, {rate:.3f} a "
            f"device-day; a budget of {budget:g} allows {allowed:.0f}"
        ),
        figure=rate,
        limit=allowed / max(seen.device_days, 1e-9),
    )


def _alert_rate(seen: Unseen) -> Verdict:
    share = seen.flagged / max(seen.minutes, 1)
    return Verdict(
        name="alert_rate",
        passed=share <= MOST_IN_ALARM,
        said=f"{seen.flagged} of {seen.minutes} scored minutes are flagged without a known fault, {share:.2%}",
        figure=share,
        limit=MOST_IN_ALARM,
    )


def _input_drift(settings: Settings, model: MinuteModel, manifest: Manifest) -> Verdict:
    """Against the newest model of an earlier day, promoted or not: a change that stays holds back one day only."""
    earlier = [one for one in manifests(settings.paths) if one.day < manifest.day]
    if not earlier:
        return Verdict(name="input_drift", passed=True, said="no earlier model to compare inputs with")
    before = earlier[-1]
    found = stability(load(settings.paths, before.day, before.version).inputs, model.inputs)
    if found.is_empty():
        return Verdict(name="input_drift", passed=True, said=f"no class in common with the model of {before.day}")
    median = float(np.median(found["psi"].to_numpy()))
    worst, psi = found.row(0)
    return Verdict(
        name="input_drift",
        passed=median <= MOST_DRIFT,
        said=(
            f"stability index {median:.3f} (median of {found.height} classes) against the model of {before.day}; "
            f"most changed: {worst} ({psi:.2f})"
        ),
        figure=median,
        limit=MOST_DRIFT,
    )


def _reproducible(settings: Settings, manifest: Manifest) -> Verdict:
    whole = is_whole(settings.paths, manifest)
    said = "are" if whole else "are not"
    return Verdict(
        name="reproducible", passed=whole, said=f"the stored tables {said} those that {manifest.version} names"
    )


def _labelled(seen: Unseen) -> Iterator[Verdict]:
    if math.isnan(seen.vus):
        said = f"{seen.labels} labelled faults of {LASTING.seconds // 60} minutes or longer: too few to judge by"
        yield Verdict(name="labelled_faults", passed=True, said=said)
        yield Verdict(name="random_tripwire", passed=True, said=said)
        return
    yield Verdict(
        name="labelled_faults",
        passed=seen.vus >= VUS_FLOOR,
        said=f"VUS-PR {seen.vus:.3f} on {seen.labels} labelled faults",
        figure=seen.vus,
        limit=VUS_FLOOR,
    )
    yield Verdict(
        name="random_tripwire",
        passed=seen.random < VUS_FLOOR,
        said=f"random scores have VUS-PR {seen.random:.3f}; at the floor or above the labels would tell nothing",
        figure=seen.random,
        limit=VUS_FLOOR,
    )
