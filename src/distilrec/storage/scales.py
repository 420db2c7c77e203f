"""Scales of quantised rows: rounded so that a code times its scale is exact in float32 on every machine.

A code has at most 7 bits; a scale of at most 17 significant bits leaves the product within the 24 of float32. So a
decoded array encodes to itself, and numpy, torch and ONNX Runtime decode to the same bits.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from distilrec.storage.form import Array, Form, Parts, Precision
from distilrec.types import FloatArray

DoubleArray = NDArray[np.float64]

_BITS = 17
_SMALLEST = 2.0**-120  # smaller scales are taken for it: their products would leave the normal range of float32
_UNIT_EXPONENT = 15  # the largest float16 scale lies below 2 ** 15 units, so that small ones keep their bits


def stored_scales(scales: DoubleArray, precision: Precision) -> dict[str, Array]:
    """The part(s) that hold scales from 0, none smaller than asked for.

    float16 scales are multiples of one power of two, `unit`, because a small table's scales alone would be too small.
    """
    raised = np.where(scales > 0, np.maximum(scales, _SMALLEST), 0)
    if precision == "float32":
        mantissas, exponents = np.frexp(raised)
        return {"scales": np.ldexp(np.ceil(np.ldexp(mantissas, _BITS)), exponents - _BITS).astype(np.float32)}
    unit = 2.0 ** (int(np.frexp(raised.max())[1]) - _UNIT_EXPONENT) if raised.any() else 1.0
    unit = max(unit, _SMALLEST)
    halves = (raised / unit).astype(np.float16)
    short = halves.astype(np.float64) * unit < raised
    halves[short] = np.nextafter(halves[short], np.float16(np.inf))
    return {"scales": halves, "unit": np.array([unit], dtype=np.float32)}


def rounded_scales(scales: DoubleArray, precision: Precision) -> FloatArray:
    """The scales as they will be decoded."""
    parts = stored_scales(scales, precision)
    values: FloatArray = parts["scales"].astype(np.float32)
    return values * parts["unit"] if "unit" in parts else values


def scale_parts(precision: Precision, rank: int) -> dict[str, tuple[str, int | None]]:
    """What `Form.checked` should expect of them."""
    scales: dict[str, tuple[str, int | None]] = {"scales": (precision, rank)}
    return scales | ({"unit": ("float32", 1)} if precision == "float16" else {})


def decoded_scales(form: Form, parts: Parts) -> FloatArray:
    """The scales as float32, from 0."""
    scales: FloatArray = parts["scales"].astype(np.float32)
    if (scales < 0).any():
        raise form.damaged("scales hold numbers below 0")
    if "unit" not in parts:
        return scales
    if parts["unit"].shape != (1,) or not parts["unit"][0] > 0:
        raise form.damaged(f"unit is {parts['unit'].tolist()}, expected one number above 0")
    return scales * parts["unit"]


def codes_of(values: FloatArray, scales: FloatArray, limit: int) -> FloatArray:
    """Values in units of scales, which broadcast: whole numbers from -limit to limit; 0 where a scale is."""
    units = values * np.divide(1, scales, out=np.zeros_like(scales), where=scales > 0)
    np.rint(units, out=units)
    return np.clip(units, -limit, limit, out=units)
