"""Named, read-only reports: one file a report, its question, SQL, parameters and columns. No HTTP and no printing."""
