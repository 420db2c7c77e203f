"""What all models of the form "history vector times item table" share: how they are asked, and how they are rebuilt."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, ClassVar, Self

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from distilrec.errors import ArtifactError, SettingsError
from distilrec.models.blocks import at_newest
from distilrec.models.checks import check_batch
from distilrec.models.tables import IdTable
from distilrec.types import Batch, FloatArray

Arrays = Mapping[str, np.ndarray[Any, Any]]


class ProductForm(nn.Module):
    """A network with `item_vectors()` `[N, D]` and `history_vectors(batch, items)` `[B, L, D]` (decision 0001).

    Its `table` gives the item vectors and may be made of anything; what is saved is the finished table. What lies
    between the vectors of a history and what the user wants is `read`, of tensors alone (decision 0017).
    """

    kind: ClassVar[str]
    reads_windows: ClassVar[bool] = False
    """Whether each position reads `max_length` items back by itself, so that a batch may be longer."""
    settings: Any
    table: nn.Module

    def __init__(self, n_items: int, max_length: int) -> None:
        super().__init__()
        self._n_items, self._max_length = n_items, max_length

    def item_vectors(self) -> Tensor:
        """Every item's vector, [N, D]."""
        vectors: Tensor = self.table()
        return vectors

    def input_vectors(self, item_vectors: Tensor) -> Tensor:
        """What the items of a history are read as, [N, D_in]: their item vectors, or a table of their own."""
        return item_vectors

    def read(self, vectors: Tensor) -> Tensor:
        """What the user wants next, after each position, [B, L, D], of a history's input vectors, [B, L, D_in].

        Causal, so whatever stands on the right of a history changes nothing in it.
        """
        raise NotImplementedError

    def read_newest(self, vectors: Tensor, lengths: Tensor) -> Tensor:
        """The same after the newest item of each history alone, [B, D], for lengths [B] from 1: what is exported."""
        return at_newest(self.read(vectors), lengths)

    def history_vectors(self, batch: Batch, item_vectors: Tensor) -> Tensor:
        """What the user wants next, after each position of each history, [B, L, D]."""
        check_batch(batch, len(item_vectors), None if self.reads_windows else self.max_length)
        items = torch.from_numpy(batch.items).to(item_vectors.device)
        return self.read(F.embedding(items, self.input_vectors(item_vectors)))

    def free_item_vectors(self) -> Tensor:
        """The parameters that a teacher's item table may be written over, as a view, [N, at most D]."""
        return as_free(self.table)

    @property
    def n_items(self) -> int:
        """How many items are ranked, N."""
        return self._n_items

    @property
    def max_length(self) -> int:
        """How many of the newest items of a history are read, L."""
        return self._max_length

    @property
    def n_parameters(self) -> int:
        """Numbers that are learnt, in pretraining or here."""
        return count_parameters(self)

    def forward(self, batch: Batch) -> tuple[Tensor, Tensor]:
        """History vectors of the real positions, flattened `[P, D]`, and item vectors `[N, D]`."""
        items = self.item_vectors()
        mask = torch.from_numpy(batch.mask).to(items.device)
        return self.history_vectors(batch, items)[mask], items

    def scores(self, batch: Batch) -> FloatArray:
        """A score for every item after each history, [B, N]. An empty history is read as if it were item 0."""
        with self._asked():
            items = self.item_vectors()
            return _as_floats(self._newest(batch, items) @ items.T)

    def item_table(self) -> FloatArray:
        """Every item's vector as an array, [N, D]."""
        with self._asked():
            return _as_floats(self.item_vectors())

    def newest_vectors(self, batch: Batch) -> FloatArray:
        """What the user of each history wants next, [B, D]; `scores` are its products with `item_table`."""
        with self._asked():
            return _as_floats(self._newest(batch, self.item_vectors()))

    @contextmanager
    def _asked(self) -> Iterator[None]:
        """Without gradients and dropout."""
        was_training = self.training
        self.eval()
        try:
            with torch.inference_mode():
                yield
        finally:
            self.train(was_training)

    def _newest(self, batch: Batch, items: Tensor) -> Tensor:
        cut = batch.newest(self.max_length)
        last = torch.from_numpy(np.maximum(cut.lengths - 1, 0)).to(items.device)
        return self.history_vectors(cut, items)[torch.arange(len(cut), device=items.device), last]  # [B, D]

    def state(self) -> dict[str, np.ndarray[Any, Any]]:
        """What a folded model needs to be rebuilt: the finished item table and the body, as float32 arrays."""
        tensors = {name: value for name, value in self.state_dict().items() if not name.startswith("table.")}
        return as_arrays({**tensors, "table.weight": self.item_vectors()})

    def fold(self) -> Self:
        """The same model with its item table finished, so that no content or projection is needed to rank."""
        return self.from_state(self.settings, self.state())

    @classmethod
    def from_state(cls, settings: Any, state: Arrays) -> Self:  # noqa: ANN401  (the kind's own settings)
        """Rebuild a folded model; every array must be there, of the right shape and finite."""
        make: Any = cls  # each kind has its own signature
        model: Self = make(settings, n_items=len(table_of(state)))
        load_arrays(model, state)
        return model.eval()


def _as_floats(tensor: Tensor) -> FloatArray:
    array: FloatArray = tensor.float().cpu().numpy()
    return array


def as_free(table: nn.Module) -> Tensor:
    """The free vectors of a table, [N, D]."""
    if not isinstance(table, IdTable):
        raise SettingsError(
            f"a table of {type(table).__name__} has no free vectors that a teacher's could replace; set "
            "distil.start_from_teacher=false"
        )
    return table.weight.data


def count_parameters(model: nn.Module) -> int:
    """Numbers that a network is made of, learnt here or before."""
    return sum(parameter.numel() for parameter in model.parameters())


def as_arrays(tensors: Mapping[str, Tensor]) -> dict[str, np.ndarray[Any, Any]]:
    """Copies as float32 arrays in plain order: what is saved."""
    return {name: np.array(value.detach().cpu().float().numpy(), order="C") for name, value in tensors.items()}


def load_arrays(model: nn.Module, arrays: Arrays) -> None:
    """Put saved arrays into a model; every one must be there, of the right shape and finite."""
    wanted = {name: tuple(value.shape) for name, value in model.state_dict().items()}
    got = {name: value.shape for name, value in arrays.items()}
    if wanted != got:
        wrong = sorted(name for name in wanted.keys() | got.keys() if wanted.get(name) != got.get(name))
        told = "; ".join(f"{name}: expected {wanted.get(name)}, got {got.get(name)}" for name in wrong[:3])
        raise ArtifactError(f"the weights do not fit the settings: {told}")
    infinite = [name for name, value in arrays.items() if not np.isfinite(value).all()]
    if infinite:
        raise ArtifactError(f"the weights hold NaN or infinity in {', '.join(infinite)}")
    model.load_state_dict({name: torch.from_numpy(np.array(value)) for name, value in arrays.items()})


def table_of(arrays: Arrays) -> np.ndarray[Any, Any]:
    """The item table among saved arrays, [N, D]."""
    if "table.weight" not in arrays:
        raise ArtifactError("the weights lack table.weight, the item table")
    return arrays["table.weight"]
