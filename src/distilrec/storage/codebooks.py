"""Product quantisation: a row is a few small numbers, each of which names a run of columns in a book."""

from __future__ import annotations

from typing import ClassVar, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from distilrec.errors import SettingsError
from distilrec.storage import clusters
from distilrec.storage.floats import Float16
from distilrec.storage.form import Array, Form, Parts
from distilrec.storage.integers import pack_halves, unpack_halves
from distilrec.storage.leaves import LeafForm
from distilrec.types import FloatArray, IntArray

_POINTS_PER_CENTROID = 256  # a larger sample makes books slower and hardly better


class Codebooks(Form):
    """M codes a row, each one of 2 ** bits entries of a book of D / M columns (Jegou et al., TPAMI 2011).

    Made by k-means, or learnt and packed: RecJPQ's sub-item ids are the same parts. With `rotate` the columns are
    turned first so that books fit better; with `unit_rows` books hold directions, and each row keeps its length.
    """

    form: Literal["codebooks"] = "codebooks"
    """Its name."""
    codes: int = Field(default=16, ge=1)
    """How many codes a row has, M; it divides the width."""
    bits: Literal[4, 8] = 8
    """Bits of a code: books of 16 or 256 entries."""
    rotate: bool = False
    """Whether a rotation is learnt; it costs D x D numbers, and a product with it at each request."""
    unit_rows: bool = False
    """Whether rows are brought to length 1 first and their lengths stored beside them."""
    seed: int = Field(default=0, ge=0)
    """What k-means starts from."""
    rounds: int = Field(default=25, ge=1)
    """How many times centroids are moved at most, and how many times the rotation."""
    books: LeafForm = Float16()
    """How the entries are stored."""
    rotation: LeafForm = Float16()
    """How the rotation is stored."""
    lengths: LeafForm = Float16()
    """How lengths of rows are stored."""

    slots: ClassVar[tuple[str, ...]] = ("books", "rotation", "lengths")

    def encode(self, array: Array) -> dict[str, Array]:
        """`codes` [N, M] (of 4 bits: two to a byte), `books` [M, 2 ** bits, D / M], `rotation`, `lengths` [N]."""
        return self.encode_from(array, None)

    def encode_from(self, array: Array, drawn: IntArray | None) -> dict[str, Array]:
        """The same, with books that are learnt from the rows of these numbers, one as often as it is named."""
        rows = self.floats(array, ranks=(2,))
        self._check_width(rows.shape[1])
        generator = np.random.default_rng(self.seed)
        plain: dict[str, Array] = {}
        if self.unit_rows:
            plain["lengths"] = self._rounded("lengths", np.linalg.norm(rows, axis=1).astype(np.float32))
            lengths = plain["lengths"][:, None]
            rows = np.divide(rows, lengths, out=np.zeros_like(rows), where=lengths > 0)
        sample = self._sample(rows if drawn is None else rows[drawn], generator)
        if self.rotate:
            turn = clusters.learn_rotation(sample, self.codes, 2**self.bits, generator, rounds=self.rounds)
            plain["rotation"] = self._rounded("rotation", turn)
            rows, sample = rows @ plain["rotation"], sample @ plain["rotation"]
        books = clusters.learn_books(sample, self.codes, 2**self.bits, generator, rounds=self.rounds)
        plain["books"] = self._rounded("books", books)
        return self.pack({**plain, "codes": self.pack_codes(clusters.assign(rows, plain["books"]))})

    def decode(self, parts: Parts) -> FloatArray:
        """The rows that the codes name, turned back and stretched."""
        plain = self.plain(parts)
        rows = clusters.join(plain["books"], plain["codes"])
        if self.rotate:
            rows = rows @ plain["rotation"].T
        return rows * plain["lengths"][:, None] if self.unit_rows else rows

    def plain(self, parts: Parts) -> dict[str, Array]:
        """`codes` [N, M] uint8, one to a byte, and books, rotation and lengths, those that there are, as float32."""
        expected = ["codes", "books", *(["rotation"] * self.rotate), *(["lengths"] * self.unit_rows)]
        ranks = {"codes": 2, "books": 3, "rotation": 2, "lengths": 1}
        plain = self.unpack(parts)
        types = {name: ("uint8" if name == "codes" else "float32", ranks[name]) for name in expected}
        self.checked(plain, **types)
        codes = unpack_halves(plain["codes"]) if self.bits == 4 else plain["codes"]
        n_books, size, width = plain["books"].shape
        if self.bits == 4 and self.codes % 2:
            if codes[:, -1].any():
                raise self.damaged("the unused half of a row's last byte is not 0")
            codes = codes[:, :-1]
        shapes = {"codes": (len(codes), self.codes), "rotation": (n_books * width,) * 2, "lengths": (len(codes),)}
        found = {"codes": codes.shape} | {name: array.shape for name, array in plain.items() if name != "codes"}
        wrong = [name for name in expected if name in shapes and found[name] != shapes[name]]
        if wrong or (n_books, size) != (self.codes, 2**self.bits):
            raise self.damaged(f"its parts do not fit {self.codes} codes of {self.bits} bits: {found}")
        return {**plain, "codes": codes}

    def pack_codes(self, codes: Array) -> NDArray[np.uint8]:
        """Codes [N, M] as they are stored."""
        return pack_halves(codes) if self.bits == 4 else codes.astype(np.uint8)

    def _rounded(self, slot: str, array: FloatArray) -> FloatArray:
        """As it will be decoded, so that codes are chosen for what is stored."""
        form: Form = getattr(self, slot)
        decoded: FloatArray = form.decode(form.encode(array))
        return decoded

    def _sample(self, rows: FloatArray, generator: np.random.Generator) -> FloatArray:
        most = _POINTS_PER_CENTROID * 2**self.bits
        return rows if len(rows) <= most else rows[np.sort(generator.choice(len(rows), most, replace=False))]

    def _check_width(self, width: int) -> None:
        if width % self.codes:
            divisors = [n for n in range(1, width + 1) if width % n == 0]
            raise SettingsError(
                f"codebooks cannot cut {width} columns into {self.codes} equal runs; codes may be "
                f"{', '.join(map(str, divisors))}"
            )
