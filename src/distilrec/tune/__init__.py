"""Searches around the stages of a run."""
