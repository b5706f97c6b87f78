"""Landing: what sources received, as it came, in Parquet files by landing minute.

Nothing here understands a payload or opens a connection.
"""
