"""Methods are applied in turn; what cannot be applied says so, and the first model stays as it was."""

import numpy as np
import polars as pl
import pytest
import torch
from pydantic import TypeAdapter

from distilrec.compress import retraining
from distilrec.compress.methods import Compression, Retraining, compress, method_kinds
from distilrec.compress.prune_layers import PruneLayers
from distilrec.compress.prune_weights import PruneWeights
from distilrec.compress.quantise import Quantise
from distilrec.compress.retraining import Retrain
from distilrec.distil.loop import train
from distilrec.distil.settings import DistilSettings, TrainSettings
from distilrec.errors import DataError, SettingsError
from distilrec.models.ease import EASE
from distilrec.models.students import build_student, preset
from distilrec.recommender import Recommender
from distilrec.types import Batch, Ragged

N_ITEMS = 12
WALKS = Ragged.of([[(start + step) % N_ITEMS for step in range(4)] for start in range(N_ITEMS)] * 4)
EVERY_ITEM = Batch.of([[item] for item in range(N_ITEMS)])
ITEMS = pl.DataFrame({"item_id": list(range(N_ITEMS)), "train_count": [16] * N_ITEMS})


def knows_the_next(model):
    best = model.scores(Batch.of([[item] for item in range(N_ITEMS)])).argmax(axis=1)
    return float((best == (np.arange(N_ITEMS) + 1) % N_ITEMS).mean())


def student(kind="transformer", **changes):
    torch.manual_seed(0)
    settings = preset(kind, "tiny").with_changes(width=8, max_length=4, **changes)
    return Recommender(build_student(settings, N_ITEMS, sequences=WALKS).fold(), ITEMS)


def training(**changes):
    train = TrainSettings(epochs=3, batch_size=8, learning_rate=0.02, precision="float32")
    return Retraining(**{"sequences": WALKS, "validate": knows_the_next, "train": train, **changes})


def test_nothing_to_do_gives_the_model_back():
    first = student()
    assert compress(first, []) is first


def test_training_again_makes_it_better_and_leaves_the_first_as_it_was():
    first = student()
    before, at_first = first.model.state(), knows_the_next(first)
    better = compress(first, [Retrain()], training())
    assert knows_the_next(better) > at_first + 0.3
    told = better.about["compressed"][0]
    assert told == {"kind": "retrain", "score_before": at_first, "score_after": knows_the_next(better), "epochs": 3}
    for name, array in first.model.state().items():
        np.testing.assert_array_equal(array, before[name])


def test_training_that_only_makes_it_worse_leaves_it_as_it_was():
    first = student()
    worse = training(validate=lambda model: -float(np.abs(model.state()["table.weight"] - first_table).sum()))
    first_table = first.model.state()["table.weight"]
    same = compress(first, [Retrain()], worse)
    np.testing.assert_array_equal(same.model.state()["table.weight"], first_table)


def test_methods_follow_one_another():
    small = compress(student(), [Retrain(), Quantise()], training())
    assert [done["kind"] for done in small.about["compressed"]] == ["retrain", "quantise"]
    assert small.packed.forms["table.weight"].form == "int8"


def loud_student(**changes):
    """One whose every part shows in its answers."""
    first = student(dropout=0.0, **changes)
    for parameter in first.model.parameters():
        torch.nn.init.normal_(parameter, std=0.3)
    return first


def far_from(first):
    """A validation that likes what answers as the first model did."""
    wanted = first.model.scores(EVERY_ITEM)
    return lambda model: -float(((model.scores(EVERY_ITEM) - wanted) ** 2).mean())


def test_a_model_that_is_its_own_teacher_answers_more_like_it_did_before_it_was_pruned():
    first = loud_student()
    before = first.model.state()
    own = training(knowledge="itself", distil=DistilSettings(alpha=1.0), validate=far_from(first))
    told = compress(first, [PruneWeights(share=0.6)], own).about["compressed"][0]
    assert told["score_after"] > 0.8 * told["score_before"]  # both are below 0
    for name, array in first.model.state().items():
        np.testing.assert_array_equal(array, before[name])


def test_its_own_teacher_is_the_model_as_it_was_before_the_first_method():
    first = loud_student(blocks=2)
    own = training(knowledge="itself", distil=DistilSettings(alpha=1.0), validate=far_from(first))
    shallow = PruneLayers(keep=1, retrain=False)
    after_both = compress(first, [shallow, Retrain()], own).about["compressed"][1]
    assert after_both["score_after"] > after_both["score_before"]  # what was pruned has something to learn
    alone = compress(first, [shallow], own)
    nothing_left = compress(alone, [Retrain()], training(knowledge="itself", validate=far_from(alone)))
    assert nothing_left.about["compressed"][1]["score_before"] == 0  # it answers as itself from the start


def test_a_model_listens_to_its_own_order_and_drops_no_units(monkeypatch):
    seen = []

    def spied(model, windows, **given):
        seen.append((model.settings.dropout, model.settings.embedding_dropout, given["distil"]))
        return train(model, windows, **given)

    monkeypatch.setattr(retraining, "train", spied)
    assert compress(student(), [Retrain()], training(knowledge="itself")).model.settings.dropout == 0.2
    ((dropout, embedding_dropout, distil),) = seen
    (order,) = distil.losses
    assert (distil.alpha, order.kind, dropout, embedding_dropout) == (1.0, "relaxed_ranking", 0, 0)


def test_nobody_is_asked_where_nothing_is_trained(monkeypatch):
    monkeypatch.setattr(retraining, "as_teacher", lambda _: pytest.fail("a teacher was made and not needed"))
    shallow = PruneLayers(keep=1, retrain=False)
    assert compress(student(blocks=2), [shallow, Quantise()], training(knowledge="itself")).packed.forms


def test_a_model_that_is_no_student_is_rounded_beside_a_training_that_it_does_not_need():
    ease = Recommender(EASE.fit(WALKS, n_items=N_ITEMS), ITEMS)
    assert compress(ease, [Quantise()], training(knowledge="itself")).packed.forms


def test_a_method_that_trains_asks_for_what_it_trains_with():
    with pytest.raises(SettingsError, match=r"retrain trains or measures the model, .*Retraining"):
        compress(student(), [Retrain()])


def test_sequences_of_another_catalogue_or_none_at_all_are_refused():
    with pytest.raises(DataError, match="item 12 is outside the catalogue of 12 items"):
        compress(student(), [Retrain()], training(sequences=Ragged.of([[0, 12, 3]])))
    with pytest.raises(DataError, match="no training sequence has two events"):
        compress(student(), [Retrain()], training(sequences=Ragged.of([])))


def test_what_is_no_student_is_not_trained():
    ease = Recommender(EASE.fit(WALKS, n_items=N_ITEMS), ITEMS)
    with pytest.raises(SettingsError, match=r"retrain is for students \(transformer, .*\); a model of kind ease can"):
        compress(ease, [Retrain()], training())


def test_other_settings_are_no_compression():
    with pytest.raises(SettingsError, match="TrainSettings are no settings of a compression; known kinds: quantise, q"):
        compress(student(), [TrainSettings()])


@pytest.mark.parametrize("kind", method_kinds())
def test_every_kind_is_read_from_a_recipe(kind):
    needed = {}.get(kind, {})
    assert TypeAdapter(Compression).validate_python({"kind": kind, **needed}).kind == kind


def test_an_unknown_kind_is_told_with_those_known():
    with pytest.raises(ValueError, match="unknown kind of compression; known: quantise, quantise_aware, prune"):
        TypeAdapter(Compression).validate_python({"kind": "squash"})
