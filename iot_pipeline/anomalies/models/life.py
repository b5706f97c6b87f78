"""One day of a model's life: learned, stored, judged, promoted or not. Each step is in a module of its own."""

from dataclasses import dataclass
from datetime import date

import structlog

from iot_pipeline.anomalies.models.forgetting import forget, rejected
from iot_pipeline.anomalies.models.history import MOST_DAYS
from iot_pipeline.anomalies.models.judging import judge
from iot_pipeline.anomalies.models.model import Manifest
from iot_pipeline.anomalies.models.reuse import model_of
from iot_pipeline.anomalies.models.store import Verdict, list_models, promote, promoted_for
from iot_pipeline.clock import DAY
from iot_pipeline.settings import Settings

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Lived:
    """What became of the model of a day.

    Attributes:
        day: the first day (UTC) that it may score.
        manifest: the model; None where no earlier day has data.
        verdicts: of the checks; none where there is no model, or nothing of the day to judge it by yet.
        promoted: whether it scores now.
        in_force: version of the model that minutes of the day are scored with; None while learning.
    """

    day: date
    manifest: Manifest | None
    verdicts: tuple[Verdict, ...]
    promoted: bool
    in_force: str | None


def learn_day(settings: Settings, day: date) -> Lived:
    """Learn the model of `day` from the days before it, and promote it if it passes on the day itself.

    Doing it again gives the same model, and learns only if something that it is learned from has changed. On the
    present day it is judged by what is known of it so far, and a promoted model that fails later is withdrawn: minutes
    are then scored with the one before it.

    Raises:
        StorageUnavailable: models and promotions are as they were before.
    """
    fitted = model_of(settings, day)
    if fitted is None:
        return Lived(day, None, (), promoted=False, in_force=_in_force(settings, day))
    verdicts = judge(settings, fitted.model, fitted.manifest)
    promoted = bool(verdicts) and promote(settings.paths, fitted.manifest, verdicts)
    forget(settings.paths, rejected(settings.paths, before=day - MOST_DAYS * DAY))
    list_models(settings.paths)
    log.info(
        "model judged",
        day=str(day),
        version=fitted.manifest.version,
        promoted=promoted,
        failed=[verdict.name for verdict in verdicts if not verdict.passed],
    )
    return Lived(day, fitted.manifest, verdicts, promoted, _in_force(settings, day))


def _in_force(settings: Settings, day: date) -> str | None:
    promotion = promoted_for(settings.paths, day)
    return None if promotion is None else promotion.version
