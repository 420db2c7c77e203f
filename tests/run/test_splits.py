"""A second split: the same recipe once more, beside the first, and where both disagree about the models."""

import shutil

import polars as pl
import pytest

from distilrec.data.split import SplitSettings
from distilrec.errors import DataError, SettingsError
from distilrec.evaluate.evaluation import Evaluation
from distilrec.files import read_json, write_json
from distilrec.report.gather import gather
from distilrec.report.markdown import markdown_page
from distilrec.run import pipeline
from distilrec.run.results import Results
from distilrec.run.splits import BothSplits, titles
from small_world import SmallWorld, pretend_latency, save_encoder, save_recipe, save_world, worked

LOW, HIGH = [0.1, 0.2] * 20, [0.8, 0.9] * 20


def judged(values):
    return Evaluation(pl.DataFrame({"user": range(len(values)), "ndcg@10": values}), {})


@pytest.fixture
def both():
    """By the last event a student is better than its teacher, by time it is worse; popularity is worse by both."""
    bad = judged([0.0, 0.01] * 20)
    last = {"popularity": bad, "student": judged(HIGH), "teacher": judged(LOW)}
    time = {"popularity": bad, "student": judged(LOW), "teacher": judged(HIGH)}
    return BothSplits.of({"leave last out": last, "time": time}, "ndcg@10")


def test_pairs_on_which_the_splits_disagree_are_told_and_the_others_counted(both):
    assert both.sentences == [
        "The protocols contradict each other on student and teacher by NDCG@10 (leave last out: student better than "
        "teacher; time: student worse than teacher).",
        "The protocols agree on 2 of 3 pairs of models.",
    ]


def test_what_one_split_alone_shows_is_told_in_one_sentence():
    """By time nobody differs from anybody, so what the last events show is shown by them alone."""
    same, low, high = judged([0.5, 0.6] * 20), judged(LOW), judged(HIGH)
    both = BothSplits.of(
        {"last": {"knn": low, "student": high, "twin": low}, "time": {"knn": same, "student": same, "twin": same}},
        "ndcg@10",
    )
    assert both.sentences == [
        "Shown by last alone: student better than knn; student better than twin.",
        "The protocols agree on 1 of 3 pairs of models.",
    ]


def test_the_table_has_a_column_for_each_split(both):
    head, body = both.cells()
    assert head == ["model", "NDCG@10, leave last out [95 %]", "NDCG@10, time [95 %]"]
    assert [row[0] for row in body] == ["popularity", "student", "teacher"]
    assert [cell.partition(" ")[0] for cell in body[1][1:]] == ["0.8500", "0.1500"]
    assert both.note.startswith(
        "Two splits of the same log, 40 users by leave last out and 40 users by time, each with"
    )


@pytest.mark.parametrize(
    ("first", "second", "names"),
    [
        ({}, {"kind": "time"}, ("leave last out", "time")),
        ({}, {"min_history": 5}, ("leave last out, min_history 1", "leave last out, min_history 5")),
        ({"kind": "time"}, {"kind": "time", "test_from": 0.95}, ("time, test_from 0.9", "time, test_from 0.95")),
    ],
)
def test_splits_are_named_by_what_they_differ_in(first, second, names):
    assert titles(SplitSettings(**first), SplitSettings(**second)) == names


@pytest.fixture(scope="module")
def told(small, finished, tmp_path_factory):
    """A finished run, run again with a second split: the run and what it said."""
    folder = shutil.copytree(finished.folder, tmp_path_factory.mktemp("both") / "run")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(pipeline, "milliseconds_of_requests", pretend_latency)
        return small.run(folder, "also_split.kind=time")


def test_a_second_split_trains_again_in_its_own_folder_and_leaves_the_first_as_it_was(told, finished):
    found, said = told
    assert {name.partition("/")[0] for name in worked(said)} == {"also_split"}
    assert {"also_split/data", "also_split/teacher", "also_split/distilled/seed-0"} < worked(said)
    assert found.results.rows == finished.results.rows
    again = Results.load(found.folder / "also_split")
    assert [row.name for row in again.rows] == [row.name for row in found.results.rows]
    assert again.notes[0].startswith("Protocol: time split")
    assert again.splits is None


def test_both_are_in_every_form_of_the_results(told):
    found, both = told[0], told[0].results.splits
    assert list(both.users) == ["leave last out", "time"]
    second = Evaluation.load(found.folder / "also_split/evaluation/distilled")
    assert both.users["time"] == len(second.per_user)
    assert both.intervals["distilled student"]["time"] == second.interval("ndcg@10")
    assert Results.load(found.folder) == found.results
    card, report = (found.artefact / "README.md").read_text(), markdown_page([gather(found.folder)], command="c")
    for text in ((found.folder / "results.md").read_text(), card, report):
        assert both.sentences[-1] in text
        assert both.note in text
    assert "What two splits say" in report


def test_a_second_call_trains_nothing(small, told, quick):
    before = (told[0].folder / "results.json").read_bytes()
    assert worked(small.run(told[0].folder, "also_split.kind=time")[1]) == set()
    assert (told[0].folder / "results.json").read_bytes() == before


def test_a_report_says_that_the_second_split_is_not_finished(told, tmp_path):
    """Killed in the middle of it, the run has results of the first."""
    run = shutil.copytree(told[0].folder, tmp_path / "run")
    write_json(run / "results.json", {**read_json(run / "results.json"), "splits": None})
    assert gather(run).missing == [
        f"The run on the second split is not finished. Go on with: distilrec run {run}/recipe.yaml --out {run}"
    ]


def test_a_log_that_the_second_split_cannot_cut_is_refused_before_anything_is_trained(tmp_path, quick):
    save_world(tmp_path / "world")
    log = tmp_path / "world" / "interactions.csv"
    pl.read_csv(log).drop("timestamp").write_csv(log)
    save_encoder(tmp_path / "encoder")
    save_recipe(tmp_path / "recipe.yaml")
    with pytest.raises(DataError, match="time"):
        SmallWorld(tmp_path).run(tmp_path / "out", "also_split.kind=time")
    assert not list((tmp_path / "out").glob("baselines*"))


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["also_split.kind=leave_last_out"], "also_split is the same as data.split; name another kind, or another"),
        (
            ["also_split.kind=time", "teacher={kind: saved, model: t}"],
            "teacher.kind is saved: what such a teacher says was learnt before, perhaps from events that",
        ),
        (
            ["also_split.kind=time", "teacher={kind: ensemble, members: [{kind: ids}, {kind: saved, model: t}]}"],
            "teacher.members.1.kind is saved",
        ),
    ],
)
def test_what_cannot_be_honest_on_two_splits_is_refused(small, overrides, message):
    with pytest.raises(SettingsError) as caught:
        small.recipe(*overrides)
    assert message in str(caught.value)
