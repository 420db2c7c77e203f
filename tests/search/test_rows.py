"""Tables that make no sense are refused before anything is searched."""

import numpy as np
import pytest

from distilrec.errors import ArtifactError
from distilrec.search import FlatIndex, FloatRows, Int8Rows

ONES = np.ones((3, 2), dtype=np.float32)


def test_int8_rows_are_codes_times_scales():
    rows = Int8Rows(np.array([[1, -2], [100, 0]], dtype=np.int8), np.array([0.5, 2], dtype=np.float16))
    assert rows.take(np.array([1, 0])).tolist() == [[200, 0], [0.5, -1]]
    assert rows.take_range(0, 1).tolist() == [[0.5, -1]]
    assert rows.nbytes == 4 + 8


def test_float16_rows_are_widened_as_they_are_read():
    rows = FloatRows(np.array([[1.5, 2]], dtype=np.float16))
    assert (rows.nbytes, rows.take(np.array([0])).dtype) == (4, np.float32)


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda: FlatIndex(ONES[0]), r"the item table is float32 of shape \(2,\); expected float32 or float16"),
        (lambda: FlatIndex(ONES.astype(int)), "table is int64 of shape .* expected float32 or float16"),
        (lambda: FlatIndex(ONES.astype(float)), "the item table is float64"),
        (lambda: FlatIndex(np.array([[1], [np.nan]], "f")), "the item table holds NaN.* row 1; the model is damaged"),
        (lambda: Int8Rows(ONES, ONES[:, 0]), r"codes are float32 of shape \(3, 2\); expected int8 \[N, D\]"),
        (lambda: Int8Rows(ONES.astype(np.int8), ONES[:2, 0]), r"scales are float32 of shape \(2,\).* each of 3 rows"),
        (lambda: Int8Rows(ONES.astype(np.int8), ONES[:, 0] * np.inf), "a scale holds NaN, infinity"),
    ],
)
def test_a_table_that_makes_no_sense_is_refused(build, message):
    with pytest.raises(ArtifactError, match=message):
        build()
