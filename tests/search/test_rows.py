"""Tables that make no sense are refused before anything is searched."""

import numpy as np
import pytest

from distilrec.errors import ArtifactError
from distilrec.search import CodebookRows, FlatIndex, FloatRows, Int4Rows, Int8Rows, ProjectedRows

ONES = np.ones((3, 2), dtype=np.float32)


def test_int8_rows_are_codes_times_scales():
    rows = Int8Rows(np.array([[1, -2], [100, 0]], dtype=np.int8), np.array([0.5, 2], dtype=np.float16))
    assert rows.take(np.array([1, 0])).tolist() == [[200, 0], [0.5, -1]]
    assert rows.take_range(0, 1).tolist() == [[0.5, -1]]
    assert rows.nbytes == 4 + 8


def test_float16_rows_are_widened_as_they_are_read():
    rows = FloatRows(np.array([[1.5, 2]], dtype=np.float16))
    assert (rows.nbytes, rows.take(np.array([0])).dtype) == (4, np.float32)


def test_int4_rows_are_codes_less_eight_times_the_scales_of_their_groups():
    """The first code in the lower half of a byte; of an odd width the last upper half is not used."""
    packed = np.array([[0x9A, 0x07]], dtype=np.uint8)
    assert Int4Rows(packed, np.array([[0.5]]), 3).take(np.array([0])).tolist() == [[1, 0.5, -0.5]]
    in_groups = Int4Rows(np.array([[0x9A, 0x87]], dtype=np.uint8), np.array([[1, 10]]), 4)
    assert in_groups.take_range(0, 1).tolist() == [[2, 1, -10, 0]]


def test_codebook_rows_are_the_entries_that_codes_name_stretched_to_their_lengths():
    books = np.array([[[1, 2], [3, 4]], [[5, 6], [7, 8]]], dtype=np.float32)
    codes = np.array([[0, 1], [1, 0]], dtype=np.uint8)
    rows = CodebookRows(codes, books, np.array([1, 10], dtype=np.float32))
    assert rows.take(np.array([1, 0])).tolist() == [[30, 40, 50, 60], [1, 2, 7, 8]]
    assert rows.products(np.array([[1, 0, 0, 1]], dtype=np.float32)).tolist() == [[9, 90]]
    assert rows.nbytes == 4 + 32 + 8


def test_projected_rows_are_thin_rows_times_a_matrix():
    rows = ProjectedRows(FloatRows(np.array([[1], [2]], dtype=np.float32)), np.array([[3, 4]], dtype=np.float32))
    assert rows.take(np.array([1])).tolist() == [[6, 8]]
    assert rows.products(np.array([[1, 1]], dtype=np.float32)).tolist() == [[7, 14]]
    assert (rows.n_items, rows.width, rows.nbytes) == (2, 2, 16)


BYTES = np.zeros((3, 2), dtype=np.uint8)
BOOKS = np.ones((2, 16, 1), dtype=np.float32)


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda: FlatIndex(ONES[0]), r"the item table is float32 of shape \(2,\); expected float32 or float16"),
        (lambda: FlatIndex(ONES.astype(int)), "table is int64 of shape .* expected float32 or float16"),
        (lambda: FlatIndex(ONES.astype(float)), "the item table is float64"),
        (lambda: FlatIndex(np.array([[1], [np.nan]], "f")), "the item table holds NaN.* row 1; the model is damaged"),
        (lambda: Int8Rows(ONES, ONES[:, 0]), r"codes are float32 of shape \(3, 2\); expected int8 \[N, D\]"),
        (lambda: Int8Rows(ONES.astype(np.int8), ONES[:2, 0]), r"scales are float32 of shape \(2,\).* each of 3 rows"),
        (lambda: FloatRows(np.array([[1], [-np.inf]], "e")), "the item table holds NaN.* row 1; the model is damaged"),
        (lambda: FloatRows(np.array([[1], [1], [np.nan]], "e")), "the item table holds NaN.* row 2"),
        (lambda: Int8Rows(ONES.astype(np.int8), ONES[:, 0] * np.inf), "a scale holds NaN, infinity"),
        (lambda: Int4Rows(BYTES, ONES, 6), r"codes are uint8 of shape \(3, 2\); expected uint8 \[N, 3\]"),
        (lambda: Int4Rows(BYTES, np.ones((3, 3)), 4), r"scales have shape \(3, 3\); .* 3 rows of 4 columns"),
        (lambda: Int4Rows(BYTES, ONES * np.nan, 4), "a scale holds NaN"),
        (lambda: CodebookRows(BYTES, BOOKS[:1]), r"codes of shape \(3, 2\) and books of shape \(1, 16, 1\) do not"),
        (lambda: CodebookRows(BYTES, BOOKS * np.nan), "a book holds NaN"),
        (lambda: ProjectedRows(FloatRows(ONES), ONES), r"rows of width 2 and a matrix of shape \(3, 2\) do not fit"),
        (lambda: ProjectedRows(FloatRows(ONES), ONES[:2] * np.inf), "the matrix of a table holds"),
    ],
)
def test_a_table_that_makes_no_sense_is_refused(build, message):
    with pytest.raises(ArtifactError, match=message):
        build()
