"""A student takes its teacher's layers over, as they are or along fewer directions."""

import numpy as np
import pytest
import torch
from torch import nn

from distilrec.distil.initialise import principal_directions
from distilrec.distil.weights import copy_layers, map_layers, pull_towards
from distilrec.errors import SettingsError
from distilrec.models.transformer import Transformer, TransformerSettings
from distilrec.types import Batch

V = np.array([[0.6], [0.8]], np.float32)  # one direction of a plane


class Parts(nn.Module):
    """A layer of every sort that is mapped in a way of its own."""

    def __init__(self, width, hidden=6):
        super().__init__()
        self.square = nn.Linear(width, width)
        self.three = nn.Linear(width, 3 * width, bias=False)
        self.widen = nn.Linear(width, hidden, bias=False)
        self.norm = nn.LayerNorm(width)
        self.places = nn.Embedding(2, width)


def transformer(blocks=1, width=8, seed=0, **settings):
    torch.manual_seed(seed)
    settings = TransformerSettings(width=width, blocks=blocks, max_length=4, heads=1, **settings)
    return Transformer(settings, n_items=6).eval()


def state(module):
    return {name: value.detach().numpy().copy() for name, value in module.state_dict().items()}


def one(name, teacher_value, *, width=1, directions=V, **parts):
    """A single teacher weight in the shape of a student's."""
    teacher = {name: np.array(teacher_value, np.float32)}
    return map_layers(Parts(width, **parts), teacher, {name: name}, directions=directions)[name].numpy()


def test_a_layer_of_the_same_shape_is_copied():
    teacher, student = transformer(blocks=2, seed=1), transformer(blocks=1, seed=2)
    before = student.norm.weight.clone()
    mapped = copy_layers(student, teacher.state(), {"blocks.0": "blocks.1"})
    for name, value in teacher.blocks[1].state_dict().items():
        assert torch.equal(student.blocks[0].state_dict()[name], value)
        assert torch.equal(mapped[f"blocks.0.{name}"], value)
    assert torch.equal(student.norm.weight, before)
    assert all(parameter.requires_grad for parameter in student.parameters())


def test_a_student_made_of_all_of_its_teacher_is_its_teacher():
    teacher, student = transformer(blocks=2, seed=1), transformer(blocks=2, seed=2)
    layers = {path: path for path in ("blocks.0", "blocks.1", "norm", "positions", "table")}
    copy_layers(student, teacher.state(), layers)
    batch = Batch.of([[1, 2, 3], [4]])
    assert np.array_equal(student.scores(batch), teacher.scores(batch))


def test_one_layer_of_the_teacher_may_start_several():
    teacher, student = transformer(seed=1), transformer(blocks=2, seed=2)
    copy_layers(student, teacher.state(), {"blocks.0": "blocks.0", "blocks.1": "blocks.0"})
    assert torch.equal(student.blocks[0].attention_out.weight, student.blocks[1].attention_out.weight)


def test_a_single_weight_can_be_named():
    teacher, student = transformer(seed=1), transformer(seed=2)
    copy_layers(student, teacher.state(), {"positions.weight": "positions.weight"})
    assert torch.equal(student.positions.weight, teacher.positions.weight)


def test_a_square_matrix_is_seen_along_the_directions_on_both_sides():
    """0.6 * 0.6 * 1 + 0.6 * 0.8 * (2 + 3) + 0.8 * 0.8 * 4"""
    np.testing.assert_allclose(one("square.weight", [[1, 2], [3, 4]]), [[0.36 + 0.48 * 5 + 0.64 * 4]], rtol=1e-6)


def test_a_bias_is_seen_along_the_directions():
    np.testing.assert_allclose(one("square.bias", [1, 2]), [0.6 * 1 + 0.8 * 2], rtol=1e-6)


def test_queries_keys_and_values_are_mapped_each_for_itself():
    teacher = np.concatenate([np.full((2, 2), number) for number in (1, 10, 100)])
    whole = (0.6 + 0.8) ** 2
    np.testing.assert_allclose(one("three.weight", teacher), [[whole], [10 * whole], [100 * whole]], rtol=1e-6)


def test_a_hidden_layer_of_equal_size_is_mapped_on_the_side_of_the_width_alone():
    teacher = np.tile([1, 2], (5, 1))  # 5 is no multiple of the width
    np.testing.assert_allclose(one("widen.weight", teacher, hidden=5), [[0.6 + 1.6]] * 5, rtol=1e-6)


def test_a_hidden_layer_that_happens_to_be_of_two_widths_stays_when_the_student_has_as_many():
    teacher = np.tile([1, 2], (4, 1))
    np.testing.assert_allclose(one("widen.weight", teacher, hidden=4), [[0.6 + 1.6]] * 4, rtol=1e-6)


def test_the_places_of_a_table_are_no_directions_even_when_there_are_as_many():
    np.testing.assert_allclose(one("places.weight", [[1, 0], [0, 1]]), [[0.6], [0.8]], rtol=1e-6)


def test_the_gain_of_a_norm_is_a_mean_and_its_bias_is_not():
    np.testing.assert_allclose(one("norm.weight", [1, 1]), [1], rtol=1e-6)
    np.testing.assert_allclose(one("norm.weight", [1, 2]), [0.36 * 1 + 0.64 * 2], rtol=1e-6)
    np.testing.assert_allclose(one("norm.bias", [1, 1]), [1.4], rtol=1e-6)


def test_with_equal_widths_directions_turn_the_weights_too():
    """A table reduced to its own width is turned, so the layers have to be."""
    swap = np.array([[0, 1], [1, 0]], np.float32)
    turned = one("square.weight", [[1, 2], [3, 4]], width=2, directions=swap)
    np.testing.assert_array_equal(turned, [[4, 3], [2, 1]])


@pytest.mark.parametrize("seed", range(5))
def test_what_a_layer_does_along_the_directions_is_kept(seed):
    """With x = V c, the student's layer gives for c what the teacher's gives for x, seen along V."""
    draw = np.random.default_rng(seed)
    directions = principal_directions(draw.normal(size=(20, 6)).astype(np.float32), 3)
    torch.manual_seed(seed)
    teacher, student = Parts(6), Parts(3)
    copy_layers(student, state(teacher), {"square": "square"}, directions=directions)
    along, c = torch.from_numpy(directions), torch.randn(4, 3)
    torch.testing.assert_close(student.square(c), teacher.square(c @ along.T) @ along, rtol=1e-4, atol=1e-5)


def test_a_narrower_student_takes_all_of_a_teacher_and_runs():
    teacher, student = transformer(width=8, seed=1), transformer(width=4, seed=2)
    table = teacher.item_vectors().detach().numpy()
    layers = {path: path for path in ("blocks.0", "norm", "positions")}
    mapped = copy_layers(student, teacher.state(), layers, directions=principal_directions(table, 4))
    assert mapped.keys() == {name for name, _ in student.named_parameters()} - {"table.weight"}
    assert np.isfinite(student.scores(Batch.of([[1, 2, 3]]))).all()


@pytest.mark.parametrize(("a", "expected"), [(0.0, 1.0), (0.25, 2.0), (1.0, 5.0)])
def test_weights_are_moved_part_of_the_way(a, expected):
    """From 1 towards 5."""
    student = nn.Linear(2, 1)
    nn.init.ones_(student.weight)
    before = student.bias.clone()
    pull_towards(student, {"weight": torch.full((1, 2), 5.0)}, a)
    assert student.weight.tolist() == [[expected] * 2]
    assert torch.equal(student.bias, before)
    assert student.weight.requires_grad


def test_pulling_again_and_again_ends_at_the_teacher():
    teacher, student = transformer(seed=1), transformer(seed=2)
    mapped = map_layers(student, teacher.state(), {"blocks.0": "blocks.0"})
    for _ in range(60):
        pull_towards(student, mapped, 0.3)
    torch.testing.assert_close(student.blocks[0].state_dict(), teacher.blocks[0].state_dict())


@pytest.mark.parametrize("a", [-0.1, 1.1, float("nan")])
def test_weights_are_not_moved_beyond_the_teacher(a):
    with pytest.raises(SettingsError, match=f"moved {a} of the way to the teacher's; expected a number from 0 to 1"):
        pull_towards(nn.Linear(1, 1), {}, a)


def test_a_weight_that_the_student_lacks_can_not_be_moved():
    with pytest.raises(SettingsError, match="the student has no weight 'weigth'; near it are weight"):
        pull_towards(nn.Linear(1, 1), {"weigth": torch.zeros(1, 1)}, 0.5)


@pytest.mark.parametrize(
    ("layers", "message"),
    [
        ({"block.0": "blocks.0"}, "the student has no layer 'block.0' with weights; near it are blocks.0, blocks"),
        ({"blocks.0": "blocks.7"}, "the teacher has no layer 'blocks.7' with weights; near it are blocks.0, blocks"),
        ({"": "blocks.0"}, "the student has no layer '' with weights; near it are blocks, blocks.0"),
        ({"zzz": "norm"}, "the student has no layer 'zzz' with weights; near it are blocks, "),
    ],
)
def test_an_unknown_layer_is_refused_with_those_near_it(layers, message):
    with pytest.raises(SettingsError, match=message):
        copy_layers(transformer(), transformer().state(), layers)


def test_layers_of_other_parts_are_refused():
    message = (
        r"the student's blocks.0 and the teacher's norm are not made of the same parts \(blocks.0.attention_norm.bias"
    )
    with pytest.raises(SettingsError, match=message):
        copy_layers(transformer(), transformer().state(), {"blocks.0": "norm"})


def test_widths_that_differ_are_refused_without_directions():
    message = (
        r"the teacher's blocks.0.attention_norm.weight has shape \(8,\), the student's blocks.0.attention_norm.weight "
        r"\(4,\), which differ; give the directions that the student's item table was reduced along"
    )
    with pytest.raises(SettingsError, match=message):
        copy_layers(transformer(width=4), transformer(width=8).state(), {"blocks.0": "blocks.0"})


def test_a_student_is_left_alone_when_a_later_layer_is_refused():
    student, teacher = transformer(), transformer(seed=1)
    before = state(student)
    with pytest.raises(SettingsError, match="no layer 'norn'"):
        copy_layers(student, teacher.state(), {"blocks.0": "blocks.0", "norn": "norm"})
    assert all(np.array_equal(value, before[name]) for name, value in state(student).items())


@pytest.mark.parametrize(
    ("name", "value"), [("square.weight", np.zeros((3, 2))), ("square.weight", np.zeros(2)), ("places.weight", V.T)]
)
def test_a_shape_that_can_not_be_mapped_is_refused(name, value):
    message = r"has shape .*, the student's .* can not be mapped along directions \(2, 1\): each side has to be equal"
    with pytest.raises(SettingsError, match=message):
        one(name, value)


def test_a_damaged_teacher_is_refused():
    with pytest.raises(SettingsError, match=r"the teacher's norm\.bias holds NaN or infinity; train the teacher again"):
        one("norm.bias", [1, np.nan])


@pytest.mark.parametrize(
    ("directions", "message"),
    [
        (np.ones(2), r"directions have shape \(2,\); expected \[teacher's width, student's width\]"),
        (np.ones((2, 1)), "directions are not of length 1 and at right angles; take them from"),
    ],
)
def test_directions_are_of_length_one_and_at_right_angles(directions, message):
    with pytest.raises(SettingsError, match=message):
        one("norm.bias", [1, 2], directions=directions)
