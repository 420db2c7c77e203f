"""Forms that keep each number by itself: real ones in fewer bits, whole ones in as few as they need."""

from __future__ import annotations

from typing import ClassVar, Literal

import numpy as np

from distilrec.errors import SettingsError
from distilrec.storage.form import Array, Form, Parts
from distilrec.types import FloatArray

_HALF_LARGEST = 65_504
_WHOLE = ("uint8", "int8", "uint16", "int16", "uint32", "int32", "int64")


class Float32(Form):
    """Four bytes a number: nothing is lost."""

    form: Literal["float32"] = "float32"
    """Its name."""
    lossy: ClassVar[bool] = False

    def encode(self, array: Array) -> dict[str, Array]:
        """The values."""
        return {"values": np.array(self.floats(array), order="C")}

    def decode(self, parts: Parts) -> FloatArray:
        """The values."""
        (values,) = self.checked(parts, values=("float32", None))
        return values


class Float16(Form):
    """Two bytes a number: 11 significant bits, so at most 1/2048 off, and at most 65,504 large."""

    form: Literal["float16"] = "float16"
    """Its name."""

    def encode(self, array: Array) -> dict[str, Array]:
        """The values, rounded; numbers nearer to 0 than 0.00006 have fewer bits."""
        values = self.floats(array)
        if (largest := float(np.abs(values).max())) > _HALF_LARGEST:
            raise SettingsError(f"float16 holds numbers up to {_HALF_LARGEST}, this array {largest:g}; take bfloat16")
        return {"values": np.array(values.astype(np.float16), order="C")}

    def decode(self, parts: Parts) -> FloatArray:
        """The values as float32."""
        (values,) = self.checked(parts, values=("float16", None))
        return values.astype(np.float32)


class BFloat16(Form):
    """Two bytes a number: 8 significant bits, so at most 1/256 off, and as large or small as float32."""

    form: Literal["bfloat16"] = "bfloat16"
    """Its name."""

    def encode(self, array: Array) -> dict[str, Array]:
        """The upper half of each float32, rounded to the nearest, of two equally near to the even one."""
        bits = np.array(self.floats(array), order="C").view(np.uint32)
        rounded = (bits + (0x7FFF + ((bits >> 16) & 1))) >> 16
        return {"values": rounded.astype(np.uint16)}

    def decode(self, parts: Parts) -> FloatArray:
        """The values as float32, their lower halves 0."""
        (values,) = self.checked(parts, values=("uint16", None))
        decoded = (values.astype(np.uint32) << 16).view(np.float32)
        if not np.isfinite(decoded).all():
            raise self.damaged("values hold NaN or infinity")
        return decoded


class Integers(Form):
    """Whole numbers, such as row numbers or counts, in the smallest type that holds them all: nothing is lost."""

    form: Literal["integers"] = "integers"
    """Its name."""
    lossy: ClassVar[bool] = False

    def encode(self, array: Array) -> dict[str, Array]:
        """The values in a smaller type."""
        if array.dtype.kind not in "iu" or array.dtype == np.uint64:
            raise SettingsError(f"integers stores whole numbers up to 64 bits; this array holds {array.dtype.name}")
        low, high = (int(array.min()), int(array.max())) if array.size else (0, 0)
        kinds = (np.dtype(name) for name in _WHOLE)
        kind = next(kind for kind in kinds if np.iinfo(kind).min <= low and high <= np.iinfo(kind).max)
        return {"values": np.array(array, dtype=kind, order="C")}

    def decode(self, parts: Parts) -> Array:
        """The values as int32, or int64 where they need it."""
        (values,) = self.checked(parts, values=(" ".join(_WHOLE), None))
        return values.astype(np.int64 if values.dtype.name in ("uint32", "int64") else np.int32)
