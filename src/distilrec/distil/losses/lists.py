"""What the losses over lists share: scores of given items, a model's own best items, and where an item is listed.

A list is a row of item numbers, -1 after its end. Scores of lists are made without the logits `[P, N]` of everything.
"""

from __future__ import annotations

import warnings
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable
from torch.nn import functional as F

from distilrec.errors import SettingsError
from distilrec.mixture.best import largest
from distilrec.mixture.parts import SoftLists
from distilrec.mixture.shares import Tail

_CHUNK_LOGITS = 1 << 20
_ROWS_AT_ONCE = 16  # of [K, D] products in the backward pass: they stay in the processor's cache


def gather_logits(history_vectors: Tensor, item_vectors: Tensor, items: Tensor, rows: Tensor | None = None) -> Tensor:
    """Scores of the listed items, `[R, K]` float32, with gradients to both tables; 0 without gradient after the end.

    On a processor only the products that are asked for are made, straight from the two tables: 3 to 20 times as fast
    as collecting item vectors `[R, K, D]` first, and in float32 as fast as any other way in bfloat16, or faster; so
    there is no precision to choose.

    Args:
        history_vectors: `[P, D]`.
        item_vectors: `[N, D]`.
        items: row numbers of the item table, `[R, K]`, -1 after the end of a list.
        rows: which of the P positions each list belongs to, `[R]`; none means that R is P.
    """
    _check_tables(history_vectors, item_vectors)
    expected = len(history_vectors) if rows is None else len(rows)
    if items.ndim != 2 or len(items) != expected:
        raise SettingsError(f"lists of items have shape {tuple(items.shape)}; expected ({expected}, K)")
    if items.numel() and not -1 <= int(items.min()) <= int(items.max()) < len(item_vectors):
        raise SettingsError(
            f"lists name items {int(items.min())} to {int(items.max())}; the catalogue has 0 to "
            f"{len(item_vectors) - 1}, and -1 stands for the end of a list"
        )
    history = history_vectors if rows is None else history_vectors.index_select(0, rows)  # [R, D]
    history, table = _wide(history, item_vectors)
    listed = items >= 0
    chosen = items.clamp(min=0)
    if history.device.type == "cpu" and items.shape[1] <= len(table):  # a sparse matrix holds no more than a full one
        logits: Tensor = _ListProduct.apply(history, table, chosen, listed)  # type: ignore[no-untyped-call]
        return logits
    return _collected(history, table, chosen, listed)


def _collected(history: Tensor, items: Tensor, chosen: Tensor, listed: Tensor) -> Tensor:
    """Item vectors `[R, K, D]` first, then their products: for accelerators, whose memory is fast."""
    return torch.bmm(F.embedding(chosen, items), history[:, :, None])[:, :, 0] * listed


class _ListProduct(torch.autograd.Function):
    """The chosen entries of `history @ items.T`, and the gradients of both without that matrix."""

    @staticmethod
    def forward(
        ctx: Any,  # noqa: ANN401  (autograd gives it no public type)
        history: Tensor,  # [R, D]
        items: Tensor,  # [N, D]
        chosen: Tensor,  # [R, K]
        listed: Tensor,  # [R, K]
    ) -> Tensor:
        ctx.save_for_backward(history, items, chosen, listed)
        starts = torch.arange(0, chosen.numel() + 1, max(chosen.shape[1], 1))[: len(chosen) + 1]
        if not chosen.numel():
            return history.new_zeros(chosen.shape)
        with warnings.catch_warnings():  # "beta": the tests compare it with the plain product
            warnings.filterwarnings("ignore", message="Sparse CSR tensor support is in beta")
            empty = history.new_zeros(chosen.numel())
            pattern = torch.sparse_csr_tensor(
                starts, chosen.flatten(), empty, (len(history), len(items)), check_invariants=False
            )  # columns need not ascend: each entry is one product
        products: Tensor = torch.sparse.sampled_addmm(pattern, history, items.T, beta=0.0).values()
        return products.view(chosen.shape) * listed

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, outer: Tensor) -> tuple[Tensor, Tensor, None, None]:  # noqa: ANN401
        history, items, chosen, listed = ctx.saved_tensors
        outer = outer * listed  # [R, K]
        if not chosen.numel():
            return torch.zeros_like(history), torch.zeros_like(items), None, None
        by_history = F.embedding_bag(chosen, items, per_sample_weights=outer, mode="sum")  # [R, D]
        by_items = torch.zeros_like(items)
        for start in range(0, len(history), _ROWS_AT_ONCE):
            part = slice(start, start + _ROWS_AT_ONCE)
            pulls = outer[part, :, None] * history[part, None, :]  # [c, K, D]
            by_items.index_add_(0, chosen[part].flatten(), pulls.view(-1, items.shape[1]))
        return by_history, by_items, None, None


def top_items(history_vectors: Tensor, item_vectors: Tensor, k: int) -> Tensor:
    """The k items that score highest, best first, `[P, k]`; no gradients, and never all logits at once."""
    _check_tables(history_vectors, item_vectors)
    count, n_items = len(history_vectors), len(item_vectors)
    if not 1 <= k <= n_items:
        raise SettingsError(f"k is {k}; expected 1 to the catalogue's {n_items} items")
    history, items = _wide(history_vectors.detach(), item_vectors.detach())
    chunk = max(16, min(512, _CHUNK_LOGITS // n_items))
    logits = history.new_empty((min(chunk, count), n_items))
    best = torch.empty((count, k), dtype=torch.int64, device=items.device)
    for start in range(0, count, chunk):
        part = history[start : start + chunk]
        scores = torch.mm(part, items.T, out=logits[: len(part)])
        best[start : start + chunk] = largest(scores, k)[1]
    return best


def find_columns(items: Tensor, lists: Tensor) -> Tensor:
    """The column at which each item stands in the list of its own row, `[R, S]`; -1 where it is not listed.

    A table with a place for every item is filled and read a few rows at a time: a tenth of the time of sorting.

    Args:
        items: `[R, S]`; -1 is nowhere.
        lists: `[R, K]`, each item once in a row, -1 after the end.
    """
    if not (items.numel() and lists.numel()):
        return torch.full_like(items, -1)
    end = int(torch.maximum(items.max(), lists.max())) + 1  # the place of what is no item
    chunk = max(8, _CHUNK_LOGITS // (end + 1))
    places = torch.full((min(chunk, len(items)), end + 1), -1, dtype=torch.int32, device=items.device)
    columns = torch.arange(lists.shape[1], dtype=torch.int32, device=items.device).expand(len(places), -1)
    found = torch.empty_like(items, dtype=torch.int32)
    for start in range(0, len(items), chunk):
        listed = _no_item_at(end, lists[start : start + chunk])
        table = places[: len(listed)].scatter_(1, listed, columns[: len(listed)])
        table[:, end] = -1
        found[start : start + chunk] = table.gather(1, _no_item_at(end, items[start : start + chunk]))
        table.scatter_(1, listed, -1)
    return found.long()


def _no_item_at(end: int, items: Tensor) -> Tensor:
    return torch.where(items >= 0, items, end)


def look_up(items: Tensor, lists: SoftLists, n_items: int) -> Tensor:
    """A teacher's logits of any items, `[R, S]`, where it gave only lists; the others share the rest by their tail.

    The rest is the probability that the log-sum-exp leaves to the items that are not listed. 0 for item -1.
    """
    columns = find_columns(items, lists.items)
    listed, tail = lists.items >= 0, Tail.of(lists, n_items, 1.0).plain
    shares = torch.where(listed, (lists.logits - lists.log_sums[:, None]).exp(), 0.0).sum(dim=1)
    in_tail = tail.without(torch.where(listed, tail.values[lists.items.clamp(min=0)], 0.0), n_items - listed.sum(dim=1))
    rest = (1 - shares).clamp(min=torch.finfo(torch.float32).eps) / in_tail.clamp(min=tail.least)
    unlisted = (rest.log() + lists.log_sums)[:, None] + tail.values[items.clamp(min=0)].log()  # [R, S]
    known = lists.logits.gather(1, columns.clamp(min=0)) if lists.items.shape[1] else unlisted
    return torch.where(items >= 0, torch.where(columns >= 0, known, unlisted), 0.0)


def _wide(history: Tensor, items: Tensor) -> tuple[Tensor, Tensor]:
    """Both in float32, or in float64 where either is."""
    kind = torch.promote_types(torch.promote_types(history.dtype, items.dtype), torch.float32)
    return history.to(kind), items.to(kind)


def _check_tables(history: Tensor, items: Tensor) -> None:
    if history.ndim != 2 or items.ndim != 2 or history.shape[1] != items.shape[1]:
        raise SettingsError(
            f"history vectors have shape {tuple(history.shape)} and item vectors {tuple(items.shape)}; "
            "expected [P, D] and [N, D] with the same D"
        )


def prepared(logits: Tensor, listed: Tensor | None, *, name: str = "student_logits") -> tuple[Tensor, Tensor]:
    """Scores of lists in float32 or wider, 0 after the end of a list, and which of them are real; both `[R, K]`."""
    if logits.ndim != 2 or logits.shape[1] < 1:
        raise SettingsError(f"{name} have shape {tuple(logits.shape)}; expected [R, K] with K of at least 1")
    if listed is None:
        listed = torch.ones_like(logits, dtype=torch.bool)
    elif listed.shape != logits.shape:
        raise SettingsError(f"the mask of {name} has shape {tuple(listed.shape)}; expected {tuple(logits.shape)}")
    return torch.where(listed, logits, 0.0).to(torch.promote_types(logits.dtype, torch.float32)), listed


def check_same_shape(name: str, found: Tensor, expected: Tensor) -> None:
    """Refuse lists of other rows or another length."""
    if found.shape != expected.shape:
        raise SettingsError(f"{name} have shape {tuple(found.shape)}; expected {tuple(expected.shape)}")


def check_same_rows(name: str, found: Tensor, expected: Tensor) -> None:
    """Refuse lists of other rows; their length may differ."""
    if found.ndim != 2 or len(found) != len(expected):
        raise SettingsError(f"{name} have shape {tuple(found.shape)}; expected ({len(expected)}, any length)")


def check_above_zero(name: str, value: float) -> None:
    """Refuse a temperature, or the like, of zero or less; NaN too."""
    if not value > 0:
        raise SettingsError(f"{name} is {value}; expected a number above 0")


def check_count(name: str, value: int) -> None:
    """Refuse a length of a list that is not at least one."""
    if value < 1:
        raise SettingsError(f"{name} is {value}; expected at least 1")


def mean_over_listed(values: Tensor, listed: Tensor) -> Tensor:
    """The mean of each row's real entries, `[R]`; 0 where there are none."""
    return torch.where(listed, values, 0.0).sum(dim=1) / listed.sum(dim=1).clamp(min=1)
