"""Settings: every problem is named with its field, and nothing unknown is let through."""

import copy

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import Field

from distilrec.config import Settings, apply_overrides, load_yaml, parse
from distilrec.errors import SettingsError


class Optimizer(Settings):
    rate: float = Field(default=0.001, gt=0)
    """How far one step goes."""
    betas: tuple[float, ...] = (0.9, 0.999)
    """Memory of the two running means."""


class Training(Settings):
    epochs: int = 10
    """Times through the data."""
    optimizer: Optimizer = Optimizer()
    """How to step."""
    teacher: Optimizer | None = None
    """A group that may be left out."""


def test_nothing_given_means_the_defaults():
    assert parse(Training, {}) == Training()


def test_the_line_under_a_field_is_its_description():
    assert Training.model_fields["epochs"].description == "Times through the data."


def test_settings_cannot_be_changed_in_place():
    with pytest.raises(ValueError, match="frozen"):
        Training().epochs = 3


def test_a_changed_copy_leaves_the_first_as_it_was():
    first = Training()
    assert first.with_changes(epochs=3).epochs == 3
    assert first.epochs == 10


def test_a_changed_copy_is_checked_too():
    with pytest.raises(SettingsError, match="unknown setting 'epoch'; did you mean 'epochs'"):
        Training().with_changes(epoch=3)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"epoch": 3}, "recipe: unknown setting 'epoch'; did you mean 'epochs'?"),
        ({"zzz": 3}, "unknown setting 'zzz'; known: epochs, optimizer, teacher"),
        ({"optimizer": {"rat": 1}}, "unknown setting 'optimizer.rat'; did you mean 'rate'?"),
        ({"teacher": {"rat": 1}}, "unknown setting 'teacher.rat'; did you mean 'rate'?"),
        ({"epochs": "many"}, "epochs: Input should be a valid integer.*got 'many'"),
        ({"optimizer": {"rate": -1}}, "optimizer.rate: Input should be greater than 0 .got -1"),
        ({"optimizer": 3}, "optimizer: Input should be a valid dictionary.*got 3"),
    ],
)
def test_a_wrong_setting_is_named_with_its_place(values, message):
    with pytest.raises(SettingsError, match=message.replace("?", r"\?")):
        parse(Training, values, where="recipe")


def test_all_problems_are_told_at_once():
    with pytest.raises(SettingsError, match=r"unknown setting 'a'.*; unknown setting 'b'"):
        parse(Training, {"a": 1, "b": 2})


def test_a_recipe_is_read_as_a_mapping(tmp_path):
    (tmp_path / "r.yaml").write_text("train:\n  epochs: 3\n", encoding="utf-8")
    assert load_yaml(tmp_path / "r.yaml") == {"train": {"epochs": 3}}


def test_a_missing_recipe_is_named(tmp_path):
    with pytest.raises(SettingsError, match=r"r\.yaml does not exist; expected a YAML recipe"):
        load_yaml(tmp_path / "r.yaml")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"a: [1,", "r.yaml is not valid YAML: while parsing"),
        (b"\xff\xfe\xfa", "r.yaml is not valid YAML: 'utf-8' codec"),
        (b"", "r.yaml holds nothing; expected a mapping of stages to settings"),
        (b"- a\n", "r.yaml holds a list; expected a mapping"),
        (
            b"!!python/object/apply:os.system [ls]",
            "could not determine a constructor",
        ),
    ],
)
def test_a_recipe_that_is_no_recipe_is_named(tmp_path, content, message):
    """The last one would run a program if YAML were read carelessly."""
    (tmp_path / "r.yaml").write_bytes(content)
    with pytest.raises(SettingsError, match=message):
        load_yaml(tmp_path / "r.yaml")


@pytest.mark.parametrize(
    ("text", "value"),
    [("true", True), ("0.5", 0.5), ("[1, 2]", [1, 2]), ("gru", "gru"), ("", None), ("a=b", "a=b")],
)
def test_an_override_keeps_the_type_that_yaml_gives_it(text, value):
    assert apply_overrides({}, [f"train.key={text}"]) == {"train": {"key": value}}


def test_a_rate_may_be_written_as_a_power_of_ten():
    """YAML reads 1e-3 as text, since it has no point; the settings class makes it a number."""
    assert parse(Training, apply_overrides({}, ["optimizer.rate=1e-3"])).optimizer.rate == 0.001


def test_later_overrides_win_and_neighbours_stay():
    values = {"train": {"epochs": 1, "rate": 2}}
    assert apply_overrides(values, ["train.epochs=3", "train.epochs=4"]) == {"train": {"epochs": 4, "rate": 2}}


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("epochs", "--set 'epochs': expected stage.key=value"),
        ("=3", "--set '=3': expected stage.key=value"),
        ("a=[1", r"--set 'a=\[1': while parsing"),
        ("train.epochs.x=3", "--set train.epochs.x: epochs is 1, not a group of settings"),
    ],
)
def test_an_override_that_makes_no_sense_is_named(override, message):
    with pytest.raises(SettingsError, match=message):
        apply_overrides({"train": {"epochs": 1}}, [override])


KEYS = st.sampled_from(["a", "b", "c"])
TREES = st.dictionaries(KEYS, st.dictionaries(KEYS, st.dictionaries(KEYS, st.integers())))


@given(values=TREES, path=st.tuples(KEYS, KEYS, KEYS), number=st.integers())
def test_an_override_sets_one_value_and_never_touches_what_it_was_given(values, path, number):
    before = copy.deepcopy(values)
    first, second, third = path
    changed = apply_overrides(values, [f"{first}.{second}.{third}={number}"])
    assert values == before
    assert changed[first][second].pop(third) == number
    before.setdefault(first, {}).setdefault(second, {}).pop(third, None)
    assert changed == before
