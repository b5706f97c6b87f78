"""All fleets and the pipeline at a glance."""
