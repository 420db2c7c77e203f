import json
import subprocess
import sys
import time
from dataclasses import replace

import numpy as np
import polars as pl
import pytest

from distilrec.errors import ArtifactError, DataError, SettingsError
from distilrec.evaluate import scoring
from distilrec.evaluate.evaluation import Evaluation, average, evaluate
from distilrec.types import Batch, Cases, Ragged

N_ITEMS = 30


class NextItem:
    """Knows the world: after item i comes item i + 1, then i + 2, and so on around the circle."""

    def __init__(self, n_items=N_ITEMS, max_length=None):
        self.n_items, self.max_length, self.seen = n_items, max_length, []

    def scores(self, batch):
        self.seen.append(batch)
        last = batch.items[np.arange(len(batch)), batch.lengths - 1]
        steps = (np.arange(self.n_items) - last[:, None] - 1) % self.n_items
        return (-steps).astype(np.float32)


class Fixed:
    """Gives every case the same row of scores."""

    def __init__(self, row):
        self.row = np.array(row, dtype=np.float32)
        self.n_items = len(row)

    def scores(self, batch):
        return np.tile(self.row, (len(batch), 1))


def cases_of(histories, relevant, users=None):
    users = np.arange(len(histories)) if users is None else np.array(users)
    return Cases(users, Ragged.of(histories), Ragged.of(relevant))


CASES = cases_of([[1], [3, 4, 5], [7, 8]], [[2], [7], [9, 11]], users=[10, 20, 30])


def test_a_scorer_that_knows_the_world_is_perfect():
    cases = cases_of([[1, 2, 3], [9]], [[4], [10]])
    result = evaluate(NextItem(), cases, quiet=True)
    assert all(result.mean(metric) == 1 for metric in result.metrics if not metric.startswith(("precision", "f1")))
    assert result.mean("precision@5") == 1 / 5


def test_every_case_keeps_its_place_whatever_the_batches():
    # lengths 1, 3, 2 are sorted for scoring; the frame is in the order of the cases
    result = evaluate(NextItem(), CASES, cutoffs=[2], batch_size=2, quiet=True)
    frame = result.per_user
    assert frame["user"].to_list() == [10, 20, 30]
    assert frame["history_length"].to_list() == [1, 3, 2]
    assert frame["n_relevant"].to_list() == [1, 1, 2]
    assert frame["mrr"].to_list() == [1, 1 / 2, 1]  # ranks 1; 2; 1 and 3
    assert frame["recall@2"].to_list() == [1, 1, 1 / 2]


def test_the_columns_name_metric_and_cutoff():
    result = evaluate(NextItem(), CASES, cutoffs=[5], quiet=True)
    assert result.metrics == ["ndcg@5", "recall@5", "hit_rate@5", "mrr@5", "precision@5", "f1@5", "map@5", "mrr", "auc"]


def test_excluding_the_history_is_a_choice_and_is_stated():
    cases = cases_of([[0, 1]], [[2]])
    scorer = Fixed([3, 2, 1, 0])
    out = evaluate(scorer, cases, cutoffs=[1], quiet=True)
    kept = evaluate(scorer, cases, cutoffs=[1], exclude_history=False, quiet=True)
    assert (out.mean("mrr"), kept.mean("mrr")) == (1, 1 / 3)
    assert (out.protocol["exclude_history"], kept.protocol["exclude_history"]) == (True, False)


def test_a_repeated_item_can_be_the_answer_when_the_history_stays():
    cases = cases_of([[0, 1]], [[0]])
    assert evaluate(Fixed([2, 1]), cases, cutoffs=[1], exclude_history=False, quiet=True).mean("mrr") == 1
    with pytest.raises(DataError, match="relevant item 0 of case 0 is in its history"):
        evaluate(Fixed([2, 1]), cases, cutoffs=[1], quiet=True)


def test_an_item_that_is_relevant_twice_counts_once():
    cases = cases_of([[3], [5]], [[4, 9, 4], [6]])
    result = evaluate(NextItem(), cases, cutoffs=[2], quiet=True)
    assert result.per_user["n_relevant"].to_list() == [2, 1]
    assert result.per_user["recall@2"].to_list() == [1 / 2, 1]


def test_the_scorer_reads_what_it_asked_for_and_the_whole_history_is_excluded():
    cases = cases_of([[4, 0, 1]], [[2]])
    scorer = NextItem(max_length=2)
    result = evaluate(scorer, cases, quiet=True)
    assert scorer.seen[0].items.tolist() == [[0, 1]]
    assert result.mean("mrr") == 1
    backwards = Fixed([0, 0, 1, 0, 2])  # item 4 is best, and is in the part that was cut
    assert evaluate(backwards, cases, cutoffs=[1], quiet=True).mean("mrr") == 1


def test_an_empty_history_is_a_case_like_any_other():
    result = evaluate(Fixed([1, 2, 3]), cases_of([[], [0]], [[2], [2]]), cutoffs=[1], quiet=True)
    assert result.per_user["mrr"].to_list() == [1, 1]


def test_batches_hold_histories_of_similar_length():
    histories = [[1] * length for length in (1, 9, 1, 9)]
    scorer = NextItem()
    evaluate(scorer, cases_of(histories, [[2]] * 4), batch_size=2, quiet=True)
    assert [batch.items.shape for batch in scorer.seen] == [(2, 9), (2, 1)]


def test_no_more_scores_are_held_at_once_than_memory_allows(monkeypatch):
    """Room for 75 scores is room for two histories of 30 items; one is always scored."""
    cases = cases_of([[1]] * 5, [[2]] * 5)
    for room, expected in ((75, [2, 2, 1]), (1, [1] * 5)):
        monkeypatch.setattr(scoring, "_MOST_SCORES", room)
        scorer = NextItem()
        assert evaluate(scorer, cases, quiet=True).mean("mrr") == 1
        assert [len(batch) for batch in scorer.seen] == expected


def test_progress_is_said_on_standard_error_only_when_wanted(capsys):
    evaluate(NextItem(), CASES, quiet=True)
    assert capsys.readouterr() == ("", "")


def test_intervals_hold_the_mean_and_summary_has_every_metric():
    cases = cases_of([[i % 7] for i in range(200)], [[i % 7 + 1 + i % 9] for i in range(200)])
    result = evaluate(NextItem(), cases, quiet=True)
    interval = result.interval("ndcg@10")
    assert interval.low < result.mean("ndcg@10") == interval.mean < interval.high
    assert result.interval("ndcg@10", level=0.5).low > interval.low
    summary = result.summary()
    assert list(summary) == result.metrics
    assert [summary["ndcg@10"].low, summary["ndcg@10"].high] == pytest.approx([interval.low, interval.high])


def test_an_unmeasured_metric_is_refused_with_those_present():
    with pytest.raises(SettingsError, match=r"metric 'ndcg@7' was not measured; present: ndcg@5, recall@5"):
        evaluate(NextItem(), CASES, quiet=True).mean("ndcg@7")


def test_what_was_saved_is_loaded(tmp_path):
    result = evaluate(NextItem(), CASES, split="test", quiet=True)
    result.save(tmp_path / "run")
    loaded = Evaluation.load(tmp_path / "run")
    assert loaded.per_user.equals(result.per_user)
    assert loaded.protocol == result.protocol
    summary = json.loads((tmp_path / "run" / "summary.json").read_text())
    assert summary["users"] == 3
    assert summary["protocol"]["split"] == "test"
    assert summary["metrics"]["mrr"]["mean"] == pytest.approx((1 + 1 / 2 + 1) / 3)


def test_loading_says_what_is_wrong(tmp_path):
    with pytest.raises(ArtifactError, match=r"per_user\.parquet does not exist; expected a folder"):
        Evaluation.load(tmp_path)
    path = tmp_path / "per_user.parquet"
    pl.DataFrame({"user": [1]}).write_parquet(path)
    with pytest.raises(ArtifactError, match="not one that an evaluation wrote"):
        Evaluation.load(tmp_path)
    entry = json.dumps({"format": 99})
    pl.DataFrame({"user": [1]}).write_parquet(path, metadata={"distilrec.evaluation": entry})
    with pytest.raises(ArtifactError, match="format 99; this version reads 1"):
        Evaluation.load(tmp_path)
    path.write_bytes(b"half a file")
    with pytest.raises(ArtifactError, match="is damaged and cannot be read"):
        Evaluation.load(tmp_path)


def test_averaging_seeds_takes_the_mean_of_every_user():
    good, bad = Fixed([2, 1, 0]), Fixed([1, 2, 0])
    cases = cases_of([[2], [2]], [[0], [1]])
    one, two = (evaluate(scorer, cases, cutoffs=[1], quiet=True) for scorer in (good, bad))
    both = average([one, two])
    assert one.per_user["mrr"].to_list() == [1, 1 / 2]
    assert both.per_user["mrr"].to_list() == [3 / 4, 3 / 4]
    assert both.per_user["user"].to_list() == [0, 1]
    assert both.protocol == one.protocol


def test_averages_that_make_no_sense_are_refused():
    one = evaluate(NextItem(), CASES, quiet=True)
    with pytest.raises(DataError, match="no evaluations to average"):
        average([])
    with pytest.raises(DataError, match=r"different metrics: \['ndcg@5'"):
        average([one, evaluate(NextItem(), CASES, cutoffs=[3], quiet=True)])
    with pytest.raises(DataError, match="whether the history is excluded"):
        average([one, evaluate(NextItem(), CASES, exclude_history=False, quiet=True)])


def test_cases_that_cannot_be_evaluated_are_refused():
    def refused(cases, message):
        with pytest.raises(DataError, match=message):
            evaluate(NextItem(), cases, quiet=True)

    refused(cases_of([], []), "no cases to evaluate")
    refused(cases_of([[1]], [[]]), "case 0 has no relevant item")
    refused(cases_of([[1], [2]], [[3], [4]], users=[5, 5]), "user 5 has 2 cases; expected one each")
    refused(replace(CASES, relevant=Ragged.of([[1]])), "3 users, 3 histories and 1 rows")


def test_a_cutoff_larger_than_the_catalogue_is_refused():
    with pytest.raises(SettingsError, match="cut-off 20 is larger than the catalogue of 12 items"):
        evaluate(NextItem(12), CASES, quiet=True)


def test_a_batch_size_of_nothing_is_refused():
    with pytest.raises(SettingsError, match="batch_size is 0"):
        evaluate(NextItem(), CASES, batch_size=0, quiet=True)


def test_a_scorer_that_gives_nan_is_named_by_its_case():
    class Diverged(NextItem):
        def scores(self, batch):
            return np.where(batch.lengths[:, None] == 2, np.nan, super().scores(batch)).astype(np.float32)

    with pytest.raises(DataError, match="scores of case 2 contain NaN"):
        evaluate(Diverged(), CASES, quiet=True)


def test_a_scorer_of_the_wrong_width_is_refused():
    class Short(NextItem):
        def scores(self, batch):
            return super().scores(batch)[:, :-1]

    with pytest.raises(DataError, match=r"scores of shape \(3, 29\); expected \(3, 30\)"):
        evaluate(Short(), CASES, quiet=True)


def test_evaluating_imports_neither_torch_nor_scipy():
    code = (
        "import sys, distilrec.evaluate.compare; "
        "print({'torch', 'scipy', 'transformers'} & {name.partition('.')[0] for name in sys.modules})"
    )
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert said.strip() == "set()"


@pytest.mark.benchmark
def test_twenty_thousand_users_and_twelve_thousand_items_take_seconds():
    draw = np.random.default_rng(0)
    histories = [draw.integers(0, 12_000, length) for length in draw.integers(3, 15, 22_363)]
    cases = cases_of(histories, [[12_000 + i % 101] for i in range(22_363)])
    scorer = Fixed(draw.standard_normal(12_101))
    assert len(Batch.of(histories)) == 22_363
    began = time.perf_counter()
    evaluate(scorer, cases, quiet=True).summary()
    assert time.perf_counter() - began < 6
