"""Forms that say a table with fewer numbers: two thin factors, or only the numbers that are not 0."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

import numpy as np
from pydantic import BeforeValidator, Discriminator, Field, Tag

from distilrec.config import tag_by_kind
from distilrec.errors import SettingsError
from distilrec.storage.codebooks import Codebooks
from distilrec.storage.floats import BFloat16, Float16, Float32
from distilrec.storage.form import Array, Form, Parts
from distilrec.storage.integers import Int4, Int8
from distilrec.storage.leaves import LeafForm, by_name
from distilrec.types import FloatArray

_Factor = Annotated[
    Annotated[Float32, Tag("<float32>")]
    | Annotated[Float16, Tag("<float16>")]
    | Annotated[BFloat16, Tag("<bfloat16>")]
    | Annotated[Int8, Tag("<int8>")]
    | Annotated[Int4, Tag("<int4>")]
    | Annotated[Codebooks, Tag("<codebooks>")],
    Discriminator(tag_by_kind(key="form")),
    BeforeValidator(by_name),
]


class LowRank(Form):
    """A matrix as the product of two thin ones: by singular values the nearest of its rank (Eckart and Young, 1936)."""

    form: Literal["low_rank"] = "low_rank"
    """Its name."""
    rank: int = Field(ge=1)
    """Columns of the left factor, at most the lesser of the matrix's sides."""
    left: _Factor | None = None
    """How the left factor is stored; none leaves it plain."""
    right: _Factor | None = None
    """How the right factor is stored; none leaves it plain."""

    slots: ClassVar[tuple[str, ...]] = ("left", "right")

    def encode(self, array: Array) -> dict[str, Array]:
        """`left` [N, rank], orthogonal columns times singular values, and `right` [rank, D], orthonormal rows."""
        matrix = self.floats(array, ranks=(2,))
        if self.rank > min(matrix.shape):
            raise SettingsError(
                f"low_rank: rank is {self.rank}; a matrix of shape {matrix.shape} has at most {min(matrix.shape)}"
            )
        tall = matrix if matrix.shape[0] >= matrix.shape[1] else matrix.T
        _, axes = np.linalg.eigh(tall.T.astype(np.float64) @ tall)  # far less work than the factors of a long table
        best = axes[:, ::-1][:, : self.rank].astype(np.float32)  # [short side, rank]
        thin = tall @ best
        left, right = (thin, best.T) if tall is matrix else (best, thin.T)
        return self.pack({"left": np.ascontiguousarray(left), "right": np.ascontiguousarray(right)})

    def decode(self, parts: Parts) -> FloatArray:
        """The product of the factors."""
        left, right = self.factors(parts)
        product: FloatArray = left @ right
        return product

    def factors(self, parts: Parts) -> tuple[FloatArray, FloatArray]:
        """`left` [N, rank] and `right` [rank, D] as float32."""
        left, right = self.checked(self.unpack(parts), left=("float32", 2), right=("float32", 2))
        if not left.shape[1] == self.rank == right.shape[0]:
            raise self.damaged(f"factors of shapes {left.shape} and {right.shape} do not meet in rank {self.rank}")
        return left, right


class Sparse(Form):
    """Only the numbers that are not 0, and a bit for each place that says where they are. What is 0 was pruned before.

    It pays where more than one number in 32 is 0. In `values` of int8 or int4 each row of `block` numbers has a scale.
    """

    form: Literal["sparse"] = "sparse"
    """Its name."""
    block: int = Field(default=64, ge=2)
    """The numbers kept are stored as a matrix of so many columns, filled up with 0."""
    values: LeafForm | None = None
    """How the numbers kept are stored; none leaves them plain."""

    lossy: ClassVar[bool] = False
    slots: ClassVar[tuple[str, ...]] = ("values",)

    def encode(self, array: Array) -> dict[str, Array]:
        """`mask`, a bit a place, `shape`, and `values` [blocks, block]."""
        dense = self.floats(array)
        kept = dense[dense != 0]
        blocks = np.zeros((max(1, -(-len(kept) // self.block)), self.block), dtype=np.float32)
        blocks.ravel()[: len(kept)] = kept
        shape = np.array(dense.shape, dtype=np.int64)
        return self.pack({"mask": np.packbits(dense.ravel() != 0), "shape": shape, "values": blocks})

    def decode(self, parts: Parts) -> FloatArray:
        """The numbers kept in their places, 0 elsewhere."""
        mask, shape, values = self.checked(
            self.unpack(parts), mask=("uint8", 1), shape=("int64", 1), values=("float32", 2)
        )
        size = int(np.prod(shape, dtype=np.float64)) if (shape > 0).all() else 0
        if not size or len(mask) != -(-size // 8):
            raise self.damaged(f"a mask of {len(mask)} bytes does not fit the shape {shape.tolist()}")
        kept = np.flatnonzero(np.unpackbits(mask, count=size))
        if values.shape != (max(1, -(-len(kept) // self.block)), self.block):
            raise self.damaged(f"values of shape {values.shape} do not fit {len(kept):,} places of the mask")
        dense = np.zeros(size, dtype=np.float32)
        dense[kept] = values.ravel()[: len(kept)]
        return dense.reshape(shape)
