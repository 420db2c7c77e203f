"""How trainings went: a part of the loss is drawn in the epochs that have it."""

import dataclasses

import pytest

from distilrec.report.facts import Curve
from distilrec.report.work import training_section


def training(facts, *losses):
    """The section of a run whose distilled student had these losses, epoch by epoch."""
    epochs = [{"loss": sum(parts.values()), **parts, "score": 0.5, "seconds": 1.0} for parts in losses]
    distilled = dataclasses.replace(facts.models[2], curves=(Curve(0, epochs, 1),))
    return training_section(dataclasses.replace(facts, models=[distilled]))


@pytest.mark.parametrize(
    ("losses", "ends"),
    [
        ([{"hard": 1.0, "soft": 2.0}, {"hard": 1.0}], "soft ends at 2.0000 after 1 epochs"),
        ([{"hard": 1.0}, {"hard": 1.0, "soft": 3.0}], "soft ends at 3.0000 after 2 epochs"),
    ],
    ids=["that ends", "that begins later"],
)
def test_a_part_of_the_loss_is_drawn(facts, outline, losses, ends):
    """A schedule leaves a part out of the epochs in which it weighs nothing."""
    found = outline(training(facts, *losses))
    assert found.problems == []
    assert ends in found.words
    assert "hard ends at 1.0000 after 2 epochs" in found.words
    assert "one has no line where it was not part of the loss" in found.words


def test_a_loss_of_one_part_is_drawn_by_itself(facts, outline):
    found = outline(training(facts, {"hard": 1.0}, {"hard": 0.5}))
    assert "loss ends at 0.5000 after 2 epochs" in found.words
    assert "hard" not in found.words
