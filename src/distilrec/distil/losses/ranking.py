"""Losses that teach a student the order of a teacher's best items; each gives one number a row, `[R]`.

Columns stand in the teacher's order, best first, unless said otherwise; a mask says which are real. A row's loss is
the mean over its list, where papers add up, so that one weight suits lists of any length; an empty list costs 0. Rows
are the positions of histories; transposed scores (rows are items, columns the batch's histories, sorted by
`in_teachers_order`) give the other side of the same loss: for which histories an item ranks high.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from distilrec.distil.losses.draws import gumbel
from distilrec.distil.losses.lists import (
    check_above_zero,
    check_count,
    check_same_rows,
    check_same_shape,
    mean_over_listed,
    prepared,
)


def ranking_distillation(
    student_logits: Tensor,
    *,
    listed: Tensor | None = None,
    student_ranks: Tensor | None = None,
    importance: Tensor | None = None,
    decay: float = 10.0,
    sharpness: float = 0.1,
) -> Tensor:
    """RD: every item of the teacher's list is a positive, the more so the higher it stands and the more it is missed.

    `- sum_r w_r log sigmoid(s_r)` with `w_r` proportional to `exp(-r / decay) * tanh(sharpness * max(rank_r - r, 0))`,
    where r is the teacher's rank and `rank_r` the student's; the weights of a row add up to 1. Tang and Wang, KDD 2018.

    Needs of the teacher: the order of its best items, no scores. Beside CD it has no negatives, and beside RRD it does
    not compare items. It fails quietly without another loss that pushes items down: all scores rise together, the
    loss falls and no ranking changes.

    Args:
        student_logits: `[R, K]`.
        listed: which are real, `[R, K]`; none means all.
        student_ranks: from 0, `[R, K]`, of the same items in the student's ranking (`estimated_ranks`). None leaves
            the second factor out, as the paper does at the start of training. A row where the student ranks every
            item as high as the teacher, or higher, costs 0.
        importance: a further factor of the weights, `[R, K]`, none below 0 (`trust.importance_weights`).
        decay: in ranks.
        sharpness: per rank; from about `1 / sharpness` ranks on, an item counts in full.
    """
    student, listed = prepared(student_logits, listed)
    check_above_zero("decay", decay)
    check_above_zero("sharpness", sharpness)
    ranks = torch.arange(student.shape[1], device=student.device)
    weights = torch.where(listed, torch.exp(-ranks / decay), 0.0).to(student.dtype)  # [R, K]
    if student_ranks is not None:
        check_same_shape("student_ranks", student_ranks, student)
        weights = weights * torch.tanh(sharpness * (student_ranks - ranks).clamp(min=0))
    if importance is not None:
        check_same_shape("importance", importance, student)
        weights = weights * importance
    total = weights.sum(dim=1)
    return -(weights * F.logsigmoid(student)).sum(dim=1) / torch.where(total > 0, total, 1)


def estimated_ranks(student_logits: Tensor, sampled_logits: Tensor, n_items: int) -> Tensor:
    """About where in the catalogue the student ranks listed items, from 0, `[R, K]`: from how many of a sample beat it.

    Args:
        student_logits: of the listed items, `[R, K]`.
        sampled_logits: of items drawn evenly from the catalogue, `[R, S]`.
        n_items: of the catalogue.
    """
    check_same_rows("sampled_logits", sampled_logits, student_logits)
    n_sampled = sampled_logits.shape[1]
    check_count("the number of sampled logits", n_sampled)
    ascending = sampled_logits.detach().sort(dim=1).values
    beaten_by = n_sampled - torch.searchsorted(ascending, student_logits.detach().contiguous(), right=True)
    return beaten_by * (n_items - 1) // n_sampled


def relaxed_ranking(
    student_logits: Tensor,
    uninteresting_logits: Tensor,
    *,
    listed: Tensor | None = None,
    uninteresting_listed: Tensor | None = None,
) -> Tensor:
    """RRD: interesting items in the teacher's order, all of them above uninteresting ones, whose order is free.

    `mean_k [ log( sum_{j >= k} exp(s_j) + sum_l exp(u_l) ) - s_k ]`: minus the log-likelihood of drawing the list in
    this order (Plackett-Luce). Kang et al., "DE-RRD", CIKM 2020, which draws the interesting items by rank
    (`sample_interesting`) and the others evenly (`sample_uninteresting`).

    Needs of the teacher: the order of its best items, no scores. Beside RD it compares items and has negatives; beside
    `k_plackett` its order is fixed; beside `dual_correction` its items are the same however good the student is. It
    fails quietly when the columns are not in the teacher's order: another order is learnt just as well.

    Args:
        student_logits: of interesting items, `[R, K]`, best first.
        uninteresting_logits: of the same student for items below them, `[R, L]`.
        listed: which are real, `[R, K]`; none means all.
        uninteresting_listed: the same of the others, `[R, L]`.
    """
    student, listed = prepared(student_logits, listed)
    rest, rest_listed = prepared(uninteresting_logits, uninteresting_listed, name="uninteresting_logits")
    check_same_rows("uninteresting_logits", rest, student)
    return _plackett_luce(student, listed, listed, rest, rest_listed)


def k_plackett(
    student_logits: Tensor,
    teacher_logits: Tensor,
    *,
    k: int = 10,
    rest_logits: Tensor | None = None,
    listed: Tensor | None = None,
    rest_listed: Tensor | None = None,
    temperature: float = 1.0,
    n_orders: int = 1,
    generator: torch.Generator | None = None,
) -> Tensor:
    """RankDistil: the student shall draw the same k items in the same order as the teacher, from all that are listed.

    `E_pi [ mean_{i <= k} log( sum_{j >= i} exp(s_pi(j)) + sum_l exp(u_l) ) - s_pi(i) ]`, where the orders pi are drawn
    from the teacher's own Plackett-Luce distribution, `exp(t / temperature)`. Reddi et al., AISTATS 2021.

    Needs of the teacher: logits of its lists, in any order. Beside `relaxed_ranking` the teacher's near-ties are
    ordered one way about as often as the other, so that they are learnt as ties; and the rest of the list is pushed
    down. It fails quietly with a temperature far above the logits' spread: any order is then as good.

    Args:
        student_logits: `[R, K]`.
        teacher_logits: of the same items, `[R, K]`.
        k: how many items are ordered; the others of a list only stand below them.
        rest_logits: student's, of further items that stand below all, `[R, L]`.
        listed: which are real, `[R, K]`; none means all.
        rest_listed: the same of the further items, `[R, L]`.
        temperature: of the teacher.
        n_orders: how many orders are drawn and averaged.
        generator: of the draws; none takes the teacher's order by its logits, once.
    """
    student, listed = prepared(student_logits, listed)
    check_same_shape("teacher_logits", teacher_logits, student)
    check_count("k", k)
    check_count("n_orders", n_orders)
    check_above_zero("temperature", temperature)
    rest = None
    if rest_logits is not None:
        rest, rest_listed = prepared(rest_logits, rest_listed, name="rest_logits")
        check_same_rows("rest_logits", rest, student)
    keys = torch.where(listed, teacher_logits.detach().float() / temperature, float("-inf"))
    ranked = torch.arange(student.shape[1], device=student.device) < k  # [K]
    losses = []
    for _ in range(n_orders if generator else 1):
        noisy = keys + gumbel(keys, generator) if generator else keys
        order = noisy.argsort(dim=1, descending=True)
        real = listed.gather(1, order)
        losses.append(_plackett_luce(student.gather(1, order), real, real & ranked, rest, rest_listed))
    return torch.stack(losses).mean(dim=0)


def margin_ranking(
    student_logits: Tensor,
    rest_logits: Tensor,
    *,
    listed: Tensor | None = None,
    rest_listed: Tensor | None = None,
    margin: float = 1.0,
) -> Tensor:
    """RankDistil with a hinge: each item a margin above the next one of the list, and the last one above the rest.

    `mean_k max(0, margin - (s_k - s_{k+1})) + mean_l max(0, margin - (s_last - u_l))`; 0 exactly where the order is
    learnt. A hinge in place of `k_plackett`'s likelihood (Reddi et al., AISTATS 2021), on neighbours alone where a
    pairwise loss has all pairs: it asks for the same order at the cost of the list's length, not of its square.

    Needs of the teacher: the order of its best items, no scores. It fails quietly with a margin too wide for the list:
    K items must then spread over K margins, and the student's scores grow sharper than the teacher's.

    Args:
        student_logits: `[R, K]`, best first.
        rest_logits: of items below them, `[R, L]`.
        listed: which are real, `[R, K]`, from the left; none means all.
        rest_listed: the same of the others, `[R, L]`.
        margin: between two scores.
    """
    student, listed = prepared(student_logits, listed)
    rest, rest_listed = prepared(rest_logits, rest_listed, name="rest_logits")
    check_same_rows("rest_logits", rest, student)
    check_above_zero("margin", margin)
    steps = F.relu(margin - (student[:, :-1] - student[:, 1:]))  # [R, K - 1]
    last = (listed.sum(dim=1, keepdim=True) - 1).clamp(min=0)
    below = F.relu(margin - (student.gather(1, last) - rest))  # [R, L]
    return mean_over_listed(steps, listed[:, 1:]) + mean_over_listed(below, rest_listed & listed[:, :1])


def collaborative_distillation(
    student_logits: Tensor,
    teacher_logits: Tensor,
    *,
    listed: Tensor | None = None,
    temperature: float = 1.0,
    offset: float = 0.0,
) -> Tensor:
    """CD: the teacher's probability that an item is liked, yes or no, as the soft target of each sampled item.

    `mean_k BCE( sigmoid((t_k + offset) / temperature), sigmoid(s_k) )`. Lee et al., ICDM 2019, which draws the items by
    rank (`sample_interesting`) from the student's list or the teacher's.

    Needs of the teacher: logits of the same items. Beside RD its targets are soft, so that a low score pulls down;
    beside RRD it does not compare items. It fails quietly with logits of a softmax, whose level means nothing: where
    all are far above 0, all targets are 1. `offset` puts the level right.

    Args:
        student_logits: `[R, K]`.
        teacher_logits: of the same items, `[R, K]`, in any order.
        listed: which are real, `[R, K]`; none means all.
        temperature: of the teacher.
        offset: added to the teacher's logits.
    """
    student, listed = prepared(student_logits, listed)
    check_same_shape("teacher_logits", teacher_logits, student)
    check_above_zero("temperature", temperature)
    teacher, _ = prepared(teacher_logits.detach(), listed, name="teacher_logits")
    target = torch.sigmoid((teacher + offset) / temperature)
    return mean_over_listed(F.softplus(student) - target * student, listed)


def in_teachers_order(
    student_logits: Tensor, teacher_logits: Tensor, listed: Tensor | None = None
) -> tuple[Tensor, Tensor]:
    """Student's scores and their mask with the columns sorted by the teacher's, best first; both `[R, K]`.

    For the transposed side: `in_teachers_order(student.T, teacher.T)` has, for every item, the histories that the
    teacher would give it to first.
    """
    student, listed = prepared(student_logits, listed)
    check_same_shape("teacher_logits", teacher_logits, student)
    order = torch.where(listed, teacher_logits, float("-inf")).argsort(dim=1, descending=True)
    return student.gather(1, order), listed.gather(1, order)


def _plackett_luce(
    logits: Tensor,  # [R, K], in the order that is to be learnt
    listed: Tensor,  # [R, K]
    ranked: Tensor,  # [R, K], those of the listed whose place counts
    rest: Tensor | None,  # [R, L], what stands below all
    rest_listed: Tensor | None,
) -> Tensor:
    """Minus the mean log-probability that each ranked item is drawn before all that follow it, `[R]`.

    Sums of exponentials in float64: exact while a list's scores lie within 700 of its best, and a fifth of the time of
    `logcumsumexp`.
    """
    kind = torch.float32 if logits.device.type == "mps" else torch.float64
    own = logits.to(kind).masked_fill(~listed, float("-inf"))
    parts = [own]
    if rest is not None and rest_listed is not None:
        parts.append(rest.to(kind).masked_fill(~rest_listed, float("-inf")))
    best = torch.stack([part.detach().amax(dim=1) for part in parts]).amax(dim=0)[:, None]  # [R, 1]
    best = torch.where(best.isfinite(), best, 0.0)
    sums = [(part - best).exp() for part in parts]
    later = sums[0].flip(1).cumsum(dim=1).flip(1)  # [R, K]
    for others in sums[1:]:
        later = later + others.sum(dim=1, keepdim=True)
    terms = later.clamp(min=torch.finfo(kind).tiny).log() + best - own
    return mean_over_listed(terms, ranked).to(logits.dtype)
