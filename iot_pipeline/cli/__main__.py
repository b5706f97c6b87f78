"""`python -m iot_pipeline.cli` is `iot`."""

from iot_pipeline.cli import main

main()
