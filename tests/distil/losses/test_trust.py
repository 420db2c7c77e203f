import math

import numpy as np
import pytest
import torch

from distilrec.distil.losses.trust import (
    advantage_weights,
    agreement,
    confidence,
    entropy,
    importance_weights,
    mean_one,
    target_ranks,
    target_trust,
)
from distilrec.errors import SettingsError

SURE, HALF, FLAT, SILENT = [1.0, 0, 0, 0], [1 / 2, 1 / 2, 0, 0], [1 / 4] * 4, [0.0] * 4
KINDS = pytest.mark.parametrize("kind", ["overlap", "jensen_shannon"])


def random_shares(rows=5, items=7, seed=0):
    return torch.softmax(torch.randn(rows, items, generator=torch.Generator().manual_seed(seed)), dim=1)


def test_entropy_is_the_log_of_how_many_items_share_evenly():
    found = entropy(torch.tensor([SURE, HALF, FLAT, SILENT]))
    torch.testing.assert_close(found, torch.tensor([0, math.log(2), math.log(4), 0]))


def test_confidence_goes_from_one_to_zero_and_silence_has_none():
    # Two of four items alike: log 2 / log 4 = 1/2.
    found = confidence(torch.tensor([SURE, HALF, FLAT, SILENT]))
    torch.testing.assert_close(found, torch.tensor([1, 1 / 2, 0, 0]))


def test_confidence_of_a_catalogue_of_one_item_is_refused():
    with pytest.raises(SettingsError, match=r"shape \(3, 1\); confidence needs \[c, N\] of at least two items"):
        confidence(torch.ones(3, 1))
    with pytest.raises(SettingsError, match="at least two items"):
        confidence(torch.ones(3))


def test_ranks_count_from_one_and_ties_are_met_in_the_middle():
    shares = torch.tensor([[0.5, 0.3, 0.2, 0], [0.5, 0.3, 0.2, 0], [0.4, 0.2, 0.2, 0.2], FLAT])
    assert target_ranks(shares, torch.tensor([0, 2, 1, 0])).tolist() == [1, 3, 3, 2.5]


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_ranks_are_places_in_the_sorted_list(dtype):
    shares = random_shares(4, 3000).to(dtype)
    for row, rank in zip(shares.float().tolist(), target_ranks(shares, torch.full((4,), 11)).tolist(), strict=True):
        places = [place for place, share in enumerate(sorted(row, reverse=True), 1) if share == row[11]]
        assert rank == sum(places) / len(places)


def test_a_teacher_that_ranks_the_answer_first_is_trusted_and_less_by_every_rank():
    shares = torch.tensor([[0.5, 0.3, 0.2]] * 3)
    found = target_trust(shares, torch.tensor([0, 1, 2]), half_rank=2)
    torch.testing.assert_close(found, torch.tensor([1, 2 / 3, 1 / 2]))


def test_ranks_of_other_shapes_and_a_half_rank_of_zero_are_refused():
    with pytest.raises(
        SettingsError, match=r"shares have shape \(3, 4\) and targets \(2,\); expected \[c, N\] and \[c\]"
    ):
        target_ranks(torch.ones(3, 4), torch.zeros(2, dtype=torch.int64))
    with pytest.raises(SettingsError, match="half_rank is 0; expected a number above 0"):
        target_trust(torch.ones(3, 4), torch.zeros(3, dtype=torch.int64), half_rank=0)


@KINDS
def test_agreement_is_one_for_the_same_and_zero_for_nothing_in_common(kind):
    teacher = torch.tensor([FLAT, SURE, SURE, SILENT])
    student = torch.tensor([FLAT, SURE, [0, 0.5, 0.5, 0], FLAT])
    torch.testing.assert_close(agreement(teacher, student, kind=kind), torch.tensor([1.0, 1, 0, 0]))


def test_agreement_by_hand():
    teacher, student = torch.tensor([SURE]), torch.tensor([HALF])
    assert agreement(teacher, student).item() == 1 / 2
    # The mean is [3/4, 1/4]; half of KL from each side.
    apart = (math.log(4 / 3) + math.log(2 / 3) / 2 + math.log(2) / 2) / 2
    found = agreement(teacher, student, kind="jensen_shannon")
    torch.testing.assert_close(found, torch.tensor([1 - apart / math.log(2)]))


@KINDS
def test_agreement_goes_both_ways_and_stays_inside_zero_and_one(kind):
    one, other = random_shares(seed=1), random_shares(seed=2)
    found = agreement(one, other, kind=kind)
    torch.testing.assert_close(found, agreement(other, one, kind=kind))
    assert ((found > 0) & (found < 1)).all()


def test_agreement_of_other_shapes_or_of_an_unknown_kind_is_refused():
    with pytest.raises(
        SettingsError, match=r"shares have shape \(5, 7\) and the student's \(5, 6\); expected \[c, N\]"
    ):
        agreement(random_shares(), random_shares(items=6))
    with pytest.raises(SettingsError, match="agreement is 'cosine'; expected overlap or jensen_shannon"):
        agreement(random_shares(), random_shares(), kind="cosine")


@pytest.mark.parametrize(
    "weight",
    [
        lambda shares: confidence(shares),
        lambda shares: target_trust(shares, torch.zeros(5, dtype=torch.int64)),
        lambda shares: agreement(shares, random_shares(seed=1)),
        lambda shares: agreement(random_shares(seed=1), shares, kind="jensen_shannon"),
    ],
)
def test_weights_carry_no_gradients_and_are_single_precision(weight):
    found = weight(random_shares().bfloat16().requires_grad_())
    assert found.dtype == torch.float32
    assert not found.requires_grad
    assert found.shape == (5,)


ITEMS, CONFIDENCE = torch.tensor([[4, 7, 2]]), torch.tensor([[0.6, 0.2, 0.2]])
NONE_SHARED = torch.tensor([[9, 8]])


def test_each_part_of_the_importance_by_hand():
    def weights(position, confidence, consistency, student=NONE_SHARED, **options):
        parts = {"position": position, "confidence": confidence, "consistency": consistency}
        return importance_weights(ITEMS, CONFIDENCE, student, **parts, **options)

    halving = torch.tensor([[4 / 7, 2 / 7, 1 / 7]])
    torch.testing.assert_close(weights(1, 0, 0, sharpness=1 / math.log(2)), halving)
    torch.testing.assert_close(weights(0, 1, 0), CONFIDENCE)
    torch.testing.assert_close(weights(0, 0, 1, torch.tensor([[2, 4]])), torch.tensor([[1 / 2, 0, 1 / 2]]))
    assert weights(0, 0, 1).tolist() == [[0, 0, 0]]  # nothing shared, and nothing else asked
    mixed = weights(1, 1, 1, torch.tensor([[2, 9]]), sharpness=1 / math.log(2))
    wanted = halving + CONFIDENCE + torch.tensor([[0, 0, 1.0]])
    torch.testing.assert_close(mixed, wanted / 3)


def test_importance_ends_with_the_list_and_sums_to_one():
    items = torch.tensor([[4, 7, -1], [1, -1, -1], [-1, -1, -1]])
    found = importance_weights(items, torch.rand(3, 3), torch.full((3, 2), -1))
    assert (found[items < 0] == 0).all()  # and -1 of one list is not -1 of the other
    torch.testing.assert_close(found.sum(dim=1), torch.tensor([1.0, 1, 0]))
    assert found[1, 0] == 1


def test_importance_of_what_makes_no_sense_is_refused():
    with pytest.raises(SettingsError, match="confidences go below 0 or are NaN; expected probabilities, not logits"):
        importance_weights(ITEMS, CONFIDENCE - 1, NONE_SHARED)
    with pytest.raises(SettingsError, match="below 0 or are NaN"):
        importance_weights(ITEMS, CONFIDENCE * math.nan, NONE_SHARED)
    with pytest.raises(
        SettingsError, match=r"shapes \(1, 3\) and \(1, 2\) and the student's \(1, 2\); expected \[R, K\]"
    ):
        importance_weights(ITEMS, CONFIDENCE[:, :2], NONE_SHARED)
    with pytest.raises(SettingsError, match=r"weights 0, 0 and 0; expected none below 0 and one above"):
        importance_weights(ITEMS, CONFIDENCE, NONE_SHARED, position=0, confidence=0, consistency=0)
    with pytest.raises(SettingsError, match="sharpness is 0; expected a number above 0"):
        importance_weights(ITEMS, CONFIDENCE, NONE_SHARED, sharpness=0)


def test_advantage_is_the_teachers_share_of_what_both_reach():
    # Stratum 0: teacher .3, student .1; stratum 1: .1 and .3; so little shrinking that it does not count.
    teacher, student = np.array([0.2, 0.4, 0.1]), np.array([0.2, 0.0, 0.3])
    found = advantage_weights(teacher, student, np.array([0, 0, 1]), shrink_cases=1e-9)
    assert found == pytest.approx([3 / 4, 1 / 4])
    assert found.dtype == np.float32


def test_few_cases_are_drawn_towards_all_of_them():
    # 2 cases of which the teacher has both, and as many again of the mean of all: teacher 2 + 2/4, student 0 + 1/4.
    teacher = np.array([1.0, 1, 0, 0, 0, 0, 0, 0])
    student = np.array([0.0, 0, 1, 0, 0, 0, 0, 0])
    strata = np.array([0, 0, 1, 1, 1, 1, 1, 1])
    assert advantage_weights(teacher, student, strata, shrink_cases=2)[0] == pytest.approx(2.5 / 2.75)
    everything = advantage_weights(teacher, student, strata, shrink_cases=1e9)
    assert everything == pytest.approx([2 / 3, 2 / 3])


def test_a_stratum_without_cases_says_what_all_cases_say_and_no_hits_at_all_say_a_half():
    ones = np.ones(2)
    assert advantage_weights(3 * ones, ones, np.array([0, 2]), n_strata=4) == pytest.approx([3 / 4] * 4)
    assert advantage_weights(0 * ones, 0 * ones, np.array([0, 1])).tolist() == [1 / 2, 1 / 2]


def test_advantage_of_what_makes_no_sense_is_refused():
    ones, strata = np.ones(3), np.array([0, 1, 1])
    with pytest.raises(
        SettingsError, match=r"shape \(3,\), the student's \(2,\) and strata \(3,\); expected \(C,\) three"
    ):
        advantage_weights(ones, ones[:2], strata)
    with pytest.raises(SettingsError, match="one a validation case"):
        advantage_weights(ones[:0], ones[:0], strata[:0])
    for wrong in (-ones, ones * math.nan):
        with pytest.raises(SettingsError, match="below 0 or is not finite; expected one such as NDCG@10, from 0 up"):
            advantage_weights(ones, wrong, strata)
    with pytest.raises(SettingsError, match="strata go from 0 to 1; expected 0 to 0"):
        advantage_weights(ones, ones, strata, n_strata=1)
    with pytest.raises(SettingsError, match="strata go from -1 to 1"):
        advantage_weights(ones, ones, np.array([0, -1, 1]))
    with pytest.raises(SettingsError, match="shrink_cases is 0; expected a number above 0"):
        advantage_weights(ones, ones, strata, shrink_cases=0)


def test_a_mean_of_one_keeps_zeros_and_proportions():
    assert mean_one(torch.tensor([0.0, 0.1, 0.2])).tolist() == pytest.approx([0, 1, 2])
    assert mean_one(torch.zeros(2)).tolist() == [0, 0]
    assert mean_one(torch.zeros(0)).tolist() == []
