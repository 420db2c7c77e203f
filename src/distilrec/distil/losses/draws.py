"""Which items a ranking loss looks at in this step: drawn by rank, from the rest, or by what the student puts first.

Every draw is from the generator that is passed in. Nothing holds a number for every item of the catalogue.
"""

from __future__ import annotations

import torch
from torch import Tensor

from distilrec.distil.losses.lists import check_above_zero, check_count, find_columns
from distilrec.errors import SettingsError


def sample_interesting(listed: Tensor, k: int, *, temperature: float = 10.0, generator: torch.Generator) -> Tensor:
    """Columns of at most k items of the teacher's top list, `[R, k]`: ascending, -1 after the end.

    Without replacement, the item at rank r (from 0) with a chance that falls as `exp(-r / temperature)`. Of RRD (Kang
    et al., CIKM 2020), and the rank-aware sampling of CD (Lee et al., ICDM 2019).

    Args:
        listed: which columns of the teacher's lists are real, `[R, K]`, best first.
        k: how many to draw; a shorter list is taken whole.
        temperature: in ranks; the higher, the more evenly all ranks are drawn.
        generator: of the draws.
    """
    check_above_zero("temperature", temperature)
    ranks = torch.arange(listed.shape[1], device=listed.device)
    return draw_columns(torch.where(listed, -ranks / temperature, float("-inf")), k, generator=generator)


def sample_uninteresting(items: Tensor, n_items: int, n: int, *, generator: torch.Generator) -> Tensor:
    """n items of the catalogue for every row, `[R, n]`, drawn evenly; -1 where one was drawn that the list names.

    With replacement, which hardly differs from without while n is far below the catalogue's size.

    Args:
        items: the teacher's lists, `[R, K]`, each item once in a row, -1 after the end.
        n_items: of the catalogue.
        n: how many to draw.
        generator: of the draws.
    """
    check_count("n", n)
    named = (items >= 0).sum(dim=1)  # [R]
    if len(items) and int(named.max()) >= n_items:
        raise SettingsError(
            f"a list names {int(named.max())} of {n_items} items, so none is uninteresting; use shorter lists"
        )
    drawn = torch.randint(n_items, (len(items), n), generator=generator, device=generator.device).to(items.device)
    return torch.where(find_columns(drawn, items) < 0, drawn, -1)


def sample_closure(
    top_items: Tensor, teacher_items: Tensor, n: int, *, temperature: float = 10.0, generator: torch.Generator
) -> Tensor:
    """At most n items of the student's top list that stand above items of the teacher's, `[R, n]`, -1 after the end.

    Without replacement, in the student's order; an item's chance is `exp(z / temperature)`, where z is how many of the
    teacher's items the student puts at its rank or below. Of RCE-KD (Zhu and Zhang, ICLR 2026): a cross-entropy over
    some items bounds NDCG only where all that the student ranks above them are among them, too.

    Args:
        top_items: the student's best items, `[R, M]`, best first, -1 after the end. Make M several times the length of
            the teacher's lists: below M, every item counts the same.
        teacher_items: the teacher's lists, `[R, K]`.
        n: how many to draw.
        temperature: in items; the higher, the more even.
        generator: of the draws.
    """
    check_above_zero("temperature", temperature)
    columns = find_columns(teacher_items, top_items)  # [R, K]
    found = torch.zeros_like(top_items).scatter_add_(1, columns.clamp(min=0), (columns >= 0).long())  # [R, M]
    below = found.flip(1).cumsum(dim=1).flip(1)
    weights = torch.where(top_items >= 0, below / temperature, float("-inf"))
    drawn = draw_columns(weights, n, generator=generator)
    return torch.where(drawn >= 0, top_items.gather(1, drawn.clamp(min=0)), -1)


def draw_columns(log_weights: Tensor, k: int, *, generator: torch.Generator) -> Tensor:
    """At most k columns of each row, without replacement, `[R, k]`: ascending, -1 after the end.

    Logarithms, so that no weight is too large or too small; minus infinity is never drawn.
    """
    check_count("k", k)
    keys = log_weights + gumbel(log_weights, generator)
    best = keys.topk(min(k, keys.shape[1]), dim=1, sorted=False)
    n_columns = keys.shape[1]
    columns = torch.where(best.values > float("-inf"), best.indices, n_columns).sort(dim=1).values
    return torch.where(columns < n_columns, columns, -1)


def gumbel(like: Tensor, generator: torch.Generator) -> Tensor:
    """Noise that makes the order of `log weights + noise` an order drawn by those weights, the shape of `like`."""
    return -torch.log(-torch.log(_even(like.shape, generator, like.device).clamp_(min=1e-38, max=1 - 2**-24)))


def _even(shape: tuple[int, ...], generator: torch.Generator, device: torch.device) -> Tensor:
    """Numbers from 0 to 1."""
    return torch.rand(shape, generator=generator, device=generator.device).to(device)
