import re

import pytest

from distilrec.evaluate.cost import Cost
from distilrec.evaluate.evaluation import Evaluation
from distilrec.run.results import TITLES, Results

EVALUATE = ["--cutoffs", "5,10"]


def rows_of(text, name):
    return [line for line in text.splitlines() if re.search(rf"│ {name} ", line)]


def test_evaluate_prints_the_usual_metrics_and_all_only_where_asked(command, finished):
    short = command("evaluate", finished.folder, finished.folder / "data", *EVALUATE)
    assert rows_of(short.out, "NDCG@10")
    assert not rows_of(short.out, "F1@10")
    whole = command("evaluate", finished.folder, finished.folder / "data", "--all", *EVALUATE)
    assert all(rows_of(whole.out, title) for title in ("NDCG@5", "F1@10", "MAP@10", "Precision@5", "AUC"))


def test_evaluate_prints_groups_with_their_counts(command, finished):
    called = command("evaluate", finished.folder, finished.folder / "data", "--slices", "--metric", "mrr", *EVALUATE)
    assert called.code == 0, called.err
    groups = rows_of(called.out, "popularity of the answer")
    assert {"head", "middle", "tail"} <= {line.split("│")[2].strip() for line in groups}
    assert sum(int(line.split("│")[3]) for line in groups) == 53  # users with a test case
    by = command("evaluate", finished.folder, finished.folder / "data", "--by", "item.title", *EVALUATE)
    assert rows_of(by.out, "title of the answer")


def test_evaluate_prints_what_is_shown_and_keeps_it(command, finished, tmp_path):
    data, vectors = finished.folder / "data", finished.folder / "vectors"
    more = ["--beyond", "--vectors", vectors, "--categories", "title", "--separator", " ", "--out", tmp_path / "out"]
    called = command("evaluate", finished.folder, data, *more, *EVALUATE)
    assert called.code == 0, called.err
    for name in ("coverage@10", "gini@10", "novelty@10", "diversity@10", "category diversity@10", "miscalibration@10"):
        assert rows_of(called.out, name), name
    assert Evaluation.load(tmp_path / "out").mean("novelty@10") > 0


def test_compare_says_whether_the_loss_is_within_the_margin_and_for_whom(command, finished):
    popular = finished.folder / "evaluation" / "popularity"
    called = command("compare", finished.folder, popular, "--margin", "0.05", "--data", finished.folder / "data")
    assert called.code == 0, called.err
    assert " by more than 5 % of NDCG@10: yes, p = " in called.out
    groups = rows_of(called.out, "popularity of the answer")
    assert any("better" in line for line in groups)
    assert "are corrected for their number (Holm)" in called.out


def test_compare_without_more_is_one_sentence(command, finished):
    called = command("compare", finished.folder, finished.folder / "evaluation" / "popularity")
    assert len(called.out.splitlines()) == 1


def test_compare_names_columns_that_it_cannot_find(command, finished):
    alone = command("compare", finished.folder, finished.folder, "--by", "user.age")
    assert "--by needs the prepared data that the columns are in; add --data" in alone.err
    data = ["--data", finished.folder / "data"]
    assert "column 'age': expected user.NAME or item.NAME" in command(
        "compare", finished.folder, finished.folder, "--by", "age", *data
    ).err  # fmt: skip
    assert "the table of users has no column 'age'" in command(
        "compare", finished.folder, finished.folder, "--by", "user.age", *data
    ).err  # fmt: skip


def test_agree_says_how_alike_two_models_are(command, finished):
    data = finished.folder / "data"
    same = command("agree", finished.folder, finished.folder, data, "-k", "5")
    assert same.code == 0, same.err
    for name in ("overlap@5", "rbo@5", "kendall@5"):
        assert "1.0000" in rows_of(same.out, name)[0]
    assert "0.0000" in rows_of(same.out, "divergence, nats")[0]
    other = command("agree", finished.folder, finished.folder / "baselines" / "popularity", data)
    assert "1.0000" not in rows_of(other.out, "overlap@10")[0]


def test_a_split_by_time_can_be_judged_by_both_protocols(command, small, finished, tmp_path):
    """Of the same models: by all events of the test period, and by each user's last."""
    time = ["--set", "split.kind=time", "--set", "split.validation_from=0.6", "--set", "split.test_from=0.7"]
    command("data", small.folder / "world", "--out", tmp_path / "data", *time)
    command("baselines", tmp_path / "data", "--out", tmp_path / "models", "--set", "ease=null")
    found = {}
    for cases in ("test", "last_event"):
        for model in ("popularity", "item_knn"):
            out = tmp_path / cases / "evaluation" / model
            called = command(
                "evaluate", tmp_path / "models" / model, tmp_path / "data", "--cases", cases, "--out", out, *EVALUATE
            )
            assert called.code == 0, called.err
        found[cases] = Evaluation.load(out)
    assert found["last_event"].per_user["n_relevant"].max() == 1
    assert found["test"].per_user["n_relevant"].max() > 1
    called = command("compare", tmp_path / "test", tmp_path / "last_event", "--protocols")
    assert called.code == 0, called.err
    assert re.search(r"[01] of 1 pairs of models: the protocols agree\.", called.out)
    refused = command("evaluate", finished.folder, finished.folder / "data", "--cases", "last_event", *EVALUATE)
    assert refused.code == 2
    assert "only a split by time has last_event; prepare the data with --set split.kind=time" in refused.err


def test_vectors_of_another_catalogue_are_refused(command, finished, tmp_path):
    import numpy as np

    np.save(tmp_path / "vectors.npy", np.ones((3, 2), dtype=np.float32))
    called = command("evaluate", finished.folder, finished.folder / "data", "--vectors", tmp_path, *EVALUATE)
    assert "there are 3 vectors for 24 items; encode this catalogue" in called.err


@pytest.mark.parametrize("name", ["time", "leave_last_out"])
def test_protocols_need_runs_with_models_in_common(command, tmp_path, name):
    called = command("compare", tmp_path, tmp_path / name, "--protocols")
    assert called.code == 2
    assert "have 0 models in common; expected two or more" in called.err


def test_cost_of_a_run_is_that_of_all_its_models_and_is_kept(command, copied, monkeypatch):
    cost = Cost(1, 2, 3, 10, 5000, 3.6, 3 << 20, 2 << 20, 1234, 0.25, 18.0, "an estimate")
    monkeypatch.setattr("distilrec.run.costs.measure_cost", lambda *_, **__: cost)
    called = command("cost", copied, "--price", "0.5")
    assert called.code == 0, called.err
    for title in TITLES.values():
        cells = [cell.strip() for cell in rows_of(called.out, title)[0].split("│")[2:-1]]
        assert cells == ["5,000", "3.0 MiB", "2.0 MiB", "0.250 s", "18.00", "0.5000"]
    assert Results.load(copied).costs.per_core_hour == 0.5
    refused = command("cost", copied / "artefact")
    assert refused.code == 2
    assert "artefact is not a run's folder; name the prepared data too, from which histories are taken" in refused.err


def test_cost_prints_what_serving_takes(command, finished):
    called = command("cost", finished.folder, finished.folder / "data", "--requests", "20", "--price", "0.05")
    assert called.code == 0, called.err
    for name in ("latency p50 / p95 / p99", "peak memory", "load time", "energy a thousand requests"):
        assert rows_of(called.out, name), name
    assert "at 0.05 a core-hour" in called.out
