"""Every form of an item table has rows, and an index that answers from what the form decodes to."""

import numpy as np
import pytest

from distilrec.errors import ArtifactError
from distilrec.search import (
    CodebookRows,
    FlatIndex,
    FloatRows,
    IndexSettings,
    Int4Rows,
    Int8Rows,
    ProjectedRows,
    index_for,
    rows_of,
)
from distilrec.storage import (
    Alias,
    BFloat16,
    Codebooks,
    Float16,
    Float32,
    Hashed,
    Int4,
    Int8,
    LowRank,
    Packed,
    QuotientRemainder,
    SharedRows,
    Sparse,
)

DRAW = np.random.default_rng(0)
TABLE = DRAW.standard_normal((300, 8)).astype(np.float32)
VECTORS = DRAW.standard_normal((3, 8)).astype(np.float32)
FORMS = {
    "float32": Float32(),
    "float16": Float16(),
    "bfloat16": BFloat16(),
    "int8": Int8(),
    "int4": Int4(),
    "int4 in groups": Int4(group=4),
    "codebooks": Codebooks(codes=4, rounds=2),
    "codebooks of 4 bits": Codebooks(codes=4, bits=4, rounds=2),
    "codebooks of directions": Codebooks(codes=4, rounds=2, unit_rows=True),
    "codebooks, turned": Codebooks(codes=4, bits=4, rounds=2, rotate=True, unit_rows=True),
    "low rank": LowRank(rank=3),
    "low rank, left int8": LowRank(rank=4, left=Int8(), right=Float16()),
    "low rank, left codebooks": LowRank(rank=4, left=Codebooks(codes=2, rounds=2)),
    "sparse": Sparse(),
    "shared rows": SharedRows(),
}
LEARNT = {
    "hashed": (Hashed(n_rows=300, buckets=20), {"table": TABLE[:20]}),
    "quotient and remainder": (
        QuotientRemainder(n_rows=300, buckets=20),
        {"quotients": TABLE[:15], "remainders": TABLE[20:40]},
    ),
}


def stored(name):
    if name in LEARNT:
        form, parts = LEARNT[name]
        return Packed.of({}).replacing("table.weight", form, form.pack(parts))
    return Packed.of({"table.weight": TABLE}, {"table.weight": FORMS[name]} if name in FORMS else {})


AS_STORED = IndexSettings(decode_up_to_mb=0)


@pytest.mark.parametrize("settings", [AS_STORED, IndexSettings()], ids=["as stored", "decoded"])
@pytest.mark.parametrize("name", ["plain", *FORMS, *LEARNT])
def test_an_index_of_a_stored_table_answers_from_what_it_decodes_to(name, settings):
    packed = stored(name)
    items, scores = index_for(packed, settings=settings).search(VECTORS, 10)
    expected, expected_scores = FlatIndex(packed.array("table.weight")).search(VECTORS, 10)
    np.testing.assert_array_equal(items, expected)
    np.testing.assert_allclose(scores, expected_scores, rtol=1e-5)


def test_a_small_table_is_decoded_once_and_a_larger_one_kept_as_it_is_stored():
    assert index_for(stored("int8")).nbytes == TABLE.nbytes
    assert index_for(stored("int8"), settings=AS_STORED).nbytes == TABLE.nbytes // 4 + 4 * len(TABLE)
    wide = Packed.of({"table.weight": np.ones((2**16 + 1, 64), dtype=np.float32)}, {"table.weight": Int8()})
    flat = IndexSettings(kind="flat")
    assert index_for(wide, settings=flat).nbytes < 2**24
    assert index_for(wide, settings=flat.with_changes(decode_up_to_mb=17)).nbytes > 2**24


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("float16", FloatRows),
        ("int8", Int8Rows),
        ("int4", Int4Rows),
        ("codebooks of 4 bits", CodebookRows),
        ("codebooks, turned", ProjectedRows),
        ("low rank, left int8", ProjectedRows),
    ],
)
def test_a_small_form_is_held_as_it_is_stored(name, kind):
    rows = rows_of(stored(name))
    assert isinstance(rows, kind)
    assert rows.nbytes < TABLE.nbytes * 0.6


def test_an_alias_is_the_table_that_it_stands_for():
    packed = Packed.of({"table.weight": TABLE, "again": TABLE}, {"table.weight": Int8()})
    twice = Packed.of(packed.state() | {"again": packed.array("table.weight")}, {"again": Alias(of="table.weight")})
    np.testing.assert_array_equal(
        index_for(twice, "again").search(VECTORS, 4)[0], index_for(packed).search(VECTORS, 4)[0]
    )


def test_a_model_without_that_table_is_refused():
    with pytest.raises(ArtifactError, match=r"the model has no array 'items'; it has table\.weight"):
        index_for(stored("plain"), "items")


def test_a_damaged_table_is_told_by_its_name():
    packed = stored("int8")
    short = Packed({**packed.arrays, "table.weight/codes": packed.arrays["table.weight/codes"][:5]}, packed.forms)
    with pytest.raises(ArtifactError, match=r"table\.weight: int8: codes \(5, 8\) do not fit scales"):
        index_for(short)
