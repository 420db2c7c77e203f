"""Losses, schedules and the one training loop."""
