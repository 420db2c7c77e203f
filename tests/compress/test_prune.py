"""What is pruned is gone, what stays is as it was, and what goes is what matters least."""

import numpy as np
import polars as pl
import pytest
import torch
from compress_world import BATCH, ITEMS, N_ITEMS, knows_the_next, student, training

from distilrec.compress.methods import compress
from distilrec.compress.prune_items import PruneItems
from distilrec.compress.prune_layers import PruneLayers
from distilrec.compress.prune_units import PruneHeads, PruneUnits
from distilrec.compress.prune_weights import PruneWeights
from distilrec.compress.prune_width import PruneWidth
from distilrec.compress.steps import packed_of
from distilrec.compress.units import attention_heads, hidden_units, silenced, weights_of, with_way_out
from distilrec.errors import SettingsError
from distilrec.models.kinds import rebuild
from distilrec.recommender import Recommender
from distilrec.storage import Sparse

ALIKE = {"adaptive": False, "retrain": False}


def rebuilt(recommender, state, settings=None):
    model = recommender.model
    return rebuild(model.kind, (settings or model.settings).model_dump(mode="json"), state)


def zeros(recommender):
    return {name: int((array == 0).sum()) for name, array in recommender.model.state().items() if array.ndim > 1}


# ---- units and heads


@pytest.mark.parametrize(
    ("kind", "shape"),
    [
        ("transformer", {"blocks": 2}),
        ("transformer", {"block": "ligr"}),
        ("linear_recurrence", {}),
        ("two_tower", {}),
        ("gru", {"layers": 2}),
        ("gru", {"cell": "lstm", "hidden": 6}),
    ],
)
def test_a_model_without_its_weakest_units_scores_as_if_nobody_read_them(kind, shape):
    first = student(kind, **shape)
    small = compress(first, [PruneUnits(share=0.5, **ALIKE)])
    model = first.model
    state, settings = with_way_out(kind, model.state(), model.settings)
    whole = state
    for units in hidden_units(kind, state).values():
        gone = np.argsort(-weights_of(whole, units), kind="stable")[units.size - round(units.size / 2) :]
        state = silenced(state, units, gone)
        if kind == "gru":  # they also read one another
            state = silenced(state, units.__class__(**{**vars(units), "counted": ()}), gone)
    expected = rebuilt(first, state, settings).scores(BATCH)
    np.testing.assert_allclose(small.scores(BATCH), expected, rtol=1e-4, atol=1e-5)
    assert packed_of(small).nbytes() < 0.95 * packed_of(first).nbytes()


def test_units_of_the_less_sensitive_block_go():
    """The second block's feed-forward layer is nearly nothing, so validation does not miss it."""
    first = compress(student(blocks=2), [])
    with torch.no_grad():
        first.model.blocks[1].feedforward_out.weight *= 1e-4
    score = first.scores(BATCH)
    as_before = training(validate=lambda model: -float(np.abs(model.scores(BATCH) - score).mean()))
    small = compress(Recommender(first.model, ITEMS), [PruneUnits(share=0.5, retrain=False)], as_before)
    one, two = small.model.settings.feedforward_widths
    assert (one, two) == (7, 1)


def test_the_head_that_validation_misses_least_goes():
    """Of four heads one is read by nobody."""
    first = student(heads=4)
    (units,) = attention_heads(first.model.state(), 2).values()
    quiet = rebuilt(first, silenced(first.model.state(), units, [2]))
    score = quiet.scores(BATCH)
    as_before = training(validate=lambda model: -float(np.abs(model.scores(BATCH) - score).mean()))
    small = compress(Recommender(quiet, ITEMS), [PruneHeads(share=0.25, retrain=False)], as_before)
    assert small.model.settings.block_heads == (3,)
    np.testing.assert_allclose(small.scores(BATCH), score, rtol=1e-4, atol=1e-5)


def test_each_block_keeps_a_head():
    small = compress(student(blocks=2, heads=2), [PruneHeads(share=0.9, retrain=False)], training())
    assert small.model.settings.block_heads == (1, 1)


@pytest.mark.parametrize(
    ("settings", "shape", "told"),
    [
        (PruneUnits(), {"block": "hstu"}, r"prune_units: a transformer \(hstu\) has no hidden units"),
        (PruneHeads(), {"block": "hstu"}, r"prune_heads: a transformer \(hstu\) with no attention heads"),
        (PruneHeads(), {}, r"prune_heads: a transformer \(sasrec\) with one head in each block has none to lose"),
        (PruneLayers(), {}, "prune_layers: keep is 1, and the transformer has 1; keep fewer"),
    ],
)
def test_a_form_that_has_nothing_to_lose_is_told_so(settings, shape, told):
    with pytest.raises(SettingsError, match=told):
        compress(student(**shape), [settings], training())


def test_caser_has_filters_in_place_of_layers():
    with pytest.raises(SettingsError, match="prune_layers: a model of kind cnn has no stack of layers"):
        compress(student("cnn", form="caser"), [PruneLayers()], training())


# ---- layers and width


def test_the_layer_that_validation_misses_least_goes():
    first = student(blocks=3)
    with torch.no_grad():
        for name in ("attention_out", "feedforward_out"):
            for part in getattr(first.model.blocks[1], name).parameters():
                part.zero_()
    score = first.scores(BATCH)
    as_before = training(validate=lambda model: -float(np.abs(model.scores(BATCH) - score).mean()))
    small = compress(first, [PruneLayers(keep=2, retrain=False)], as_before)
    assert small.about["compressed"][0]["kept"] == [0, 2]
    np.testing.assert_allclose(small.scores(BATCH), score, rtol=1e-5, atol=1e-6)


def test_a_cnn_loses_its_last_blocks():
    small = compress(student("cnn", blocks=3), [PruneLayers(keep=1, retrain=False)], training())
    assert small.about["compressed"][0]["kept"] == [0]


@pytest.mark.parametrize("kind", ["linear", "matrix_factorisation"])
def test_factors_that_say_nothing_go_without_a_trace(kind):
    """Two of the factors are zero in every item."""
    first = student(kind, **({"decays": 1} if kind == "linear" else {}))
    with torch.no_grad():
        first.model.inputs.weight[:, :2] = 0
    small = compress(first, [PruneWidth(width=6, retrain=False)])
    np.testing.assert_allclose(small.scores(BATCH), first.scores(BATCH), rtol=1e-3, atol=1e-4)


def test_directions_that_no_item_has_go_and_the_table_keeps_its_products():
    first = student()
    with torch.no_grad():
        first.model.table.weight[:, 4:] = 0
    table = compress(first, [PruneWidth(width=4, retrain=False)]).model.state()["table.weight"]
    before = first.model.state()["table.weight"]
    np.testing.assert_allclose(table @ table.T, before @ before.T, rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize(
    ("shape", "width", "told"),
    [
        ({}, 8, "width is 8, and the transformer has 8; choose a smaller one"),
        ({"heads": 2}, 5, "width 5 does not divide by the 2 heads"),
        ({"heads": 2, "block_heads": (1,)}, 4, "heads were pruned, whose width would change"),
    ],
)
def test_a_width_that_makes_no_sense_is_refused(shape, width, told):
    with pytest.raises(SettingsError, match=f"prune_width: {told}"):
        compress(student(**shape), [PruneWidth(width=width)], training())


def test_decays_need_a_factor_each():
    with pytest.raises(SettingsError, match="width 4 leaves less than a factor for each of 4 decays"):
        compress(student("linear"), [PruneWidth(width=4)], training())


# ---- single weights


def wide():
    """Small arrays would not get smaller, and so stay as they are."""
    return student(width=16, positions="none")


def test_half_of_all_weights_go_and_those_nearest_to_zero():
    first = wide()
    small = compress(first, [PruneWeights(share=0.5, retrain=False)])
    matrices = [array for array in first.model.state().values() if array.ndim > 1]
    sizes = np.sort(np.abs(np.concatenate([array.ravel() for array in matrices])))
    assert sum(zeros(small).values()) == round(0.5 * len(sizes))
    left = np.concatenate([array[array != 0] for array in small.model.state().values() if array.ndim > 1])
    assert np.abs(left).min() >= sizes[len(sizes) // 2 - 1]


def test_by_layer_each_array_loses_the_same_share():
    small = compress(wide(), [PruneWeights(share=0.5, scope="layer", retrain=False)])
    for name, array in small.model.state().items():
        if array.ndim > 1:
            assert (array == 0).mean() == pytest.approx(0.5, abs=0.01), name


@pytest.mark.parametrize(("of", "table"), [("table", True), ("layers", False)])
def test_only_what_is_named_is_pruned(of, table):
    pruned = zeros(compress(wide(), [PruneWeights(of=of, retrain=False)]))
    for name, count in pruned.items():
        assert (count > 0) == ((name == "table.weight") == table)


def test_the_array_that_validation_does_not_miss_loses_most():
    first = wide()
    with torch.no_grad():
        first.model.blocks[0].feedforward_out.weight *= 1e-4
    score = first.scores(BATCH)
    as_before = training(validate=lambda model: -float(np.abs(model.scores(BATCH) - score).mean()))
    settings = PruneWeights(share=0.3, scope="adaptive", of="layers", retrain=False)
    small = compress(first, [settings], as_before).model.state()
    shares = {name: (array == 0).mean() for name, array in small.items() if array.ndim > 1 and "table" not in name}
    assert max(shares, key=shares.get).startswith("blocks.0.feedforward")


def test_in_rounds_what_was_pruned_stays_so_while_the_rest_is_trained():
    seen = []

    def watch(model):
        seen.append(sum(int((array == 0).sum()) for array in (model.item_vectors().detach().numpy(),)))
        return knows_the_next(model)

    settings = PruneWeights(share=0.5, scope="layer", of="table", rounds=2)
    small = compress(wide(), [settings], training(validate=watch))
    assert sorted(set(seen)) == [84, 96]  # of 192: 7/8 of a half, then a half
    assert zeros(small)["table.weight"] == 96
    assert [done["kind"] for done in small.about["compressed"]] == ["prune_weights"]


def test_rounds_without_training_and_a_model_without_matrices_are_refused():
    with pytest.raises(SettingsError, match="2 rounds make sense with retrain alone"):
        compress(wide(), [PruneWeights(rounds=2, retrain=False)])


# ---- rare items


def test_rare_items_take_the_vector_of_the_nearest_that_is_kept():
    first = student()
    small = compress(first, [PruneItems(share=0.5, fallback="nearest", retrain=False)])
    before, after = first.model.state()["table.weight"], small.model.state()["table.weight"]
    np.testing.assert_array_equal(after[:6], before[:6])  # the first are chosen most
    for row in range(6, N_ITEMS):
        nearest = np.linalg.norm(before[:6] - before[row], axis=1).argmin()
        np.testing.assert_array_equal(after[row], before[nearest])
    assert packed_of(small).nbytes() < packed_of(first).nbytes()


def test_rare_items_of_a_category_share_its_mean():
    first = student()
    small = compress(first, [PruneItems(share=0.5, fallback="column", column="category", retrain=False)])
    before, after = first.model.state()["table.weight"], small.model.state()["table.weight"]
    np.testing.assert_allclose(after[7], before[[7, 9, 11]].mean(axis=0), rtol=1e-6)
    assert len(np.unique(after, axis=0)) == 6 + 2


def test_rare_items_of_a_cluster_share_its_mean_and_go_on_sharing_when_trained():
    settings = PruneItems(share=0.5, fallback="clusters", clusters=2)
    after = compress(student(), [settings], training()).model.state()["table.weight"]
    assert len(np.unique(after, axis=0)) == 6 + 2


def test_a_column_that_is_not_there_and_a_share_of_nothing_are_refused():
    with pytest.raises(SettingsError, match="column is 'colour'; the catalogue has item_id, train_count, category"):
        compress(student(), [PruneItems(fallback="column", column="colour", retrain=False)])
    with pytest.raises(SettingsError, match=r"a share of 0\.01 of 12 items leaves none, or all"):
        compress(student(), [PruneItems(share=0.01, retrain=False)])


def test_pruned_weights_are_stored_as_such():
    small = compress(student(), [PruneWeights(retrain=False)])
    assert small.packed.forms["table.weight"] == Sparse()
    assert isinstance(small.items, pl.DataFrame)
