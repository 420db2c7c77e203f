"""What a proof's recipe says, what is refused in it, and the order of its cells."""

from pathlib import Path

import pytest
from quality_worlds import SOFT, recipe, student, values

from distilrec.config import load_yaml, parse
from distilrec.distil.settings import DistilSettings
from distilrec.errors import SettingsError
from distilrec.run.quality.cells import Cell, cells_of, chosen, seeds_of
from distilrec.run.quality.settings import CONTROLS, QualityRecipe

RECIPES = sorted((Path(__file__).parents[2] / "recipes" / "quality").glob("*.yaml"))
TWO = {"a": {}, "b": {}}


# ---- order


def names(cells):
    return [cell.name for cell in cells]


def test_each_student_alone_and_with_the_main_method_comes_first_then_method_by_method():
    found = names(cells_of(recipe(students=TWO, methods={"soft": SOFT, "warm": SOFT})))
    assert found[:6] == ["a/alone/0", "a/soft/0", "b/alone/0", "b/soft/0", "a/warm/0", "b/warm/0"]
    assert found[6:] == [f"{who}/{control}/0" for control in CONTROLS[1:] for who in "ab"]


def test_the_first_seed_of_everything_comes_before_the_second():
    seeds = [cell.seed for cell in cells_of(recipe(students=TWO, seeds=[3, 1]))]
    assert seeds == [3] * 12 + [1] * 12


def test_headline_methods_have_more_seeds_and_alone_beside_them():
    told = recipe(students=student(headline=["soft"]) | TWO, headline_seeds=[0, 1, 2])
    assert seeds_of(told, "small", "soft") == seeds_of(told, "small", "alone") == [0, 1, 2]
    assert seeds_of(told, "small", "label_smoothing") == seeds_of(told, "a", "alone") == [0]
    assert names(cells_of(told))[-4:] == ["small/alone/1", "small/soft/1", "small/alone/2", "small/soft/2"]


def test_a_student_may_have_some_methods_only_and_is_always_trained_alone():
    told = recipe(students=student(methods=["shuffled_teacher", "soft"]))
    assert [cell.method for cell in cells_of(told)] == ["alone", "soft", "shuffled_teacher"]


def test_some_cells_are_chosen_by_name_and_by_seed():
    cells = [Cell(who, "soft", seed) for who in ("gru", "cnn") for seed in (0, 1)]
    assert names(chosen(cells, only="^gru/")) == ["gru/soft/0", "gru/soft/1"]
    assert names(chosen(cells, only="gru|cnn/soft/1")) == ["gru/soft/0", "gru/soft/1", "cnn/soft/1"]
    assert names(chosen(cells, seeds=[1])) == ["gru/soft/1", "cnn/soft/1"]
    assert chosen(cells) == cells


def test_a_choice_of_nothing_is_refused():
    with pytest.raises(SettingsError, match=r"no cell fits --only 'lstm' and --seeds any; cells are named gru/soft/0"):
        chosen([Cell("gru", "soft", 0)], only="lstm")
    with pytest.raises(SettingsError, match=r"no cell fits --only None and --seeds \[7\]"):
        chosen([Cell("gru", "soft", 0)], seeds=[7])
    with pytest.raises(SettingsError, match=r"--only '\(' is no regular expression: missing \)"):
        chosen([Cell("gru", "soft", 0)], only="(")


# ---- methods


def test_controls_copy_the_first_method():
    told = recipe(methods={"warm": {"distil": {"temperature": 3.0}, "train": {"epochs": 9}}, "soft": SOFT})
    for name in ("self_distillation", "shuffled_teacher"):
        assert told.method(name).distil.temperature == 3.0
        assert told.method(name).train == {"epochs": 9}
    assert all(told.method(name).control for name in CONTROLS)
    assert not told.method("soft").control


def test_a_shuffled_teacher_gives_no_layers_since_those_cannot_be_shuffled():
    layers = {"distil": {"layers": {"blocks.0": "blocks.0"}, "pull": 0.1}}
    told = recipe(methods={"soft": layers})
    assert told.method("shuffled_teacher").distil == parse(DistilSettings, {})
    assert told.method("self_distillation").distil.layers == {"blocks.0": "blocks.0"}


def test_a_control_that_the_recipe_names_is_as_the_recipe_says():
    told = recipe(methods={"soft": SOFT, "label_smoothing": {"train": {"label_smoothing": 0.3}, "control": True}})
    assert told.train_settings("small", "label_smoothing", 0).label_smoothing == 0.3
    assert [cell.method for cell in cells_of(told)].count("label_smoothing") == 1


def test_a_method_changes_the_students_training_in_some_settings():
    told = recipe(methods={"soft": {**SOFT, "train": {"learning_rate": 0.01}}}, label_smoothing=0.2)
    alone, soft, smooth = (told.train_settings("small", name, 5) for name in ("alone", "soft", "label_smoothing"))
    assert soft == alone.with_changes(learning_rate=0.01)
    assert smooth == alone.with_changes(label_smoothing=0.2)
    assert alone.seed == 5


def test_the_length_of_lists_is_the_metrics():
    assert recipe(evaluate={"metric": "ndcg@5"}).cutoff == 5


# ---- refused


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"data": None}, "give either data, a log to read, or prepared, a folder of prepared data"),
        ({"prepared": "folder"}, "give either data, a log to read, or prepared"),
        (
            {"teacher": {"kind": "outside", "rankings": "lists.parquet"}},
            "teacher of kind outside speaks and is no model, so there is nothing to compare with",
        ),
        (
            {"other_teachers": {"gpt": {"kind": "zero_shot", "model": "gpt2"}}},
            "gpt of kind zero_shot speaks and is no model",
        ),
        (
            {"other_teachers": {"self": {"kind": "ease"}}},
            "other_teachers names one 'self', which means the student itself; call it something else",
        ),
        ({"methods": {"plain": {}}}, "the first method, plain, is what the controls copy; it needs distil"),
        (
            {"methods": {"soft": {**SOFT, "teacher": "bert"}}, "other_teachers": {"ease": {"kind": "ease"}}},
            r"methods\.soft\.teacher 'bert' is unknown; known: self, ease",
        ),
        ({"methods": {"soft": {**SOFT, "train": {"seed": 1}}}}, r"methods\.soft\.train\.seed: seeds come from seeds"),
        ({"methods": {"soft": {**SOFT, "train": {"epoch": 1}}}}, r"methods\.soft\.train: unknown setting 'epoch'"),
        (
            {"methods": {"soft": SOFT, "odd": {"shuffled": True, "teacher": "self"}}},
            "teacher and shuffled say what the teacher is, but without distil there is none",
        ),
        ({"methods": {}}, "methods: Dictionary should have at least 1 item"),
        ({"students": {}}, "students: Dictionary should have at least 1 item"),
        (
            {"students": student(methods=["hard"])},
            r"students\.small\.methods names 'hard'; known: soft, alone, label_smoothing, self_distillation",
        ),
        (
            {"students": student(methods=["soft"], headline=["shuffled_teacher"])},
            r"students\.small\.headline names 'shuffled_teacher', which is not among its methods",
        ),
        ({"students": student(train={"seed": 3})}, r"students\.small\.train\.seed: seeds come from seeds and headline"),
        ({"evaluate": {"metric": "mrr"}}, r"evaluate\.metric is 'mrr'; expected one of ndcg@5, ndcg@10, ndcg@20"),
        ({"evaluate": {"metric": "ndcg@7"}}, r"evaluate\.metric is 'ndcg@7'; expected one of ndcg@5, ndcg@10"),
        ({"students": student(method=["soft"])}, "unknown setting 'students.small.method'"),
    ],
)
def test_what_makes_no_sense_is_refused_before_anything_is_trained(changes, told):
    with pytest.raises(SettingsError, match=told):
        recipe(**changes)


def test_a_setting_of_a_method_that_is_wrong_is_named_with_its_place():
    told = recipe(methods={"soft": {**SOFT, "train": {"epochs": 0}}})
    with pytest.raises(
        SettingsError, match=r"methods\.soft\.train: epochs: Input should be greater than or equal to 1"
    ):
        told.train_settings("small", "soft", 0)


# ---- the recipes that come with DistilRec


@pytest.mark.parametrize("path", RECIPES, ids=lambda path: path.stem)
def test_the_recipes_are_sound(path):
    found = parse(QualityRecipe, load_yaml(path), where=str(path))
    cells = cells_of(found)
    for cell in cells:
        found.train_settings(cell.student, cell.method, cell.seed)
    assert {"alone", found.main, "shuffled_teacher"} <= {cell.method for cell in cells}


def test_there_are_recipes():
    assert {"beauty", "ml-1m", "smoke"} <= {path.stem for path in RECIPES}
    assert "data" not in values()
