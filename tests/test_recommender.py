"""Outside ids in, a frame of recommendations out; what was saved recommends the same."""

import warnings

import numpy as np
import polars as pl
import pytest

from distilrec.artifact import write_artifact
from distilrec.errors import ArtifactError, DataError, SettingsError
from distilrec.files import read_json
from distilrec.models.transformer import Transformer, TransformerSettings
from distilrec.recommender import Recommender, UnknownItemsWarning, top_items
from distilrec.types import Batch, Scorer

IDS = ["a", "b", "c", "d", "e"]
COUNTS = [1, 9, 4, 0, 2]  # by popularity: b, c, e, a, d
ITEMS = pl.DataFrame({"item_id": IDS, "train_count": COUNTS, "title": [f"The {id}" for id in IDS]})


class Next:
    """Ranks the item after the last one highest, then the one after that, and so on round the circle."""

    kind, n_items, n_parameters = "next", 5, 0

    def scores(self, batch):
        last = np.array([items[max(length - 1, 0)] for items, length in zip(batch.items, batch.lengths, strict=True)])
        return -((np.arange(5) - last[:, None] - 1) % 5).astype(np.float32)


@pytest.fixture
def recommender():
    return Recommender(Next(), ITEMS)


def ranked(frame, user=0):
    return "".join(frame.filter(pl.col("user_id") == user)["item_id"])


def test_one_history_gives_one_users_ranking(recommender):
    frame = recommender.recommend(["a", "b"], k=3)
    assert frame.to_dict(as_series=False) == {
        "user_id": [0, 0, 0],
        "item_id": ["c", "d", "e"],
        "score": [0.0, -1.0, -2.0],
        "rank": [1, 2, 3],
    }


@pytest.mark.parametrize(
    "histories", [[["a"], ["d"]], (("a",), ("d",)), [np.array(["a"]), np.array(["d"])], [pl.Series(["a"]), ["d"]]]
)
def test_many_histories_are_numbered(recommender, histories):
    frame = recommender.recommend(histories, k=2)
    assert frame["user_id"].to_list() == [0, 0, 1, 1]
    assert (ranked(frame, 0), ranked(frame, 1)) == ("bc", "ea")


@pytest.mark.parametrize("history", [("a", "b"), np.array(["a", "b"]), pl.Series(["a", "b"])])
def test_a_history_may_be_any_list(recommender, history):
    assert ranked(recommender.recommend(history, k=2)) == "cd"


def test_users_keep_the_ids_of_a_mapping(recommender):
    frame = recommender.recommend({"ann": ["a"], "bob": ["d"]}, k=1)
    assert frame.select("user_id", "item_id").rows() == [("ann", "b"), ("bob", "e")]


def test_more_users_than_fit_one_batch_are_all_answered(recommender):
    frame = recommender.recommend([[IDS[user % 5]] for user in range(600)], k=1)
    assert frame["user_id"].to_list() == list(range(600))
    assert frame["item_id"].to_list() == [IDS[(user + 1) % 5] for user in range(600)]


@pytest.mark.parametrize("history", [[50, 181], ["50", "181"], [np.int64(50), 181]])
def test_ids_that_are_numbers_may_come_as_text(history):
    items = pl.DataFrame({"item_id": [50, 181, 7, 8, 9], "train_count": COUNTS})
    frame = Recommender(Next(), items).recommend(history, k=2)
    assert frame["item_id"].to_list() == [7, 8]


def test_the_history_is_left_out_unless_asked_for(recommender):
    assert ranked(recommender.recommend(["c", "a"], k=5)) == "bde"  # fewer than k are left
    assert ranked(recommender.recommend(["c", "a"], k=5, exclude_history=False)) == "bcdea"


def test_a_user_who_has_everything_gets_nothing(recommender):
    frame = recommender.recommend([IDS, ["a"]], k=2)
    assert frame["user_id"].to_list() == [1, 1]


def test_what_is_excluded_is_the_whole_history_not_only_what_the_model_reads():
    model = Transformer(TransformerSettings(width=4, max_length=2), 5)
    recommender = Recommender(model, ITEMS)
    assert recommender.max_length == 2
    assert ranked(recommender.recommend(["a", "b", "c", "d"], k=5)) == "e"


def test_an_empty_history_gets_the_popular_items(recommender):
    assert ranked(recommender.recommend([], k=5)) == "bcead"
    frame = recommender.recommend([[], ["a"]], k=2)
    assert (ranked(frame, 0), ranked(frame, 1)) == ("bc", "bc")
    assert frame["score"][0] == pytest.approx(np.log(10))


def test_unknown_items_are_named_and_the_rest_of_the_history_is_used(recommender):
    with pytest.warns(UnknownItemsWarning, match=r"^not in the catalogue, so left out of the history: 'x', 7$") as said:
        frame = recommender.recommend(["x", "a", 7], k=1)
    assert ranked(frame) == "b"
    assert said[0].filename == __file__


def test_many_unknown_items_of_many_users_are_one_warning(recommender):
    with pytest.warns(UnknownItemsWarning, match=r"'x0', 'x1', 'x2', 'x3', 'x4' and 5 more$") as said:
        recommender.recommend([[f"x{n}" for n in range(10)], ["x0"]], k=1)
    assert len(said) == 1


def test_a_history_of_unknown_items_alone_gets_the_popular_items(recommender):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UnknownItemsWarning)
        assert ranked(recommender.recommend(["x"], k=2)) == "bc"


@pytest.mark.parametrize("k", [0, -1, 6])
def test_k_must_be_within_the_catalogue(recommender, k):
    with pytest.raises(SettingsError, match=rf"k is {k}; expected 1 to 5, the size of the catalogue"):
        recommender.recommend(["a"], k=k)


@pytest.mark.parametrize(
    ("history", "message"),
    [
        ("ab", r"history is text \('ab'\); expected a list of item ids, such as \[50, 181\]"),
        ({"ann": "ab"}, "a history is 'ab'; expected a list of item ids"),
        ([["a"], "b"], "a history is 'b'; expected a list of item ids"),
        ([["a"], 3], "a history is 3; expected a list of item ids"),
        (7, "a history is 7; expected a list of item ids"),
        ({}, "history is an empty mapping; expected at least one user"),
        ({"ann": ["a"], 3: ["b"]}, "user ids mix int and str; use one of them"),
    ],
)
def test_histories_that_make_no_sense_are_refused(recommender, history, message):
    with pytest.raises(DataError, match=message):
        recommender.recommend(history)


@pytest.mark.parametrize(
    ("items", "message"),
    [
        (ITEMS.drop("train_count"), "the catalogue lacks train_count; it has item_id, title"),
        (ITEMS.drop("item_id", "train_count"), "lacks item_id, train_count; it has title"),
        (ITEMS.with_columns(item_id=pl.lit("a")), "names an item twice, or has an item without id"),
        (ITEMS.with_columns(item_id=pl.Series([None, *IDS[1:]])), "names an item twice, or has an item without id"),
        (ITEMS.with_columns(train_count=pl.Series([None, 1, 2, 3, 4])), "train_count must hold a number from 0"),
        (ITEMS.with_columns(train_count=pl.lit(-2)), "train_count must hold a number from 0 for every item"),
        (ITEMS.with_columns(train_count=pl.lit("many")), "train_count must hold a number from 0 for every item"),
    ],
)
def test_a_catalogue_that_can_not_be_used_is_refused(items, message):
    with pytest.raises(DataError, match=message):
        Recommender(Next(), items)


def test_a_catalogue_of_another_size_is_refused():
    with pytest.raises(ArtifactError, match="the model ranks 5 items, but the catalogue has 4"):
        Recommender(Next(), ITEMS.head(4))


def test_it_is_a_scorer(recommender):
    assert isinstance(recommender, Scorer)
    np.testing.assert_allclose(
        recommender.scores(Batch.of([[0], []])), [[-4, 0, -1, -2, -3], np.log1p(COUNTS)], rtol=1e-6
    )


@pytest.fixture
def saved(tmp_path):
    """A small transformer, saved."""
    model = Transformer(TransformerSettings(width=4, max_length=3), 5)
    recommender = Recommender(model, ITEMS, about={"data": "made up", "metrics": {"ndcg@10": 0.5}})
    recommender.save_pretrained(tmp_path / "model")
    return recommender, tmp_path / "model"


def test_what_was_saved_recommends_the_same(saved):
    recommender, folder = saved
    again = Recommender.from_pretrained(str(folder))
    histories = {"ann": ["a", "b", "c", "d"], "bob": []}
    assert again.recommend(histories, k=3).equals(recommender.recommend(histories, k=3))
    assert again.items.equals(ITEMS)
    assert again.about == {"data": "made up", "metrics": {"ndcg@10": 0.5}}
    assert again.config() == recommender.config()


def test_the_folder_says_which_model_it_is_and_carries_a_card(saved):
    recommender, folder = saved
    config = read_json(folder / "config.json")
    assert config["model"]["kind"] == "transformer"
    assert config["model"]["settings"]["max_length"] == 3
    assert config["n_parameters"] == recommender.model.n_parameters
    assert "transformer" in (folder / "README.md").read_text()
    recommender.save_pretrained(folder, card="# Mine\n")
    assert (folder / "README.md").read_text() == "# Mine\n"


def test_the_example_in_the_card_runs(saved, capsys):
    _, folder = saved
    example = (folder / "README.md").read_text().split("```python\n")[1].split("```")[0]
    exec(example.replace("path/to/this/folder", str(folder)).replace("k=10", "k=5"), {})
    assert "item_id" in capsys.readouterr().out


def change(saved, **changes):
    """The saved model with another config, model or catalogue."""
    recommender, folder = saved
    whole = {"config": recommender.config(), "tensors": recommender.model.state(), "items": ITEMS, "card": ""}
    write_artifact(folder, **{**whole, **changes})
    return folder


@pytest.mark.parametrize("config", [{}, {"model": "transformer"}, {"model": {"kind": "transformer"}}])
def test_a_config_that_does_not_say_which_model_it_is_is_refused(saved, config):
    with pytest.raises(ArtifactError, match=r"config.json does not say which model it is \(model.kind, model.settings"):
        Recommender.from_pretrained(change(saved, config=config))


def test_an_unknown_kind_of_model_is_refused(saved):
    with pytest.raises(ArtifactError, match="model kind 'gru9' is unknown; known: popularity"):
        Recommender.from_pretrained(change(saved, config={"model": {"kind": "gru9", "settings": {}}}))


def test_a_model_beside_another_catalogue_is_refused(saved):
    with pytest.raises(ArtifactError, match="the model ranks 5 items, but the catalogue has 3"):
        Recommender.from_pretrained(change(saved, items=ITEMS.head(3)))


@pytest.mark.parametrize("k", [1, 2, 3, 4, 5])
def test_of_equal_scores_the_lower_row_number_comes_first(k):
    scores = np.array([[1, 3, 1, 3, 1], [0, 0, 0, 0, 0], [5, 4, 3, 2, -np.inf]], dtype=np.float32)
    wanted = np.array([[1, 3, 0, 2, 4], [0, 1, 2, 3, 4], [0, 1, 2, 3, 4]])
    np.testing.assert_array_equal(top_items(scores, k), wanted[:, :k])


def test_top_items_is_a_stable_sort_cut_short():
    """On 2000 items with three different scores, a partition alone would pick any of the equal ones."""
    scores = np.random.default_rng(0).integers(3, size=(20, 2000)).astype(np.float32)
    np.testing.assert_array_equal(top_items(scores, 10), np.argsort(-scores, axis=1, kind="stable")[:, :10])


def test_a_model_that_gives_nan_is_refused():
    with pytest.raises(ArtifactError, match="the model gave NaN as a score; its weights are damaged or far too large"):
        top_items(np.array([[1.0, np.nan, 2.0]], np.float32), 2)
