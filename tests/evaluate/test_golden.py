"""Our numbers beside those that RecBole, RecTools and ranx gave for the same lists (benchmarks/peers/golden.py).

Where a peer means something else by a name, the test turns our per-case values into what it means, and so says how.
"""

import json
from pathlib import Path

import numpy as np
import pytest

from distilrec.evaluate.beyond import Catalogue, beyond_accuracy
from distilrec.evaluate.evaluation import evaluate
from distilrec.evaluate.exposure import times_shown
from distilrec.evaluate.lists import top_lists
from distilrec.types import Cases, Ragged

GOLDEN = Path(__file__).parent / "golden"
CUTOFFS = (1, 5, 10)
NEAR = {"rel": 0, "abs": 1e-6}
SAME = ("recall", "precision", "hit_rate", "mrr")


class Given:
    """Case i, the i-th of the histories by length, is told apart by its history."""

    def __init__(self, scores, histories):
        self.by_history = {tuple(history): row for history, row in zip(histories, scores, strict=True)}
        self.n_items = scores.shape[1]

    def scores(self, batch):
        histories = (tuple(row[:length]) for row, length in zip(batch.items.tolist(), batch.lengths, strict=True))
        return np.array([self.by_history[history] for history in histories])


@pytest.fixture(params=["one", "several"])
def golden(request):
    """Our evaluation, our lists' measures at each cut-off, and what each peer said."""
    held = json.loads((GOLDEN / f"{request.param}.json").read_text())
    scores = np.array(held["lists"]["scores"], dtype=np.float32)
    histories, relevant = (
        [[item for owner, item in held["lists"][name] if owner == case] for case in range(len(scores))]
        for name in ("history", "relevant")
    )
    cases = Cases(np.arange(len(scores)), Ragged.of(histories), Ragged.of(relevant))
    scorer = Given(scores, histories)
    counts = np.bincount(cases.histories.values, minlength=scorer.n_items)
    lists = top_lists(scorer, cases, k=10, quiet=True)
    shown = {k: beyond_accuracy(lists[:, :k], cases, Catalogue(counts, len(cases))) for k in CUTOFFS}
    ours = evaluate(scorer, cases, cutoffs=CUTOFFS, quiet=True)
    return ours, shown, lists, {peer: told["metrics"] for peer, told in held["peers"].items()}


def test_what_all_mean_alike_is_the_same_to_a_millionth(golden):
    ours, _, _, peers = golden
    for k in CUTOFFS:
        for name in SAME:
            mine = ours.mean(f"{name}@{k}")
            assert peers["recbole"][f"{name.replace('hit_rate', 'hit')}@{k}"] == pytest.approx(mine, **NEAR)
            assert peers["rectools"][f"{name}@{k}"] == pytest.approx(mine, **NEAR)
            assert peers["ranx"][f"{name}@{k}"] == pytest.approx(mine, **NEAR)
        for peer in ("rectools", "ranx"):
            assert peers[peer][f"f1@{k}"] == pytest.approx(ours.mean(f"f1@{k}"), **NEAR)
        for peer, name in (("recbole", "ndcg"), ("ranx", "ndcg"), ("rectools", "ndcg_achievable")):
            assert peers[peer][f"{name}@{k}"] == pytest.approx(ours.mean(f"ndcg@{k}"), **NEAR)


def test_rectools_divides_ndcg_by_a_list_full_of_hits_unless_told_otherwise(golden):
    ours, _, _, peers = golden
    n_relevant = ours.per_user["n_relevant"].to_numpy()
    for k in CUTOFFS:
        ideal = np.cumsum(1 / np.log2(np.arange(2, k + 2)))
        theirs = ours.values(f"ndcg@{k}") * ideal[np.minimum(n_relevant, k) - 1] / ideal[-1]
        assert peers["rectools"][f"ndcg@{k}"] == pytest.approx(theirs.mean(), **NEAR)


def test_rectools_and_ranx_divide_average_precision_by_all_that_is_relevant(golden):
    ours, _, _, peers = golden
    n_relevant = ours.per_user["n_relevant"].to_numpy()
    for k in CUTOFFS:
        assert peers["recbole"][f"map@{k}"] == pytest.approx(ours.mean(f"map@{k}"), **NEAR)
        theirs = ours.values(f"map@{k}") * np.minimum(n_relevant, k) / n_relevant
        for peer in ("rectools", "ranx"):
            assert peers[peer][f"map@{k}"] == pytest.approx(theirs.mean(), **NEAR)


def test_recbole_weighs_the_auc_of_a_user_by_what_is_relevant(golden):
    ours, _, _, peers = golden
    weights = ours.per_user["n_relevant"].to_numpy()
    assert peers["recbole"]["gauc"] == pytest.approx(np.average(ours.values("auc"), weights=weights), **NEAR)


def test_what_is_shown_is_measured_alike(golden):
    _, shown, _, peers = golden
    for k in CUTOFFS:
        mine = shown[k].per_case.mean().row(0, named=True) | shown[k].totals
        assert peers["recbole"][f"itemcoverage@{k}"] == pytest.approx(mine[f"coverage@{k}"], **NEAR)
        assert peers["recbole"][f"giniindex@{k}"] == pytest.approx(mine[f"gini@{k}"], **NEAR)
        for peer, name in (("recbole", "averagepopularity"), ("rectools", "popularity")):
            assert peers[peer][f"{name}@{k}"] == pytest.approx(mine[f"popularity@{k}"], **NEAR)
        for name in ("novelty", "serendipity"):
            assert peers["rectools"][f"{name}@{k}"] == pytest.approx(mine[f"{name}@{k}"], **NEAR)


def test_rectools_counts_the_items_that_are_covered_and_recbole_divides_entropy_by_that(golden):
    _, shown, lists, peers = golden
    for k in CUTOFFS:
        covered = np.count_nonzero(times_shown(lists[:, :k], 40))
        assert peers["rectools"][f"coverage@{k}"] == covered
        nats = shown[k].totals[f"entropy@{k}"] * np.log(2)
        assert peers["recbole"][f"shannonentropy@{k}"] == pytest.approx(nats / covered, **NEAR)
