"""What routes share that record what people say about flags and events: whose word it is, and the record of it.

Where it is kept is `anomalies/feedback.py`.
"""

from fastapi import Request

from iot_pipeline.anomalies.feedback import Feedback
from iot_pipeline.serving.api.models.anomalies import FeedbackRecord
from iot_pipeline.serving.api.problems import Problem, wrong


def author_of(request: Request, claimed: str | None, labellers: frozenset[str]) -> str:
    """Whose word it is: the key's where there are keys. Raises Problem."""
    key: str | None = request.scope.get("state", {}).get("key_name")
    if key is not None:
        if key not in labellers:
            raise Problem(403, "read-only-key", "this key only reads; IOT_API_LABELLERS names those that give feedback")
        return key
    if claimed is None:
        raise wrong("author", "say who you are: no key tells it")
    return claimed


def record_of(said: Feedback) -> FeedbackRecord:
    """What is answered of a thing said."""
    flag = said.flag
    return FeedbackRecord(
        id=said.id,
        at=said.at,
        author=said.author,
        label=said.label,
        note=said.note,
        device_id=flag.device_id,
        metric=flag.metric,
        unit=flag.unit,
        event_ts=flag.event_ts,
        detector=flag.detector,
    )
