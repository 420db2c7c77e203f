"""Item vectors that another program made, read from `.npy`, `.safetensors` or Parquet into the catalogue's order."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import polars as pl
from numpy.typing import NDArray
from safetensors import SafetensorError, deserialize

from distilrec.data.formats import read_file
from distilrec.errors import KnowledgeError
from distilrec.ids import IdIndex
from distilrec.types import FloatArray, IntArray

_PARQUET = (".parquet", ".pq")
_TYPES = {"F64": np.float64, "F32": np.float32, "F16": np.float16, "BF16": np.uint16}
_NAMED = 3  # how many examples a message gives


@dataclass(frozen=True)
class VectorReport:
    """How much of the catalogue has a vector."""

    items: int
    items_covered: int
    width: int
    items_unknown: int
    """Of the file, and left out."""

    def lines(self) -> list[str]:
        """The report for a person."""
        share = f"{self.items_covered:,} of {self.items:,} ({self.items_covered / self.items:.1%})"
        unknown = [f"{self.items_unknown:,} items are unknown; left out"] if self.items_unknown else []
        return [f"items with a vector of width {self.width}: {share}; the others have zeros", *unknown]


def read_item_vectors(
    path: Path, item_ids: pl.Series, *, tensor: str | None = None, unknown: Literal["refuse", "drop"] = "refuse"
) -> tuple[FloatArray, VectorReport]:
    """Item vectors `[N, F]` in the order of `item_ids`; an item without one has zeros.

    Parquet has columns `item_id` and `vector`. The rows of `.npy` and `.safetensors` are in the catalogue's order, or
    in that of a text file beside them with an id a line: `vectors.item_ids.txt` for `vectors.npy`.

    Args:
        tensor: which tensor of a `.safetensors` file, where it holds several of two dimensions.

    Raises:
        DataError: a Parquet file is missing, empty or damaged.
        KnowledgeError: anything else is wrong; the message says what to do.
    """
    ids, vectors = _from_parquet(path) if path.suffix in _PARQUET else (_beside(path), _from_array(path, tensor))
    expected = len(item_ids) if ids is None else len(ids)
    if len(vectors) != expected:
        told = f"the catalogue has {expected:,} items" if ids is None else f"{_beside_path(path)} has {expected:,} ids"
        raise KnowledgeError(
            f"{path} has {len(vectors):,} rows; {told}. Give one row for each, in the catalogue's order "
            f"or in that of the ids, one a line, in {_beside_path(path).name}"
        )
    rows = np.arange(len(vectors)) if ids is None else _rows(path, ids, item_ids, unknown)
    known = rows >= 0
    _check_numbers(path, vectors[known], item_ids.gather(rows[known]))
    placed = np.zeros((len(item_ids), vectors.shape[1]), dtype=np.float32)
    placed[rows[known]] = vectors[known]
    return placed, VectorReport(len(item_ids), int(known.sum()), vectors.shape[1], int((~known).sum()))


def _rows(path: Path, ids: pl.Series, item_ids: pl.Series, unknown: str) -> IntArray:
    rows = IdIndex(item_ids).rows(ids)
    strangers = ids.filter(pl.Series(rows < 0))
    if len(strangers) and unknown == "refuse":
        named = ", ".join(map(repr, strangers[:_NAMED]))
        raise KnowledgeError(
            f"{path} has {len(strangers):,} items that the catalogue has not (first: {named}). "
            "Check that both come from the same data, or set unknown to drop to leave them out"
        )
    numbers, counts = np.unique(rows[rows >= 0], return_counts=True)
    if not len(numbers):
        raise KnowledgeError(f"{path} has a vector of no item of the catalogue; its first id is {ids[0]!r}")
    if (counts > 1).any():
        twice = item_ids[int(numbers[counts > 1][0])]
        raise KnowledgeError(
            f"{path} has item {twice!r} more than once ({int((counts > 1).sum()):,} such items in all); "
            "expected one row for each"
        )
    return rows


def _check_numbers(path: Path, vectors: NDArray[Any], ids: pl.Series) -> None:
    with np.errstate(over="ignore"):
        broken = np.flatnonzero(~np.isfinite(vectors.astype(np.float32)).all(axis=1))
    if len(broken):
        raise KnowledgeError(
            f"{path}: the vector of item {ids[int(broken[0])]!r} holds NaN, infinity or a number too large for float32 "
            f"({len(broken):,} such items in all). Leave those items out, or repair what wrote the file"
        )


def _from_parquet(path: Path) -> tuple[pl.Series, NDArray[Any]]:
    frame = read_file(path, "catalogue").frame
    if not {"item_id", "vector"} <= set(frame.columns):
        raise KnowledgeError(f"{path} has the columns {', '.join(frame.columns)}; expected item_id and vector")
    column = frame["vector"]
    if isinstance(column.dtype, pl.Array):
        column = column.arr.to_list()
    if not isinstance(column.dtype, pl.List) or not column.dtype.inner.is_numeric():
        raise KnowledgeError(f"{path}: vector holds {column.dtype}; expected a list of numbers in each row")
    widths = column.list.len().fill_null(0)
    odd = np.flatnonzero((widths != widths[0]).to_numpy())
    if len(odd) or widths[0] == 0:
        row = int(odd[0]) if len(odd) else 0
        raise KnowledgeError(
            f"{path}, row {row} (from 0) has a vector of {widths[row]} numbers, row 0 of {widths[0]}; "
            "expected the same in every row, and at least one"
        )
    values = column.explode().cast(pl.Float64).to_numpy()  # nulls become NaN
    return frame["item_id"], values.reshape(len(column), -1)


def _from_array(path: Path, tensor: str | None) -> NDArray[Any]:
    if path.suffix not in (".npy", ".safetensors"):
        raise KnowledgeError(f"{path} must end in .npy, .safetensors, .parquet or .pq")
    if not path.is_file():
        raise KnowledgeError(f"{path} does not exist; expected a file of item vectors")
    array = _from_npy(path) if path.suffix == ".npy" else _from_safetensors(path, tensor)
    if array.ndim != 2 or array.dtype.kind not in "fiu" or not array.shape[1]:
        raise KnowledgeError(
            f"{path} holds {array.dtype} of shape {array.shape}; expected numbers of shape (items, width)"
        )
    return array


def _from_npy(path: Path) -> NDArray[Any]:
    try:
        array: NDArray[Any] = np.load(path, allow_pickle=False)
    except (ValueError, EOFError) as error:
        raise KnowledgeError(f"{path} is not an array that can be read ({error}); write it with numpy.save") from None
    return array


def _from_safetensors(path: Path, tensor: str | None) -> NDArray[Any]:
    try:
        held: dict[str, dict[str, Any]] = dict(deserialize(path.read_bytes()))  # type: ignore[no-untyped-call]
    except SafetensorError as error:
        raise KnowledgeError(f"{path} is not a safetensors file that can be read: {error}") from None
    tables = [name for name, entry in held.items() if len(entry["shape"]) == 2]
    chosen = tensor if tensor is not None else tables[0] if len(tables) == 1 else None
    if chosen is None or chosen not in held:
        shapes = ", ".join(f"{name} {tuple(entry['shape'])}" for name, entry in sorted(held.items()))
        wanted = f"there is no tensor {tensor!r}" if tensor else "expected one tensor of two dimensions"
        raise KnowledgeError(f"{path}: {wanted}; it holds {shapes or 'nothing'}. Say which one with tensor=")
    return _as_numbers(path, chosen, held[chosen])


def _as_numbers(path: Path, name: str, entry: dict[str, Any]) -> NDArray[Any]:
    if entry["dtype"] not in _TYPES:
        raise KnowledgeError(f"{path}: {name} holds {entry['dtype']}; expected one of {', '.join(_TYPES)}")
    kind = np.dtype(_TYPES[entry["dtype"]]).newbyteorder("<")
    array = np.frombuffer(entry["data"], dtype=kind).reshape(entry["shape"])
    if entry["dtype"] == "BF16":  # the upper half of a float32
        return (array.astype(np.uint32) << 16).view(np.float32)
    return array


def _beside_path(path: Path) -> Path:
    return path.with_name(f"{path.stem}.item_ids.txt")


def _beside(path: Path) -> pl.Series | None:
    """The ids of the rows, where a file beside says them."""
    beside = _beside_path(path)
    if not beside.is_file():
        return None
    try:
        ids = beside.read_text(encoding="utf-8").splitlines()
    except UnicodeDecodeError as error:
        raise KnowledgeError(f"{beside} is not UTF-8 text ({error}); expected an id a line") from None
    return pl.Series("item_id", ids, dtype=pl.String)
