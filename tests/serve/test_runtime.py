"""From outside ids to ranked outside ids, without torch."""

import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from distilrec.errors import ArtifactError, SettingsError
from distilrec.serve.encoder import OnnxEncoder
from distilrec.serve.runtime import Runtime
from distilrec.types import Batch
from served_models import ITEMS, N_ITEMS, recommender


@pytest.fixture(scope="module")
def runtime(shared_exports):
    return Runtime.load(shared_exports("transformer"))


def test_answers_are_those_of_the_recommender_with_their_scores(runtime):
    asked = [[100, 105, 129], [111]]
    expected = recommender("transformer").recommend(asked, k=5)
    found = runtime.recommend(asked, k=5)
    assert [item for one in found for item in one.item_ids] == expected["item_id"].to_list()
    np.testing.assert_allclose(np.concatenate([one.scores for one in found]), expected["score"], rtol=1e-4)
    assert all(one.fallback is None and one.unknown == () for one in found)


def test_a_table_that_is_read_and_ranked_is_taken_from_the_file_once(shared_exports, monkeypatch):
    def twice(*given):
        raise AssertionError("the rows were read a second time")

    monkeypatch.setattr("distilrec.serve.runtime.rows_of", twice)
    assert Runtime.load(shared_exports("transformer")).n_items == N_ITEMS


def test_each_may_want_another_number(runtime):
    assert [len(one.item_ids) for one in runtime.recommend([[100], [101], []], k=[2, 7, 3])] == [2, 7, 3]


def test_the_history_is_left_out_unless_it_is_wanted(runtime):
    history = [100, 101, 102]
    without, having = (runtime.recommend([history], k=N_ITEMS, exclude_history=e)[0].item_ids for e in (True, False))
    assert set(having) - set(without) == set(history)
    assert len(without) == N_ITEMS - 3


def test_a_long_history_is_read_from_its_newest_items_and_left_out_whole(runtime):
    long = list(range(100, 120))
    np.testing.assert_allclose(runtime.vectors([long]), runtime.vectors([long[-6:]]), rtol=1e-6)
    assert not set(runtime.recommend([long], k=10)[0].item_ids) & set(long)


def test_unknown_ids_are_named_and_passed_over(runtime):
    found = runtime.recommend([["100", "nonsense", 7]])[0]
    assert found.unknown == ("nonsense", 7)
    assert found.item_ids == runtime.recommend([[100]])[0].item_ids


@pytest.mark.parametrize(
    ("history", "why"), [([], "the history is empty"), ([1, 2], "none of the 2 items is in the catalogue")]
)
def test_who_is_unknown_gets_the_popular_items_and_is_told_why(runtime, history, why):
    found = runtime.recommend([history], k=3)[0]
    assert (found.item_ids, found.fallback) == ([100, 101, 102], why)
    assert found.scores.tolist() == pytest.approx(np.log1p([30, 29, 28]))


def test_columns_allow_before_the_best_are_taken(runtime):
    everything = runtime.recommend([[100]], k=N_ITEMS)[0].item_ids
    odd = [item for item in everything if item % 2]
    assert runtime.recommend([[100]], k=5, where={"genre": "odd"})[0].item_ids == odd[:5]
    assert runtime.recommend([[]], k=2, where={"genre": ["odd"]})[0].item_ids == [101, 103]
    third = [item for item in everything if (item - 100) % 3 == 1 and item % 2]
    assert runtime.recommend([[100]], k=4, where={"genre": "odd", "tags": "third 1"})[0].item_ids == third[:4]


def test_values_of_one_column_are_alternatives_and_a_value_nobody_has_leaves_nothing(runtime):
    assert len(runtime.recommend([[100]], k=N_ITEMS, where={"tags": ["third 0", "third 1"]})[0].item_ids) == 19
    assert runtime.recommend([[100]], where={"genre": "none"})[0].item_ids == []
    assert runtime.recommend([[]], where={"genre": 7})[0].item_ids == []


def test_lists_allow_and_block(runtime):
    everything = runtime.recommend([[100]], k=N_ITEMS)[0].item_ids
    some = runtime.recommend([[100]], k=5, allow=[100, 103, 104, 999], block=[104])[0].item_ids
    assert some == [103]
    assert runtime.recommend([[100]], k=3, block=everything[:2])[0].item_ids == everything[2:5]
    assert runtime.recommend([[]], k=2, block=[100])[0].item_ids == [101, 102]
    assert runtime.recommend([[100]], allow=[])[0].item_ids == []


def test_filters_apply_together(runtime):
    found = runtime.recommend([[100]], k=9, allow=[101, 102, 103], block=[103], where={"genre": "odd"})[0]
    assert found.item_ids == [101]


def test_similar_items_point_the_same_way(runtime):
    table = recommender("transformer").model.state()["table.weight"]
    unit = table / np.linalg.norm(table, axis=1, keepdims=True)
    order = [100 + row for row in np.argsort(-(unit @ unit[4])) if row != 4]
    assert runtime.similar([104], k=N_ITEMS)[0].item_ids == order
    assert runtime.similar([104], k=3)[0].item_ids == order[:3]
    assert runtime.similar([104], k=3, where={"genre": "odd"})[0].item_ids == [i for i in order if i % 2][:3]


def test_an_empty_history_of_a_batch_scores_by_popularity(runtime):
    scores = runtime.scores(Batch.of([[], [3]]))
    np.testing.assert_allclose(scores[0], np.log1p(ITEMS["train_count"].to_numpy()), rtol=1e-6)
    np.testing.assert_allclose(scores[1], recommender("transformer").scores(Batch.of([[3]]))[0], rtol=1e-4)


@pytest.mark.parametrize(
    ("ask", "told"),
    [
        (lambda r: r.recommend([[100]], k=0), "k is 0; expected 1 to 30, the size of the catalogue"),
        (lambda r: r.recommend([[100]], k=31), "k is 31; expected 1 to 30"),
        (lambda r: r.recommend([[100]], k=True), "k is True; expected 1 to 30"),
        (lambda r: r.recommend([[100]], k=[1, 2]), "there are 1 histories and 2 values of k"),
        (lambda r: r.recommend([[100]], where={"colour": "red"}), "no column 'colour'; it has item_id, train_count"),
        (lambda r: r.recommend([[100]], where={"genre": [None]}), "genre cannot be None; expected text, a number"),
        (lambda r: r.similar(["nothing"]), "item 'nothing' is not in the catalogue"),
        (lambda r: r.vectors([[]]), "a history has no item of the catalogue"),
    ],
)
def test_what_makes_no_sense_is_refused(runtime, ask, told):
    with pytest.raises(SettingsError, match=told):
        ask(runtime)


def test_threads_may_share_one(runtime):
    asked = [[100 + n % N_ITEMS, 100 + (7 * n) % N_ITEMS] for n in range(64)]
    alone = [runtime.recommend([history], where={"genre": "odd"})[0].item_ids for history in asked]
    with ThreadPoolExecutor(4) as pool:
        together = list(pool.map(lambda h: runtime.recommend([h], where={"genre": "odd"})[0].item_ids, asked))
    assert together == alone


def test_what_is_no_graph_is_refused():
    with pytest.raises(ArtifactError, match="the encoder is no graph that ONNX Runtime reads"):
        OnnxEncoder(b"not a graph")


def test_another_graph_is_refused(shared_exports):
    graph = (shared_exports("transformer") / "all_in_one.onnx").read_bytes()
    with pytest.raises(ArtifactError, match="the encoder takes items, lengths, k; expected vectors, lengths"):
        OnnxEncoder(graph)


def test_it_answers_without_torch(shared_exports):
    code = (
        "import sys; from distilrec.serve.runtime import Runtime; "
        f"print(Runtime.load({str(shared_exports('transformer'))!r}).recommend([[100]], k=1)[0].item_ids); "
        "print([name for name in ('torch', 'transformers', 'ray', 'onnx') if name in sys.modules])"
    )
    told = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert told.splitlines()[1] == "[]"
