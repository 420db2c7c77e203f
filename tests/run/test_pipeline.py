"""A whole run in one folder: what it leaves, that it is not done twice, and that it averages and teaches as it says."""

import json
import warnings

import numpy as np
import polars as pl
import pytest
import yaml

from distilrec import Recommender
from distilrec.data.batches import Windows
from distilrec.errors import ArtifactError, DistilRecError, SettingsError, SourceError
from distilrec.evaluate.evaluation import Evaluation
from distilrec.files import read_json
from distilrec.knowledge import Knowledge
from distilrec.run.pipeline import run
from distilrec.run.recipe import load_recipe
from small_world import SmallWorld, save_encoder, save_recipe, save_world, worked
from tiny_bodies import save_tiny_body

NAMES = ["popularity", "item_knn", "ease", "student_alone", "teacher", "distilled"]


def times(folder):
    """When each file of the stages was last written."""
    return {path: path.stat().st_mtime_ns for path in folder.rglob("*") if path.is_file() and path.parent != folder}


def test_a_run_leaves_its_recipe_its_results_and_the_artefact(finished):
    left = {path.name for path in finished.folder.iterdir() if not path.name.startswith(".")}
    assert {"recipe.yaml", "results.json", "results.md", "run.json", "artefact"} < left
    assert not [path for path in finished.folder.rglob("*") if path.name.endswith((".partial", ".old"))]
    assert not list(finished.folder.rglob("checkpoint.safetensors"))


def test_the_results_name_every_model_in_order_with_all_that_was_measured(finished):
    saved = read_json(finished.folder / "results.json")
    assert [row["name"] for row in saved["rows"]] == NAMES
    assert saved["rows"][0]["latency"]["p50"] == 0.25
    assert set(saved["epochs"]) == {"teacher", "student_alone", "distilled"}
    assert saved == json.loads(json.dumps(finished.results.as_json()))


def test_a_second_call_does_nothing_and_gives_the_same_results(small, copied, quick):
    before, results = times(copied), (copied / "results.json").read_bytes()
    again, said = small.run(copied)
    assert worked(said) == set()
    assert (copied / "results.json").read_bytes() == results
    changed = {path for path, when in times(copied).items() if before.get(path) != when}
    assert {path.parent.name for path in changed} <= {"artefact"}  # rewritten with the card, like the results
    assert again.results.markdown() == (copied / "results.md").read_text()


def test_the_same_recipe_in_another_folder_gives_the_same_models(small, finished, tmp_path, quick):
    other, _ = small.run(tmp_path / "other")
    for name in NAMES:
        ours, theirs = (Evaluation.load(f.folder / "evaluation" / name).per_user for f in (finished, other))
        assert ours.equals(theirs)


def test_the_students_learn_the_circle_better_than_popularity(finished):
    ndcg = {row.name: row.metrics["ndcg@10"].mean for row in finished.results.rows}
    assert ndcg["popularity"] < ndcg["student_alone"] < ndcg["distilled"]


def test_the_artefact_is_the_distilled_student_with_a_card_that_holds_the_metrics(finished):
    shipped = Recommender.from_pretrained(finished.artefact)
    trained = Recommender.from_pretrained(finished.folder / "distilled/seed-0/artefact")
    assert all(np.array_equal(shipped.model.state()[k], v) for k, v in trained.model.state().items())
    card = (finished.artefact / "README.md").read_text()
    assert "# Small world" in card
    assert finished.results.markdown().strip() in card
    assert "60 users, 24 items, 600 events from `world`" in card


def test_the_example_of_the_card_runs(finished, monkeypatch, capsys):
    monkeypatch.chdir(finished.artefact)
    card = (finished.artefact / "README.md").read_text()
    code = card.partition("```python\n")[2].partition("```")[0].replace("path/to/this/folder", ".")
    exec(compile(code, "README.md", "exec"), {})
    assert "shape: (10, 4)" in capsys.readouterr().out


def test_the_card_names_no_folder_of_this_machine_and_the_run_names_it_whole(small, finished, tmp_path, monkeypatch):
    """A card is published; the recipe in the run's folder is run again, perhaps from elsewhere."""
    assert str(small.folder) not in (finished.artefact / "README.md").read_text()
    kept = yaml.safe_load((finished.folder / "recipe.yaml").read_text())
    assert kept["data"]["path"] == str(small.folder / "world")
    assert kept["encode"]["model"] == str(small.folder / "encoder")
    monkeypatch.chdir(tmp_path)
    assert load_recipe(finished.folder / "recipe.yaml").data.path.is_dir()


# ---- seeds


def test_several_seeds_are_averaged_user_by_user_and_told_one_by_one(small, copied, quick):
    found, _ = small.run(copied, "seeds=[0, 1]")
    by_seed = read_json(copied / "evaluation/distilled/seeds.json")["means"]
    assert len(by_seed) == 2
    assert by_seed[0]["ndcg@10"] != by_seed[1]["ndcg@10"]
    mean = Evaluation.load(copied / "evaluation/distilled").mean("ndcg@10")
    assert mean == pytest.approx((by_seed[0]["ndcg@10"] + by_seed[1]["ndcg@10"]) / 2)
    assert {row.name: row.metrics["ndcg@10"].mean for row in found.results.rows}["distilled"] == mean
    first, second = (f"{seed['ndcg@10']:.4f}" for seed in by_seed)
    assert f"distilled student {first}, {second}." in found.results.notes[0]
    assert "NDCG@10 of seeds 0, 1: student alone" in found.results.notes[0]
    assert "mean of 2 seeds for the students" in found.results.notes[1]
    assert len(found.results.epochs["distilled"]) == 2


def test_another_seed_gives_other_students_and_the_same_teacher(small, copied, quick):
    said = small.run(copied, "seeds=[5]")[1]
    assert worked(said) & {"student_alone/seed-5", "distilled/seed-5", "teacher"} == {
        "student_alone/seed-5",
        "distilled/seed-5",
    }


# ---- knowledge


def test_live_knowledge_gives_the_same_student_as_knowledge_from_disk(small, copied, quick):
    def taught(source):
        small.run(copied, f"knowledge.source={source}", "knowledge.dtype=float32")
        return Recommender.from_pretrained(copied / "distilled/seed-0/artefact").model.state()

    disk, live = taught("disk"), taught("live")
    for name, value in disk.items():
        np.testing.assert_allclose(live[name], value, atol=2e-4, err_msg=name)


def test_a_run_may_learn_from_ranked_lists_alone(small, finished, tmp_path):
    """There is no teacher in the table then, and nothing is encoded."""
    users, items = finished.prepared.interactions.users["user_id"], finished.prepared.interactions.items["item_id"]
    lists = pl.DataFrame({"user_id": users, "item_ids": [items[:5].to_list()] * len(users)})
    lists.write_parquet(tmp_path / "lists.parquet")
    teacher = f"teacher={{kind: outside, rankings: {tmp_path / 'lists.parquet'}}}"
    found, said = small.run(tmp_path / "run", teacher, "distil.start_from_teacher=false")
    assert "vectors" not in worked(said)
    assert "teacher" not in [row.name for row in found.results.rows]
    assert len(found.results.verdicts) == 1
    assert any("coverage" in line or "100" in line for line in said)
    assert [part.form for part in Knowledge.open(tmp_path / "run/knowledge").parts] == ["lists"]


def test_a_run_may_learn_from_a_language_model_that_was_never_trained(small, finished, tmp_path):
    """Each user's last training position gets a list of the candidates, and none names what the user has had."""
    body = save_tiny_body("gpt2", tmp_path / "gpt2", n_positions=256)
    teacher = f"teacher={{kind: zero_shot, model: {body}, candidates: 5, users: 12}}"
    found, _ = small.run(tmp_path / "run", teacher, "distil.start_from_teacher=false")
    assert "teacher" not in [row.name for row in found.results.rows]
    knowledge = Knowledge.open(tmp_path / "run/knowledge")
    lists = pl.read_parquet(tmp_path / "run/knowledge/rankings.parquet")
    assert lists["user_id"].n_unique() == 12
    assert lists.group_by("user_id").len()["len"].to_list() == [5] * 12
    windows = Windows.cut(finished.prepared.split.train, max_length=10)
    (part,) = knowledge.soft_labels(windows.batch(np.arange(len(windows))))
    assert int((part.items[:, 0] >= 0).sum()) == 12


# ---- distillation


def test_a_run_may_copy_layers_and_measure_how_far_the_teacher_is_to_be_believed(small, copied, quick):
    layers = ["distil.layers={blocks.0: blocks.0}", "distil.pull=0.01"]
    said = small.run(copied, *layers, "distil.trust={advantage: 1}")[1]
    assert worked(said) == {"distilled/seed-0", "evaluation/distilled", "latency"}
    told = read_json(copied / "distilled/seed-0/training.json")
    assert {"loss", "hard", "soft", "score", "seconds"} == set(told["epochs"][0])


def test_augmentation_by_the_teacher_is_no_part_of_the_student_alone(small, copied, quick):
    said = small.run(copied, "student.train.augment={mask: 0.5, substitute: 0.5}")[1]
    assert {"student_alone/seed-0", "distilled/seed-0"} <= worked(said)
    told = "train.augment: substitute and insert take items that a teacher finds similar; this student has no teacher"
    assert [line.startswith(told) for line in said].count(True) == 1
    about = [
        Recommender.from_pretrained(copied / f"{name}/seed-0/artefact").about for name in ("student_alone", "distilled")
    ]
    assert [one["train"]["augment"]["mask"] for one in about] == [0.5, 0.5]
    assert [one["train"]["augment"]["substitute"] for one in about] == [0.0, 0.5]


@pytest.mark.parametrize("kind", ["gru", "matrix_factorisation", "lightgcn"])
def test_students_of_other_kinds_are_trained_judged_and_shipped(small, copied, quick, kind):
    found, _ = small.run(copied, f"student.model.kind={kind}", "student.train.epochs=1")
    assert Recommender.from_pretrained(copied / "artefact").model.kind == kind
    assert [row.name for row in found.results.rows][-1] == "distilled"


# ---- the sample


def test_a_sample_shows_titles_of_the_end_of_a_history_and_of_what_is_recommended(finished):
    sample = finished.sample(3)
    assert len(sample.history) == len(sample.recommended) == 3
    assert all(" thing " in title for title in [*sample.history, *sample.recommended])
    assert not set(sample.history) & set(sample.recommended)
    assert " thing " in sample.chosen
    ids = finished.example_history()
    assert len(ids) >= 8
    titles = dict(finished.prepared.interactions.items.select("item_id", "title").iter_rows())
    assert sample.history == [titles[value] for value in ids[-3:]]


def test_a_sample_is_as_long_as_the_history_and_the_catalogue_allow(finished):
    sample = finished.sample(100)
    history = finished.example_history()
    assert len(sample.history) == len(history)
    assert len(sample.recommended) == 24 - len(set(history))


def test_a_catalogue_without_titles_is_shown_by_its_ids(tmp_path, quick):
    """A log alone, with a catalogue that calls its text something else."""
    save_world(tmp_path / "world")
    items = tmp_path / "world" / "items.csv"
    pl.read_csv(items).rename({"title": "words"}).write_csv(items)
    save_encoder(tmp_path / "encoder")
    save_recipe(tmp_path / "recipe.yaml")
    found, _ = SmallWorld(tmp_path).run(tmp_path / "out", 'encode.template="{words}"')
    assert all(title.isdigit() for title in found.sample(3).recommended)


# ---- refusals


def test_a_folder_with_a_run_on_another_data_set_is_refused_and_nothing_is_changed(small, copied, tmp_path):
    save_world(tmp_path / "another", seed=1)
    before = {path: path.read_bytes() for path in copied.rglob("*") if path.is_file()}
    with pytest.raises(ArtifactError, match=r"copied holds a run on another data set.*Nothing in it was changed"):
        small.run(copied, f"data.path={tmp_path / 'another'}", "distil.alpha=0.1")
    assert {path: path.read_bytes() for path in copied.rglob("*") if path.is_file()} == before


@pytest.mark.parametrize(
    ("override", "error", "message"),
    [
        ("evaluate.cutoffs=[10, 25]", SettingsError, "cut-off 25 is larger than the catalogue of 24 items"),
        ("encode.model=./nowhere", SourceError, "./nowhere does not exist; expected the folder of an encoder"),
        ('encode.template="{plot}"', ValueError, "names 'plot'; the catalogue has item_id, title, cluster"),
    ],
)
def test_what_does_not_fit_the_data_is_refused_before_anything_is_fitted(small, tmp_path, override, error, message):
    with pytest.raises(error, match=message):
        small.run(tmp_path / "out", override)
    assert not list((tmp_path / "out").glob("baselines*"))
    assert not list((tmp_path / "out").glob("teacher*"))


def test_a_student_wider_than_the_catalogue_cannot_start_from_the_teacher(small, tmp_path):
    with pytest.raises(SettingsError, match=r"student\.model\.width is 32, more than the 24 items"):
        small.run(tmp_path / "out", "teacher.model.width=64", "student.model.width=32")


def test_a_content_width_that_the_text_cannot_fill_is_named(small, copied):
    """Titles of a few words vary in few directions."""
    with pytest.raises(SettingsError, match=r"teacher\.content_width: width is 30, but 24 vectors of 32 columns vary"):
        small.run(copied, "teacher.content_width=30")


@pytest.mark.parametrize("override", ["encode.model=./nowhere", "evaluate.cutoffs=[99]", 'encode.template="{plot}"'])
def test_a_change_that_is_refused_leaves_the_finished_run_as_it_was(small, copied, quick, override):
    before = {path: path.read_bytes() for path in copied.rglob("*") if path.is_file()}
    with pytest.raises(DistilRecError):
        small.run(copied, override, "name=Other")
    assert {path: path.read_bytes() for path in before} == before
    assert worked(small.run(copied)[1]) == set()


def test_a_change_that_fails_in_training_leaves_what_was_trained(small, copied, quick):
    with pytest.raises(SettingsError):
        small.run(copied, "teacher.content_width=30")
    assert worked(small.run(copied)[1]) == set()


def test_the_latency_is_measured_in_earnest_and_once(small, copied):
    """Without the pretence of the other tests."""
    with warnings.catch_warnings():
        found, said = small.run(copied, "evaluate.latency_requests=15")
    assert worked(said) == {"latency"}
    assert all(0 < row.latency.p50 <= row.latency.p95 < 1000 for row in found.results.rows)
    assert all(row.latency.requests == 15 for row in found.results.rows)
    again = run(small.recipe("evaluate.latency_requests=15"), copied, say=said.append, quiet=True)
    assert again.results == found.results
