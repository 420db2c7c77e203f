import numpy as np
import pytest
from made_evaluations import evaluation

from distilrec.errors import DataError
from distilrec.evaluate.protocols import compare_protocols

BASE = np.random.default_rng(0).random(300)


def models(**added):
    return {name: evaluation(BASE + more) for name, more in added.items()}


def only_pair(last, time):
    (pair,) = compare_protocols({"leave-last-out": last, "time": time})
    return pair


def test_protocols_that_say_the_same_agree():
    pair = only_pair(models(student=0.1, teacher=0), models(student=0.2, teacher=0))
    assert pair.agree
    assert pair.sentence() == (
        "the protocols agree on student and teacher by NDCG@10 (leave-last-out: student better than teacher; "
        "time: student better than teacher)"
    )


def test_better_here_and_worse_there_is_a_contradiction():
    pair = only_pair(models(student=0.1, teacher=0), models(student=-0.1, teacher=0))
    assert pair.opposite
    assert pair.sentence().startswith("the protocols contradict each other on student and teacher")


def test_a_difference_that_only_one_shows_is_a_difference():
    pair = only_pair(models(student=0.1, teacher=0), models(student=0, teacher=0))
    assert (pair.agree, pair.opposite) == (False, False)
    assert pair.sentence().endswith("time: no difference shown)")
    assert "differ on" in pair.sentence()


def test_every_two_models_that_all_protocols_judged_are_a_pair():
    pairs = compare_protocols({"one": models(a=0, b=0.1, c=0.2, d=0.3), "two": models(c=0, b=0.1, a=0.2)})
    assert [pair.names for pair in pairs] == [("a", "b"), ("a", "c"), ("b", "c")]


def test_one_protocol_or_one_model_is_refused():
    with pytest.raises(DataError, match="1 protocols were given; expected two or more"):
        compare_protocols({"time": models(a=0, b=0)})
    with pytest.raises(DataError, match="the protocols one, two have 1 models in common; expected two or more"):
        compare_protocols({"one": models(a=0, b=0), "two": models(a=0, c=0)})
