"""Forms whose numbers serve several rows or several arrays at once: learnt that way, so stored, not found, here."""

from __future__ import annotations

from typing import ClassVar, Literal

import numpy as np
from pydantic import Field

from distilrec.errors import SettingsError
from distilrec.storage.form import Array, Form, Parts
from distilrec.storage.leaves import LeafForm
from distilrec.types import FloatArray, IntArray

_PRIME = 2_147_483_647  # of the universal hash (a x row + b) mod prime mod buckets: a x row stays below 2 ** 62


class Alias(Form):
    """This array is that other one: a layer used twice is stored once."""

    form: Literal["alias"] = "alias"
    """Its name."""
    of: str
    """The other array's name."""

    lossy: ClassVar[bool] = False

    def encode(self, array: Array) -> dict[str, Array]:
        """Nothing: the other array holds the numbers."""
        return {}

    def decode(self, parts: Parts) -> Array:
        """`Packed` looks the other array up; without it there is nothing to decode."""
        raise self.damaged(f"it stands for {self.of}, which only the whole model has")


class QuotientRemainder(Form):
    """Row i is made of row i // buckets of one table and row i % buckets of another (Shi et al., KDD 2020)."""

    form: Literal["quotient_remainder"] = "quotient_remainder"
    """Its name."""
    n_rows: int = Field(ge=1)
    """How many rows the whole table has."""
    buckets: int = Field(ge=1)
    """Rows of the table of remainders."""
    combine: Literal["sum", "product"] = "sum"
    """What is done with the two rows."""
    quotients: LeafForm | None = None
    """How the table of quotients is stored; none leaves it plain."""
    remainders: LeafForm | None = None
    """How the table of remainders is stored; none leaves it plain."""

    slots: ClassVar[tuple[str, ...]] = ("quotients", "remainders")

    def encode(self, array: Array) -> dict[str, Array]:
        """Refused: `pack` stores tables that were learnt."""
        raise _learnt(self.form)

    def decode(self, parts: Parts) -> FloatArray:
        """The whole table, [n_rows, D]."""
        quotients, remainders = self.checked(self.unpack(parts), quotients=("float32", 2), remainders=("float32", 2))
        rows = np.arange(self.n_rows)
        if (len(quotients), len(remainders)) != (-(-self.n_rows // self.buckets), self.buckets) or (
            quotients.shape[1] != remainders.shape[1]
        ):
            raise self.damaged(
                f"tables of {quotients.shape} and {remainders.shape} do not fit {self.n_rows} rows in "
                f"{self.buckets} buckets"
            )
        first, second = quotients[rows // self.buckets], remainders[rows % self.buckets]
        return first + second if self.combine == "sum" else first * second


class Hashed(Form):
    """Row i is the sum of a few rows of a small table, those that hash functions name (Svenstrup et al., NIPS 2017)."""

    form: Literal["hashed"] = "hashed"
    """Its name."""
    n_rows: int = Field(ge=1)
    """How many rows the whole table has."""
    buckets: int = Field(ge=1)
    """Rows of the small table."""
    hashes: int = Field(default=2, ge=1)
    """How many rows of it make one of the whole."""
    seed: int = Field(default=0, ge=0)
    """What the hash functions are drawn from."""
    table: LeafForm | None = None
    """How the small table is stored; none leaves it plain."""

    slots: ClassVar[tuple[str, ...]] = ("table",)

    def encode(self, array: Array) -> dict[str, Array]:
        """Refused: `pack` stores a table that was learnt."""
        raise _learnt(self.form)

    def decode(self, parts: Parts) -> FloatArray:
        """The whole table, [n_rows, D]."""
        (table,) = self.checked(self.unpack(parts), table=("float32", 2))
        if len(table) != self.buckets:
            raise self.damaged(f"the table has {len(table)} rows; expected {self.buckets}")
        rows: FloatArray = table[self.rows()].sum(axis=1)  # [n_rows, hashes, D] -> [n_rows, D]
        return rows

    def rows(self) -> IntArray:
        """Which rows of the small table make each row of the whole, [n_rows, hashes]."""
        draw = np.random.default_rng(self.seed).integers(1, _PRIME, size=(2, self.hashes))
        hashed: IntArray = (np.arange(self.n_rows)[:, None] * draw[0] + draw[1]) % _PRIME % self.buckets
        return hashed


class SharedRows(Form):
    """Rows that are equal are stored once, and each row of the table names one of them. Nothing is lost."""

    form: Literal["shared_rows"] = "shared_rows"
    """Its name."""
    rows: LeafForm | None = None
    """How the different rows are stored; none leaves them plain."""

    lossy: ClassVar[bool] = False
    slots: ClassVar[tuple[str, ...]] = ("rows",)

    def encode(self, array: Array) -> dict[str, Array]:
        """`rows` [different, D], and `index` [N], which of them each row is."""
        rows, index = np.unique(self.floats(array, ranks=(2,)), axis=0, return_inverse=True)
        smallest = np.min_scalar_type(max(1, len(rows) - 1))
        return self.pack({"rows": rows, "index": index.reshape(-1).astype(smallest)})

    def decode(self, parts: Parts) -> FloatArray:
        """The whole table, [N, D]."""
        rows, index = self.checked(self.unpack(parts), rows=("float32", 2), index=("uint8 uint16 uint32 uint64", 1))
        if not len(index) or int(index.max()) >= len(rows):
            raise self.damaged(f"the index does not fit {len(rows)} rows")
        table: FloatArray = rows[index]
        return table


def _learnt(form: str) -> SettingsError:
    return SettingsError(f"a finished table cannot be stored as {form}, which is learnt in training; share it there")
