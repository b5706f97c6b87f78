"""The pipeline: from what a sensor said to a number that somebody trusts.

Each package is one stage of the flow and knows only the stages before it;
`definitions.py` shows them all in order. Simulated sensors live in `sensors_sim`.
"""
