"""Item vectors of other programs come into the catalogue's order, and what can not be trusted is refused."""

import math

import numpy as np
import polars as pl
import pytest
import torch
from safetensors.numpy import save_file
from safetensors.torch import save_file as save_torch

from distilrec.errors import DataError, KnowledgeError
from distilrec.teach.outside_vectors import read_item_vectors

IDS = pl.Series("item_id", [10, 20, 30])
VECTORS = np.array([[1, 2], [3, 4], [5, 6]], np.float32)


def npy(tmp_path, array, ids=None):
    np.save(tmp_path / "vectors.npy", array)
    if ids is not None:
        (tmp_path / "vectors.item_ids.txt").write_text("".join(f"{value}\n" for value in ids))
    return tmp_path / "vectors.npy"


def tensors(tmp_path, **held):
    save_file(held, tmp_path / "vectors.safetensors")
    return tmp_path / "vectors.safetensors"


def parquet(tmp_path, ids, vectors, **types):
    pl.DataFrame({"item_id": ids, "vector": vectors}, schema_overrides=types).write_parquet(
        tmp_path / "vectors.parquet"
    )
    return tmp_path / "vectors.parquet"


def test_rows_of_an_array_are_in_the_catalogues_order(tmp_path):
    vectors, report = read_item_vectors(npy(tmp_path, VECTORS), IDS)
    np.testing.assert_array_equal(vectors, VECTORS)
    assert report.lines() == ["items with a vector of width 2: 3 of 3 (100.0%); the others have zeros"]


@pytest.mark.parametrize("kind", ["float16", "float64", "int8"])
def test_numbers_of_any_type_become_float32(tmp_path, kind):
    vectors, _ = read_item_vectors(npy(tmp_path, VECTORS.astype(kind)), IDS)
    np.testing.assert_array_equal(vectors, VECTORS)
    assert vectors.dtype == np.float32


def test_rows_may_be_named_in_a_file_beside(tmp_path):
    """Without item 20, which then has zeros."""
    vectors, report = read_item_vectors(npy(tmp_path, VECTORS[:2], ids=[30, 10]), IDS)
    assert vectors.tolist() == [[3, 4], [0, 0], [1, 2]]
    assert report.lines() == ["items with a vector of width 2: 2 of 3 (66.7%); the others have zeros"]


def test_the_one_table_of_a_safetensors_file_is_found(tmp_path):
    vectors, _ = read_item_vectors(tensors(tmp_path, items=VECTORS, scale=np.ones(1, np.float32)), IDS)
    np.testing.assert_array_equal(vectors, VECTORS)


def test_one_of_several_tables_is_named(tmp_path):
    path = tensors(tmp_path, old=VECTORS, new=2 * VECTORS)
    np.testing.assert_array_equal(read_item_vectors(path, IDS, tensor="new")[0], 2 * VECTORS)
    message = r"expected one tensor of two dimensions; it holds new \(3, 2\), old \(3, 2\)\. Say which one with tensor="
    with pytest.raises(KnowledgeError, match=message):
        read_item_vectors(path, IDS)
    with pytest.raises(KnowledgeError, match=r"there is no tensor 'best'; it holds new \(3, 2\), old \(3, 2\)"):
        read_item_vectors(path, IDS, tensor="best")


def test_bfloat16_is_read_though_numpy_does_not_know_it(tmp_path):
    save_torch({"items": torch.tensor([[1.0, -2.5], [3, 4], [5, 6]]).bfloat16()}, tmp_path / "vectors.safetensors")
    assert read_item_vectors(tmp_path / "vectors.safetensors", IDS)[0][0].tolist() == [1, -2.5]


@pytest.mark.parametrize("types", [{}, {"vector": pl.Array(pl.Float32, 2)}, {"item_id": pl.String}], ids=str)
def test_rows_of_a_parquet_file_are_found_by_their_ids(tmp_path, types):
    ids = [30, 10] if "item_id" not in types else ["30", "10"]
    vectors, report = read_item_vectors(parquet(tmp_path, ids, [[5.0, 6.0], [1.0, 2.0]], **types), IDS)
    assert vectors.tolist() == [[1, 2], [0, 0], [5, 6]]
    assert (report.items, report.items_covered, report.items_unknown, report.width) == (3, 2, 0, 2)


def test_unknown_items_are_refused_or_left_out(tmp_path):
    path = parquet(tmp_path, [30, 40, 50], [[1.0], [math.nan], [3.0]])
    with pytest.raises(
        KnowledgeError, match=r"has 2 items that the catalogue has not \(first: 40, 50\)\. Check that both"
    ):
        read_item_vectors(path, IDS)
    vectors, report = read_item_vectors(path, IDS, unknown="drop")
    assert vectors.tolist() == [[0], [0], [1]]
    assert report.lines()[1] == "2 items are unknown; left out"


def test_a_file_without_a_known_item_is_refused(tmp_path):
    with pytest.raises(KnowledgeError, match="has a vector of no item of the catalogue; its first id is 40"):
        read_item_vectors(parquet(tmp_path, [40], [[1.0]]), IDS, unknown="drop")


@pytest.mark.parametrize("ids", [[10, 20, 10], ["10", "20", "10 "]])
def test_an_item_with_two_vectors_is_refused(tmp_path, ids):
    with pytest.raises(KnowledgeError, match=r"has item 10 more than once \(1 such items in all\); expected one row"):
        read_item_vectors(parquet(tmp_path, ids, VECTORS.tolist()), IDS)


def test_another_number_of_rows_than_items_is_refused(tmp_path):
    message = (
        r"has 2 rows; the catalogue has 3 items. Give one row for each, in the catalogue's order or in that of the"
    )
    with pytest.raises(KnowledgeError, match=message):
        read_item_vectors(npy(tmp_path, VECTORS[:2]), IDS)
    with pytest.raises(KnowledgeError, match=r"has 3 rows; .*vectors.item_ids.txt has 2 ids"):
        read_item_vectors(npy(tmp_path, VECTORS, ids=[10, 20]), IDS)


@pytest.mark.parametrize("broken", [math.nan, math.inf, 1e39])
def test_a_broken_vector_is_named_by_its_item(tmp_path, broken):
    vectors = VECTORS.astype(np.float64)
    vectors[1, 0] = broken
    message = r"the vector of item 20 holds NaN, infinity or a number too large for float32 \(1 such items in all\)"
    with pytest.raises(KnowledgeError, match=message):
        read_item_vectors(npy(tmp_path, vectors), IDS)


def test_a_hole_in_a_vector_is_a_broken_vector(tmp_path):
    with pytest.raises(KnowledgeError, match="the vector of item 10 holds NaN"):
        read_item_vectors(parquet(tmp_path, [10], [[1.0, None]]), IDS)


@pytest.mark.parametrize(
    ("vectors", "message"),
    [
        (
            [[1.0, 2.0], [3.0]],
            r"row 1 \(from 0\) has a vector of 1 numbers, row 0 of 2; expected the same in every row",
        ),
        ([[], []], r"row 0 \(from 0\) has a vector of 0 numbers, row 0 of 0; expected the same"),
        ([[1.0], None], r"row 1 \(from 0\) has a vector of 0 numbers"),
        ([1.0, 2.0], "vector holds Float64; expected a list of numbers in each row"),
        ([["a"], ["b"]], r"vector holds List\(String\); expected a list of numbers"),
    ],
    ids=["uneven", "empty", "none", "no lists", "words"],
)
def test_vectors_are_lists_of_equally_many_numbers(tmp_path, vectors, message):
    types = {"vector": pl.List(pl.Float64)} if vectors == [[], []] else {}
    with pytest.raises(KnowledgeError, match=message):
        read_item_vectors(parquet(tmp_path, [10, 20], vectors, **types), IDS)


def test_a_table_without_the_two_columns_is_refused(tmp_path):
    pl.DataFrame({"item_id": [10], "embedding": [[1.0]]}).write_parquet(tmp_path / "vectors.parquet")
    with pytest.raises(KnowledgeError, match="has the columns item_id, embedding; expected item_id and vector"):
        read_item_vectors(tmp_path / "vectors.parquet", IDS)


@pytest.mark.parametrize("array", [VECTORS[0], VECTORS[None], VECTORS > 2, VECTORS[:, :0]], ids=["1", "3", "bool", "0"])
def test_an_array_that_is_no_table_of_numbers_is_refused(tmp_path, array):
    with pytest.raises(
        KnowledgeError, match=rf"holds {array.dtype} of shape .*; expected numbers of shape \(items, width"
    ):
        read_item_vectors(npy(tmp_path, array), IDS)


def test_a_tensor_of_another_type_is_refused(tmp_path):
    with pytest.raises(KnowledgeError, match="items holds I64; expected one of F64, F32, F16, BF16"):
        read_item_vectors(tensors(tmp_path, items=VECTORS.astype(np.int64)), IDS)


def test_nothing_that_can_run_code_is_read(tmp_path):
    np.save(tmp_path / "vectors.npy", np.array([{"a": 1}], dtype=object), allow_pickle=True)
    with pytest.raises(KnowledgeError, match=r"is not an array that can be read \(Object arrays cannot be loaded"):
        read_item_vectors(tmp_path / "vectors.npy", IDS)


@pytest.mark.parametrize("kept", [0, 20, -4])
@pytest.mark.parametrize("kind", ["npy", "safetensors"])
def test_a_file_that_was_cut_off_is_refused(tmp_path, kind, kept):
    path = npy(tmp_path, VECTORS) if kind == "npy" else tensors(tmp_path, items=VECTORS)
    path.write_bytes(path.read_bytes()[:kept])
    with pytest.raises(KnowledgeError, match=r"is not an array that|is not a safetensors file that can be read"):
        read_item_vectors(path, IDS)


def test_a_parquet_file_that_is_none_is_refused(tmp_path):
    (tmp_path / "vectors.parquet").write_text("item_id,vector")
    with pytest.raises(DataError, match="is not a Parquet file that can be read"):
        read_item_vectors(tmp_path / "vectors.parquet", IDS)


def test_a_missing_file_or_another_format_is_refused(tmp_path):
    with pytest.raises(KnowledgeError, match=r"vectors.npy does not exist; expected a file of item vectors"):
        read_item_vectors(tmp_path / "vectors.npy", IDS)
    with pytest.raises(KnowledgeError, match=r"vectors.pt must end in .npy, .safetensors, .parquet or .pq"):
        read_item_vectors(tmp_path / "vectors.pt", IDS)


def test_ids_that_are_no_text_are_refused(tmp_path):
    path = npy(tmp_path, VECTORS)
    (tmp_path / "vectors.item_ids.txt").write_bytes(b"\xff\n")
    with pytest.raises(KnowledgeError, match=r"vectors.item_ids.txt is not UTF-8 text .* expected an id a line"):
        read_item_vectors(path, IDS)
