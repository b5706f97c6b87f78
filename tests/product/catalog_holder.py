"""A program of somebody else: holds `warehouse.duckdb` open for reading and writing, and queries when told to.

Each line on standard input makes it answer one line: the number of minutes and the newest one.
"""

import sys

import duckdb


def main(catalog: str) -> None:
    """Hold the catalog until standard input ends."""
    connection = duckdb.connect(catalog, read_only=False)
    connection.execute("set TimeZone = 'UTC'")
    print("held", flush=True)
    for _ in sys.stdin:
        row = connection.execute("select count(distinct minute), max(epoch(minute)) from device_minute").fetchone()
        print(*(row or ()), flush=True)


if __name__ == "__main__":
    main(sys.argv[1])
