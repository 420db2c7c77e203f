"""Several runs: compared where they asked the same questions, and told why not where they did not."""

import dataclasses

import pytest
from made_reports import evaluation, model

from distilrec.report.markdown import markdown_page
from distilrec.report.page import html_page
from distilrec.report.side_by_side import compare_runs, names_of
from distilrec.report.splits import split_sentences


@pytest.fixture
def run(facts):
    """A run by a name whose distilled student has these values."""

    def made(name, values, **protocol):
        found = evaluation(values, **protocol)
        distilled = model("distilled", values, evaluation=found)
        return dataclasses.replace(facts, name=name, place=f"runs/{name}", models=[distilled], verdicts=[], samples=[])

    return made


def test_a_run_that_is_better_is_called_so(run):
    (found,) = compare_runs([run("old", [0.1] * 40), run("new", [0.4, 0.5] * 20)])
    assert found.word == "better"
    assert found.sentence.startswith("New is better than old by 0.3500 NDCG@10")
    assert found.sentence.endswith("corrected for the number of pairs, p = 0.0005.")


def test_the_p_values_of_several_pairs_are_corrected(run):
    runs = [run("a", [0.5, 0.1] * 20), run("b", [0.6, 0.1] * 20), run("c", [0.5, 0.2] * 20)]
    both, alone = compare_runs(runs), compare_runs(runs[:2])
    assert both[0].p_value == pytest.approx(min(1, 2 * alone[0].p_value))


def test_what_is_shown_only_before_the_correction_is_not_called_better(run):
    """Of 100 users who differ, 61 are better by 0.1: p is about 0.03, and four pairs make it four times as large."""
    base, ours = run("a", [0.5] * 200), run("b", [0.6] * 61 + [0.4] * 39 + [0.5] * 100)
    (alone,), (found, *_) = compare_runs([base, ours]), compare_runs([base, *[ours] * 4])
    assert 0.05 < found.p_value == pytest.approx(4 * alone.p_value)
    assert (alone.word, found.word) == ("better", "no difference shown")
    assert alone.sentence.startswith("B is better than a by 0.0110 NDCG@10")
    assert found.sentence.startswith("No difference shown between b (runs/b) and a: NDCG@10 0.5110 and 0.5000")
    assert found.sentence.endswith(f"corrected for the number of pairs, p = {found.p_value:.2f}.")
    assert "better than" not in markdown_page([base, *[ours] * 4], command="c")


def test_runs_on_other_data_are_not_compared_and_it_is_said_why(run, outline):
    runs = [run("a", [0.5, 0.1]), run("b", [0.6, 0.1], cases="0123456789ab" + 52 * "c", n_items=30)]
    (found,) = compare_runs(runs)
    assert found.word == "not compared"
    assert "(0123456789ab in b, abc in a)" in found.sentence
    assert found.sentence.startswith("B and a cannot be put side by side, because they differ in the number of items")
    page = outline(html_page(runs, command="c"))
    assert found.sentence in page.words
    assert page.problems == []


def test_runs_by_other_metrics_and_unfinished_ones_are_not_compared(run):
    first = run("a", [0.5, 0.1])
    (found,) = compare_runs([first, dataclasses.replace(run("b", [0.6, 0.1]), metric="mrr")])
    assert found.sentence == "B goes by MRR and a by NDCG@10; set evaluate.metric alike to compare them."
    (found,) = compare_runs([first, dataclasses.replace(run("b", [0.6]), models=[])])
    assert found.sentence == "B has no distilled student that was judged."
    (found,) = compare_runs([dataclasses.replace(first, models=[]), run("b", [0.6])])
    assert found.sentence == "A has no distilled student that was judged."


def test_runs_of_one_name_are_told_apart_by_their_folders(run):
    other = dataclasses.replace(run("a", [0.5]), place="elsewhere")
    assert names_of([run("a", [0.5]), other, run("b", [0.5])]) == ["a (runs/a)", "a (elsewhere)", "b"]


def test_a_page_of_three_runs_is_whole_and_has_each_of_them(run, outline):
    runs = [run("a", [0.5, 0.1]), run("b", [0.6, 0.1]), run("c", [0.6, 0.3])]
    found = outline(html_page(runs, command="c"))
    assert found.problems == []
    assert "3 runs side by side" in found.words
    assert [one["id"] for one in found.named("h2") if one["id"].count("-") == 1][1:] == ["run-1", "run-2", "run-3"]
    assert len([one for one in found.named("section") if one["id"].endswith("-results")]) == 3


def test_splits_of_the_same_data_that_disagree_are_told(facts, outline):
    """Leave-last-out calls the student better, the split by time worse."""

    def run(split, student, teacher):
        models = [model("teacher", teacher), model("distilled", student)]
        return dataclasses.replace(
            facts, name=split, place=split, data=[("Split", split)], models=models, verdicts=[], samples=[]
        )

    low, high = [0.1, 0.2] * 20, [0.8, 0.9] * 20
    runs = [run("leave last out", high, low), run("time", low, high)]
    told = (
        "The protocols contradict each other on teacher and distilled by NDCG@10 (leave last out: teacher worse than "
        "distilled; time: teacher better than distilled)."
    )
    assert split_sentences(runs) == [told]
    assert told in outline(html_page(runs, command="c")).words
    assert told in markdown_page(runs, command="c")
    assert split_sentences(runs[:1]) == []
    other = dataclasses.replace(runs[1], digests=[("data", "other")])
    assert split_sentences([runs[0], other]) == []
    assert split_sentences([runs[0], dataclasses.replace(runs[1], models=runs[1].models[:1])]) == []
