"""What is read from a run's folder, whole, unfinished or damaged."""

import dataclasses
import shutil
import sys

import numpy as np
import polars as pl
import pytest

from distilrec.errors import ArtifactError
from distilrec.evaluate.evaluation import Evaluation
from distilrec.evaluate.kept_lists import load_lists
from distilrec.files import read_json, write_json
from distilrec.recommender import Recommender
from distilrec.report.gather import gather
from distilrec.report.markdown import markdown_page
from distilrec.report.page import html_page
from distilrec.report.samples import SAMPLES, samples_of
from distilrec.report.shown import MEASURES, popularity_group
from distilrec.run.lists import add_lists
from distilrec.run.results import TITLES, Results


@pytest.fixture(scope="module")
def found(finished):
    return gather(finished.folder)


def test_the_page_of_a_real_run_is_whole(found, outline):
    page = outline(html_page([found], command="distilrec report"))
    assert page.problems == []
    assert "Small world" in page.words
    assert found.missing == []


def test_figures_and_verdicts_are_those_of_the_run_and_its_card(finished, found):
    """`results.json` is the one source; the card's verdicts are the report's, to the letter."""
    rows = {row.name: row for row in finished.results.rows}
    assert [model.name for model in found.models] == list(rows)
    for model in found.models:
        row = rows[model.name]
        assert (model.metrics, model.parameters, model.bytes_on_disk) == (
            row.metrics,
            row.parameters,
            row.bytes_on_disk,
        )
        assert model.latency == row.latency
    told = {verdict.overall.sentence() for verdict in found.verdicts}
    assert {sentence.lower().rstrip(".") for sentence in finished.results.verdicts} == {one.lower() for one in told}
    card = (finished.artefact / "README.md").read_text()
    assert all(sentence in card for sentence in finished.results.verdicts)


def test_results_are_read_back_as_they_were(finished):
    assert Results.load(finished.folder) == finished.results


def test_where_the_numbers_come_from(finished, found):
    facts = dict(found.data)
    assert (facts["Users"], facts["Items"], facts["Events"]) == ("60", "24", "600")
    assert (facts["Log"], facts["Split"]) == ("world", "leave last out")
    digests = dict(found.digests)
    assert digests["data"] == read_json(finished.folder / "run.json")["data_digest"]
    assert {"catalogue", "test cases", "encoder", "artefact/model.safetensors"} < set(digests)
    assert found.machine is not None
    assert found.machine["python"] == ".".join(map(str, sys.version_info[:3]))
    assert "path: world" in found.recipe
    assert str(finished.folder.parent) not in found.recipe
    assert {stage.name for stage in found.stages} > {
        "data",
        "teacher",
        "distilled/seed-0",
        "evaluation/ease",
        "latency",
    }


def test_each_request_that_was_timed_is_there(found):
    assert all(list(model.milliseconds) == [0.25] * 10 for model in found.models)


def test_curves_are_those_of_the_trainings(finished, found):
    curve = found.model("distilled").curves[0]
    training = read_json(finished.folder / "distilled/seed-0/training.json")
    assert (curve.seed, curve.best_epoch) == (0, training["best_epoch"] + 1)
    assert curve.parts == ["hard", "soft"]
    assert found.model("teacher").curves[0].parts == []
    assert found.model("ease").curves == []


# ---- groups, lists, samples


def test_groups_hold_every_user_and_every_model(found):
    by = {one.by for one in found.slices}
    assert len(by) == 2
    for name in by:
        assert sum(one.count for one in found.slices if one.by == name) == 53
    assert all(set(one.metrics) == set(TITLES) for one in found.slices)


def test_head_middle_and_tail_each_hold_a_third_of_the_events():
    """The first item alone holds four of twelve events, the next two four, and the others the rest."""
    assert popularity_group(np.array([4, 2, 2, 1, 1, 1, 1])).tolist() == [0, 1, 1, 2, 2, 2, 2]


def test_what_is_shown_is_told_by_popularity_and_beyond_accuracy(found):
    shares = {one.title: one.shares for one in found.shown}
    assert all(sum(parts) == pytest.approx(1) for parts in shares.values())
    assert shares["popularity"][0] == max(parts[0] for parts in shares.values())
    measures = {one.title: one.measures for one in found.shown}
    assert {title for title, told in measures.items() if not told} == {"all items", "chosen next"}
    assert list(measures["distilled student"]) == list(MEASURES)
    assert list(measures["teacher"]) == [name for name in MEASURES if name not in ("overlap", "rbo")]
    assert measures["popularity"]["coverage"] == pytest.approx(
        len(np.unique(found.model("popularity").lists[found.model("popularity").lists >= 0])) / 24
    )


def test_samples_are_what_the_models_recommend(finished, found):
    sample = found.samples[0]
    test = finished.prepared.split.test
    users = finished.prepared.interactions.users["user_id"].cast(str).to_list()
    case = test.users.tolist().index(users.index(sample.user))
    ids = finished.prepared.interactions.items["item_id"].gather(test.histories[case]).to_list()
    expected = Recommender.from_pretrained(finished.artefact).recommend(ids, k=10)
    titles = dict(finished.prepared.interactions.items.select("item_id", "title").rows())
    assert [item.title for item in sample.lists["distilled student"]] == [titles[i] for i in expected["item_id"]]
    assert list(sample.lists) == ["teacher", "student alone", "distilled student"]
    assert len(found.samples) == SAMPLES


def test_a_catalogue_without_titles_shows_ids(finished, found):
    interactions = finished.prepared.interactions
    bare = dataclasses.replace(interactions, items=interactions.items.drop("title"))
    sample = samples_of((bare, finished.prepared.split), found.models)[0]
    assert all(item.title.startswith("item ") for item in sample.lists["teacher"])


def test_lists_hold_no_item_of_the_history(finished):
    lists, histories = load_lists(finished.folder / "evaluation/distilled"), finished.prepared.split.test.histories
    assert lists.shape == (53, 10)
    assert not [case for case, items in enumerate(lists) if set(items) & set(histories[case])]


def test_a_run_that_kept_no_lists_can_be_asked_later(finished, copied):
    kept = load_lists(copied / "evaluation/distilled")
    for path in copied.glob("evaluation/*/lists.npy"):
        path.unlink()
    assert gather(copied).shown == []
    add_lists(copied)
    assert np.array_equal(load_lists(copied / "evaluation/distilled"), kept)


def test_models_that_were_judged_on_other_cases_than_the_data_holds_have_no_groups_lists_or_samples(copied, outline):
    """A recipe that asks about more users: the data is done anew first, and the run was stopped there."""
    settings = copied / "data/split.json"
    write_json(settings, {**read_json(settings), "new_items_only": False})
    found = gather(copied)
    assert (found.slices, found.shown, found.samples) == ([], (), ())
    assert found.missing == [
        f"{copied}/data holds other test cases than those that models were judged on, so groups, lists and samples are "
        f"left out. Go on with: distilrec run {copied}/recipe.yaml --out {copied}"
    ]
    assert [verdict.groups for verdict in found.verdicts] == [[], []]
    page = outline(html_page([found], command="c"))
    assert page.problems == []
    assert found.missing[0] in page.words


def test_as_many_other_users_are_noticed(finished, copied):
    """The same number of cases, of the same users, whose histories are other ones."""
    interactions = finished.prepared.interactions
    shutil.rmtree(copied / "data")
    turned = interactions.events.with_columns(item=(pl.col("item") + 1) % interactions.n_items)
    dataclasses.replace(interactions, events=turned).save(copied / "data")
    shutil.copy(finished.folder / "data/split.json", copied / "data/split.json")
    assert gather(copied).samples == ()


@pytest.mark.parametrize("otherwise", [{"exclude_history": False}, {"cases": "of before"}])
def test_a_model_that_was_asked_otherwise_is_left_out_and_the_rest_is_shown(copied, outline, otherwise):
    for name in ("teacher", "ease"):
        held = Evaluation.load(copied / "evaluation" / name)
        dataclasses.replace(held, protocol={**held.protocol, **otherwise}).save(copied / "evaluation" / name)
    found = gather(copied)
    others = {name for name in TITLES if name not in ("teacher", "ease")}
    assert all(set(one.metrics) == others for one in found.slices)
    assert {one.title for one in found.shown[2:]} == {TITLES[name] for name in others}
    assert list(found.samples[0].lists) == ["student alone", "distilled student"]
    assert [verdict.overall.names[1] for verdict in found.verdicts] == ["the student alone"]
    assert found.missing == [
        "EASE, teacher: not judged on the same cases in the same way as popularity, item-kNN, student alone, distilled "
        "student, so groups, verdicts, lists and samples leave them out. Go on with: distilrec run "
        f"{copied}/recipe.yaml --out {copied}"
    ]
    assert outline(html_page([found, found], command="c")).problems == []
    assert "For whom" in markdown_page([found], command="c")


@pytest.mark.parametrize("rows", [23, 25])
def test_vectors_of_fewer_or_more_items_are_not_used(copied, rows):
    np.save(copied / "vectors/vectors.npy", np.ones((rows, 32), dtype=np.float32))
    found = gather(copied)
    assert not any("diversity" in one.measures for one in found.shown)
    assert "coverage" in found.shown[-1].measures
    assert found.missing == [
        f"{copied}/vectors/vectors.npy holds {rows} vectors of another catalogue than the 24 items of the data folder, "
        "so diversity is left out."
    ]


def test_vectors_of_as_many_other_items_are_not_used(copied):
    stage = copied / "vectors/stage.json"
    held = read_json(stage)
    write_json(stage, {**held, "inputs": {**held["inputs"], "catalogue": "of before"}})
    found = gather(copied)
    assert not any("diversity" in one.measures for one in found.shown)
    assert "so diversity is left out" in found.missing[0]


# ---- unfinished and damaged runs


def test_what_a_kill_left_is_no_model_no_training_and_no_stage(copied, found):
    for place in ("evaluation/distilled", "distilled/seed-0", "teacher"):
        shutil.copytree(copied / place, copied / f"{place}.old")
    shutil.copytree(copied / "distilled/seed-0", copied / "distilled/seed-1.old")
    shutil.copytree(copied / "distilled/seed-0", copied / "distilled/seed-2.partial")
    left = gather(copied)
    assert [model.name for model in left.models] == [model.name for model in found.models]
    assert [curve.seed for curve in left.model("distilled").curves] == [0]
    names = [stage.name for stage in left.stages]
    assert sorted(names) == sorted([*(stage.name for stage in found.stages), "distilled/seed-2"])


def test_a_folder_that_is_no_run_is_refused(tmp_path):
    with pytest.raises(ArtifactError, match=r"is not the folder of a run .* give what `distilrec run` wrote"):
        gather(tmp_path)


def test_an_unfinished_run_shows_what_there_is_and_how_to_go_on(copied, outline):
    (copied / "results.json").unlink()
    for name in ("latency", "artefact", "distilled", "evaluation/distilled"):
        shutil.rmtree(copied / name)
    (copied / "student_alone").rename(copied / "student_alone.old")
    (copied / "evaluation/teacher").rename(copied / "evaluation/teacher.partial")
    found = gather(copied)
    assert found.missing == [
        f"The run is not finished, so this page shows what there is. Go on with: distilrec run {copied}/recipe.yaml "
        f"--out {copied}"
    ]
    assert [model.name for model in found.models] == ["popularity", "item_knn", "ease", "student_alone", "teacher"]
    assert [stage.name for stage in found.stages if stage.seconds is None] == ["evaluation/teacher"]
    page = outline(html_page([found], command="c"))
    assert page.problems == []
    assert "The run is not finished" in page.words


def test_a_run_that_has_only_begun_is_a_page_too(tmp_path, outline):
    write_json(tmp_path / "run.json", {"data_digest": "ab"})
    found = gather(tmp_path)
    assert found.models == []
    assert outline(html_page([found], command="c")).problems == []


def test_damaged_pieces_are_told_and_the_rest_is_shown(copied, outline):
    damaged = {
        "results.json": "results.json is not valid JSON",
        "recipe.yaml": "recipe.yaml is not valid YAML",
        "distilled/seed-0/training.json": "training.json is not valid JSON",
        "evaluation/ease/per_user.parquet": "per_user.parquet is damaged and cannot be read",
        "evaluation/teacher/lists.npy": "lists.npy is damaged and cannot be read",
        "latency/milliseconds.json": "milliseconds.json is not valid JSON",
        "latency/machine.json": "machine.json is not valid JSON",
        "artefact/config.json": "config.json is not valid JSON",
        "vectors/vectors.npy": "so diversity is left out",
        "latency/stage.json": "stage.json is not valid JSON",
    }
    for file in damaged:
        (copied / file).write_text("{ damaged: [")
    found = gather(copied)
    assert len(found.missing) == len(damaged)
    page = outline(html_page([found], command="c"))
    assert page.problems == []
    for sentence in damaged.values():
        assert any(sentence in one for one in found.missing), sentence
        assert sentence in page.words
    assert found.model("student_alone").curves


def test_a_run_whose_data_is_damaged_shows_what_needs_none(copied, outline):
    (copied / "data/events.parquet").write_text("damaged")
    found = gather(copied)
    assert "is not a whole folder of saved interactions" in found.missing[0]
    assert (found.slices, found.shown, found.samples, found.data) == ([], (), (), ())
    assert outline(html_page([found], command="c")).problems == []


def test_results_that_lack_something_are_told(copied):
    held = read_json(copied / "results.json")
    write_json(copied / "results.json", {**held, "rows": [{"name": "ease"}]})
    with pytest.raises(ArtifactError, match=r"results\.json lacks or mistakes 'metrics'; run the recipe again"):
        Results.load(copied)
