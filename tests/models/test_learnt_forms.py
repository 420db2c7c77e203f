"""What training sees of an array is what its stored parts decode to, and gradients reach what is learnt."""

import numpy as np
import pytest
import torch

from distilrec.errors import SettingsError
from distilrec.models.learnt_forms import learn_in_form, refresh, stored_parts
from distilrec.models.rounding import Rounding
from distilrec.models.tables import IdTable
from distilrec.storage import (
    BFloat16,
    Codebooks,
    Float16,
    Float32,
    Hashed,
    Int4,
    Int8,
    LowRank,
    QuotientRemainder,
    SharedRows,
    Sparse,
)

TABLE = np.random.default_rng(0).normal(size=(12, 6)).astype(np.float32)
PRUNED = np.where(np.abs(TABLE) > 0.5, TABLE, 0).astype(np.float32)
PAIRS = TABLE[np.arange(12) // 2]
ROUNDED = [Float32(), Float16(), BFloat16(), Int8(), Int8(scales="float32"), Int4(), Int4(group=3, scales="float32")]
GATHERED = [
    (Sparse(block=4), PRUNED),
    (Sparse(block=4, values="int8"), PRUNED),
    (SharedRows(), PAIRS),
    (SharedRows(rows="int4"), PAIRS),
    (Codebooks(codes=3, bits=4), TABLE),
    (Codebooks(codes=2, bits=4, unit_rows=True, books="int8"), TABLE),
]
MULTIPLIED = [
    (LowRank(rank=2), TABLE),
    (LowRank(rank=2, left="int8", right="float16"), TABLE),
    (Codebooks(codes=3, bits=4, rotate=True), TABLE),
]
LEARNT = [
    (Hashed(n_rows=12, buckets=5, hashes=2), {"table": TABLE[:5]}),
    (Hashed(n_rows=12, buckets=5, table="int8"), {"table": TABLE[:5]}),
    (QuotientRemainder(n_rows=12, buckets=4), {"quotients": TABLE[:3], "remainders": TABLE[3:7]}),
    (QuotientRemainder(n_rows=12, buckets=4, combine="product"), {"quotients": TABLE[:3], "remainders": TABLE[3:7]}),
]
CASES = [(form, {"values": TABLE}) for form in ROUNDED]
CASES += [(form, form.unpack(form.encode(table))) for form, table in GATHERED]
CASES += LEARNT


def learning(form, plain, **changes):
    table = IdTable(12, 6)
    learn_in_form(table, "weight", form, plain, **changes)
    return table


def moved(table, steps=3):
    """After a few steps towards a table of ones."""
    optimizer = torch.optim.SGD(table.parameters(), lr=0.05)
    for _ in range(steps):
        loss = ((table() - 1) ** 2).sum()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return table


@pytest.mark.parametrize(("form", "plain"), CASES, ids=str)
@pytest.mark.parametrize("again", [False, True], ids=["between epochs", "after one"])
def test_every_bit_that_training_sees_is_what_is_stored(form, plain, again):
    table = moved(learning(form, plain))
    if again:
        refresh(table)
    seen = table().detach().numpy()
    np.testing.assert_array_equal(form.decode(stored_parts(table, "weight")), seen)


@pytest.mark.parametrize(("form", "table"), MULTIPLIED, ids=str)
def test_where_parts_are_multiplied_only_the_order_of_sums_differs(form, table):
    learnt = moved(learning(form, form.unpack(form.encode(table))))
    np.testing.assert_allclose(form.decode(stored_parts(learnt, "weight")), learnt().detach(), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(("form", "plain"), CASES, ids=str)
def test_learning_reaches_the_parts(form, plain):
    table = learning(form, plain)
    before = ((table() - 1) ** 2).sum().item()
    assert ((moved(table, steps=30)() - 1) ** 2).sum().item() < 0.95 * before


@pytest.mark.parametrize(("form", "plain"), CASES, ids=str)
def test_it_starts_as_the_form_would_decode_it(form, plain):
    expected = form.decode(form.encode(TABLE)) if plain.keys() == {"values"} else form.decode(form.pack(plain))
    if isinstance(form, Sparse):
        expected = PRUNED if form.values is None else expected
    np.testing.assert_allclose(learning(form, plain)().detach(), expected, rtol=1e-6, atol=1e-6)


def test_the_gradient_goes_straight_through_but_not_where_a_number_is_cut_off():
    rounding = Rounding(Int8(scales="float32"), np.array([[1.0, -1.0]], np.float32))
    latent = torch.tensor([[0.5001, 3.0]], requires_grad=True)
    decoded = rounding(latent)
    assert decoded[0, 1].item() == pytest.approx(1.0, rel=1e-4)  # the largest that a code can say
    decoded.sum().backward()
    assert latent.grad.tolist() == [[1.0, 0.0]]


def test_what_is_pruned_stays_zero():
    form = Sparse(block=4)
    table = moved(learning(form, form.unpack(form.encode(PRUNED))))
    assert (table().detach().numpy()[PRUNED == 0] == 0).all()


def test_codes_stay_unless_the_whole_table_is_learnt_along():
    form = Codebooks(codes=3, bits=4)
    plain = form.unpack(form.encode(TABLE))
    for latent, same in ((None, True), (TABLE, False)):
        table = learning(form, plain, latent=latent)
        if latent is not None:
            with torch.no_grad():  # the table turns upside down
                table.parametrizations.weight.original1.copy_(torch.from_numpy(TABLE[::-1].copy()))
        refresh(table)
        assert np.array_equal(stored_parts(table, "weight")["codes"], plain["codes"]) == same


def test_a_factor_in_codebooks_is_not_learnt():
    form = LowRank(rank=2, left=Codebooks(codes=1, bits=4))
    with pytest.raises(SettingsError, match="a factor that is stored in codebooks is not learnt"):
        learning(form, form.unpack(form.encode(TABLE)))
