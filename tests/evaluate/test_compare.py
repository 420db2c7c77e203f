from dataclasses import replace

import numpy as np
import polars as pl
import pytest

from distilrec.errors import DataError, SettingsError
from distilrec.evaluate.compare import compare, metric_title, p_value_text, share_of_lead
from distilrec.evaluate.evaluation import Evaluation

PROTOCOL = {
    "split": "test",
    "exclude_history": True,
    "n_items": 50,
    "cutoffs": [10],
    "ties": "against the model",
    "cases": "abc",
}


def evaluation(values, metric="ndcg@10", **protocol):
    n = len(values)
    columns = {"user": range(n), "history_length": [3] * n, "n_relevant": [1] * n, metric: values}
    return Evaluation(pl.DataFrame(columns), {**PROTOCOL, **protocol})


BASE = np.array([0.0, 1.0] * 1000)
BETTER = np.where(np.arange(2000) % 20 == 0, 1.0, BASE)  # 100 more hits among 2,000 users


def test_a_better_model_is_said_to_be_better_with_its_evidence():
    sentence = compare(evaluation(BETTER), evaluation(BASE), names=("distilled", "alone")).sentence()
    assert sentence.startswith("distilled is better than alone by 0.0500 NDCG@10 (+10.0 %), 95 % interval 0.04")
    assert sentence.endswith(", p = 0.0005 (paired bootstrap over 2,000 users)")


def test_a_worse_model_is_said_to_be_worse_with_the_same_numbers():
    forward = compare(evaluation(BETTER), evaluation(BASE)).sentence()
    backward = compare(evaluation(BASE), evaluation(BETTER)).sentence()
    assert backward.startswith("a is worse than b by 0.0500 NDCG@10 (-9.1 %), 95 % interval 0.04")
    assert forward.split("%)")[1] == backward.split("%)")[1]


def test_a_difference_that_chance_explains_is_not_called_one():
    almost = BASE.copy()
    almost[[0, 1, 3]] = [1, 0, 0]  # one hit more, two fewer
    comparison = compare(evaluation(almost), evaluation(BASE), names=("small", "large"))
    assert not comparison.differs
    sentence = comparison.sentence()
    assert sentence.startswith(
        "no difference shown between small and large: NDCG@10 0.4995 and 0.5000, 95 % interval -0.00"
    )
    assert "p = 0." in sentence


def test_a_corrected_p_value_decides_where_one_is_given():
    comparison = compare(evaluation(BETTER), evaluation(BASE), names=("distilled", "alone"))
    assert comparison.differs_at(0.04)
    assert not comparison.differs_at(0.06)
    assert comparison.sentence(corrected_p=0.04) == comparison.sentence()
    sentence = comparison.sentence(corrected_p=0.12)
    assert sentence.startswith("no difference shown between distilled and alone: NDCG@10 0.5500 and 0.5000, 95 %")
    assert ", p = 0.0005 (" in sentence


@pytest.mark.parametrize(
    ("p", "text"), [(0.12, "p = 0.12"), (0.004, "p = 0.0040"), (0.0001, "p = 0.0001"), (0.00001, "p < 0.0001")]
)
def test_a_p_value_is_never_written_as_nothing(p, text):
    assert p_value_text(p) == text


def test_the_same_values_are_said_to_be_the_same():
    sentence = compare(evaluation(BASE), evaluation(BASE), names=("first", "second")).sentence()
    assert sentence == "no difference: first and second have the same NDCG@10 for each of 2,000 users"


def test_nothing_is_divided_by_a_mean_of_zero():
    sentence = compare(evaluation(BASE), evaluation(np.zeros(2000))).sentence()
    assert sentence.startswith("a is better than b by 0.5000 NDCG@10, 95 %")


def test_the_level_is_kept_in_the_sentence():
    comparison = compare(evaluation(BETTER), evaluation(BASE), level=0.9)
    assert "90 % interval" in comparison.sentence()
    assert comparison.result.high < compare(evaluation(BETTER), evaluation(BASE)).result.high


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"n_items": 51}, r"the number of items in the catalogue \(50 in a, 51 in b\)"),
        ({"split": "validation"}, r"the split \(test in a, validation in b\)"),
        ({"cases": "xyz"}, "the cases: users, histories or relevant items"),
        ({"exclude_history": False}, r"whether the history is excluded \(True in a, False in b\)"),
        ({"ties": "by row"}, "how ties are ranked"),
    ],
)
def test_evaluations_that_asked_different_questions_are_not_compared(change, message):
    with pytest.raises(DataError, match=message):
        compare(evaluation(BASE), evaluation(BASE, **change))


def test_all_differences_are_named_at_once():
    other = evaluation(BASE, n_items=51, split="validation")
    with pytest.raises(DataError, match=r"catalogue.*; the split.*Evaluate both on the same cases"):
        compare(evaluation(BASE), other)


def test_other_cutoffs_do_not_hinder_a_comparison():
    other = replace(evaluation(BASE), protocol={**PROTOCOL, "cutoffs": [10, 20]})
    assert compare(evaluation(BASE), other).result.p_value == 1


def test_a_metric_that_was_not_measured_is_refused_with_those_present():
    with pytest.raises(SettingsError, match="metric 'mrr' was not measured; present: ndcg@10"):
        compare(evaluation(BASE), evaluation(BASE), metric="mrr")


def test_metrics_are_written_as_people_write_them():
    titles = [metric_title(name) for name in ("ndcg@10", "recall@5", "hit_rate@5", "mrr", "precision@1")]
    assert titles == ["NDCG@10", "Recall@5", "Hit rate@5", "MRR", "Precision@1"]


def test_a_student_halfway_from_itself_alone_to_its_teacher_has_half_of_the_lead():
    assert share_of_lead(0.5, alone=0.25, teacher=0.75) == 0.5
    assert share_of_lead(1.0, alone=0.25, teacher=0.75) == 1.5
    assert share_of_lead(0.0, alone=0.25, teacher=0.75) == -0.5


@pytest.mark.parametrize("teacher", [0.25, 0.1])
def test_of_a_teacher_that_leads_nobody_there_is_no_share(teacher):
    assert share_of_lead(0.5, alone=0.25, teacher=teacher) is None
