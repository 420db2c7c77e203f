"""The largest numbers of each row."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor

_BLOCK = 8  # numbers whose largest is looked at first

Array = np.ndarray[Any, Any]


def largest(scores: Tensor, k: int) -> tuple[Tensor, Tensor]:
    """The k largest of each row, the largest first: values and columns, both `[c, k]`, without gradients.

    What `torch.topk` gives (halves come back as float32), several times as fast on a processor: a first look finds a
    bound that at least k numbers of the row reach and few others, and only those are put in order. numpy does that with
    vector instructions, on one thread.
    """
    if scores.device.type != "cpu":
        highest = torch.topk(scores.detach(), k, dim=1)
        return highest.values, highest.indices
    numbers = scores.detach().to(torch.promote_types(scores.dtype, torch.float32)).numpy()  # [c, N]
    count, width = numbers.shape
    found = np.flatnonzero(~(numbers < _bound(numbers, k)))  # not `>=`: NaN reaches any bound, so none is lost quietly
    counts = np.bincount(found // width, minlength=count)  # [c], k or more
    used = np.arange(counts.max(initial=k)) < counts[:, None]
    at = np.zeros(used.shape, dtype=np.int64)
    at[used] = found
    values = np.where(used, numbers.ravel()[at], -np.inf) if count else np.zeros(used.shape, numbers.dtype)
    order = np.argsort(-values, axis=1)[:, :k]
    columns = np.take_along_axis(at, order, axis=1) - np.arange(count)[:, None] * width
    return torch.from_numpy(np.take_along_axis(values, order, axis=1)), torch.from_numpy(columns)


def _bound(numbers: Array, k: int) -> Array:
    """What at least k numbers of each row reach, [c, 1]: the k-th highest of the blocks' largest, or of them all."""
    n_blocks = numbers.shape[1] // _BLOCK
    if n_blocks >= max(2 * k, _BLOCK):  # so that what is left over is no wider than one
        whole, rest = numbers[:, : n_blocks * _BLOCK], numbers[:, n_blocks * _BLOCK :]
        highest = whole.reshape(len(numbers), _BLOCK, n_blocks).max(axis=1)  # block b: columns b, b + n_blocks, ...
        np.maximum(highest[:, : rest.shape[1]], rest, out=highest[:, : rest.shape[1]])
        numbers = highest
    place = numbers.shape[1] - k
    return np.partition(numbers, place, axis=1)[:, place : place + 1]
