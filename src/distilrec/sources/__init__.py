"""Real data and pretrained weights: found, fetched, and checked against pinned digests."""
