"""What every method of compression promises of every student: it applies, or says in a sentence why not.

Where it applies, the first model stays as it was, and the new one scores, is saved, loaded and weighed as it is.
"""

from dataclasses import replace

import numpy as np
import polars as pl
import pytest
import torch

from distilrec.artifact import read_artifact
from distilrec.compress.methods import Retraining, compress, method_kinds, settings_of
from distilrec.compress.quantise import Quantise
from distilrec.compress.steps import packed_of
from distilrec.distil.settings import TrainSettings
from distilrec.errors import SettingsError
from distilrec.models.ease import EASE
from distilrec.models.students import build_student, preset, student_kinds
from distilrec.recommender import Recommender
from distilrec.storage.sizes import sizes_of
from distilrec.types import Batch, Ragged

N_ITEMS = 24
WALKS = Ragged.of([[start % N_ITEMS, (start + 1) % N_ITEMS, (start + 2) % N_ITEMS] for start in range(48)])
ITEMS = pl.DataFrame({"item_id": range(N_ITEMS), "train_count": [1 + row % 5 for row in range(N_ITEMS)]})
BATCH = Batch.of([[1, 2], [5], [9, 10, 11]])
SHAPES = {
    "transformer": {"blocks": 2, "heads": 2},
    "linear_recurrence": {"blocks": 2},
    "gru": {"layers": 2},
    "cnn": {"blocks": 2},
    "linear": {"decays": 2},
}
CHOSEN = {
    "prune_width": {"width": 4},
    "low_rank": {"rank": 2},
    "prune_items": {"clusters": 4},
    "codebooks": {"codes": 2, "bits": 4},
    "hashed": {"buckets": 8},
    "quotient_remainder": {"buckets": 4},
}
NO_UNITS = {"cnn", "linear", "matrix_factorisation", "lightgcn"}
NO_STACK = {"two_tower", "linear", "matrix_factorisation", "lightgcn"}
REFUSED = {
    "prune_units": (NO_UNITS, "has no hidden units between two of its layers"),
    "prune_heads": (set(student_kinds()) - {"transformer"}, "has none to lose"),
    "prune_layers": (NO_STACK, "has no stack of layers"),
    "drop_layers": (NO_STACK | {"gru", "cnn"}, "has no stack of blocks"),
    "share_layers": (NO_STACK | {"cnn"}, "has no stack of blocks|has blocks that see at different distances"),
}
RETRAINED = {kind for kind in method_kinds() if "retrain" in settings_of(kind).model_fields}
LATER = {"quantise", "quantise_aware", "prune_weights", "prune_items", "low_rank", "codebooks"}


def student(kind):
    torch.manual_seed(0)
    settings = preset(kind, "tiny").with_changes(width=8, max_length=4, **SHAPES.get(kind, {}))
    model = build_student(settings, N_ITEMS, sequences=WALKS)
    for parameter in model.parameters():
        torch.nn.init.normal_(parameter, std=0.3)
    return Recommender(model.fold(), ITEMS)


def settings(kind, **changes):
    return settings_of(kind)(**{**CHOSEN.get(kind, {}), **changes})


def training():
    how = TrainSettings(epochs=1, batch_size=32, learning_rate=0.01, precision="float32")
    return Retraining(WALKS, lambda model: float(model.scores(BATCH)[0, 3] - model.scores(BATCH)[0].mean()), how)


@pytest.mark.parametrize("kind", student_kinds())
@pytest.mark.parametrize("method", method_kinds())
def test_a_method_applies_to_a_student_or_says_why_not(method, kind, tmp_path):
    first = student(kind)
    before, about = first.model.state(), dict(first.about)
    refused, why = REFUSED.get(method, ((), ""))
    if kind in refused:
        with pytest.raises(SettingsError, match=f"{method}: a .*{why}"):
            compress(first, [settings(method)], training())
        return
    small = compress(first, [settings(method)], training())
    assert packed_of(small).nbytes() <= packed_of(first).nbytes()
    assert small.about["compressed"][0]["kind"] == method
    small.save_pretrained(tmp_path / "small")
    loaded = Recommender.from_pretrained(tmp_path / "small")
    np.testing.assert_array_equal(loaded.scores(BATCH), small.scores(BATCH))
    assert read_artifact(tmp_path / "small").stored == (small.packed.described() if small.packed else {})
    assert sizes_of(tmp_path / "small").weights.stored_bytes == packed_of(small).nbytes()
    assert first.about == about
    assert first.packed is None
    for name, array in first.model.state().items():
        np.testing.assert_array_equal(array, before[name])


@pytest.mark.parametrize("method", sorted(set(method_kinds()) - {"retrain"}))
def test_after_a_method_the_student_can_be_trained_again_in_its_form_and_then_quantised(method):
    small = compress(student("transformer"), [settings(method), settings("retrain")], training())
    first = compress(student("transformer"), [settings(method)], training())
    assert packed_of(small).described() == packed_of(first).described()
    assert packed_of(small).nbytes() == packed_of(first).nbytes()
    lossy = {"quantise", "quantise_aware", "codebooks"}
    if method not in lossy:
        assert packed_of(compress(small, [Quantise()])).nbytes() < 0.5 * packed_of(small).nbytes()
        return
    with pytest.raises(SettingsError, match=r"is stored as \w+ already"):
        compress(small, [Quantise()])


@pytest.mark.parametrize("method", sorted(RETRAINED))
def test_a_method_that_was_told_not_to_train_leaves_weights_as_near_as_it_can(method):
    told = compress(student("transformer"), [settings(method, retrain=False)], training()).about["compressed"]
    assert [done["kind"] for done in told] == [method]
    assert "score_after" not in told[0]


@pytest.mark.parametrize("method", sorted(set(method_kinds()) - {"quantise", "drop_layers"}))
def test_a_method_that_trains_says_what_it_lacks(method):
    with pytest.raises(SettingsError, match=f"{method} trains or measures the model, .*Retraining"):
        compress(student("transformer"), [settings(method)])


@pytest.mark.parametrize("method", sorted(set(method_kinds()) - {"quantise", "prune_weights", "drop_layers"}))
def test_what_is_no_student_keeps_its_shape(method):
    with pytest.raises(SettingsError, match=f"{method} is for students .*; a model of kind ease can be quantised"):
        compress(Recommender(EASE.fit(WALKS, n_items=N_ITEMS), ITEMS), [settings(method)], training())


@pytest.mark.parametrize("method", sorted(set(method_kinds()) - {"quantise", "quantise_aware", "retrain"}))
def test_what_is_quantised_already_is_not_reshaped(method):
    first = compress(student("transformer"), [Quantise()])
    with pytest.raises(SettingsError, match=r"stored as (int8|float16|float16, int8) already"):
        compress(first, [settings(method)], training())


@pytest.mark.parametrize("method", sorted(LATER))
def test_a_constant_row_is_no_trouble(method):
    first = student("transformer")
    with torch.no_grad():
        first.model.table.weight[3:6] = 0
        first.model.table.weight[7] = 0.25
    small = compress(Recommender(first.model, ITEMS), [settings(method)], training())
    assert np.isfinite(small.scores(BATCH)).all()


@pytest.mark.parametrize("method", method_kinds())
def test_infinity_is_refused(method):
    first = student("transformer")
    with torch.no_grad():
        first.model.table.weight[3, 2] = torch.inf
    with pytest.raises(SettingsError, match=r"table\.weight holds NaN or infinity, which nothing compresses"):
        compress(Recommender(first.model, ITEMS), [settings(method)], training())


@pytest.mark.parametrize("kind", student_kinds())
def test_every_student_can_be_its_own_teacher(kind):
    own = replace(training(), knowledge="itself")
    small = compress(student(kind), [settings("quantise_aware")], own)
    assert small.about["compressed"][0]["epochs"] == 1
    assert np.isfinite(small.model.scores(BATCH)).all()
