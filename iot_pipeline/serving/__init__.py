"""Handing results to people and programs, read-only. Computes nothing that a mart should hold."""
