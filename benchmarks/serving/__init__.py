"""Servers and a load for `benchmarks/serve_speed.py`."""
