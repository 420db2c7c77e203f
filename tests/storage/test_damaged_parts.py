"""Parts that were damaged, or belong to another form, are refused with what is wrong; nothing decodes to nonsense."""

import numpy as np
import pytest

from distilrec.errors import ArtifactError
from distilrec.storage import (
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

TABLE = np.random.default_rng(0).normal(size=(6, 6)).astype(np.float32)
FORMS = [
    Float32(),
    Float16(),
    BFloat16(),
    Int8(),
    Int8(scales="float32"),
    Int4(),
    Int4(group=3, scales="float32"),
    Codebooks(codes=3),
    Codebooks(codes=3, bits=4, rotate=True, unit_rows=True),
    LowRank(rank=2),
    LowRank(rank=2, left="int8", right="int4"),
    Sparse(),
    Sparse(values="int8"),
    SharedRows(),
    SharedRows(rows="int8"),
]


def parts_of(form):
    return form.encode(TABLE)


def every_part(forms=FORMS):
    return [pytest.param(form, name, id=f"{form.form}-{name}") for form in forms for name in parts_of(form)]


@pytest.mark.parametrize(("form", "name"), every_part())
def test_a_missing_part_is_refused(form, name):
    parts = parts_of(form)
    del parts[name]
    with pytest.raises(ArtifactError, match="needs the parts"):
        form.decode(parts)


@pytest.mark.parametrize("form", FORMS, ids=str)
def test_a_part_too_many_is_refused(form):
    with pytest.raises(ArtifactError, match=r"needs the parts .*; the file has .*stranger"):
        form.decode({**parts_of(form), "stranger": TABLE})


@pytest.mark.parametrize(("form", "name"), every_part())
def test_a_part_of_another_type_is_refused(form, name):
    parts = parts_of(form)
    with pytest.raises(ArtifactError, match=r"is complex64 .*; expected"):
        form.decode({**parts, name: parts[name].astype(np.complex64)})


def fitted_to_others():
    """Parts whose shape another part must fit; where one part alone has the rows, fewer are a shorter table."""
    alone = {"float32-values", "float16-values", "bfloat16-values", "codebooks-codes", "low_rank-left"}
    alone |= {"shared_rows-index"}
    return [part for part in every_part() if part.id not in alone] + [
        pytest.param(form, name) for form in FORMS[8:9] + FORMS[10:11] for name in parts_of(form)
    ]


@pytest.mark.parametrize(("form", "name"), fitted_to_others())
@pytest.mark.parametrize(
    "wrong", [lambda part: part[: len(part) // 2], lambda part: part[None]], ids=["half", "deeper"]
)
def test_a_part_of_another_shape_is_refused(form, name, wrong):
    parts = parts_of(form)
    with pytest.raises(ArtifactError, match=r"do not fit|does not fit|do not meet|expected|needs the parts"):
        form.decode({**parts, name: wrong(parts[name])})


def real_parts():
    return [part for part in every_part() if parts_of(part.values[0])[part.values[1]].dtype.kind == "f"]


@pytest.mark.parametrize(("form", "name"), real_parts())
def test_nan_in_a_part_is_refused(form, name):
    parts = parts_of(form)
    with pytest.raises(ArtifactError, match="holds NaN or infinity; the file is damaged"):
        form.decode({**parts, name: np.full_like(parts[name], np.nan)})


def changed(form, name, change):
    parts = {key: part.copy() for key, part in parts_of(form).items()}
    change(parts[name])
    return parts


def put(value):
    def change(part):
        part.flat[0] = value

    return change


@pytest.mark.parametrize(
    ("form", "name", "value", "told"),
    [
        (Int8(), "codes", -128, "int8: codes hold -128, expected -127 to 127"),
        (Int8(), "scales", -1, "int8: scales hold numbers below 0"),
        (Int8(), "unit", 0, r"int8: unit is \[0.0\], expected one number above 0"),
        (Int4(), "codes", 0, "int4: codes hold 0, expected 1 to 15"),
        (Int4(), "scales", -1, "int4: scales hold numbers below 0"),
        (BFloat16(), "values", 0x7F80, "bfloat16: values hold NaN or infinity"),
        (Codebooks(codes=3, bits=4), "codes", 0, None),
        (Sparse(), "shape", 5, r"sparse: a mask of 5 bytes does not fit the shape \[5, 6\]|values of shape"),
        (Sparse(), "shape", -6, r"sparse: a mask of 5 bytes does not fit the shape \[-6, 6\]"),
        (Sparse(block=2), "mask", 0, r"sparse: values of shape \(18, 2\) do not fit 28 places of the mask"),
    ],
    ids=str,
)
def test_numbers_out_of_range_are_refused(form, name, value, told):
    parts = changed(form, name, put(value))
    if told is None:
        assert np.isfinite(form.decode(parts)).all()  # every half byte names an entry
        return
    with pytest.raises(ArtifactError, match=told):
        form.decode(parts)


def test_the_unused_half_of_a_byte_must_be_empty():
    parts = changed(Codebooks(codes=3, bits=4), "codes", lambda codes: codes.__ior__(0xF0))
    with pytest.raises(ArtifactError, match="codebooks: the unused half of a row's last byte is not 0"):
        Codebooks(codes=3, bits=4).decode(parts)


@pytest.mark.parametrize(
    ("form", "parts", "told"),
    [
        (Int8(), Int8().encode(TABLE) | {"scales": np.ones(5, np.float16)}, r"codes \(6, 6\) do not fit scales \(5,\)"),
        (Int4(), Int4(group=2).encode(TABLE) | {"scales": np.ones((6, 4), np.float16)}, r"codes for \(6, 6\) numbers"),
        (Codebooks(codes=2), Codebooks(codes=3).encode(TABLE), "its parts do not fit 2 codes of 8 bits"),
        (
            LowRank(rank=3),
            LowRank(rank=2).encode(TABLE),
            r"factors of shapes \(6, 2\) and \(2, 6\) do not meet in rank 3",
        ),
    ],
    ids=["int8", "int4", "codebooks", "low_rank"],
)
def test_parts_of_other_settings_are_refused(form, parts, told):
    with pytest.raises(ArtifactError, match=told + ".*; the file is damaged"):
        form.decode(parts)


@pytest.mark.parametrize(
    ("form", "parts", "told"),
    [
        (
            QuotientRemainder(n_rows=5, buckets=2),
            {"quotients": np.ones((2, 1), np.float32), "remainders": np.ones((2, 1), np.float32)},
            r"tables of \(2, 1\) and \(2, 1\) do not fit 5 rows in 2 buckets",
        ),
        (Hashed(n_rows=5, buckets=2), {"table": np.ones((3, 1), np.float32)}, "the table has 3 rows; expected 2"),
        (Integers(), {"values": np.ones(2, np.float32)}, "integers: values is float32"),
    ],
    ids=["quotient_remainder", "hashed", "integers"],
)
def test_shared_rows_that_do_not_fit_are_refused(form, parts, told):
    with pytest.raises(ArtifactError, match=told):
        form.decode(parts)
