"""`make bench-judges` on a run of the small world, with a peer's answer in pretence: it would need its environment."""

import sys
from pathlib import Path

import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).parents[2] / "benchmarks" / "peers"))
import judge_runs
from exchange import Exchange
from judges import SAME, largest_difference

from distilrec.types import Cases, Ragged


def test_every_trained_model_has_a_line_with_the_largest_difference_of_each_peer(finished, monkeypatch, tmp_path):
    """Peers that find nothing are as far off as our best figure."""
    asked = []

    def ask(peer, place, venvs):
        held = Exchange.load(place)
        asked.append((peer, held.scores.shape, venvs))
        return {"metrics": {f"{name}@{k}": 0.0 for name in SAME[peer] for k in (5, 10)}}

    monkeypatch.setattr(judge_runs, "CUTOFFS", (5, 10))
    monkeypatch.setattr(judge_runs, "ask", ask)
    lines = judge_runs.judged(finished.folder, 9, tmp_path)
    assert [line.split("|")[2].strip() for line in lines] == ["distilled", "student alone", "teacher"]
    assert asked == [(peer, (9, 24), tmp_path) for _ in lines for peer in SAME]
    for line in lines:
        *_, recall, recbole, rectools, ranx, _ = (cell.strip() for cell in line.split("|"))
        assert {recbole, rectools, ranx} == {f"{float(recall):.1e}"}  # of all metrics recall@10 is the largest


def test_the_largest_difference_is_over_metrics_that_mean_the_same():
    ours = {"recall@5": 0.5, "ndcg@5": 0.25, "hit_rate@5": 0.5, "mrr@5": 0.25, "precision@5": 0.1}
    theirs = {"recall@5": 0.5, "ndcg@5": 0.25, "hit@5": 0.5, "mrr@5": 0.5, "precision@5": 0.1, "map@5": 9.0}
    assert largest_difference("recbole", theirs, ours, [5]) == 0.25


@pytest.mark.parametrize(("most", "users"), [(2, [0, 4]), (9, [0, 1, 2, 3, 4])])
def test_users_are_spread_evenly(most, users):
    cases = Cases(np.arange(5), Ragged.of([[0]] * 5), Ragged.of([[1]] * 5))
    assert judge_runs.some(cases, most).users.tolist() == users
