import math

import pytest
import torch

from distilrec.distil.losses.relations import attention_transfer, relation_kl
from distilrec.errors import KnowledgeError, SettingsError
from distilrec.models.taps import Tap, causal_shares, tapped
from distilrec.models.transformer import Transformer, TransformerSettings
from distilrec.types import Batch

LENGTHS = torch.tensor([3, 1, 4])
LOSSES = {
    "kl": lambda *maps: attention_transfer(*maps),
    "mse": lambda *maps: attention_transfer(*maps, kind="mse"),
    "relation": relation_kl,
}
every_loss = pytest.mark.parametrize("loss", LOSSES.values(), ids=LOSSES)


def maps(heads=2, length=4, seed=0, dtype=torch.float32):
    """Causal shares, [3, heads, length, length]."""
    generator = torch.Generator().manual_seed(seed)
    query, key = torch.randn((2, 3, heads, length, 3), generator=generator, dtype=dtype)
    return causal_shares(query, key).to(dtype)


def pairs(shares, lengths=LENGTHS):
    """As a knowledge folder has them, [sum of squared lengths, heads]."""
    squares = [shares[row, :, :n, :n].permute(1, 2, 0).reshape(n * n, -1) for row, n in enumerate(lengths)]
    return torch.cat(squares)


def literal(student, teacher, lengths, kind):
    """Position by position, head by head, one key at a time."""
    losses = []
    for window, n in enumerate(lengths.tolist()):
        for i in range(n):
            heads = []
            for s, t in zip(student[window, :, i].tolist(), teacher[window, :, i].tolist(), strict=True):
                seen = list(zip(s[: i + 1], t[: i + 1], strict=True))
                heads.append(sum((b - a) ** 2 if kind == "mse" else b * math.log(b / a) for a, b in seen))
            losses.append(sum(heads) / len(heads))
    return torch.tensor(losses)


def test_the_divergence_by_hand():
    # One window of two: the first position can look at itself alone; the second halves what the teacher quarters.
    student = torch.tensor([[[[1.0, 0.0], [1 / 2, 1 / 2]]]])
    teacher = torch.tensor([[1.0], [0.0], [1 / 4], [3 / 4]])
    loss = attention_transfer(student, teacher, torch.tensor([2]))
    torch.testing.assert_close(loss, torch.tensor([0, math.log(1 / 2) / 4 + 3 * math.log(3 / 2) / 4]))
    squares = attention_transfer(student, teacher, torch.tensor([2]), kind="mse")
    assert squares.tolist() == [0, 1 / 8]  # two times (1 / 4)**2


@pytest.mark.parametrize("kind", ["kl", "mse", "relation"])
def test_a_literal_loop_gives_the_same(kind):
    student, teacher = maps(seed=0), maps(seed=1)
    loss = LOSSES[kind](student, pairs(teacher), LENGTHS)
    assert loss.shape == (8,)  # one a real position
    torch.testing.assert_close(loss, literal(student, teacher, LENGTHS, kind))


@every_loss
def test_equal_maps_lose_nothing_and_others_something(loss):
    torch.testing.assert_close(loss(maps(), pairs(maps()), LENGTHS), torch.zeros(8))
    later = torch.tensor([False, True, True, False, False, True, True, True])  # a first position has no choice
    assert torch.equal(loss(maps(), pairs(maps(seed=1)), LENGTHS) > 1e-5, later)


@every_loss
def test_padding_does_not_matter(loss):
    student, teacher = maps(), pairs(maps(seed=1))
    padded = maps(length=6, seed=2)
    padded[:, :, :4, :4] = student
    torch.testing.assert_close(loss(padded, teacher, LENGTHS), loss(student, teacher, LENGTHS))


@every_loss
def test_what_a_teacher_gave_to_later_items_is_left_out(loss):
    seeing, causal = maps(seed=1), maps(seed=1)
    seeing[0, :, 0, :3] = torch.tensor([0.2, 0.3, 0.5])  # the first position looks ahead
    torch.testing.assert_close(loss(maps(), pairs(seeing), LENGTHS), loss(maps(), pairs(causal), LENGTHS))


@every_loss
def test_half_precision_shares_are_scaled_to_one(loss):
    teacher = pairs(maps(seed=1))
    found = loss(maps(), teacher * 0.5, LENGTHS)
    torch.testing.assert_close(found, loss(maps(), teacher, LENGTHS))
    assert loss(maps().bfloat16(), teacher.half(), LENGTHS).dtype == torch.float32


@pytest.mark.parametrize("kind", ["kl", "mse"])
def test_unlike_numbers_of_heads_are_compared_by_their_means(kind):
    student, teacher = maps(heads=2), maps(heads=3, seed=1)
    wanted = literal(student.mean(1, keepdim=True), teacher.mean(1, keepdim=True), LENGTHS, kind)
    torch.testing.assert_close(attention_transfer(student, pairs(teacher), LENGTHS, kind=kind), wanted)


@every_loss
def test_gradients_are_right_and_zero_at_padding(loss):
    student = maps(dtype=torch.float64).requires_grad_()
    teacher = pairs(maps(seed=1, dtype=torch.float64))
    future = torch.ones(4, 4, dtype=torch.bool).triu(1)

    def of_scores(scores):
        return loss(scores.masked_fill(future, float("-inf")).softmax(-1), teacher, LENGTHS)

    assert torch.autograd.gradcheck(of_scores, torch.randn(3, 2, 4, 4, dtype=torch.float64, requires_grad=True))
    loss(student, teacher, LENGTHS).sum().backward()
    assert student.grad[1, :, 1:].abs().sum() == 0
    assert student.grad[1, :, :, 1:].abs().sum() == 0
    assert student.grad[0, :, :3].abs().sum() > 0


def test_a_share_that_is_all_but_zero_is_still_pulled_up():
    scores = torch.tensor([[[[0.0, float("-inf")], [80.0, 0.0]]]], requires_grad=True)  # exp(-80) is about 1e-35
    teacher = torch.tensor([[1.0], [0.0], [0.5], [0.5]])
    attention_transfer(scores.softmax(-1), teacher, torch.tensor([2])).sum().backward()
    torch.testing.assert_close(scores.grad[0, 0, 1], torch.tensor([0.5, -0.5]))  # s - t


@pytest.mark.parametrize("tap", [Tap("attention", "blocks.0"), Tap("relation", "blocks.0", heads=2)])
def test_a_model_agrees_with_what_was_taken_out_of_it(tap):
    model = Transformer(TransformerSettings(width=8, heads=2, max_length=4, dropout=0), n_items=9).eval()
    batch = Batch.of([[1, 2, 3], [4], [5, 6, 7, 8]])
    with torch.no_grad(), tapped(model, [tap]) as taps:
        model.history_vectors(batch, model.item_vectors())
    loss = attention_transfer if tap.kind == "attention" else relation_kl
    found = loss(taps.caught[tap], taps.rows(batch)[tap.column].half(), torch.from_numpy(batch.lengths))
    torch.testing.assert_close(found, torch.zeros(8), atol=1e-5, rtol=0)


def test_a_batch_without_windows_has_no_losses():
    empty = torch.zeros(0, dtype=torch.int64)
    assert attention_transfer(torch.zeros(0, 2, 4, 4), torch.zeros(0, 2), empty).shape == (0,)


@every_loss
def test_maps_of_other_windows_are_refused(loss):
    with pytest.raises(KnowledgeError, match="has 25 pairs of positions where the windows have 26; they are of other"):
        loss(maps(), pairs(maps())[:-1], LENGTHS)
    with pytest.raises(SettingsError, match=r"lengths \[3, 1, 5\] do not fit 3 windows of at most 4 positions"):
        loss(maps(), pairs(maps()), torch.tensor([3, 1, 5]))
    with pytest.raises(SettingsError, match="do not fit 3 windows"):
        loss(maps(), pairs(maps()), torch.tensor([3, 1]))
    with pytest.raises(SettingsError, match=r"shape \(3, 2, 4, 3\) .* expected \[B, heads, L, L\]"):
        loss(maps()[..., :3], pairs(maps()), LENGTHS)


def test_settings_that_make_no_sense_are_refused():
    with pytest.raises(SettingsError, match="attention transfer is by 'l1'; expected kl or mse"):
        attention_transfer(maps(), pairs(maps()), LENGTHS, kind="l1")
    message = "relations have 2 heads and the teacher's 3; split the student's layer into 3 relation heads"
    with pytest.raises(SettingsError, match=message):
        relation_kl(maps(heads=2), pairs(maps(heads=3)), LENGTHS)
