"""An encoder graph in ONNX Runtime."""

from __future__ import annotations

import numpy as np

from distilrec.serve.session import open_session
from distilrec.types import FloatArray, IntArray


class OnnxEncoder:
    """Vectors of histories in, what their users want next out. Threads may share one."""

    def __init__(self, graph: bytes, *, threads: int = 1) -> None:
        """Load a graph that `distilrec export` wrote; one that is none is refused (ArtifactError)."""
        self._session = open_session(graph, ["vectors", "lengths"], threads=threads, what="the encoder")

    def __call__(self, vectors: FloatArray, lengths: IntArray) -> FloatArray:
        """[B, L, D_in] and [B], from 1 to L -> [B, D]"""
        wanted: FloatArray = self._session.run(None, {"vectors": vectors, "lengths": lengths})[0]
        return wanted


def padded(rows: list[FloatArray]) -> tuple[FloatArray, IntArray]:
    """Vectors of histories [l, D_in] of different lengths as one array [B, L, D_in], and their lengths [B]."""
    if len(rows) == 1:
        return rows[0][None], np.array([len(rows[0])], dtype=np.int64)
    lengths = np.array([len(row) for row in rows], dtype=np.int64)
    whole = np.zeros((len(rows), int(lengths.max()), rows[0].shape[1]), dtype=np.float32)
    for number, row in enumerate(rows):
        whole[number, : len(row)] = row
    return whole, lengths
