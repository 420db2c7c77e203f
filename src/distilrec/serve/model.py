"""What the server asks of a model, and which model it asks now."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from distilrec.errors import ArtifactError

if TYPE_CHECKING:
    import polars as pl

    from distilrec.serve.choice import Where
    from distilrec.serve.runtime import Recommendations

Id = int | str
_EXPORT = "export.json"  # as distilrec.exported has it, which is not imported where nothing is read yet


class Model(Protocol):
    """A model that answers in outside ids; `distilrec.serve.runtime.Runtime` is one."""

    @property
    def n_items(self) -> int:
        """How many items it ranks."""
        ...

    @property
    def max_length(self) -> int | None:
        """How many of the newest items of a history it reads; none means all."""
        ...

    @property
    def digest(self) -> str:
        """What tells it from every other model."""
        ...

    @property
    def items(self) -> pl.DataFrame:
        """The catalogue."""
        ...

    def recommend(
        self,
        histories: Sequence[Sequence[Id]],
        *,
        k: int | Sequence[int] = 10,
        exclude_history: bool = True,
        allow: Sequence[Id] | None = None,
        block: Sequence[Id] | None = None,
        where: Where | None = None,
    ) -> Sequence[Recommendations]:
        """The best items after each history."""
        ...

    def similar(self, item_ids: Sequence[Id], *, k: int = 10) -> Sequence[Recommendations]:
        """The items nearest to each item."""
        ...


Load = Callable[[Path, int], Model]
"""Reads a model from a folder, for so many threads."""


@dataclass
class InUse:
    """The model that answers now. Another one is put in its place between two requests."""

    model: Model


def load_runtime(folder: Path, threads: int) -> Model:
    """The exported model of a folder, read without torch."""
    from distilrec.serve.runtime import Runtime

    return Runtime.load(folder, threads=threads)


def model_folder(run: Path) -> Path:
    """Where the exported model lies that `RUN` names: the folder itself, or `exported` in it."""
    for folder in (run, run / "exported"):
        if (folder / _EXPORT).is_file():
            return folder
    raise ArtifactError(
        f"{run} holds no exported model; expected {_EXPORT} in it or in {run / 'exported'}. "
        f"Run: distilrec export {run} --out {run / 'exported'}"
    )


def plain(value: Any) -> Any:  # noqa: ANN401  (a number of any library)
    """A number as Python has it, from NumPy's."""
    return value.item() if hasattr(value, "item") else value
