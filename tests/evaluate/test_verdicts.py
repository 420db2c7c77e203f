import numpy as np
import pytest
from made_evaluations import evaluation

from distilrec.errors import DataError, SettingsError
from distilrec.evaluate.slices import Slicing
from distilrec.evaluate.verdicts import holm, non_inferiority, verdicts

NAMES = ("the student", "the teacher")


def drawn(n=400, seed=0):
    return np.random.default_rng(seed).random(n)


def test_holm_multiplies_the_smallest_by_all_and_the_next_by_one_less():
    assert holm([0.01, 0.04, 0.03]) == pytest.approx([3 * 0.01, 2 * 0.03, 2 * 0.03])


def test_holm_never_exceeds_one_and_leaves_a_single_one_alone():
    assert holm([0.9, 0.8]) == [1, 1]
    assert holm([0.2]) == [0.2]
    assert holm([]) == []


def test_the_same_model_is_not_worse_than_itself():
    found = non_inferiority(evaluation(drawn()), evaluation(drawn()), names=NAMES)
    assert found.shown
    assert found.p_value == 1 / 2001
    assert found.at_worst == pytest.approx(0, abs=1e-12)


def test_two_per_cent_worse_for_everybody_is_worse_by_more_than_one_and_not_by_more_than_three():
    a, b = evaluation(0.98 * drawn()), evaluation(drawn())
    assert not non_inferiority(a, b, margin=0.01).shown
    assert non_inferiority(a, b, margin=0.03).shown
    assert non_inferiority(a, b).at_worst == pytest.approx(-0.02)


def test_as_good_on_average_is_not_enough_where_users_vary():
    """Few users who differ much: better or worse by ten per cent would look the same."""
    found = non_inferiority(evaluation(drawn(30, seed=1)), evaluation(drawn(30, seed=2)))
    assert not found.shown


def test_the_p_value_is_that_of_a_normal_distribution_where_that_is_known():
    """d has mean 0.01 and standard error 0.1 / 20 = 0.005: two of them away from 0 is p = 0.023."""
    noise = np.random.default_rng(3).standard_normal(400)
    noise = 0.1 * (noise - noise.mean()) / noise.std()
    b = evaluation(np.ones(400))
    a = evaluation(0.99 + 0.01 + noise)  # so that a - 0.99 b = 0.01 + noise
    assert non_inferiority(a, b, margin=0.01, resamples=20000).p_value == pytest.approx(0.0228, abs=0.004)


def test_the_sentence_says_yes_or_not_shown_with_the_evidence():
    a, b = evaluation(0.98 * drawn()), evaluation(drawn())
    wide = non_inferiority(a, b, margin=0.03, names=NAMES).sentence()
    assert wide.startswith("the student is not worse than the teacher by more than 3 % of NDCG@10: yes, p = 0.0005 (")
    assert wide.endswith("with 95 % confidence at worst 2.0 % below; paired bootstrap over 400 users)")
    assert "by more than 1 % of NDCG@10: not shown, p = 1.00" in non_inferiority(a, b, names=NAMES).sentence()
    better = non_inferiority(evaluation(1.05 * drawn()), b).sentence()
    assert "at least 5.0 % above" in better


def test_it_never_says_yes_beside_a_bound_that_says_no():
    """Few users, most of whom find nothing: the test and the bound of the same draws may disagree."""
    draw, found = np.random.default_rng(0), []
    for seed in range(150):
        b = np.where(draw.random(100) < 0.2, draw.choice([1, 0.63, 0.5], 100), 0.0)
        a = np.where(draw.random(100) < 0.6, b, np.where(draw.random(100) < 0.3, draw.choice([1, 0.63], 100), 0.0))
        found.append(non_inferiority(evaluation(a), evaluation(b), margin=0.1, resamples=500, seed=seed))
    assert any(one.p_value < 0.05 and one.at_worst <= -0.1 for one in found)  # or this test would show nothing
    assert all(one.at_worst > -0.1 for one in found if one.shown)


def test_margins_that_are_no_share_are_refused():
    with pytest.raises(SettingsError, match="margin is 1; expected a share between 0 and 1"):
        non_inferiority(evaluation([1]), evaluation([1]), margin=1)


def test_a_margin_of_nothing_is_refused():
    with pytest.raises(DataError, match="the mean NDCG@10 of the teacher is 0; a margin of it means nothing"):
        non_inferiority(evaluation([1]), evaluation([0]), names=NAMES)


def test_other_cases_are_refused():
    with pytest.raises(DataError, match="cannot be put side by side, because they differ in the cases"):
        non_inferiority(evaluation([1]), evaluation([1], cases="another"))


def halves():
    first = np.arange(400) < 200
    return Slicing("half", {"first": first, "second": ~first, "few": np.arange(400) < 5})


def test_each_group_has_its_own_verdict():
    """The student is better for the first half, and worse for the second; over all nothing is to be seen."""
    b = drawn()
    a = b + np.where(np.arange(400) < 200, 0.1, -0.1)
    found = verdicts(evaluation(a), evaluation(b), [halves()], names=NAMES)
    assert not found.overall.differs
    assert [(group.label, group.n, group.word, group.not_worse) for group in found.groups] == [
        ("first", 200, "better", True),
        ("second", 200, "worse", False),
        ("few", 5, "too few cases", False),
    ]


def test_groups_are_corrected_for_being_several():
    """One p-value of 0.02 to 0.04 is shown alone, and is not among twenty others."""
    difference = np.random.default_rng(5).standard_normal(100)
    difference = (difference - difference.mean()) / difference.std() + 0.23  # 2.3 standard errors from 0
    a, b = evaluation(2 + difference), evaluation(np.full(100, 2.0))
    everybody = np.ones(100, dtype=bool)
    alone = verdicts(a, b, [Slicing("all", {"all": everybody})]).groups[0]
    assert alone.word == "better"
    assert alone.p_value == alone.comparison.result.p_value
    many = verdicts(a, b, [Slicing("all", {f"{number}": everybody for number in range(20)})]).groups[0]
    assert many.word == "no difference shown"
    assert many.p_value == pytest.approx(20 * alone.p_value)
    assert many.non_inferiority_p == pytest.approx(20 * alone.non_inferiority_p)


def test_where_the_teacher_finds_nothing_there_is_no_margin():
    found = verdicts(evaluation(drawn()), evaluation(np.zeros(400)), [halves()])
    assert found.non_inferiority is None
    assert (found.groups[0].word, found.groups[0].non_inferiority_p) == ("better", None)
