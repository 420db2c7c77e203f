"""The page is whole: every section is there, nothing is fetched, and no text from data becomes part of it."""

import dataclasses
import re

import pytest
from made_reports import EVIL

from distilrec.evaluate.bootstrap import Interval
from distilrec.evaluate.cost import NO_COSTS
from distilrec.report.page import html_page
from distilrec.run.splits import BothSplits

SECTIONS = ["results", "costs", "groups", "shown", "samples", "training", "latency", "origin"]


def page(*runs):
    return html_page(runs, command="distilrec report runs/small")


def test_the_page_has_every_section_and_leaves_nothing_to_guess(facts, outline):
    found = outline(page(facts))
    assert found.problems == []
    assert [one["id"] for one in found.named("section")] == SECTIONS
    assert [link[1:] for link in found.links if link != "#main"] == SECTIONS
    assert len(found.named("h1")) == 1
    assert found.named("html") == [{"lang": "en"}]
    assert {"charset": "utf-8"} in found.named("meta")


def test_nothing_is_fetched_and_nothing_runs(facts, outline):
    text = page(facts)
    assert not re.search(r"https?://|//[a-z]|url\(|@import", text)
    found = outline(text)
    assert {tag for tag, _ in found.tags} & {"script", "link", "img", "iframe", "object", "base"} == set()
    assert not [attributes for _, attributes in found.tags if any(name.startswith("on") for name in attributes)]
    assert all(link.startswith("#") for link in found.links)


def test_every_text_from_data_is_escaped(facts, outline):
    """The name, notes, data, groups, lists, users, titles, settings, machine and messages of this run are an attack."""
    text = page(facts)
    assert "<script" not in text
    assert outline(text).words.count(EVIL) > 12


def test_what_two_splits_say_is_told_where_a_run_has_two(facts, outline):
    means = {"last": Interval(0.5, 0.4, 0.6), EVIL: Interval(0.25, 0.2, 0.3)}
    both = BothSplits("ndcg@10", {"last": 9, EVIL: 4}, {"teacher": means, EVIL: means}, [EVIL])
    text = page(dataclasses.replace(facts, splits=both))
    found = outline(text)
    assert found.problems == []
    assert "<script" not in text
    assert "What two splits say" in found.words
    assert f"NDCG@10, {EVIL}" in found.words
    assert "0.25000.2000 to 0.3000" in found.words  # two cells side by side
    assert "What two splits say" not in outline(page(facts)).words


def test_what_models_cost_is_told_or_that_it_was_not_measured(facts, outline):
    words = outline(page(facts)).words
    assert "J a thousand distilled5,0003.0 MiB2.0 MiB0.250 s18.00" in words
    assert f"on one thread of {EVIL}, without a server" in words
    assert NO_COSTS in outline(page(dataclasses.replace(facts, costs=None))).words


def test_each_picture_has_a_title_and_words(facts, outline):
    found = outline(page(facts))
    charts = [one for one in found.named("svg") if one["class"] == "chart"]
    assert len(charts) == 9  # two of costs, one of groups, one of lists, validation and three losses, latency
    assert all(one["role"] == "img" for one in charts)
    assert len(found.named("desc")) == len(charts)


def test_the_numbers_that_decide_come_first(facts, outline):
    """0.75 of 0.625 is 120 %; 40,000 bytes are ten times 4,000."""
    words = outline(page(facts)).words
    assert "0.7500NDCG@10" in words
    assert "120.0 %of its teacher's quality" in words
    assert "4 kBon disk, all counted10 times smaller than its teacher" in words
    assert "0.50 msa request, median99 % within 2.00 ms" in words


@pytest.mark.parametrize(
    ("student", "told"),
    [
        (80_000, "80 kBon disk, all counted2.0 times larger than its teacher"),
        (40_000, "40 kBon disk, all countedas large as its teacher"),
        (39_000, "39 kBon disk, all countedas large as its teacher"),
        (16_000, "16 kBon disk, all counted2.5 times smaller than its teacher"),
    ],
)
def test_a_student_is_called_smaller_only_where_it_is(facts, outline, student, told):
    """The teacher has 40,000 bytes."""
    distilled = dataclasses.replace(facts.models[2], bytes_on_disk=student)
    assert told in outline(page(dataclasses.replace(facts, models=[*facts.models[:2], distilled]))).words


def test_the_lead_says_what_was_measured_on_what(facts, outline):
    words = outline(page(dataclasses.replace(facts, data=[("Log", "films"), ("Split", "time")]))).words
    assert (
        "3 models ranked the whole catalogue of 24 items for 4 users of films (time split, items of the history left "
        "out). They are compared by NDCG@10."
    ) in words


def test_samples_mark_what_was_chosen_and_what_the_teacher_shows(facts, outline):
    words = outline(page(facts)).words
    assert "2 of 2 in common with the teacher" in words
    assert f"{EVIL} chosen" in words
    assert "three • (in the teacher's list too)" in words


def test_the_command_that_made_it_and_the_one_that_makes_the_run_are_told(facts, outline):
    words = outline(page(facts)).words
    assert "distilrec run runs/small/recipe.yaml --out runs/small" in words
    assert "Made by distilrec report runs/small." in words


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"models": []}, "No model has been judged yet."),
        ({"protocol": None}, "No model of this run has been judged yet."),
        ({"verdicts": []}, "There is no verdict: it needs the distilled student and the student alone."),
        ({"models": []}, "Sizes and latencies are measured when the run is finished."),
        ({"slices": []}, "Groups of users need the run's data folder and its evaluations."),
        ({"shown": []}, "This run kept no lists."),
        ({"samples": []}, "Samples need the lists that models showed; this run has none."),
        ({"models": []}, "No training has finished an epoch yet."),
        ({"models": []}, "Latency is measured when the run is finished."),
        ({"data": []}, "The data folder of this run could not be read."),
        ({"machine": None}, "This run did not keep on which machine it was timed."),
    ],
)
def test_what_is_not_there_is_said_in_a_sentence(facts, outline, changes, sentence):
    if "models" in changes:
        changes = {**changes, "samples": []}
    found = outline(page(dataclasses.replace(facts, **changes)))
    assert found.problems == []
    assert sentence in found.words


def test_a_run_that_kept_percentiles_only_has_a_table_and_no_histogram(facts, outline):
    models = [dataclasses.replace(model, milliseconds=()) for model in facts.models]
    found = outline(page(dataclasses.replace(facts, models=models)))
    assert "This run kept percentiles only." in found.words
    assert "Every request" not in found.words
    assert "2.00 ms" in found.words


def test_who_learnt_from_no_teacher_of_the_run_is_held_against_nobody(facts, outline):
    sample = dataclasses.replace(facts.samples[0], lists={"distilled": facts.samples[0].lists["distilled"]})
    models = [model for model in facts.models if model.name != "teacher"]
    words = outline(page(dataclasses.replace(facts, models=models, samples=[sample], verdicts=[]))).words
    assert "in common with the teacher" not in words
    assert "of its teacher's quality" not in words


def test_seeds_are_named_where_there_are_several(facts, outline):
    distilled = facts.models[2]
    twice = dataclasses.replace(
        distilled, curves=[distilled.curves[0], dataclasses.replace(distilled.curves[0], seed=7)]
    )
    words = outline(page(dataclasses.replace(facts, models=[*facts.models[:2], twice]))).words
    assert "distilled, seed 0" in words
    assert "distilled, seed 7" in words
