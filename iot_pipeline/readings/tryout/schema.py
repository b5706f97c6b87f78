"""The JSON Schema of mapping files, for editors that complete keys and mark mistakes while one writes.

Made from the models that check the files on load, so it cannot say anything else than they do; what
no schema can say (templates, paths, keys that exclude each other) is checked on load only.
"""

from typing import Any

from iot_pipeline.readings.language.model import Mapping

DIALECT = "https://json-schema.org/draft/2020-12/schema"


def mapping_schema() -> dict[str, Any]:  # a JSON Schema has no narrower type
    """The schema of one mapping file."""
    schema = Mapping.model_json_schema(mode="validation")
    return {"$schema": DIALECT, **schema, "title": "Mapping of iot-pipeline: how messages become readings"}
