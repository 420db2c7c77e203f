"""Forms that share a scale among the numbers of a row: 8 and 4 bits a number, symmetric about 0."""

from __future__ import annotations

from typing import Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from distilrec.errors import SettingsError
from distilrec.storage.form import Array, Form, Parts, Precision
from distilrec.storage.scales import codes_of, decoded_scales, rounded_scales, scale_parts, stored_scales
from distilrec.types import FloatArray

_CHUNK_NUMBERS = 1 << 18  # how many numbers are worked on at once: they stay in the processor's cache

# What a row's largest number is divided by to try a scale: a smaller scale cuts large numbers off and tells small ones
# better apart. Whole numbers are among them, so that a table whose largest code is below 7 encodes to itself.
_DIVISORS = (*np.arange(7.0, 17.6, 0.5).tolist(), 6.0, 5.0, 4.0, 3.0, 2.0, 1.0)


class Int8(Form):
    """One byte a number, -127 to 127, and a scale for each row (the first axis); at most half a scale off."""

    form: Literal["int8"] = "int8"
    """Its name."""
    scales: Precision = "float16"
    """How scales are stored."""

    def encode(self, array: Array) -> dict[str, Array]:
        """`codes` in the array's shape, and `scales` [rows]."""
        values = self.floats(array, ranks=(2, 3, 4))
        rows = values.reshape(len(values), -1)
        wanted = np.abs(rows).max(axis=1).astype(np.float64) / 127
        codes = codes_of(rows, rounded_scales(wanted, self.scales)[:, None], 127)
        return {"codes": codes.astype(np.int8).reshape(values.shape), **stored_scales(wanted, self.scales)}

    def decode(self, parts: Parts) -> FloatArray:
        """Codes times scales."""
        codes, scales = self.codes_and_scales(parts)
        return codes * scales.reshape(-1, *[1] * (codes.ndim - 1))

    def codes_and_scales(self, parts: Parts) -> tuple[NDArray[np.int8], FloatArray]:
        """The codes in the array's shape, and a scale for each row, [rows]."""
        codes = self.checked(parts, codes=("int8", None), **scale_parts(self.scales, 1))[0]
        if codes.ndim < 2 or parts["scales"].shape != codes.shape[:1]:
            raise self.damaged(f"codes {codes.shape} do not fit scales {parts['scales'].shape}")
        if codes.size and codes.min() < -127:
            raise self.damaged("codes hold -128, expected -127 to 127")
        return codes, decoded_scales(self, parts)


class Int4(Form):
    """Half a byte a number, -7 to 7, and a scale for each row, or for each group of a row's columns.

    A scale is the one of some thirty, from a row's largest number to two fifths of it, with the least squared error.
    """

    form: Literal["int4"] = "int4"
    """Its name."""
    group: int | None = Field(default=None, ge=2)
    """How many columns share a scale; none means a whole row."""
    scales: Precision = "float16"
    """How scales are stored."""

    def encode(self, array: Array) -> dict[str, Array]:
        """`codes` [N, half of D], two to a byte, and `scales` [N, groups]."""
        values = self.floats(array, ranks=(2,))
        n_rows, width = values.shape
        group = self.group or width
        if width % group:
            raise SettingsError(f"int4 cannot cut {width} columns into groups of {group}; take a divisor of {width}")
        grouped = values.reshape(-1, group)  # [N x groups, group]
        step = max(1, _CHUNK_NUMBERS // group)
        # float16 scales share a unit, so they are rounded for the whole array at once: for every divisor, then chosen
        largest = np.abs(grouped).max(axis=1).astype(np.float64)
        tried = [rounded_scales(largest / divisor, self.scales) for divisor in _DIVISORS]
        chosen = np.concatenate(
            [_best(grouped[at : at + step], [s[at : at + step] for s in tried]) for at in range(0, len(grouped), step)]
        )
        parts = stored_scales(chosen.astype(np.float64).reshape(n_rows, -1), self.scales)
        codes = codes_of(grouped, rounded_scales(chosen.astype(np.float64), self.scales)[:, None], 7)
        return {"codes": pack_halves(codes.reshape(n_rows, width).astype(np.int8) + 8), **parts}

    def decode(self, parts: Parts) -> FloatArray:
        """Codes times scales."""
        codes, scales = self.codes_and_scales(parts)
        grouped = codes.reshape(*scales.shape, -1) * scales[:, :, None]  # [N, groups, group]
        return grouped.reshape(codes.shape)

    def codes_and_scales(self, parts: Parts) -> tuple[NDArray[np.int8], FloatArray]:
        """Codes [N, D] one to a byte, and scales [N, groups]."""
        packed = self.checked(parts, codes=("uint8", 2), **scale_parts(self.scales, 2))[0]
        halves = unpack_halves(packed)
        if halves.size and not halves[:, -1].any():
            halves = halves[:, :-1]  # an odd width's last half byte is 0, which no code is
        shape = parts["scales"].shape
        if shape[0] != len(halves) or not shape[1] or halves.shape[1] % shape[1]:
            raise self.damaged(f"codes for {halves.shape} numbers do not fit scales {shape}")
        if not halves.all():
            raise self.damaged("codes hold 0, expected 1 to 15")
        return halves.astype(np.int8) - np.int8(8), decoded_scales(self, parts)


def _best(rows: FloatArray, tried: list[FloatArray]) -> FloatArray:
    """For each row the scale with the least squared error among those tried; of equals the first."""
    best, least = tried[0].copy(), np.full(len(rows), np.inf, dtype=np.float32)
    largest = np.maximum(np.abs(rows).max(axis=1, keepdims=True), np.finfo(np.float32).tiny)
    for scales in tried:
        off = codes_of(rows, scales[:, None], 7)
        off *= scales[:, None]
        off -= rows
        off /= largest  # so that the squares of small numbers do not vanish
        error = np.einsum("ij,ij->i", off, off)
        better = error < least
        best[better], least[better] = scales[better], error[better]
    return best


def pack_halves(codes: Array) -> NDArray[np.uint8]:
    """Numbers 0 to 15, [N, M], two to a byte, the first in the lower half; an odd last byte's upper half is 0."""
    even = np.zeros((len(codes), codes.shape[1] + codes.shape[1] % 2), dtype=np.uint8)
    even[:, : codes.shape[1]] = codes
    packed: NDArray[np.uint8] = even[:, 0::2] | (even[:, 1::2] << 4)
    return packed


def unpack_halves(packed: Array) -> NDArray[np.uint8]:
    """The numbers 0 to 15 of bytes [N, M], [N, 2 M]."""
    codes = np.empty((len(packed), 2 * packed.shape[1]), dtype=np.uint8)
    codes[:, 0::2], codes[:, 1::2] = packed & 15, packed >> 4
    return codes
