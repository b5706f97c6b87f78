"""Which customers there are, and what their meters told of themselves: from the published devices.

Names from outside are values that are compared. What customers use is `customer/view.py`.
"""

from dataclasses import dataclass

import polars as pl

from iot_pipeline.paths import DataPaths
from iot_pipeline.serving.history import NotPublished
from iot_pipeline.stats.relations import DIM_DEVICE_SCHEMA, dim_device_file

MOST_CHARACTERS = 200
# Above this, looking through all devices takes seconds; the figures of the days know better then.
MOST_COUNTED = 2_000_000


@dataclass(frozen=True, slots=True)
class Customer:
    """A customer: home or business, where, and how many meters."""

    name: str
    kind: str | None
    region: str | None
    meters: int


@dataclass(frozen=True, slots=True)
class Account:
    """A customer with what each meter measures, by device."""

    customer: Customer
    utilities: dict[str, str | None]


def find_customers(paths: DataPaths, text: str, *, limit: int = 12) -> list[Customer]:
    """Customers whose name holds `text` (any case); those that begin with it first, then by name.

    Raises:
        NotPublished: no device was published yet.
    """
    wanted = text.strip().casefold()[:MOST_CHARACTERS]
    name = pl.col("customer")
    rows = _devices(paths).filter(name.is_not_null())
    if wanted:
        rows = rows.filter(name.str.to_lowercase().str.contains(wanted, literal=True))
    begins = pl.col("name").str.to_lowercase().str.starts_with(wanted)
    found = _customers(rows).sort(begins, "name", descending=[True, False]).head(limit).collect()
    return [Customer(**row) for row in found.iter_rows(named=True)]


def customers_by_region(paths: DataPaths, *, each: int = 4) -> dict[str, list[Customer]]:
    """The first customers of each region, by name. Raises NotPublished."""
    rows = _customers(_devices(paths).filter(pl.col("customer").is_not_null(), pl.col("region").is_not_null()))
    found = rows.sort("name").group_by("region", maintain_order=True).head(each).sort("region", "name").collect()
    regions: dict[str, list[Customer]] = {}
    for row in found.select("name", "kind", "region", "meters").iter_rows(named=True):
        regions.setdefault(row["region"], []).append(Customer(**row))
    return regions


def known_by_region(paths: DataPaths) -> dict[str, int] | None:
    """How many customers are known in each region; None where counting them would take too long.

    Raises:
        NotPublished: no device was published yet.
    """
    rows = _devices(paths)
    if rows.select(pl.len()).collect().item() > MOST_COUNTED:
        return None
    counted = (
        rows.filter(pl.col("region").is_not_null()).group_by("region").agg(pl.col("customer").drop_nulls().n_unique())
    )
    return {row["region"]: row["customer"] for row in counted.collect().iter_rows(named=True)}


def account(paths: DataPaths, customer: str) -> Account | None:
    """What is published of a customer; None for one that no meter ever told of. Raises NotPublished."""
    mine = _devices(paths).filter(pl.col("customer") == customer)
    found = mine.select("device_id", "region", _told("kind"), _told("utility")).sort("device_id").collect()
    if not found.height:
        return None
    told = {row["device_id"]: row["utility"] for row in found.iter_rows(named=True)}
    first = found.select(pl.col("kind").drop_nulls().first(), pl.col("region").drop_nulls().first()).row(0)
    return Account(Customer(customer, first[0], first[1], found.height), told)


def _customers(rows: pl.LazyFrame) -> pl.LazyFrame:
    return (
        rows.group_by("customer")
        .agg(_told("kind").drop_nulls().first(), pl.col("region").drop_nulls().first(), pl.len().alias("meters"))
        .select(pl.col("customer").alias("name"), "kind", "region", pl.col("meters").cast(pl.Int64))
    )


def _told(name: str) -> pl.Expr:
    return pl.col("attributes").str.json_path_match(f"$.{name}").alias(name)


def _devices(paths: DataPaths) -> pl.LazyFrame:
    path = dim_device_file(paths)
    if not path.exists():
        raise NotPublished("no devices are published at the moment; ask again in half a minute")
    return pl.scan_parquet(
        path,
        hive_partitioning=False,
        schema=dict(DIM_DEVICE_SCHEMA),
        missing_columns="insert",
        extra_columns="ignore",
    )
