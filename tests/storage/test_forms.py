"""Every form gives back what it was given, as nearly as it says, and refuses what it cannot hold."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from distilrec.errors import ArtifactError, SettingsError
from distilrec.storage import (
    FORMS,
    Alias,
    BFloat16,
    Codebooks,
    Float16,
    Float32,
    Hashed,
    Int4,
    Int8,
    Integers,
    LowRank,
    QuotientRemainder,
    SharedRows,
    Sparse,
)


def largest_of_rows(table):
    return np.abs(table).max(axis=1, keepdims=True)


ROUGHEST_SCALE = 1.001  # float16 scales are rounded up by at most a thousandth
TINY = 1e-30  # what scales below 2 ** -120 lose
# For each form how far a number of a table may be off: by its own size, or by the largest of its row.
BOUNDS = {
    Float32(): lambda table: 0 * table,
    Float16(): lambda table: np.abs(table) / 2048 + 2**-25,
    BFloat16(): lambda table: np.abs(table) / 256 + TINY,
    Int8(): lambda table: largest_of_rows(table) / 127 / 2 * ROUGHEST_SCALE + 2**-24 * np.abs(table).max() + TINY,
    Int8(scales="float32"): lambda table: largest_of_rows(table) / 127 / 2 * ROUGHEST_SCALE + TINY,
    Sparse(): lambda table: 0 * table,
    Sparse(values=Float16()): lambda table: np.abs(table) / 2048 + 2**-25,
    SharedRows(): lambda table: 0 * table,
}
SHAKY = {
    Int4(): "the best scale cuts the largest numbers off",
    Int4(group=2): "the same",
    Int4(group=2, scales="float32"): "the same",
    Codebooks(codes=2): "many rows share an entry",
    Codebooks(codes=3, bits=4, books=Float32()): "the same",
}
"""Forms without a bound for each number, and why."""
EXACT_AGAIN = [*BOUNDS, *SHAKY]

numbers = st.floats(-100, 100, width=32, allow_subnormal=False) | st.just(0.0)
tables = arrays.arrays(np.float32, st.tuples(st.integers(1, 6), st.just(6)), elements=numbers)


@pytest.mark.parametrize("form", BOUNDS, ids=str)
@settings(max_examples=60, deadline=None)
@given(table=tables)
def test_a_table_comes_back_within_the_forms_bound(form, table):
    decoded = form.decode(form.encode(table))
    assert (decoded.dtype, decoded.shape) == (np.float32, table.shape)
    assert (np.abs(decoded - table) <= BOUNDS[form](table)).all()


@pytest.mark.parametrize("form", EXACT_AGAIN, ids=str)
@settings(max_examples=60, deadline=None)
@given(table=tables)
def test_what_was_decoded_encodes_to_itself_and_the_input_is_not_altered(form, table):
    before = table.copy()
    once = form.decode(form.encode(table))
    np.testing.assert_array_equal(form.decode(form.encode(once)), once)
    np.testing.assert_array_equal(table, before)


@pytest.mark.parametrize(
    "form", [*EXACT_AGAIN, LowRank(rank=2), Codebooks(codes=2, rotate=True, unit_rows=True)], ids=str
)
def test_rows_of_zeros_and_of_constants_come_back(form):
    table = np.array([[0.0] * 6, [3.0] * 6, [-0.5] * 6], dtype=np.float32)
    np.testing.assert_allclose(form.decode(form.encode(table)), table, atol=0.005)


@pytest.mark.parametrize("form", EXACT_AGAIN, ids=str)
def test_a_column_first_table_is_stored_as_its_row_first_copy(form):
    table = np.random.default_rng(0).normal(size=(6, 5)).astype(np.float32).T  # [5, 6]
    expected = form.encode(np.ascontiguousarray(table))
    for name, part in form.encode(table).items():
        np.testing.assert_array_equal(part, expected[name])


@pytest.mark.parametrize("form", [*EXACT_AGAIN, LowRank(rank=1)], ids=str)
@pytest.mark.parametrize("wrong", [np.nan, np.inf, -np.inf, 1e20])
def test_what_no_weight_is_is_refused(form, wrong):
    table = np.ones((3, 6), np.float32)
    table[1, 2] = wrong
    with pytest.raises(SettingsError, match=f"holds NaN, infinity or numbers beyond 1e.15, which {form.form} cannot"):
        form.encode(table)


@pytest.mark.parametrize("form", [*EXACT_AGAIN, LowRank(rank=1)], ids=str)
def test_an_empty_table_and_whole_numbers_are_refused(form):
    with pytest.raises(SettingsError, match=r"an array of shape \(0, 6\) is empty; there is nothing to store as"):
        form.encode(np.zeros((0, 6), np.float32))
    with pytest.raises(SettingsError, match=f"{form.form} stores real numbers; this array holds int64"):
        form.encode(np.zeros((2, 6), np.int64))


@pytest.mark.parametrize(
    ("form", "shape", "told"),
    [
        (Int8(), (6,), r"int8 stores arrays of 2 or 3 or 4 dimensions; this one has shape \(6,\)"),
        (Int4(), (6,), r"int4 stores arrays of 2 dimensions; this one has shape \(6,\)"),
        (Codebooks(), (2, 3, 4), r"codebooks stores arrays of 2 dimensions; this one has shape \(2, 3, 4\)"),
        (LowRank(rank=1), (6,), "low_rank stores arrays of 2 dimensions"),
        (Int4(group=4), (2, 6), "int4 cannot cut 6 columns into groups of 4; take a divisor of 6"),
        (Codebooks(codes=4), (2, 6), "codebooks cannot cut 6 columns into 4 equal runs; codes may be 1, 2, 3, 6"),
        (LowRank(rank=3), (2, 6), r"low_rank: rank is 3; a matrix of shape \(2, 6\) has at most 2"),
    ],
    ids=str,
)
def test_shapes_that_do_not_fit_are_refused(form, shape, told):
    with pytest.raises(SettingsError, match=told):
        form.encode(np.ones(shape, np.float32))


def test_float16_refuses_numbers_that_it_would_make_infinite():
    assert Float16().decode(Float16().encode(np.array([65_504.0]))).tolist() == [65_504]
    with pytest.raises(SettingsError, match="float16 holds numbers up to 65504, this array 65505; take bfloat16"):
        Float16().encode(np.array([65_505.0]))


def test_bfloat16_rounds_to_the_nearest_and_halves_to_even():
    """1 + 1/128 is the next number after 1; halfway lies 1 + 1/256."""
    given_, expected = [1 + 1 / 256, 1 + 1.1 / 256, 1 + 3 / 256], [1, 1 + 1 / 128, 1 + 2 / 128]
    assert BFloat16().decode(BFloat16().encode(np.array(given_, np.float32))).tolist() == expected


def test_int8_by_hand():
    """The largest number of a row is 127 scales."""
    parts = Int8().encode(np.array([[127, -63.4, 1.6], [0, 254, 3.9]], np.float32))
    assert parts["codes"].tolist() == [[127, -63, 2], [0, 127, 2]]
    assert Int8().decode(parts).tolist() == [[127, -63, 2], [0, 254, 4]]


def test_int8_keeps_the_rows_of_a_kernel_of_three_dimensions():
    kernel = np.arange(24, dtype=np.float32).reshape(2, 3, 4)
    parts = Int8().encode(kernel)
    assert (parts["codes"].shape, parts["scales"].shape) == ((2, 3, 4), (2,))
    np.testing.assert_allclose(Int8().decode(parts), kernel, atol=23 / 127)


def test_small_tables_keep_their_bits_although_float16_scales_alone_would_lose_them():
    table = np.random.default_rng(0).normal(size=(8, 16)).astype(np.float32)
    small = table * np.float32(2.0**-40)
    np.testing.assert_array_equal(Int8().decode(Int8().encode(small)), Int8().decode(Int8().encode(table)) * 2.0**-40)


def test_int4_stores_two_numbers_to_a_byte_the_first_in_the_lower_half():
    parts = Int4().encode(np.array([[7, -7, 3]], np.float32))
    assert parts["codes"].tolist() == [[15 + 16 * 1, 11]]  # codes plus 8; the odd last half byte is 0
    assert Int4().decode(parts).tolist() == [[7, -7, 3]]


def test_int4_cuts_a_lone_large_number_off_when_that_makes_less_error():
    """By the largest number the scale would be 1 and all 0.4 become 0."""
    table = np.full((1, 200), 0.4, np.float32)
    table[0, 0] = 7.0
    decoded = Int4().decode(Int4().encode(table))
    assert decoded[0, 0] < 7
    assert ((decoded - table) ** 2).sum() < 199 * 0.4**2


@pytest.mark.parametrize("table_of", [lambda g: g.normal(size=(50, 32)), lambda g: g.standard_t(3, size=(50, 32))])
def test_int4_is_nearer_than_scales_by_the_largest_number_and_groups_are_nearer_still(table_of):
    table = table_of(np.random.default_rng(0)).astype(np.float32)
    scale = largest_of_rows(table) / 7
    plain = np.rint(table / scale) * scale
    errors = [((form.decode(form.encode(table)) - table) ** 2).sum() for form in (Int4(), Int4(group=8))]
    assert errors[1] < errors[0] < ((plain - table) ** 2).sum()


@pytest.mark.parametrize(
    ("values", "stored"),
    [([0, 255], "uint8"), ([-1, 127], "int8"), ([0, 256], "uint16"), ([-1, 40_000], "int32"), ([0, 2**40], "int64")],
)
def test_integers_take_the_smallest_type_that_holds_them(values, stored):
    parts = Integers().encode(np.array(values))
    assert parts["values"].dtype.name == stored
    assert Integers().decode(parts).tolist() == values


def test_integers_refuses_real_numbers():
    with pytest.raises(SettingsError, match="integers stores whole numbers up to 64 bits; this array holds float32"):
        Integers().encode(np.ones(3, np.float32))


def test_low_rank_of_a_matrix_of_that_rank_is_the_matrix():
    generator = np.random.default_rng(0)
    matrix = (generator.normal(size=(9, 2)) @ generator.normal(size=(2, 5))).astype(np.float32)
    for wide in (matrix, matrix.T):
        parts = LowRank(rank=2).encode(wide)
        assert {name: part.shape for name, part in parts.items()} == {
            "left": (len(wide), 2),
            "right": (2, wide.shape[1]),
        }
        np.testing.assert_allclose(LowRank(rank=2).decode(parts), wide, atol=1e-5)


def test_low_rank_factors_are_stored_in_forms_of_their_own():
    form = LowRank(rank=2, left="int8", right=Float16())
    parts = form.encode(np.random.default_rng(0).normal(size=(9, 5)).astype(np.float32))
    assert sorted(parts) == ["left/codes", "left/scales", "left/unit", "right/values"]
    assert form.factors(parts)[0].shape == (9, 2)


def test_sparse_stores_only_what_is_not_zero():
    table = np.zeros((4, 16), np.float32)
    table[1, 3], table[3, 0] = 2.0, -1.0
    parts = Sparse(block=2).encode(table)
    assert parts["values"].tolist() == [[2, -1]]
    assert parts["mask"].nbytes == 64 / 8
    np.testing.assert_array_equal(Sparse(block=2).decode(parts), table)


def test_quotient_and_remainder_by_hand():
    """Row 3 of 4 in 2 buckets is quotient 1 and remainder 1."""
    tables = {"quotients": np.array([[1.0], [10]], np.float32), "remainders": np.array([[2.0], [3]], np.float32)}
    for combine, expected in (("sum", [3, 4, 12, 13]), ("product", [2, 3, 20, 30])):
        form = QuotientRemainder(n_rows=4, buckets=2, combine=combine)
        assert form.decode(form.pack(tables)).ravel().tolist() == expected


def test_hashed_rows_are_sums_of_the_rows_that_the_seed_names():
    form = Hashed(n_rows=50, buckets=7, hashes=3, seed=1, table=Float16())
    table = np.arange(14, dtype=np.float32).reshape(7, 2)
    decoded = form.decode(form.pack({"table": table}))
    rows = form.rows()
    assert rows.shape == (50, 3)
    assert set(np.unique(rows)) == set(range(7))
    assert decoded[49].tolist() == (table[rows[49, 0]] + table[rows[49, 1]] + table[rows[49, 2]]).tolist()
    assert (Hashed(n_rows=50, buckets=7, hashes=3, seed=2).rows() != rows).any()


def test_equal_rows_are_stored_once_and_found_by_small_numbers():
    table = np.array([[1, 2], [3, 4], [1, 2], [1, 2]], np.float32)
    parts = SharedRows().encode(table)
    assert parts["rows"].tolist() == [[1, 2], [3, 4]]
    assert (parts["index"].tolist(), parts["index"].dtype) == ([0, 1, 0, 0], np.uint8)


def test_an_index_beyond_the_rows_is_refused():
    parts = SharedRows().encode(np.eye(2, dtype=np.float32))
    with pytest.raises(ArtifactError, match="shared_rows: the index does not fit 1 rows; the file is damaged"):
        SharedRows().decode({**parts, "rows": parts["rows"][:1]})


@pytest.mark.parametrize("form", [QuotientRemainder(n_rows=4, buckets=2), Hashed(n_rows=4, buckets=2)], ids=str)
def test_a_finished_table_cannot_be_hashed(form):
    with pytest.raises(SettingsError, match=f"cannot be stored as {form.form}, which is learnt in training"):
        form.encode(np.ones((4, 2), np.float32))


def test_an_alias_alone_has_nothing_to_decode():
    with pytest.raises(ArtifactError, match=r"alias: it stands for a\.weight, which only the whole model has"):
        Alias(of="a.weight").decode({})


def test_every_form_is_tested_here():
    here = {form.form for form in [*EXACT_AGAIN, LowRank(rank=1), Integers(), Alias(of="a")]}
    assert here | {"quotient_remainder", "hashed"} == set(FORMS)
