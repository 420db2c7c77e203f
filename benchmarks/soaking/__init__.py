"""A server under load, what is done to it, and what it promised: `benchmarks/soak.py`."""
