"""The all-in-one graph in ONNX Runtime, as a browser or Triton would run it."""

from __future__ import annotations

import numpy as np

from distilrec.serve.session import open_session
from distilrec.types import Batch, FloatArray, IntArray


class AllInOne:
    """Row numbers of a history in, the best items out."""

    def __init__(self, graph: bytes, *, n_items: int, max_length: int, threads: int = 1) -> None:
        """Load a graph that `distilrec export` wrote; one that is none is refused (ArtifactError)."""
        self._session = open_session(graph, ["items", "lengths", "k"], threads=threads, what="the all-in-one graph")
        self.n_items, self.max_length = n_items, max_length

    def best(self, items: IntArray, lengths: IntArray, k: int) -> tuple[IntArray, FloatArray]:
        """Of histories [B, L], padded on the right with 0, and their lengths [B]: the best items and scores, [B, k]."""
        feed = {"items": items, "lengths": lengths, "k": np.array([k], dtype=np.int64)}
        best, scores = self._session.run(["best", "scores"], feed)
        return best, scores

    def scores(self, batch: Batch) -> FloatArray:
        """A score for every item after each history, [B, N]; those of the history, which it leaves out, are -infinity.

        Made of the answer to the question for all items, so that what is compared is what is asked for.
        """
        cut = batch.newest(self.max_length)
        best, found = self.best(cut.items, cut.lengths, self.n_items)
        scores = np.full((len(batch), self.n_items), -np.inf, dtype=np.float32)
        np.put_along_axis(scores, best, found, axis=1)
        return scores
