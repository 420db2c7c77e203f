"""Every command does what it says, alone and after those before it."""

import json
import re

import pytest

from distilrec.evaluate.evaluation import Evaluation
from distilrec.files import read_json

TRAINING = ["--set", "train.epochs=1", "--set", "train.batch_size=16"]
SMALL_TEACHER = ["--set", "model={width: 16, heads: 2, max_length: 10}", "--set", "content_width=6", *TRAINING]
SMALL_STUDENT = ["--set", "model={width: 8, max_length: 10}", *TRAINING]


@pytest.mark.parametrize(
    ("name", "arguments"),
    [
        ("check", ["PATH", "--items", "--users", "--column", "--separator", "--missing-ids", "--mixed-ids"]),
        ("data", ["PATH", "--out", "--set"]),
        ("encode", ["PREPARED", "--out", "--set"]),
        ("baselines", ["PREPARED", "--out", "--set"]),
        ("teach", ["PREPARED", "VECTORS", "--out", "--set"]),
        ("distil", ["PREPARED", "--out", "--knowledge", "--weight", "--teacher", "--set"]),
        ("students", ["--items"]),
        ("evaluate", ["MODEL", "DATA", "--out", "--cases", "--cutoffs", "--exclude-history", "--slices", "--beyond"]),
        ("recommend", ["MODEL", "--history", "-k", "--keep-history"]),
        ("compare", ["A", "B", "--metric", "--margin", "--data", "--by", "--protocols"]),
        ("cost", ["MODEL", "DATA", "--requests", "--price", "--watts"]),
        ("agree", ["STUDENT", "TEACHER", "DATA", "--cases", "-k", "--temperature"]),
        ("run", ["RECIPE", "--out", "--set"]),
        ("demo", ["--out", "--data", "--model", "--set"]),
        ("doctor", ["--network"]),
    ],
)
def test_help_names_the_arguments_of_each_command(command, name, arguments):
    called = command(name, "--help")
    assert called.code == 0
    for argument in arguments:
        assert argument.lower() in called.out.lower(), argument  # typer has written arguments in both ways


def test_help_lists_every_command(command):
    called = command("--help")
    assert called.code == 0
    stages = ("check", "data", "encode", "baselines", "teach", "distil", "evaluate", "recommend", "compare", "run")
    for name in (*stages, "students"):
        assert re.search(rf"│ {name} ", called.out), name


def test_nothing_typed_gives_the_help(command):
    called = command()
    assert "Turn large pretrained models into small, fast recommenders." in called.out + called.err


# ---- the stages, one after the other


@pytest.fixture
def prepared(command, small, tmp_path):
    called = command("data", small.folder / "world", "--out", tmp_path / "data")
    assert called.code == 0, called.err
    return tmp_path / "data"


def test_data_says_what_was_read_and_left_out(command, small, tmp_path):
    called = command("data", small.folder / "world", "--out", tmp_path / "data", "--set", "filter.deduplicate=true")
    assert called.code == 0
    assert "rows read: 600" in called.out
    assert "deduplicate left out" in called.out
    assert read_json(tmp_path / "data" / "split.json")["kind"] == "leave_last_out"


def test_the_stages_lead_from_a_log_to_a_distilled_and_judged_student(command, small, prepared, tmp_path):
    encoder = ["--set", f"model={small.folder / 'encoder'}", "--set", 'template="{title}"']
    called = command("encode", prepared, "--out", tmp_path / "vectors", *encoder)
    assert (called.code, called.out) == (0, f"wrote {tmp_path / 'vectors' / 'vectors.npy'}\n")

    called = command("teach", prepared, tmp_path / "vectors", "--out", tmp_path / "teacher", *SMALL_TEACHER)
    assert called.code == 0, called.err
    assert re.search(r"best validation 0\.\d{5} after epoch 1; wrote .*teacher", called.out)
    assert not (tmp_path / "teacher" / "checkpoint.safetensors").exists()

    students = {
        "alone": [],
        "from-disk": ["--knowledge", tmp_path / "teacher" / "knowledge", "--set", "distil.alpha=0.9"],
        "live": ["--teacher", tmp_path / "teacher", "--set", "distil.alpha=0.9"],
        "layers": ["--teacher", tmp_path / "teacher", "--set", "distil.layers={blocks.0: blocks.0}"],
    }
    for name, source in students.items():
        called = command("distil", prepared, "--out", tmp_path / name, *source, *SMALL_STUDENT)
        assert called.code == 0, called.err
        called = command("evaluate", tmp_path / name, prepared, "--out", tmp_path / name / "test", "--cutoffs", "5,10")
        assert called.code == 0, called.err
    means = {name: Evaluation.load(tmp_path / name / "test").mean("ndcg@10") for name in students}
    assert means["from-disk"] == pytest.approx(means["live"], abs=0.02)
    assert means["from-disk"] > means["alone"]

    called = command("compare", tmp_path / "from-disk" / "test", tmp_path / "alone" / "test")
    assert called.code == 0
    assert re.search(r"from-disk\S* is better than \S*alone\S* by 0\.\d{4} NDCG@10 .* over \d+ users\)", called.out)


def test_baselines_are_saved_as_models_that_can_be_asked(command, prepared, tmp_path):
    called = command("baselines", prepared, "--out", tmp_path / "b", "--set", "ease.l2=7", "--set", "item_knn=null")
    assert called.code == 0
    assert sorted(path.name for path in (tmp_path / "b").iterdir()) == ["ease", "popularity"]
    assert read_json(tmp_path / "b/ease/config.json")["model"]["settings"]["l2"] == 7
    assert command("recommend", tmp_path / "b" / "ease", "--history", "3,4", "-k", "2").code == 0


def test_a_teacher_that_was_interrupted_after_training_is_not_trained_again(
    command, small, prepared, tmp_path, monkeypatch
):
    encoder = ["--set", f"model={small.folder / 'encoder'}", "--set", 'template="{title}"']
    command("encode", prepared, "--out", tmp_path / "vectors", *encoder)
    teach = ["teach", prepared, tmp_path / "vectors", "--out", tmp_path / "teacher", *SMALL_TEACHER]

    def interrupt(*args, **kwargs):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("distilrec.run.teaching.take_knowledge", interrupt)
        assert command(*teach).code == 130
    before = read_json(tmp_path / "teacher" / "training.json")
    assert command(*teach).code == 0
    assert read_json(tmp_path / "teacher" / "training.json") == before  # with its seconds


# ---- looking


def test_check_says_what_a_log_holds_and_that_it_is_usable(command, small):
    called = command("check", small.folder / "world")
    assert called.code == 0
    assert "usable: 600 rows, 60 users, 24 items" in called.out
    assert called.out.endswith("Usable as it is.\n")


def test_check_takes_a_catalogue_columns_and_a_separator(command, tmp_path):
    (tmp_path / "log.txt").write_text("who|what|rating\n1|a|3\n2|b|4\n1|b|5\n")
    (tmp_path / "cat.csv").write_text("what,title\na,Apple\nb,Pear\n")
    own = ["--column", "user_id=who", "--column", "item_id=what", "--separator", "|"]
    called = command("check", tmp_path / "log.txt", "--items", tmp_path / "cat.csv", *own)
    assert called.code == 0, called.out
    assert "who -> user_id" in called.out
    assert "items with text 100.0%" in called.out


def test_evaluate_prints_every_metric_with_its_interval_and_the_protocol(command, finished):
    called = command("evaluate", finished.folder, finished.folder / "data", "--cutoffs", "10", "--cases", "validation")
    assert called.code == 0
    for title in ("NDCG@10", "Recall@10", "Hit rate@10", "MRR"):
        assert title in called.out
    assert re.search(r"\d+ users, full ranking of 24 items, items of the history left out, ties against", called.out)


def test_evaluate_gives_the_numbers_of_the_run_and_can_leave_the_history_in(command, finished, tmp_path):
    data = finished.folder / "data"
    command("evaluate", finished.folder, data, "--out", tmp_path / "out", "--cutoffs", "5,10")
    ours, theirs = (Evaluation.load(f) for f in (tmp_path / "out", finished.folder / "evaluation/distilled"))
    assert ours.per_user.equals(theirs.per_user)
    kept = command("evaluate", finished.folder, data, "--no-exclude-history", "--cutoffs", "5,10")
    assert "items of the history not left out" in kept.out


def test_compare_takes_runs_and_folders_of_evaluations(command, finished):
    called = command("compare", finished.folder, finished.folder / "evaluation" / "popularity")
    assert called.code == 0
    assert " is better than " in called.out
    same = command("compare", finished.folder, finished.folder, "--metric", "mrr")
    assert same.out.startswith("no difference: ")


def test_doctor_says_what_this_machine_can_do(command):
    called = command("doctor", "--no-network")
    assert called.code == 0
    assert "cores" in called.out
    assert "torch" in called.out


# ---- recommend


def test_recommend_shows_ranks_ids_titles_and_scores(command, finished):
    called = command("recommend", finished.folder, "--history", "3,4,5", "-k", "4")
    assert called.code == 0
    rows = re.findall(r"│ (\d+) +│ +(\d+) │ +(\w+ thing \d+) │ +(-?\d+\.\d{4}) │", called.out)
    assert [row[0] for row in rows] == ["1", "2", "3", "4"]
    assert not {row[1] for row in rows} & {"3", "4", "5"}
    kept = command("recommend", finished.folder, "--history", "3,4,5", "-k", "24", "--keep-history")
    assert len(re.findall(r" thing ", kept.out)) == 24


def test_unknown_items_of_a_history_are_named_and_the_rest_is_used(command, finished):
    called = command("recommend", finished.folder, "--history", "3, 999,4", "-k", "2")
    assert called.code == 0
    assert called.err == "warning: not in the catalogue, so left out of the history: '999'\n"
    assert called.out == command("recommend", finished.folder, "--history", "3,4", "-k", "2").out


def test_an_empty_history_gets_the_popular_items(command, finished):
    called = command("recommend", finished.folder, "-k", "1")
    counts = finished.prepared.catalogue().sort("train_count", "item_id", descending=[True, False])
    assert called.code == 0
    assert f" {counts['title'][0]} " in called.out


# ---- run


def test_run_prints_the_table_the_verdicts_and_where_the_artefact_lies(command, small, copied, quick):
    called = command("run", small.folder / "recipe.yaml", "--out", copied)
    assert called.code == 0, called.err
    for title in ("popularity", "item-kNN", "EASE", "student alone", "teacher", "distilled student"):
        assert f"│ {title} " in called.out
    assert "The distilled student is better than the student alone" in called.out
    assert f"The distilled student is in {copied / 'artefact'}" in called.out
    assert "distilled/seed-0: done before, kept" in called.out


def test_run_takes_overrides_and_names_its_folder_after_the_recipe(command, small, tmp_path, monkeypatch, quick):
    monkeypatch.chdir(tmp_path)
    called = command("run", small.folder / "recipe.yaml", "--set", "baselines.ease=null", "--set", "name=Other")
    assert called.code == 0, called.err
    assert "│ EASE " not in called.out
    kept = (tmp_path / "runs" / "recipe" / "recipe.yaml").read_text()
    assert "name: Other" in kept
    assert json.loads((tmp_path / "runs/recipe/results.json").read_text())["metric"] == "ndcg@10"
