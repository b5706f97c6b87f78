"""What the overview says of learning: which past flags come from, or that there is none yet.

Models and their life are `anomalies/models`; flags themselves are the inbox.
"""

from datetime import date

from iot_pipeline.anomalies.models.store import manifests, promoted_for, read_manifest
from iot_pipeline.errors import DataError
from iot_pipeline.paths import DataPaths
from iot_pipeline.serving.pages.parts.wording import format_count

MEANWHILE = "readings are compared with the half hour before them"


def learned(paths: DataPaths, day: date) -> str:
    """One sentence on the model that minutes of `day` (UTC) are scored with; reads some small files."""
    try:
        promotion = promoted_for(paths, day)
        if promotion is None:
            if manifests(paths):
                return f"No model has passed its checks yet; {MEANWHILE}."
            return f"Learning what is usual, which takes a day; until then {MEANWHILE}."
        model = read_manifest(paths, promotion.day, promotion.version)
    except DataError:
        return f"The model cannot be read; {MEANWHILE}."
    days = f"{model.first:%d %b} to {model.last:%d %b}" if model.first != model.last else f"{model.first:%d %b}"
    learning = f", {format_count(model.learning)} still learning" if model.learning else ""
    return f"What is usual was learned from {days}: {format_count(model.ready)} series ready{learning}."
