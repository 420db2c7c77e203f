"""A state whose arrays are stored in forms: what it holds, what it refuses, and what may be stored again."""

import numpy as np
import pytest

from distilrec.errors import ArtifactError, SettingsError
from distilrec.storage import Alias, Float16, Int4, Int8, LowRank, Packed, QuotientRemainder, Sparse
from distilrec.storage.forms import read_form

TABLE = np.arange(12, dtype=np.float32).reshape(4, 3)
STATE = {"table.weight": TABLE, "norm.bias": np.array([0.5, -1], np.float32), "counts": np.array([3, 4])}


def test_a_state_comes_back_decoded_and_what_has_no_form_as_it_was():
    packed = Packed.of(STATE, {"table.weight": Int8(scales="float32"), "norm.bias": Float16()})
    names = ["counts", "norm.bias/values", "table.weight/codes", "table.weight/scales"]
    assert sorted(packed.arrays) == names
    state = packed.state()
    assert state["counts"] is STATE["counts"]
    assert state["norm.bias"].tolist() == [0.5, -1]
    np.testing.assert_allclose(state["table.weight"], TABLE, atol=11 / 127)
    assert packed.nbytes() == 16 + 4 + 12 + 4 * 4


def test_it_is_read_as_it_was_described():
    packed = Packed.of(STATE, {"table.weight": LowRank(rank=2, left="int4"), "norm.bias": Float16()})
    again = Packed.read(packed.arrays, packed.described())
    assert again.forms == packed.forms
    for name, array in packed.state().items():
        np.testing.assert_array_equal(again.state()[name], array)


def test_further_arrays_are_stored_later_and_the_first_packed_state_stays_as_it_was():
    first = Packed.of(STATE, {"table.weight": Int8()})
    second = first.storing({"norm.bias": Float16()})
    assert set(first.forms) == {"table.weight"}
    assert set(second.forms) == {"table.weight", "norm.bias"}
    assert second.arrays["table.weight/codes"] is first.arrays["table.weight/codes"]


@pytest.mark.parametrize("form", [Int4(), Float16(), LowRank(rank=1)], ids=str)
def test_what_is_stored_with_loss_is_not_stored_again(form):
    packed = Packed.of(STATE, {"table.weight": Int8()})
    with pytest.raises(SettingsError, match=r"table\.weight: is stored as int8 already; .* that was not compressed"):
        packed.storing({"table.weight": form})


def test_the_factors_of_a_table_are_stored_in_forms_later_but_only_once():
    packed = Packed.of(STATE, {"table.weight": LowRank(rank=2, left=Float16())}).storing({"table.weight": Int8()})
    assert packed.forms["table.weight"] == LowRank(rank=2, left=Float16(), right=Int8())
    np.testing.assert_allclose(packed.array("table.weight"), TABLE, atol=0.2)
    with pytest.raises(SettingsError, match="is stored as low_rank already"):
        packed.storing({"table.weight": Int8()})


def test_the_numbers_that_pruning_left_are_quantised_where_they_are():
    pruned = np.where(TABLE > 6, TABLE, 0)
    packed = Packed.of({"table.weight": pruned}, {"table.weight": Sparse()}).storing({"table.weight": Int8()})
    assert packed.forms["table.weight"] == Sparse(values=Int8())
    assert (packed.array("table.weight")[pruned == 0] == 0).all()
    np.testing.assert_allclose(packed.array("table.weight"), pruned, atol=11 / 127)


def test_learnt_parts_replace_an_array():
    form = QuotientRemainder(n_rows=4, buckets=2, quotients=Int8())
    tables = {"quotients": np.ones((2, 3), np.float32), "remainders": np.full((2, 3), 0.5, np.float32)}
    packed = Packed.of(STATE).replacing("table.weight", form, form.pack(tables))
    np.testing.assert_allclose(packed.array("table.weight"), np.full((4, 3), 1.5), atol=0.001)
    assert "table.weight" not in packed.arrays


def test_an_array_that_is_another_one_is_stored_once():
    state = {"a": TABLE, "b": TABLE.copy()}
    packed = Packed.of(state, {"b": Alias(of="a"), "a": Int8()})
    assert packed.parts("b") == {}
    np.testing.assert_array_equal(packed.state()["b"], packed.state()["a"])


@pytest.mark.parametrize(
    ("state", "forms", "told"),
    [
        (STATE, {"tabel": Int8()}, "the model has no array 'tabel'; it has counts, norm.bias, table.weight"),
        (STATE, {"norm.bias": Int8()}, r"norm\.bias: int8 stores arrays of 2 or 3 or 4 dimensions"),
        ({"a": TABLE, "b": TABLE + 1}, {"b": Alias(of="a")}, "b: it differs from a; only equal arrays are stored once"),
        ({"a": TABLE, "b": TABLE.T}, {"b": Alias(of="a")}, "b: it differs from a"),
        ({"a": TABLE}, {"a": Alias(of="a")}, "a: it cannot stand for 'a': expected another array"),
        ({"a": TABLE}, {"a": Alias(of="c")}, "a: it cannot stand for 'c'"),
    ],
)
def test_forms_that_do_not_fit_the_state_are_refused(state, forms, told):
    with pytest.raises(SettingsError, match=told):
        Packed.of(state, forms)


INT8 = Int8().encode(TABLE)


@pytest.mark.parametrize(
    ("arrays", "described", "told"),
    [
        ({"a/codes": TABLE}, {}, "the weights hold a/codes, which has no form of which it could be a part"),
        ({"a": TABLE}, {"a": {"form": "int8"}}, "the weights hold a, which is there plain and in a form"),
        ({}, {"a": {"form": "int8"}}, "the weights lack a, which should be stored as int8"),
        ({}, {"a": {"form": "alias", "of": "b"}}, "a stands for b, which the weights do not hold"),
        (
            {},
            {"a": {"form": "alias", "of": "b"}, "b": {"form": "alias", "of": "a"}},
            "a stands for b, which the weights do not hold",
        ),
        (
            {"a/x": TABLE, "b": TABLE},
            {"a": {"form": "alias", "of": "b"}},
            "a stands for b and has parts of its own",
        ),
    ],
)
def test_arrays_and_forms_that_do_not_belong_together_are_refused(arrays, described, told):
    with pytest.raises(ArtifactError, match=told):
        Packed.read(arrays, described)


def test_damaged_parts_are_named_with_their_array():
    packed = Packed.read({"a/codes": INT8["codes"]}, {"a": {"form": "int8"}})
    with pytest.raises(ArtifactError, match="a: int8 needs the parts codes, scales, unit; the file has codes"):
        packed.state()


@pytest.mark.parametrize(
    ("described", "told"),
    [
        ({"form": "ternary"}, "a is stored in the form 'ternary', which this distilrec does not know"),
        ({"form": "low_rank", "rank": 2, "left": {"form": "int3"}}, "a is stored in the form 'int3'"),
        ({"form": "int8", "per": "row"}, "a: unknown setting 'per'.* Where a newer distilrec wrote it"),
        ({"form": "low_rank", "rank": 2, "left": {"form": "sparse"}}, "a: left: .* Where a newer distilrec wrote it"),
    ],
)
def test_a_form_of_a_newer_version_says_upgrade(described, told):
    with pytest.raises(ArtifactError, match=told + ".*pip install --upgrade distilrec"):
        read_form(described, where="a")


@pytest.mark.parametrize("described", ["int8", {}, None, {"rank": 2}])
def test_what_is_no_form_is_refused(described):
    with pytest.raises(ArtifactError, match="a should say in which form it is stored; it says"):
        read_form(described, where="a")
