"""What people get wrong, through the command line: one message that says what to do, exit code 2, nothing lost."""

import os
import shutil

import polars as pl
import pytest

from distilrec import Recommender
from small_world import save_world


@pytest.fixture
def own(small, tmp_path):
    """The small world's recipe over a log of one's own."""

    def settings(log, name="log.csv"):
        content = log if isinstance(log, bytes) else log.encode()
        (tmp_path / name).write_bytes(content)
        return ["run", small.folder / "recipe.yaml", "--out", tmp_path / "out", "--set", f"data.path={tmp_path / name}"]

    return settings


def refused(called, *parts):
    """One message, and nothing that only a programmer could read."""
    assert called.code == 2, called.err
    assert called.err.startswith("error: ")
    assert "Traceback" not in called.err
    for part in parts:
        assert part in called.err, called.err
    return called.err


# ---- logs


@pytest.mark.parametrize(
    ("log", "parts"),
    [
        ("", ["log.csv is empty; expected at least one row"]),
        ("user_id,item_id\n", ["log.csv has the columns user_id, item_id but no rows"]),
        (
            "user_id#item_id\n1#2\n3#4\n",
            ["its first line, 'user_id#item_id', is a single column", "Give separator="],
        ),
        ("user_id,price\n1,2\n", ["no column for item_id; its columns are 'user_id', 'price'", "columns={'item_id'"]),
        ("user_id,item_id\n1,a\n,b\n", ["log.csv: rows without a user or an item: 1", "line 3", 'missing_ids="drop"']),
        (
            "user_id,item_id\n1,a\nNaN,b\n",
            ["log.csv: rows without a user or an item: 1", "line 3", 'missing_ids="drop"'],
        ),
        ("user_id,item_id\n1,a\n2,b\n3,c\n", ["leave_last_out: validation has no case left", "fewer than 3 events"]),
        (b"\xff\xfe\x00user", ["log.csv"]),
    ],
    ids=["empty", "no rows", "delimiter", "column", "missing id", "NaN id", "one event each", "binary"],
)
def test_a_log_that_cannot_be_used_is_explained(command, own, tmp_path, log, parts):
    refused(command(*own(log)), *parts)
    assert not list((tmp_path / "out").glob("teacher*"))


def test_ids_of_two_kinds_are_explained(command, own):
    lines = '{"user_id": 1, "item_id": "a"}\n{"user_id": "1", "item_id": "b"}\n'
    refused(command(*own(lines, "log.jsonl")), "user_id mixes numbers and texts", 'mixed_ids="text"')


def test_a_missing_log_is_named(command, small, tmp_path):
    called = command("run", small.folder / "recipe.yaml", "--out", tmp_path / "out", "--set", "data.path=nowhere.csv")
    refused(called, "nowhere.csv does not exist; expected a file or a folder")


def test_the_same_messages_come_from_data_and_as_a_report_from_check(command, tmp_path):
    (tmp_path / "log.csv").write_text("user_id,item_id\n1,a\n,b\n")
    refused(command("data", tmp_path / "log.csv", "--out", tmp_path / "data"), "rows without a user or an item: 1")
    assert not (tmp_path / "data").exists()
    checked = command("check", tmp_path / "log.csv")
    assert checked.code == 1  # usable with an option
    assert 'Usable with missing_ids="drop".\n' in checked.out
    assert "--missing-ids drop" in checked.out.splitlines()[-1]
    assert command("check", tmp_path / "log.csv", "--missing-ids", "drop").code == 0


def test_check_of_what_is_not_there_says_so_with_exit_code_2(command, tmp_path):
    called = command("check", tmp_path / "nowhere.csv")
    assert called.code == 2
    assert "nowhere.csv does not exist; expected a file or a folder" in called.out


@pytest.mark.parametrize(
    ("arguments", "parts"),
    [
        (["--missing-ids", "forget"], ["missing_ids", "'refuse' or 'drop'", "(got 'forget')"]),
        (["--column", "user"], ["--column 'user': expected canonical=own"]),
    ],
)
def test_check_names_an_option_that_makes_no_sense(command, small, arguments, parts):
    refused(command("check", small.folder / "world", *arguments), *parts)


# ---- recipes


@pytest.mark.parametrize(
    ("override", "part"),
    [
        ("student.model.widht=3", "recipe.yaml: unknown setting 'student.model.widht'; did you mean 'width'?"),
        ("nonsense", "--set 'nonsense': expected stage.key=value"),
        ("distil.alpha=[1", "--set 'distil.alpha=[1': while parsing"),
        ("distil.alpha=high", "distil.alpha: Input should be a valid number"),
        ("student.model.max_length=20", "the teacher must read at least"),
        ('encode.template="{plot}"', "template '{plot}' names 'plot'; the catalogue has item_id, title, cluster"),
        ("encode.model=no-encoder/anywhere/here", "no-encoder/anywhere/here does not exist; expected the folder of an"),
        ("encode.device=abacus", "device 'abacus' cannot be used here"),
        ("encode.max_tokens=1000", "max_tokens is 1000"),
        ("evaluate.cutoffs=[10, 99]", "cut-off 99 is larger than the catalogue of 24 items"),
        ("teacher.content_width=99", "teacher.content_width: width is 99, but 24 vectors"),
        ("baselines.ease.max_items=5", "EASE would invert a matrix of 24 x 24 items"),
    ],
)
def test_a_setting_that_cannot_be_is_explained(command, small, tmp_path, override, part, monkeypatch):
    monkeypatch.setenv("DISTILREC_CACHE", str(tmp_path / "cache"))  # else an encoder is not even loaded
    refused(command("run", small.folder / "recipe.yaml", "--out", tmp_path / "out", "--set", override), part)


def test_an_encoder_folder_without_a_model_is_named(command, small, tmp_path):
    (tmp_path / "no-encoder").mkdir()
    setting = f"encode.model={tmp_path / 'no-encoder'}"
    called = command("run", small.folder / "recipe.yaml", "--out", tmp_path / "out", "--set", setting)
    refused(called, "no-encoder holds no model: expected config.json, model.safetensors and a tokenizer")


@pytest.mark.parametrize(
    ("text", "part"),
    [
        ("data: [1", "r.yaml is not valid YAML"),
        ("", "r.yaml holds nothing"),
        ("name: x", "r.yaml: data: Field required"),
    ],
)
def test_a_broken_recipe_is_named(command, tmp_path, text, part):
    (tmp_path / "r.yaml").write_text(text)
    refused(command("run", tmp_path / "r.yaml", "--out", tmp_path / "out"), part)


def test_a_missing_recipe_is_named(command, tmp_path):
    refused(command("run", tmp_path / "r.yaml"), "r.yaml does not exist; expected a YAML recipe")


# ---- folders


def test_a_run_folder_of_another_data_set_is_refused(command, small, copied, tmp_path):
    save_world(tmp_path / "another", seed=1)
    setting = f"data.path={tmp_path / 'another'}"
    called = command("run", small.folder / "recipe.yaml", "--out", copied, "--set", setting)
    refused(called, f"{copied} holds a run on another data set", "give another --out", "Nothing in it was changed")


def test_a_folder_of_the_users_own_is_refused(command, small, tmp_path):
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "thesis.tex").touch()
    refused(command("run", small.folder / "recipe.yaml", "--out", tmp_path / "out"), "holds thesis.tex and no run")
    called = command("data", small.folder / "world", "--out", tmp_path / "out")
    refused(called, "thesis.tex, which prepared data there would delete")
    assert (tmp_path / "out" / "thesis.tex").exists()


def test_a_file_in_the_place_of_the_folder_is_named(command, small, tmp_path):
    (tmp_path / "out").touch()
    refused(command("run", small.folder / "recipe.yaml", "--out", tmp_path / "out"), "out cannot be a run's folder")


def test_a_folder_that_may_not_be_written_is_named(command, small, tmp_path):
    (tmp_path / "closed").mkdir(mode=0o500)
    if os.access(tmp_path / "closed", os.W_OK):
        pytest.skip("everything is allowed to this user")
    run = ["run", small.folder / "recipe.yaml", "--out", tmp_path / "closed" / "out"]
    refused(command(*run), "closed/out cannot be written: Permission denied; give another --out")
    data = ["data", small.folder / "world", "--out", tmp_path / "closed" / "data"]
    refused(command(*data), "cannot be written: Permission denied")


# ---- models, evaluations and knowledge


@pytest.mark.parametrize(
    ("arguments", "part"),
    [
        (["-k", "0"], "k is 0; expected 1 to 24, the size of the catalogue"),
        (["-k", "25"], "k is 25; expected 1 to 24"),
    ],
)
def test_a_list_that_is_too_long_or_too_short_is_refused(command, finished, arguments, part):
    refused(command("recommend", finished.folder, "--history", "3", *arguments), part)


def test_what_is_no_model_is_named(command, tmp_path):
    refused(command("recommend", tmp_path / "nowhere"), "nowhere is not a folder; expected a saved model")
    refused(command("recommend", tmp_path), "has no config.json; expected a saved model")


def test_a_damaged_model_is_refused(command, copied):
    weights = copied / "artefact" / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1])
    refused(command("recommend", copied, "--history", "3"), "model.safetensors was altered or cut short")


def test_evaluate_names_the_folder_that_is_missing(command, finished, tmp_path):
    refused(command("evaluate", finished.folder, tmp_path / "nowhere"), "nowhere is not a whole folder of saved")
    refused(command("evaluate", tmp_path / "nowhere", finished.folder / "data"), "nowhere is not a folder; expected a")


@pytest.mark.parametrize(
    ("arguments", "part"),
    [
        (["--cutoffs", "ten"], "--cutoffs 'ten': expected whole numbers separated by commas"),
        (["--cutoffs", "0"], "cut-off 0 is not a length of a list"),
        (["--cutoffs", "99"], "cut-off 99 is larger than the catalogue of 24 items"),
        (["--cutoffs", "5", "--cases", "train"], "cases 'train' are unknown; choose test, validation or last_event"),
    ],
)
def test_evaluate_names_an_option_that_makes_no_sense(command, finished, arguments, part):
    refused(command("evaluate", finished.folder, finished.folder / "data", *arguments), part)


@pytest.fixture
def elsewhere(command, tmp_path):
    """Prepared data of another log, whose items have other ids."""
    save_world(tmp_path / "elsewhere", seed=1)
    for name in ("interactions.csv", "items.csv"):
        frame = pl.read_csv(tmp_path / "elsewhere" / name)
        frame.with_columns(pl.col("item_id") + 1000).write_csv(tmp_path / "elsewhere" / name)
    assert command("data", tmp_path / "elsewhere", "--out", tmp_path / "else").code == 0
    return tmp_path / "else"


def test_a_model_is_not_judged_on_data_of_other_items(command, finished, elsewhere):
    refused(command("evaluate", finished.folder, elsewhere), "the model ranks another catalogue")


def test_evaluations_of_different_data_are_not_compared(command, finished, elsewhere, tmp_path):
    command("baselines", elsewhere, "--out", tmp_path / "b")
    command("evaluate", tmp_path / "b" / "ease", elsewhere, "--out", tmp_path / "e", "--cutoffs", "5,10")
    refused(command("compare", finished.folder, tmp_path / "e"), "cannot be put side by side", "differ in", "the cases")


def test_compare_names_what_is_missing(command, finished, tmp_path):
    refused(command("compare", finished.folder, tmp_path), "per_user.parquet does not exist")
    called = command("compare", finished.folder, finished.folder, "--metric", "ndcg@99")
    refused(called, "metric 'ndcg@99' was not measured; present: ndcg@5")


def test_distil_refuses_knowledge_and_teachers_of_other_data(command, finished, elsewhere, tmp_path):
    distil = ["distil", elsewhere, "--out", tmp_path / "s", "--set", "model.max_length=10"]
    refused(command(*distil, "--knowledge", finished.folder / "knowledge"), "is of another catalogue")
    refused(command(*distil, "--teacher", finished.folder / "teacher"), "the teacher ranks another catalogue")
    assert not (tmp_path / "s").exists()


def test_distil_refuses_settings_that_it_would_ignore(command, finished, tmp_path):
    distil = ["distil", finished.folder / "data", "--out", tmp_path / "s"]
    refused(command(*distil, "--set", "distil.alpha=0.5"), "nothing to learn from; add --knowledge or --teacher")
    both = ["--knowledge", finished.folder / "knowledge", "--teacher", finished.folder / "teacher"]
    refused(command(*distil, *both), "both a knowledge folder and a teacher were given; choose one")
    refused(command(*distil, "--set", "train.epoch=3"), "--set: unknown setting 'train.epoch'; did you mean 'epochs'?")
    refused(command(*distil, "--knowledge", tmp_path / "nowhere"), "nowhere holds no manifest.json")


def test_teach_refuses_vectors_of_another_catalogue_and_a_folder_without_vectors(command, finished, small, tmp_path):
    log = pl.read_csv(small.folder / "world" / "interactions.csv").filter(pl.col("item_id") < 20)
    log.write_csv(tmp_path / "log.csv")
    command("data", tmp_path / "log.csv", "--out", tmp_path / "fewer")
    teach = ["teach", tmp_path / "fewer", finished.folder / "vectors", "--out", tmp_path / "t"]
    refused(command(*teach), "there are vectors of 24 items, and the catalogue has 20")
    teach = ["teach", finished.folder / "data", tmp_path, "--out", tmp_path / "t"]
    refused(command(*teach), "vectors.npy does not exist; expected a folder that `distilrec encode` wrote")


def test_a_stage_whose_folder_was_damaged_says_so(command, small, copied):
    (copied / "teacher" / "stage.json").write_text("{")
    refused(command("run", small.folder / "recipe.yaml", "--out", copied), "teacher/stage.json is not valid JSON")
    shutil.rmtree(copied / "teacher")
    assert Recommender.from_pretrained(copied / "artefact").n_items == 24
