"""What tells numbers of a model from what none has: NaN, infinity, or so large that products leave float32."""

from __future__ import annotations

import numpy as np

from distilrec.errors import ArtifactError
from distilrec.storage.form import LARGEST, Array

WILD = f"NaN, infinity or a number beyond {LARGEST:g}"
_AT_ONCE = 1 << 20
_SIGNLESS, _INFINITE = 0x7FFF, 0x7C00  # of float16: all bits but the sign; those of infinity, which NaN exceeds


def first_wild_row(array: Array) -> int | None:
    """The first row that holds NaN, infinity, or a number whose products leave float32; none where all is well."""
    if not array.size or _is_tame(array):
        return None
    fine = np.abs(array.reshape(len(array), -1)) <= np.float64(LARGEST)  # never true of NaN
    return int(np.flatnonzero(~fine.all(axis=1))[0])


def check_finite(name: str, array: Array) -> None:
    """Refuse an array with numbers that no model has."""
    row = first_wild_row(array)
    if row is not None:
        raise ArtifactError(f"{name} holds {WILD}, first in row {row}; the model is damaged")


def _is_tame(array: Array) -> bool:
    if array.dtype != np.float16:
        return float(array.min()) >= -LARGEST and float(array.max()) <= LARGEST
    bits = np.ascontiguousarray(array).view(np.uint16).ravel()  # compared as float16 they take twenty times as long
    return all(
        int((bits[start : start + _AT_ONCE] & _SIGNLESS).max()) < _INFINITE for start in range(0, len(bits), _AT_ONCE)
    )
