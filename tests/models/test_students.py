"""Students are chosen by kind in a recipe and come in sizes; what all of them promise is in tests/contracts."""

import pytest

from distilrec.config import Settings, parse
from distilrec.errors import SettingsError
from distilrec.models.cnn import CNN, CNNSettings
from distilrec.models.ease import EASESettings
from distilrec.models.kinds import kinds
from distilrec.models.lightgcn import LightGCNSettings
from distilrec.models.students import (
    SIZES,
    CNNStudent,
    StudentModel,
    TransformerStudent,
    build_student,
    count_shipped,
    plain_settings,
    preset,
    student_kinds,
)
from distilrec.models.tables import IdTable
from distilrec.models.transformer import Transformer, TransformerSettings
from distilrec.types import Ragged

N_ITEMS = 12
SEQUENCES = Ragged.of([[0, 1, 2, 3], [4, 5, 6, 7], [8, 9, 10, 11]])


class Stage(Settings):
    """As a recipe has it."""

    model: StudentModel = TransformerStudent()


def chosen(**values):
    return parse(Stage, {"model": values}, where="student").model


# ---- a recipe's words


def test_a_recipe_that_names_no_kind_means_a_transformer():
    assert Stage().model == TransformerStudent() == chosen()
    assert chosen(width=8) == TransformerStudent(width=8)


@pytest.mark.parametrize("kind", student_kinds())
def test_a_kind_names_its_own_settings_and_its_model(kind):
    settings = chosen(kind=kind, width=8)
    model = build_student(settings, N_ITEMS, sequences=SEQUENCES)
    assert model.kind == kind
    assert type(model.settings) is type(plain_settings(settings)) is type(preset(kind, "tiny"))
    assert "kind" not in model.settings.model_dump()
    assert model.settings.width == 8
    assert parse(Stage, {"model": settings.model_dump()}).model == settings
    assert kind in kinds()


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"kind": "gru9"}, "student: model: unknown kind of student; known: transformer, .*matrix_factorisation"),
        ({"kind": "cnn", "blocs": 2}, "unknown setting 'model.blocs'; did you mean 'blocks'"),
        ({"kind": "lightgcn", "heads": 2}, "unknown setting 'model.heads'; known: .*kind, layers, .*preset"),
        ({"widht": 3}, "unknown setting 'model.widht'; did you mean 'width'"),
        ({"kind": "cnn", "width": 0}, "student: model.width: Input should be greater than or equal to 1"),
        ({"preset": "huge"}, "model.preset: Input should be 'tiny', 'small' or 'base' .got 'huge'."),
        ({"preset": ["small"]}, "model.preset: Input should be 'tiny', 'small' or 'base'"),
    ],
)
def test_wrong_words_are_refused_and_tags_are_not_shown(values, message):
    with pytest.raises(SettingsError, match=message) as caught:
        chosen(**values)
    assert "<" not in str(caught.value)


def test_a_student_that_is_no_mapping_is_refused():
    with pytest.raises(SettingsError, match=r"model: .*TransformerStudent.*got 3"):
        parse(Stage, {"model": 3})


# ---- presets


def test_named_settings_win_over_the_preset_and_the_preset_over_the_defaults():
    settings = chosen(preset="base", width=48)
    assert (settings.width, settings.blocks, settings.heads) == (48, 2, 2)
    assert TransformerStudent(preset="base", width=48) == settings
    assert chosen(kind="cnn", preset="tiny").blocks == 1 < CNNSettings().blocks


def test_a_preset_is_gone_once_it_is_filled_in_so_equal_settings_are_equal():
    settings = chosen(kind="cnn", preset="small")
    assert settings == CNNStudent(**preset("cnn", "small").model_dump())
    assert "preset" not in settings.model_dump()


@pytest.mark.parametrize("kind", student_kinds())
def test_presets_grow(kind):
    sizes = [count_shipped(preset(kind, size), 1000).total for size in SIZES]
    assert sizes == sorted(set(sizes))
    assert [preset(kind, size).width for size in SIZES] == [32, 64, 128]


def test_unknown_presets_are_refused():
    with pytest.raises(SettingsError, match="student kind 'ease' is unknown; known: transformer, "):
        preset("ease", "small")
    with pytest.raises(SettingsError, match="student size 'huge' is unknown; known: tiny, small, base"):
        preset("cnn", "huge")


# ---- making one, and its size


def test_a_student_takes_the_table_it_is_given():
    table = IdTable(N_ITEMS, 8)
    model = build_student(CNNSettings(width=8), N_ITEMS, table=table)
    assert isinstance(model, CNN)
    assert model.table is table


def test_settings_of_a_larger_class_become_the_models_own():
    class Wide(TransformerSettings):
        width: int = 16

    model = build_student(Wide(), N_ITEMS)
    assert isinstance(model, Transformer)
    assert model.settings == TransformerSettings(width=16)


def test_a_graph_needs_the_training_sequences():
    with pytest.raises(SettingsError, match="a lightgcn student is made on the graph of the training sequences; give"):
        build_student(LightGCNSettings(width=8), N_ITEMS)
    assert build_student(LightGCNSettings(width=8), N_ITEMS, sequences=SEQUENCES).graph is not None


def test_settings_of_no_student_are_refused():
    with pytest.raises(SettingsError, match="EASESettings are no student's settings; known: transformer, "):
        build_student(EASESettings(), N_ITEMS)


def test_tables_and_body_of_a_transformer_can_be_counted_by_hand():
    """Items 100 x 4; places 3 x 4, attention 60 + 20, feed-forward 20 + 20, three norms of 8."""
    shipped = count_shipped(TransformerSettings(width=4, max_length=3), 100)
    assert (shipped.tables, shipped.body, shipped.total) == (400, 156, 556)
