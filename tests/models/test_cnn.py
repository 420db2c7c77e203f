"""Convolutions look backwards only, each filter at what its paper says."""

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from distilrec.config import parse
from distilrec.errors import SettingsError
from distilrec.models.cnn import CNN, Caser, CausalDepthwise, CNNSettings, DilatedBlock, _sliding_max
from distilrec.types import Batch

N_ITEMS = 12
DILATED = CNNSettings(width=4, blocks=2, kernel=3, max_length=9)
CASER = CNNSettings(width=4, form="caser", window=3, filters=2, vertical_filters=2, max_length=9)


def make(settings):
    """A model whose weights are far from zero, so that every part of it shows."""
    torch.manual_seed(0)
    model = CNN(settings, N_ITEMS)
    for parameter in model.parameters():
        nn.init.normal_(parameter, std=0.7)
    return model.eval()


def last_vector(model, history):
    with torch.no_grad():
        return model.history_vectors(Batch.of([history]), model.item_vectors())[0, -1]


def sequence(*values):
    return torch.tensor(values)[None, :, None]  # [1, L, 1]


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize(("dilation", "wanted"), [(1, [100, 210, 321, 432, 543]), (2, [100, 200, 310, 420, 531])])
def test_a_depthwise_filter_weighs_positions_a_dilation_apart_the_newest_with_its_last_number(
    dilation, wanted, training
):
    filters = CausalDepthwise(1, kernel=3, dilation=dilation).train(training)
    filters.weight.data = torch.tensor([[1.0, 10.0, 100.0]])
    assert filters(sequence(1.0, 2.0, 3.0, 4.0, 5.0)).flatten().tolist() == wanted


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("dilation", [1, 2, 3, 8])
@pytest.mark.parametrize("length", [1, 2, 7, 8])
def test_filters_in_training_and_in_ranking_are_the_dilated_convolution_of_torch(dilation, length, training):
    filters = CausalDepthwise(5, kernel=3, dilation=dilation).train(training)
    x = torch.randn(2, length, 5, requires_grad=True)
    before = F.pad(x.transpose(1, 2), (2 * dilation, 0))
    wanted = F.conv1d(before, filters.weight[:, None], dilation=dilation, groups=5).transpose(1, 2)
    torch.testing.assert_close(filters(x), wanted)
    slopes = torch.randn_like(wanted)
    torch.testing.assert_close(torch.autograd.grad(filters(x), x, slopes), torch.autograd.grad(wanted, x, slopes))


def test_a_block_is_two_convolutions_the_second_twice_as_wide_added_to_what_came_in():
    block, x = DilatedBlock(DILATED, dilation=4), torch.randn(2, 30, 4)
    block.scale.data.fill_(0.5)
    hidden = x
    for place, dilation in enumerate((4, 8)):
        depthwise = torch.zeros_like(hidden)
        for back in range(3):
            moved = F.pad(hidden, (0, 0, back * dilation, 0))[:, :30]
            depthwise += moved * block.depthwise[place].weight[:, 2 - back]
        hidden = F.relu(block.norms[place](block.pointwise[place](depthwise)))
    torch.testing.assert_close(block.eval()(x), x + 0.5 * hidden)


@pytest.mark.parametrize(("kernel", "blocks", "reach"), [(3, 1, 6), (2, 1, 3), (3, 2, 30), (2, 3, 63)])
def test_each_block_sees_four_times_as_far(kernel, blocks, reach):
    """Dilations 1 and 2, then 4 and 8, then 16 and 32, each kernel - 1 times."""
    model = make(DILATED.with_changes(kernel=kernel, blocks=blocks, max_length=80))
    model.body.requires_grad_(False)
    for parameter in model.body.parameters():
        parameter.abs_()  # nothing is rectified away for good
    histories = [[5] * 80 for _ in range(3)]
    histories[1][79 - reach], histories[2][78 - reach] = 6, 6
    same, within, without = (last_vector(model, history) for history in histories)
    assert not torch.equal(within, same)
    assert torch.equal(without, same)


def test_a_sliding_maximum_can_be_worked_out_in_the_head():
    assert _sliding_max(sequence(1.0, 3.0, 2.0, 5.0, 4.0), 3).flatten().tolist() == [3, 5, 5]


def test_a_vertical_filter_is_a_weighted_sum_of_the_window_the_newest_first():
    caser = Caser(CASER.with_changes(width=1, vertical_filters=1))
    caser.vertical.data = torch.tensor([[1.0, 10.0, 100.0]])
    assert caser._vertical(sequence(1.0, 2.0, 3.0, 4.0)).flatten().tolist() == [1, 12, 123, 234]


def test_a_horizontal_filter_gives_its_largest_value_within_the_window():
    """Sums of 1 and of 2 neighbours among the newest 2, zeros before the history."""
    caser = Caser(CASER.with_changes(width=1, window=2, filters=1))
    for weight in caser.horizontal:
        weight.data.fill_(1.0)
    found = caser._horizontal(sequence(3.0, 1.0, 2.0))[0]
    assert found.tolist() == [[3, 3], [3, 4], [2, 3]]


def literal_caser(model, vectors):
    """Equations 4 to 8 of the paper for the newest items of one history, filter by filter."""
    body, settings = model.body, model.settings
    window, width = settings.window, settings.width
    newest = torch.cat([torch.zeros(window, width), body.norm(vectors)])[-window:]  # [window, D]
    found = []
    for height in range(1, window + 1):
        for number in range(settings.filters):
            weight = body.horizontal[height - 1][:, number].view(height, width)
            bias = body.horizontal_bias[(height - 1) * settings.filters + number]
            values = [F.relu((newest[at : at + height] * weight).sum() + bias) for at in range(window - height + 1)]
            found.append(max(values)[None])
    found += [weights.flip(0) @ newest for weights in body.vertical]
    return model.norm(vectors[-1] + body.scale * body.out(torch.cat(found)))


@pytest.mark.parametrize("history", [[1], [1, 2], [3, 1, 2], [5, 5, 4, 3, 7, 9]])
@pytest.mark.parametrize("window", [1, 3, 4])
def test_at_every_position_caser_sees_what_the_paper_sees_of_that_prefix(history, window):
    model = make(CASER.with_changes(window=window))
    with torch.no_grad():
        wanted = literal_caser(model, model.item_vectors()[history])
    torch.testing.assert_close(last_vector(model, history), wanted, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(vector_at(model, [*history, 8, 8], len(history) - 1), wanted, rtol=1e-4, atol=1e-5)


def vector_at(model, history, place):
    with torch.no_grad():
        return model.history_vectors(Batch.of([history]), model.item_vectors())[0, place]


def test_caser_sees_no_further_than_its_window():
    model = make(CASER)
    assert torch.equal(last_vector(model, [1, 2, 3, 4]), last_vector(model, [9, 2, 3, 4]))
    assert not torch.equal(last_vector(model, [1, 2, 3, 4]), last_vector(model, [1, 9, 3, 4]))


def test_the_parameters_can_be_counted_by_hand():
    """Items 12 x 4; a convolution has 4 x 3, 4 x 4 + 4 and a norm of 8; a scale for each two; one norm at the end."""
    assert CNN(DILATED, N_ITEMS).n_parameters == 48 + 2 * (2 * (12 + 20 + 8) + 1) + 8
    # 2 filters of each of 1, 2, 3 items; their biases; 2 x 3 vertical; out of 6 + 2 x 4 and its scale; two norms
    assert CNN(CASER, N_ITEMS).n_parameters == 48 + 2 * 4 * (1 + 2 + 3) + 6 + 6 + (14 * 4 + 4 + 1) + 8 + 8


@pytest.mark.parametrize(
    ("shape", "changes"),
    [
        (DILATED, {"width": 5, "blocks": 1, "kernel": 2, "form": "caser"}),
        (CASER, {"width": 5, "window": 2, "filters": 1, "vertical_filters": 1, "form": "dilated"}),
    ],
)
def test_each_size_changes_how_much_is_learnt(shape, changes):
    for field, value in changes.items():
        other = CNN(shape.with_changes(**{field: value}), N_ITEMS)
        assert other.n_parameters != CNN(shape, N_ITEMS).n_parameters, field


@pytest.mark.parametrize("shape", [DILATED, CASER])
def test_it_begins_as_the_newest_item_itself(shape):
    """Normalised: its scores are the items most like it."""
    model = CNN(shape, N_ITEMS).eval()
    torch.testing.assert_close(last_vector(model, [1, 2, 3]), F.layer_norm(model.table.weight.detach()[3], (4,)))


@pytest.mark.parametrize("shape", [DILATED, CASER])
@pytest.mark.parametrize("field", ["dropout", "embedding_dropout"])
def test_each_dropout_alone_changes_training(shape, field):
    batch = Batch.of([[1, 2, 3]])
    for share, same in ((0.0, True), (0.5, False)):
        model = make(shape.with_changes(**{"dropout": 0.0, "embedding_dropout": 0.0, field: share})).train()
        torch.manual_seed(0)
        assert torch.equal(model(batch)[0], model(batch)[0]) == same


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"form": "wavenet"}, "form: Input should be 'dilated' or 'caser'"),
        ({"kernel": 1}, "kernel: Input should be greater than or equal to 2"),
        ({"blocks": 0}, "blocks: Input should be greater than or equal to 1"),
        ({"window": 0}, "window: Input should be greater than or equal to 1"),
        ({"vertical": 2}, "unknown setting 'vertical'; did you mean 'vertical_filters'"),
    ],
)
def test_settings_that_make_no_sense_are_refused(values, message):
    with pytest.raises(SettingsError, match=message):
        parse(CNNSettings, values)
