"""Ranking for people, on a machine without torch."""
