"""Scores that another program wrote."""

import numpy as np
import pytest

from distilrec.errors import ArtifactError, DataError, SettingsError
from distilrec.evaluate.files import judge_files, read_scores
from distilrec.types import Batch, Cases, Ragged

CASES = Cases(np.array([7, 8, 9]), Ragged.of([[0], [0, 1], [2]]), Ragged.of([[1], [2], [3]]))
SCORES = np.array([[9, 3, 2, 1], [9, 8, 1, 2], [1, 2, 9, 3]], dtype=np.float32)  # the answers come 1st, 2nd and 1st
NDCG = [1, 1 / np.log2(3), 1]


@pytest.fixture
def write(tmp_path):
    def save(**arrays):
        for name, array in arrays.items():
            np.save(tmp_path / f"{name.replace('_', '.')}.npy", array)
        return tmp_path

    return save


def judged(folder, **more):
    return judge_files(folder, "test", CASES, n_items=4, quiet=True, **{"cutoffs": (2,), **more})


def test_every_score_is_looked_up_by_the_number_of_its_case(write):
    # histories of another length are scored first, so rows come in another order than the cases
    found = judged(write(test_scores=SCORES))
    assert found.values("ndcg@2").tolist() == pytest.approx(NDCG)
    assert found.protocol["split"] == "test"


def test_products_of_vectors_are_scores(write):
    found = judged(write(test_histories=SCORES, items=np.eye(4, dtype=np.float32)))
    assert found.values("ndcg@2").tolist() == pytest.approx(NDCG)


def test_lists_are_judged_as_whole_rankings_are_up_to_their_length(write):
    lists = {"test_items": [[1, 2], [3, 2], [3, -1]], "test_scores": np.array([[3, 2], [2, 1], [3, 0]], np.float32)}
    found = judged(write(**lists))
    assert found.values("ndcg@2").tolist() == pytest.approx(NDCG)
    assert "mrr" not in found.metrics  # it would need the rest of the ranking


def test_an_answer_in_no_list_is_never_found_for_want_of_others(write):
    lists = {"test_items": [[1, 2], [3, -1], [1, 3]], "test_scores": np.ones((3, 2), np.float32)}
    with pytest.raises(DataError, match=r"case 1 leaves out an answer, .* since the case ranks 2 items"):
        judged(write(**lists))
    assert judged(write(**lists), cutoffs=(1,)).values("recall@1").tolist() == [0, 0, 0]  # ties count against it


def test_what_is_in_no_list_is_a_miss(write):
    lists = {"test_items": [[1], [3], [1]], "test_scores": np.ones((3, 1), np.float32)}
    assert judged(write(**lists), cutoffs=(1,)).values("recall@1").tolist() == [1, 0, 0]


@pytest.mark.parametrize(
    ("arrays", "cutoffs", "error", "message"),
    [
        ({}, (2,), ArtifactError, "holds no scores of test; expected test.scores.npy, test.histories.npy with"),
        ({"test_histories": SCORES}, (2,), ArtifactError, "no items.npy to multiply it by"),
        (
            {"test_items": [[1.0, 2.0], [2.0, 3.0], [3.0, np.nan]], "test_scores": np.ones((3, 2))},
            (2,),
            DataError,
            "test.items.npy holds float64; expected whole numbers, the rows of items",
        ),
        ({"test_scores": SCORES[:2]}, (2,), DataError, r"test.scores.npy has shape \(2, 4\); expected \(3, 4\)"),
        (
            {"test_histories": SCORES, "items": np.ones((5, 4))},
            (2,),
            DataError,
            r"items.npy has shape \(5, 4\); expected \(4, 4\)",
        ),
        (
            {"test_items": [[1], [2], [3]], "test_scores": np.ones((3, 1))},
            (2,),
            SettingsError,
            "lists of 1 items; cut-off 2 needs longer ones",
        ),
        (
            {"test_items": [[1], [9], [3]], "test_scores": np.ones((3, 1))},
            (1,),
            DataError,
            "names items 0 to 9; expected rows below 4",
        ),
        (
            {"test_items": [[1, 1], [2, 3], [3, 1]], "test_scores": np.ones((3, 2))},
            (2,),
            DataError,
            "names an item twice in one list",
        ),
        (
            {"test_items": [[1, 2], [1, 3], [3, 1]], "test_scores": np.ones((3, 2))},
            (2,),
            DataError,
            r"the list of case 1 names item 1 of its history \(1 do\). Leave the history out before lists are cut",
        ),
    ],
)
def test_files_that_do_not_fit_are_refused(write, arrays, cutoffs, error, message):
    folder = write(**arrays)
    with pytest.raises(error, match=message):
        judged(folder, cutoffs=cutoffs)


def test_a_damaged_file_is_refused(tmp_path):
    (tmp_path / "test.scores.npy").write_bytes(b"no array")
    with pytest.raises(ArtifactError, match="is damaged, or no array of numbers"):
        read_scores(tmp_path, "test", CASES, n_items=4)


def test_a_batch_that_does_not_tell_its_cases_is_refused(write):
    scorer = read_scores(write(test_scores=SCORES), "test", CASES, n_items=4)
    with pytest.raises(DataError, match="looked up by the number of the case"):
        scorer.scores(Batch.of([[0]]))
