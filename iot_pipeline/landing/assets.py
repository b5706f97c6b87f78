"""The intake as Dagster sees it: the broker's topics and the landed batches, both made elsewhere.

The collector is a process of its own (`sources/collector.py`); here are only the names under
which lineage and freshness show what it does. Its materialisations are reported by the sensor.
"""

from datetime import timedelta

import dagster as dg

from iot_pipeline.settings import Settings

TOPICS = dg.AssetKey("broker_topics")
LANDING = dg.AssetKey("landing")


def landing_assets(settings: Settings) -> list[dg.AssetSpec]:
    """External assets: what the broker offers and what the collector landed of it."""
    topics = dg.AssetSpec(
        TOPICS,
        group_name="intake",
        kinds={"mqtt"},
        owners=["team:plant"],
        description="Messages of all sensors at the broker: JSON of any shape and Sparkplug B.",
        metadata={
            "broker": dg.MetadataValue.text(settings.broker_address),
            "topics": dg.MetadataValue.json(list(settings.topics)),
        },
    )
    landing = dg.AssetSpec(
        LANDING,
        deps=[TOPICS],
        group_name="intake",
        kinds={"mqtt", "parquet"},
        owners=["team:plant"],
        description=(
            "Raw messages as they came, in Parquet micro-batches by landing minute. "
            "Written by the collector, which acknowledges a message only after its batch is durable. "
            "Everything after this is a function of these files."
        ),
        freshness_policy=dg.FreshnessPolicy.time_window(
            warn_window=timedelta(minutes=2), fail_window=timedelta(minutes=5)
        ),
        metadata={"folder": dg.MetadataValue.path(str(settings.paths.landing))},
    )
    return [topics, landing]
