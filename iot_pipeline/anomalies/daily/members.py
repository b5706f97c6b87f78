"""Which detectors look at days, how the budget is shared among them, and what their flags are called."""

from collections.abc import Mapping

from iot_pipeline.anomalies.daily.usual_week import UsualWeek
from iot_pipeline.anomalies.engine.drift import Drift
from iot_pipeline.anomalies.engine.members import Member
from iot_pipeline.anomalies.engine.ridge_lags import RidgeLags
from iot_pipeline.anomalies.engine.union import Union
from iot_pipeline.anomalies.engine.window_forest import WindowForest
from iot_pipeline.anomalies.engine.window_kmeans import WindowKMeans
from iot_pipeline.anomalies.kinds import DAY_DETECTORS

WINDOW = 24
"""Columns of a shape: a day that ends with any hour."""

CLUSTERS = 32
"""Centroids of a class: 24 hours that a window can end with, and the turns of the week. With ten, every Monday of a
machine that rests on Sundays was far from all of them."""

THREE_WEEKS = 21.0
"""Days of its own past that a series needs: with two, the second Monday is a fault."""

DAY_DRIFT, DAY_SHAPE = DAY_DETECTORS

UNION = Union(
    members=(
        Member(detector=RidgeLags(horizon=1), share=0.15, least=4.0, days=THREE_WEEKS),
        Member(detector=RidgeLags(horizon=8), share=0.2, least=4.0, days=THREE_WEEKS),
        Member(detector=Drift(), share=0.2, least=3.0, days=THREE_WEEKS),
        Member(detector=UsualWeek(), share=0.2, least=4.0, days=THREE_WEEKS),
        Member(detector=WindowKMeans(window=WINDOW, clusters=CLUSTERS), share=0.2, least=3.0, days=THREE_WEEKS),
        Member(detector=WindowForest(window=WINDOW, trees=50), share=0.05, least=3.0, days=THREE_WEEKS),
    )
)
"""The range rule in it keeps what is no measurement from the others; its own flags are the minute tier's."""

NAMES: Mapping[str, str] = {
    "ridge_1": DAY_DRIFT,
    "ridge_8": DAY_DRIFT,
    "drift": DAY_DRIFT,
    "usual_week": DAY_DRIFT,
    "window_kmeans": DAY_SHAPE,
    "window_forest": DAY_SHAPE,
}
"""What a member's flags are called."""
