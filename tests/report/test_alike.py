"""Models stand beside each other only where they were asked the same questions in the same way."""

import dataclasses

import pytest
from made_reports import evaluation, model

from distilrec.evaluate.evaluation import digest_of_cases
from distilrec.report.alike import asked_alike, asks
from distilrec.report.slices import judged
from distilrec.report.splits import split_sentences

VALUES = [0, 0.5, 1, 1]


def asked(name, **protocol):
    return model(name, VALUES, evaluation=evaluation(VALUES, **protocol))


def names(models):
    return [one.name for one in asked_alike(models)]


@pytest.mark.parametrize(
    "otherwise",
    [{"cases": "new"}, {"exclude_history": False}, {"n_items": 25}, {"split": "validation"}, {"ties": "no"}],
)
def test_the_distilled_student_decides_who_stands_beside_it(otherwise):
    models = [asked("ease", **otherwise), asked("teacher"), asked("distilled")]
    assert names(models) == ["teacher", "distilled"]
    assert names([asked("ease"), asked("teacher"), asked("distilled", **otherwise)]) == ["distilled"]


def test_without_it_the_first_that_was_judged_decides():
    not_judged = model("popularity", VALUES, evaluation=None)
    assert names([not_judged, asked("ease"), asked("teacher", cases="new")]) == ["ease"]
    assert names([not_judged]) == []


def test_cutoffs_may_differ():
    assert names([asked("teacher", cutoffs=[5]), asked("distilled", cutoffs=[10])]) == ["teacher", "distilled"]


def test_an_evaluation_is_of_a_log_that_has_its_cases_and_its_catalogue(finished):
    log = finished.prepared.interactions, finished.prepared.split
    cases = digest_of_cases(finished.prepared.split.test)
    assert asks(log, evaluation(VALUES, cases=cases, n_items=24))
    assert not asks(log, evaluation(VALUES, cases="old", n_items=24))
    assert not asks(log, evaluation(VALUES, cases=cases, n_items=25))


def test_verdicts_are_told_of_those_that_were_asked_alike():
    """Two evaluations on the same cases, one of which left the history out, were put beside each other and refused."""
    models = [asked("student_alone", exclude_history=False), asked("teacher"), asked("distilled")]
    _, verdicts = judged([], models, "ndcg@10")
    assert [verdict.overall.names[1] for verdict in verdicts] == ["the teacher"]


def test_two_splits_of_a_run_in_between_are_told_of_those_that_were_asked_alike(facts):
    def run(split, *models):
        return dataclasses.replace(facts, name=split, data=[("Split", split)], models=models, samples=[])

    last = run("last", asked("student_alone", exclude_history=False), asked("teacher"), asked("distilled"))
    time = run("time", asked("student_alone"), asked("teacher"), asked("distilled"))
    assert len(split_sentences([last, time])) == 1
