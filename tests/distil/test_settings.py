"""What can not be meant is refused, by the name of its field."""

import pytest

from distilrec.config import parse
from distilrec.distil.settings import DistilSettings, TrainSettings
from distilrec.errors import SettingsError


@pytest.mark.parametrize(
    "wrong",
    [
        {"epochs": 0},
        {"patience": 0},
        {"batch_size": 0},
        {"learning_rate": 0},
        {"learning_rate": float("inf")},
        {"learning_rate": float("nan")},
        {"weight_decay": -0.1},
        {"schedule": "linear"},
        {"warmup_steps": -1},
        {"clip_norm": 0},
        {"label_smoothing": 1},
        {"precision": "float16"},
        {"seed": -1},
        {"checkpoint_seconds": -1},
    ],
)
def test_training_settings_out_of_range_are_refused(wrong):
    (field,) = wrong
    with pytest.raises(SettingsError, match=f"train: {field}: "):
        parse(TrainSettings, wrong, where="train")


@pytest.mark.parametrize("wrong", [{"alpha": 1.1}, {"alpha": -0.1}, {"temperature": 0}, {"temperature": float("inf")}])
def test_distilling_settings_out_of_range_are_refused(wrong):
    (field,) = wrong
    with pytest.raises(SettingsError, match=f"distil: {field}: "):
        parse(DistilSettings, wrong, where="distil")


def test_a_misspelt_setting_is_refused_with_the_likely_one():
    with pytest.raises(SettingsError, match=r"unknown setting 'learningrate'; did you mean 'learning_rate'\?"):
        parse(TrainSettings, {"learningrate": 0.1})


@pytest.mark.parametrize("said", [{}, {"start_from_teacher": False}, {"curriculum": {"start_share": 0.3}}])
def test_who_says_nothing_of_what_is_learnt_learns_by_relaxed_ranking(said):
    settings = DistilSettings(**said)
    assert (settings.alpha, [loss.kind for loss in settings.losses]) == (0.0, ["relaxed_ranking"])
    assert DistilSettings(**settings.model_dump()) == settings


@pytest.mark.parametrize(
    "said", [{"alpha": 0.7}, {"losses": ()}, {"temperature": 1.0}, {"trust": None}, {"auxiliary_head": False}]
)
def test_who_says_something_of_it_gets_that(said):
    assert (DistilSettings(**said).alpha, DistilSettings(**said).losses) == (0.7, ())
