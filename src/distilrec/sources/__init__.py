"""Real data and pretrained weights: found, fetched, and checked against pinned digests."""

from distilrec.sources.find import Found, cache_folder, find_minilm, find_movielens_100k
from distilrec.sources.probe import Reached, reachable

__all__ = ["Found", "Reached", "cache_folder", "find_minilm", "find_movielens_100k", "reachable"]
