"""What the overview says of learning, by what is stored."""

from pathlib import Path

from iot_pipeline.anomalies.models.fitting import fit_day
from iot_pipeline.anomalies.models.store import Verdict, keep, model_folder, promote
from iot_pipeline.clock import DAY
from iot_pipeline.serving.pages.overview.learned import learned
from iot_pipeline.settings import load_settings
from tests.anomalies.models.days import MONDAY, write_days


def test_a_plant_without_a_model_learns(tmp_path: Path) -> None:
    assert learned(load_settings(data=tmp_path).paths, MONDAY).startswith("Learning what is usual")


def test_a_model_counts_once_it_is_promoted_and_from_its_day_on(tmp_path: Path) -> None:
    settings = load_settings(data=tmp_path)
    write_days(settings.paths, 2, devices=3)
    day = MONDAY + 2 * DAY
    made = fit_day(settings, day)
    assert made is not None
    keep(settings.paths, made.model, made.manifest)
    assert learned(settings.paths, day).startswith("No model has passed its checks yet")
    promote(settings.paths, made.manifest, (Verdict(name="coverage", passed=True, said="all"),))
    span = f"{MONDAY:%d %b} to {MONDAY + DAY:%d %b}"
    assert learned(settings.paths, day) == f"What is usual was learned from {span}: 3 series ready."
    assert learned(settings.paths, day - DAY).startswith("No model has passed")
    (model_folder(settings.paths, day, made.manifest.version) / "manifest.json").unlink()
    assert learned(settings.paths, day).startswith("The model cannot be read")
