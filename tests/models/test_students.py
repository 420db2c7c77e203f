"""Students are chosen by kind in a recipe, come in sizes, and all keep what every student promises."""

import numpy as np
import pytest
import torch
from torch import nn

from distilrec.config import Settings, parse
from distilrec.distil.initialise import reduce_table, start_from_teacher
from distilrec.errors import DataError, SettingsError
from distilrec.models.cnn import CNN, CNNSettings
from distilrec.models.ease import EASESettings
from distilrec.models.kinds import kinds, rebuild
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
from distilrec.models.tables import ContentTable, IdTable
from distilrec.models.transformer import Transformer, TransformerSettings
from distilrec.types import Batch, Ragged

N_ITEMS = 12
SEQUENCES = Ragged.of([[0, 1, 2, 3], [4, 5, 6, 7], [8, 9, 10, 11]])
FORMS = {
    "ligr": ("transformer", {"block": "ligr"}),
    "hstu": ("transformer", {"block": "hstu"}),
    "lstm": ("gru", {"cell": "lstm"}),
    "caser": ("cnn", {"form": "caser"}),
    "tied": ("matrix_factorisation", {"tables": "tied"}),
}
"""Settings that make another model of a kind."""


class Stage(Settings):
    """As a recipe has it."""

    model: StudentModel = TransformerStudent()


def chosen(**values):
    return parse(Stage, {"model": values}, where="student").model


@pytest.fixture(params=[*student_kinds(), *FORMS])
def make(request):
    """Makes a student of each kind whose weights are far from zero, so that every part of it shows."""
    kind, form = FORMS.get(request.param, (request.param, {}))

    def build(table=None, **changes):
        torch.manual_seed(0)
        settings = preset(kind, "tiny").with_changes(width=8, max_length=6, **form, **changes)
        model = build_student(settings, N_ITEMS, table=table, sequences=SEQUENCES)
        for parameter in model.parameters():
            nn.init.normal_(parameter, std=0.5)
        return model.eval()

    return build


def vectors(model, *histories):
    with torch.no_grad():
        return model.history_vectors(Batch.of(histories), model.item_vectors())


# ---- what every student promises


def test_a_later_item_changes_nothing_before_it(make):
    before, after = vectors(make(), [1, 2, 3, 4])[0], vectors(make(), [1, 2, 9, 4])[0]
    torch.testing.assert_close(before[:2], after[:2], rtol=0, atol=0)
    assert (before[2:] - after[2:]).abs().max() > 0.01


def test_an_earlier_item_counts(make):
    first, other = vectors(make(), [1, 2, 3], [7, 2, 3])[:, -1]
    assert (first - other).abs().max() > 1e-3


def test_each_position_is_what_its_prefix_gives_alone(make):
    whole = vectors(make(), [1, 2, 3, 4, 5, 6])[0]
    for length in range(1, 7):
        torch.testing.assert_close(vectors(make(), [1, 2, 3, 4, 5, 6][:length])[0, -1], whole[length - 1])


def test_one_user_is_scored_as_many_are(make):
    histories = [[1], [2, 3, 4, 5, 6], [7, 8]]
    model = make()
    alone = np.concatenate([model.scores(Batch.of([history])) for history in histories])
    np.testing.assert_allclose(model.scores(Batch.of(histories)), alone, rtol=1e-4, atol=1e-4)


def test_what_stands_in_the_padding_does_not_matter(make):
    model, batch = make(), Batch.of([[1, 2], [3, 4, 5]])
    dirty = Batch(np.where(batch.mask, batch.items, 11), batch.lengths)
    np.testing.assert_array_equal(model.scores(batch), model.scores(dirty))


def test_a_long_history_scores_as_its_newest_items_do(make):
    model, newest = make(), [1, 2, 3, 4, 0, 6]
    np.testing.assert_array_equal(model.scores(Batch.of([[5, 5, *newest]])), model.scores(Batch.of([newest])))


def test_no_histories_and_an_empty_history_score_without_complaint(make):
    model = make()
    assert model.scores(Batch.of([])).shape == (0, N_ITEMS)
    np.testing.assert_array_equal(model.scores(Batch.of([[]])), model.scores(Batch.of([[0]])))


def test_training_reaches_every_weight_in_bfloat16_and_about_as_in_float32(make):
    model, batch = make(embedding_dropout=0.0), Batch.of([[1, 2, 3], [4, 5]])
    exact = vectors(model, *[[1, 2, 3], [4, 5]])[torch.from_numpy(batch.mask)]
    with torch.autocast("cpu", torch.bfloat16):
        histories, items = model(batch)
    assert (histories.detach() - exact).norm() < 0.05 * exact.norm()
    loss = torch.logsumexp(histories.float() @ items.float().T, dim=1).sum()
    loss.backward()
    for name, parameter in model.named_parameters():
        assert torch.isfinite(parameter.grad).all(), name
        assert parameter.grad.abs().max() > 0, name


@pytest.mark.parametrize("content", [False, True])
def test_folded_and_rebuilt_it_scores_the_same_with_a_plain_table(make, content):
    model = make(ContentTable(np.eye(N_ITEMS, dtype=np.float32), 8) if content else None)
    batch = Batch.of([[1, 2, 3], [4]])
    wanted = model.scores(batch)
    np.testing.assert_allclose(model.fold().scores(batch), wanted, rtol=1e-5, atol=1e-5)
    again = rebuild(model.kind, model.settings.model_dump(), model.state())
    np.testing.assert_allclose(again.scores(batch), wanted, rtol=1e-5, atol=1e-5)
    assert isinstance(again.table, IdTable)


@pytest.mark.parametrize("name", [*student_kinds(), *FORMS])
def test_a_student_that_starts_from_a_teachers_table_has_its_directions_and_perhaps_biases(name):
    """Of LightGCN it is said without its rounds of smoothing."""
    kind, form = FORMS.get(name, (name, {"layers": 0} if name == "lightgcn" else {}))
    settings = preset(kind, "tiny").with_changes(width=8, **form)
    model = build_student(settings, N_ITEMS, sequences=SEQUENCES)
    teacher = np.random.default_rng(0).normal(size=(N_ITEMS, 10)).astype(np.float32)
    start_from_teacher(model.free_item_vectors(), teacher)
    width = 7 if kind in ("linear", "matrix_factorisation") else 8
    table = model.fold().item_vectors().detach().numpy()
    np.testing.assert_allclose(table[:, :width], reduce_table(teacher, width), rtol=1e-6)
    assert table.shape == (N_ITEMS, 8)
    assert np.abs(table[:, width:]).max(initial=0) < 0.2  # biases are as small as ever


def test_dropout_is_for_training_alone(make):
    model, batch = make(embedding_dropout=0.5).train(), Batch.of([[1, 2, 3]])
    assert not torch.equal(model(batch)[0], model(batch)[0])
    np.testing.assert_array_equal(model.scores(batch), model.scores(batch))
    assert model.training


def test_items_outside_the_catalogue_are_refused(make):
    with pytest.raises(DataError, match=r"item 12 is outside the catalogue of 12 items"):
        make()(Batch.of([[12]]))


@pytest.mark.parametrize("kind", [kind for kind in student_kinds() if kind != "lightgcn"])
def test_a_batch_longer_than_it_reads_is_refused(kind):
    """LightGCN reads the newest items at each position of a longer one."""
    model = build_student(preset(kind, "tiny").with_changes(max_length=6), N_ITEMS)
    with pytest.raises(SettingsError, match="histories have 7 positions; expected at most 6"):
        model(Batch.of([[1] * 7]))


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


def test_what_is_shipped_is_what_the_folded_model_holds(make):
    model = make()
    shipped = count_shipped(model.settings, N_ITEMS)
    assert shipped.total == model.fold().n_parameters
    assert shipped.tables >= N_ITEMS * 8


def test_tables_and_body_of_a_transformer_can_be_counted_by_hand():
    """Items 100 x 4; places 3 x 4, attention 60 + 20, feed-forward 20 + 20, three norms of 8."""
    shipped = count_shipped(TransformerSettings(width=4, max_length=3), 100)
    assert (shipped.tables, shipped.body, shipped.total) == (400, 156, 556)
