"""Shared tables start near what they were, stay shared while they are trained, and cost what they say."""

import numpy as np
import pytest
import torch
from compress_world import BATCH, N_ITEMS, knows_the_next, student, training
from safetensors.torch import load_file

from distilrec.compress.methods import compress
from distilrec.compress.quantise import Quantise
from distilrec.compress.quantise_aware import QuantiseAware
from distilrec.compress.retraining import Retrain
from distilrec.compress.share import (
    CodebookTable,
    HashedTable,
    LowRankTable,
    QuotientRemainderTable,
    ShareLayers,
)
from distilrec.compress.starts import hashed_start, quotient_remainder_start
from distilrec.compress.steps import packed_of
from distilrec.errors import SettingsError
from distilrec.storage import Hashed, Int8, LowRank, QuotientRemainder

TABLE = np.random.default_rng(0).normal(size=(N_ITEMS, 8)).astype(np.float32)


def off(table):
    return float(((table - TABLE) ** 2).sum())


def test_a_hashed_table_starts_nearer_than_least_squares_would_with_nothing():
    form = Hashed(n_rows=N_ITEMS, buckets=6)
    rows = form.rows()
    design = np.zeros((N_ITEMS, 6))
    for item, pair in enumerate(rows):
        np.add.at(design[item], pair, 1)
    best = design @ np.linalg.lstsq(design, TABLE, rcond=None)[0]
    found = form.decode({"table": hashed_start(TABLE, form)})
    assert off(found) == pytest.approx(off(best), rel=0.02)


def test_what_can_be_said_by_quotients_and_remainders_is_said():
    quotients, remainders = TABLE[:3] + 2, TABLE[3:7] + 2
    for combine in ("sum", "product"):
        form = QuotientRemainder(n_rows=N_ITEMS, buckets=4, combine=combine)
        table = form.decode({"quotients": quotients, "remainders": remainders})
        found = form.decode(quotient_remainder_start(table, form))
        np.testing.assert_allclose(found, table, rtol=1e-3, atol=1e-3)


def test_a_table_that_has_the_rank_is_as_good_with_its_factors():
    first = student()
    with torch.no_grad():
        first.model.table.weight[:, 3:] = 0
    small = compress(first, [LowRankTable(rank=3, retrain=False)])
    np.testing.assert_allclose(small.scores(BATCH), first.scores(BATCH), rtol=1e-4, atol=1e-4)
    assert small.packed.forms["table.weight"] == LowRank(rank=3)


@pytest.mark.parametrize(
    "settings",
    [
        LowRankTable(rank=4),
        CodebookTable(codes=4, bits=4),
        HashedTable(buckets=9),
        QuotientRemainderTable(buckets=6, combine="sum"),
    ],
    ids=lambda settings: settings.kind,
)
def test_training_makes_a_shared_table_better_and_keeps_it_shared(settings):
    small = compress(student(), [settings], training())
    told = small.about["compressed"][0]
    assert told["score_after"] > told["score_before"] + 0.05
    assert knows_the_next(small) == pytest.approx(told["score_after"])
    assert packed_of(small).forms["table.weight"].form == settings.kind


def test_both_tables_of_a_model_that_reads_by_another_are_shared():
    small = compress(student("linear", decays=2), [CodebookTable(codes=4, bits=4, retrain=False)])
    forms = small.packed.forms
    assert (forms["table.weight"].codes, forms["inputs.weight"].codes) == (4, 1)  # 7 columns have no divisor below 4


def test_a_shared_table_that_would_be_larger_is_refused():
    with pytest.raises(
        SettingsError, match=r"hashed: table\.weight would have 640 bytes, no fewer than now; choose le"
    ):
        compress(student(), [HashedTable(buckets=20)], training())


def test_factors_are_quantised_in_training():
    small = compress(student(), [LowRankTable(rank=4, retrain=False), QuantiseAware(table="int8")], training())
    assert small.packed.forms["table.weight"] == LowRank(rank=4, left=Int8(), right=Int8())


@pytest.mark.parametrize(
    ("kind", "stack"), [("transformer", "blocks"), ("linear_recurrence", "blocks"), ("gru", "layers")]
)
def test_blocks_that_are_one_stay_one_through_training_and_quantising(kind, stack):
    first = student(kind, **{stack: 3})
    small = compress(first, [ShareLayers(), Retrain(), Quantise()], training())
    state = small.model.state()
    pairs = [(name, name.replace(f"{stack}.0.", f"{stack}.2.")) for name in state if name.startswith(f"{stack}.0.")]
    assert pairs
    for one, other in pairs:
        np.testing.assert_array_equal(state[one], state[other])
    assert not any(name.startswith(f"{stack}.2.") for name in small.packed.arrays)
    assert small.about["compressed"][0]["score_after"] > small.about["compressed"][0]["score_before"]


def test_a_checkpoint_holds_what_blocks_share_once(tmp_path):
    whole = compress(student(blocks=2), [ShareLayers()], training())
    compress(student(blocks=2), [ShareLayers()], training(checkpoints=tmp_path))
    again = compress(student(blocks=2), [ShareLayers()], training(checkpoints=tmp_path))  # it is finished
    np.testing.assert_array_equal(again.scores(BATCH), whole.scores(BATCH))
    (kept,) = tmp_path.iterdir()
    names = load_file(kept).keys()
    assert not any("blocks.1." in name for name in names)
    assert any("blocks.0." in name for name in names)


def test_neighbours_are_shared_in_runs():
    small = compress(student(blocks=4), [ShareLayers(distinct=2, retrain=False)])
    of = {name.split(".")[1]: form.of.split(".")[1] for name, form in small.packed.forms.items()}
    assert of == {"1": "0", "3": "2"}


def test_as_many_blocks_as_there_are_and_layers_of_other_shapes_are_refused():
    with pytest.raises(SettingsError, match="distinct is 2, and there are 2 blocks; take fewer"):
        compress(student(blocks=2), [ShareLayers(distinct=2, retrain=False)])
    with pytest.raises(
        SettingsError, match=r"layers\.1\..* and layers\.0\..* have other shapes, so they cannot be one"
    ):
        compress(student("gru", layers=2, hidden=5), [ShareLayers(retrain=False)])


def test_an_interrupted_training_goes_on_from_its_checkpoint(tmp_path):
    class StoppedError(Exception):
        pass

    calls = []

    def stop_at_the_third(model):
        calls.append(None)
        if len(calls) == 3:
            raise StoppedError
        return knows_the_next(model)

    settings = QuantiseAware(table={"form": "codebooks", "codes": 4, "bits": 4})
    whole = compress(student(), [settings], training())
    with pytest.raises(StoppedError):
        compress(student(), [settings], training(validate=stop_at_the_third, checkpoints=tmp_path))
    (kept,) = tmp_path.iterdir()
    assert kept.suffix == ".safetensors"
    again = compress(student(), [settings], training(checkpoints=tmp_path))
    for name, array in whole.packed.arrays.items():
        np.testing.assert_array_equal(again.packed.arrays[name], array)
