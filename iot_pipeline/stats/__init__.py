"""Statistics per device, and the tables that people query.

Sealing of closed days, the dbt project in a throw-away database, publishing of what passed its tests,
and the catalog of views. What is unusual is judged by `anomalies`.
"""
