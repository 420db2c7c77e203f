"""What every kind of model must do, on a small world whose right answer is known.

Users walk round a circle of twelve items, four steps each: what follows item i is item i + 1. Models that know no
order (they count what occurs together) must know the neighbours on the circle; popularity must know that item 0,
which half of all walks begin with, is used most.
"""

import numpy as np
import polars as pl
import pytest
import torch

from distilrec.data.batches import Windows
from distilrec.distil.loop import train
from distilrec.distil.settings import TrainSettings
from distilrec.errors import DistilRecError
from distilrec.evaluate.evaluation import evaluate
from distilrec.evaluate.lists import TopLists
from distilrec.models.cnn import CNN, CNNSettings
from distilrec.models.ease import EASE, EASESettings
from distilrec.models.ensemble import Ensemble
from distilrec.models.factorisation import MatrixFactorisation, MatrixFactorisationSettings
from distilrec.models.gru import GRU, GRUSettings
from distilrec.models.item_knn import ItemKNN, ItemKNNSettings
from distilrec.models.item_language_model import ItemLanguageModel, ItemLanguageModelSettings
from distilrec.models.kinds import kinds, rebuild
from distilrec.models.lightgcn import LightGCN, LightGCNSettings
from distilrec.models.linear import Linear, LinearSettings
from distilrec.models.linear_recurrence import LinearRecurrence, LinearRecurrenceSettings
from distilrec.models.popularity import Popularity
from distilrec.models.product_form import ProductForm
from distilrec.models.text_language_model import TextLanguageModel, TextLanguageModelSettings
from distilrec.models.text_sampling import Sampler
from distilrec.models.transformer import Transformer, TransformerSettings
from distilrec.models.two_tower import TwoTower, TwoTowerSettings
from distilrec.recommender import Recommender
from distilrec.types import Batch, Cases, Ragged, Scorer

N_ITEMS, STEPS = 12, 4
STARTS = [start for start in range(N_ITEMS) for _ in range(10)] + [0] * 60
WORLD = Ragged.of([[(start + step) % N_ITEMS for step in range(STEPS)] for start in STARTS])
ITEMS = pl.DataFrame(
    {"item_id": np.arange(100, 100 + N_ITEMS), "train_count": np.bincount(WORLD.values, minlength=N_ITEMS)}
)


def fit_transformer():
    torch.manual_seed(0)
    model = Transformer(TransformerSettings(width=16, heads=2, max_length=STEPS), N_ITEMS)
    settings = TrainSettings(epochs=15, batch_size=16, learning_rate=0.01, precision="float32")
    train(model, Windows.cut(WORLD, max_length=STEPS), validate=knows_the_next, settings=settings, quiet=True)
    return model


def fit_item_language_model():
    """A random body of BERT's form; tests/teach reads bodies from folders."""
    torch.manual_seed(0)
    body = {"model_type": "bert", "hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2}
    shape = ItemLanguageModelSettings(
        body_config={**body, "intermediate_size": 16}, width=16, max_length=STEPS, precision="float32"
    )
    model = ItemLanguageModel(shape, N_ITEMS)
    settings = TrainSettings(epochs=15, batch_size=16, learning_rate=0.01, precision="float32")
    train(model, Windows.cut(WORLD, max_length=STEPS), validate=knows_the_next, settings=settings, quiet=True)
    return model


def fit_text_language_model():
    """The same, reading each item as one word, and words 12 and 13 as "this came before" and "this is an item"."""
    torch.manual_seed(0)
    body = {"model_type": "bert", "vocab_size": 14, "hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2}
    shape = TextLanguageModelSettings(
        body_config={**body, "intermediate_size": 16},
        pooling="mean",
        history_begin=(12,),
        item_begin=(13,),
        positions=STEPS,
        precision="float32",
    )
    sampler = Sampler(positions=STEPS, hard_negatives=0, neighbours=np.zeros((N_ITEMS, 0), np.int64))
    model = TextLanguageModel(shape, Ragged.of([[item] for item in range(N_ITEMS)]), sampler=sampler)
    settings = TrainSettings(epochs=15, batch_size=16, learning_rate=0.01, precision="float32")
    train(model, Windows.cut(WORLD, max_length=STEPS), validate=knows_the_next, settings=settings, quiet=True)
    return model


def fit_lightgcn():
    torch.manual_seed(0)
    model = LightGCN(LightGCNSettings(width=16, half_life=1, max_length=STEPS), WORLD, n_items=N_ITEMS)
    settings = TrainSettings(epochs=15, batch_size=16, learning_rate=0.01, precision="float32")
    train(model, Windows.cut(WORLD, max_length=STEPS), validate=knows_the_next, settings=settings, quiet=True)
    return model


def fit_small(make, settings):
    """A student of width 16 that reads whole walks, with its item table finished: what is shipped."""
    torch.manual_seed(0)
    model = make(settings(width=16, max_length=STEPS), N_ITEMS)
    how = TrainSettings(epochs=10, batch_size=16, learning_rate=0.01, precision="float32")
    train(model, Windows.cut(WORLD, max_length=STEPS), validate=knows_the_next, settings=how, quiet=True)
    return model.fold()


def fit_ensemble():
    members = [FITTED[kind][0]() for kind in ("ease", "transformer")]
    return Ensemble.of(members, weights=(0.9, 0.1), temperatures=(0.1, 1))


def knows_the_next(model):
    """After item i, item i + 1 is ranked first: the share of items for which that is so."""
    best = model.scores(every_item()).argmax(axis=1)
    return float((best == (np.arange(N_ITEMS) + 1) % N_ITEMS).mean())


def knows_the_neighbours(model):
    """Of all other items, the two best for a history of item i are the ones beside it."""
    scores = model.scores(every_item())
    np.fill_diagonal(scores, -np.inf)
    best = np.sort(np.argsort(-scores, axis=1)[:, :2], axis=1)
    wanted = np.sort([[(i - 1) % N_ITEMS, (i + 1) % N_ITEMS] for i in range(N_ITEMS)], axis=1)
    return float(
        (best == wanted).all(axis=1)[5:-1].mean()
    )  # not beside items 0 to 3, whose many uses weigh on 4 and 11


def knows_the_popular(model):
    """Items 0 to 3 are in the walks that begin with 0, the others are not."""
    return float((np.sort(np.argsort(-model.scores(every_item()), axis=1)[:, :4]) == np.arange(4)).mean())


def every_item():
    return Batch.of([[item] for item in range(N_ITEMS)])


FITTED = {
    "popularity": (lambda: Popularity.fit(WORLD, n_items=N_ITEMS), knows_the_popular),
    "item_knn": (
        lambda: ItemKNN.fit(WORLD, n_items=N_ITEMS, settings=ItemKNNSettings(shrinkage=1)),
        knows_the_neighbours,
    ),
    "ease": (lambda: EASE.fit(WORLD, n_items=N_ITEMS, settings=EASESettings(l2=1)), knows_the_neighbours),
    "transformer": (fit_transformer, knows_the_next),
    "lightgcn": (fit_lightgcn, knows_the_next),
    "item_language_model": (fit_item_language_model, knows_the_next),
    "text_language_model": (fit_text_language_model, knows_the_next),
    "gru": (lambda: fit_small(GRU, GRUSettings), knows_the_next),
    "linear_recurrence": (lambda: fit_small(LinearRecurrence, LinearRecurrenceSettings), knows_the_next),
    "cnn": (lambda: fit_small(CNN, CNNSettings), knows_the_next),
    "two_tower": (lambda: fit_small(TwoTower, TwoTowerSettings), knows_the_next),
    "linear": (lambda: fit_small(Linear, LinearSettings), knows_the_next),
    "matrix_factorisation": (lambda: fit_small(MatrixFactorisation, MatrixFactorisationSettings), knows_the_next),
    "ensemble": (fit_ensemble, knows_the_neighbours),
}
"""For each kind, how to fit it to the world, and how much of the right answer it knows, from 0 to 1."""


@pytest.fixture(scope="module", params=kinds())
def model(request):
    """A fitted model of each kind, with what it should know kept beside it."""
    if request.param not in FITTED:
        pytest.fail(f"kind {request.param!r} has no entry in FITTED of {__file__}; add how to fit it and what it knows")
    return FITTED[request.param][0]()


def test_it_learns_the_world(model):
    assert FITTED[model.kind][1](model) == 1.0


def test_it_scores_one_user_as_it_scores_many(model):
    histories = [[0], [3, 4, 5], [7, 8], [11, 0, 1, 2]]
    together = model.scores(Batch.of(histories))
    alone = np.concatenate([model.scores(Batch.of([history])) for history in histories])
    np.testing.assert_allclose(together, alone, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("histories", [[], [[]], [[1]], [[1, 2], [], [1, 1, 1]], [[0, 1, 2, 3, 4, 5, 6, 7, 8]]])
def test_it_scores_any_histories_with_finite_numbers(model, histories):
    scores = model.scores(Batch.of(histories))
    assert scores.shape == (len(histories), N_ITEMS)
    assert scores.dtype == np.float32
    assert np.isfinite(scores).all()


def test_its_scores_are_the_callers_to_change(model):
    """Excluding a history writes minus infinity into them; the next caller must not see it."""
    before = model.scores(Batch.of([[1, 2]])).copy()
    model.scores(Batch.of([[1, 2]]))[:] = -np.inf
    np.testing.assert_array_equal(model.scores(Batch.of([[1, 2]])), before)


def test_it_is_a_scorer_and_says_its_size(model):
    assert isinstance(model, Scorer)
    assert model.n_items == N_ITEMS
    assert model.n_parameters > 0


def test_it_survives_saving(model, tmp_path):
    recommender = Recommender(model, ITEMS)
    recommender.save_pretrained(tmp_path / "model")
    again = Recommender.from_pretrained(tmp_path / "model")
    batch = Batch.of([[1, 2], [5], [9, 10, 11]])
    np.testing.assert_array_equal(again.model.scores(batch), model.scores(batch))
    assert (again.model.kind, again.model.settings) == (model.kind, model.settings)
    assert again.model.n_parameters == model.n_parameters


def test_a_saved_model_is_judged_as_products_as_it_is_judged_by_rows_of_scores(model):
    """An empty history, which is told the popular items, too."""
    recommender = Recommender(model, ITEMS)
    histories = [[0], [3, 4, 5], [7, 8], [11, 0, 1, 2], []]
    cases = Cases(np.arange(5), Ragged.of(histories), Ragged.of([[6], [7, 8], [9], [4], [2]]))
    by_rows, lists = (TopLists(5, N_ITEMS, k=5) for _ in range(2))
    plain = evaluate(recommender, cases, cutoffs=(2, 5), watch=lambda rows, scores: by_rows(rows, scores), quiet=True)
    found = evaluate(recommender, cases, cutoffs=(2, 5), watch=lists, quiet=True)
    assert found.per_user.equals(plain.per_user)
    assert lists.items.tolist() == by_rows.items.tolist()
    assert (recommender.products() is not None) == isinstance(model, ProductForm)


def test_it_recommends_by_outside_ids_and_gives_the_popular_items_to_the_unknown_user(model):
    frame = Recommender(model, ITEMS).recommend({"new": [], "old": [105, 106]}, k=3)
    assert frame.group_by("user_id").len().sort("user_id").rows() == [("new", 3), ("old", 3)]
    popular = ITEMS.sort("train_count", "item_id", descending=[True, False])["item_id"].head(3).to_list()
    assert frame.filter(user_id="new")["item_id"].to_list() == popular
    assert not {105, 106} & set(frame.filter(user_id="old")["item_id"])


def broken_states(state):
    """The state with a part missing, a part too many, and a number that is none, each in turn."""
    name = next(iter(state))
    yield "a part missing", {other: array for other, array in state.items() if other != name}
    yield "a part too many", {**state, "stranger": np.zeros(1, np.float32)}
    for name, array in state.items():
        yield f"{name} of one number", {**state, name: array.reshape(-1)[:1].reshape((1,) * (array.ndim + 1))}
        if array.dtype.kind == "f":
            yield f"NaN in {name}", {**state, name: np.full_like(array, np.nan)}


def test_it_refuses_state_that_is_not_its_own(model):
    for what, state in broken_states(model.state()):
        try:
            rebuild(model.kind, model.settings.model_dump(), state)
        except DistilRecError:
            continue
        pytest.fail(f"{model.kind} was rebuilt from state with {what}")


def test_no_kind_in_the_table_has_gone():
    assert set(FITTED) <= set(kinds())
