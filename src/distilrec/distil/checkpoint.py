"""A training run frozen in one file: weights, optimiser, best weights so far, and where it was.

safetensors with the plain facts as JSON in its header, so that opening a checkpoint can't run code and a crash leaves
either the old file or the new one. Randomness needs no state: each step draws from a seed derived from its number.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from distilrec.errors import TrainingError
from distilrec.files import atomic_path


@dataclass
class Place:
    """Where a training run is, and what it has seen."""

    identity: str
    """Digest of everything that decides the result; a checkpoint with another one is not resumed."""
    epoch: int = 0
    """Finished epochs."""
    step: int = 0
    """Finished batches of the epoch under way."""
    sums: dict[str, float] = field(default_factory=dict)
    """The loss and its parts, summed over the positions of the epoch under way."""
    seen_positions: int = 0
    """Positions of the epoch under way that are done."""
    best_score: float | None = None
    """The best validation so far."""
    best_epoch: int = -1
    """The epoch, from 0, that it came from."""
    without_better: int = 0
    """Validations since then."""
    epochs: list[dict[str, float]] = field(default_factory=list)
    """For each finished epoch its loss and the parts of it, validation score and seconds."""

    def add(self, values: Mapping[str, float], positions: int) -> None:
        """Note what a batch cost."""
        for name, value in values.items():
            self.sums[name] = self.sums.get(name, 0.0) + value * positions
        self.seen_positions += positions

    def means(self) -> dict[str, float]:
        """The loss and its parts, over the positions of the epoch so far."""
        return {name: value / self.seen_positions for name, value in self.sums.items()}


def save(
    path: Path, place: Place, model: nn.Module, optimizer: torch.optim.Optimizer, best: Mapping[str, Tensor]
) -> None:
    """Write the run as it is now, whole or not at all."""
    tensors = {f"model.{name}": value for name, value in learnt(model).items()}
    tensors |= {f"best.{name}": value for name, value in best.items()}
    for index, state in optimizer.state_dict()["state"].items():
        tensors |= {f"optimizer.{index}.{name}": value for name, value in state.items()}
    tensors = {name: value.detach().cpu().contiguous() for name, value in tensors.items()}
    with atomic_path(path) as temporary:
        save_file(tensors, temporary, metadata={"place": json.dumps(asdict(place))})


def load(
    path: Path, identity: str, model: nn.Module, optimizer: torch.optim.Optimizer
) -> tuple[Place, dict[str, Tensor]] | None:
    """Put a run back as it was and return its place and best weights; None when there is nothing to resume."""
    if not path.exists():
        return None
    try:
        with safe_open(path, framework="pt") as file:
            place = Place(**json.loads(file.metadata()["place"]))
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118  (not a dict)
    except (SafetensorError, KeyError, TypeError, ValueError) as error:
        raise TrainingError(f"{path} is damaged ({error}); delete it to train from the start") from None
    if place.identity != identity:
        return None
    try:
        _load_learnt(model, _below(tensors, "model."))
        _load_optimizer(optimizer, _below(tensors, "optimizer."))
    except (RuntimeError, ValueError) as error:
        told = str(error).splitlines()[-1].strip()
        raise TrainingError(f"{path} is damaged ({told}); delete it to train from the start") from None
    return place, _below(tensors, "best.")


def learnt(model: nn.Module) -> dict[str, Tensor]:
    """What training may change: parameters that are not frozen, and buffers that are kept; what several layers share
    under the first of its names."""
    tensors = model.state_dict(keep_vars=True)
    first = {id(value): name for name, value in reversed(tensors.items())}
    changing = {name: value for name, value in tensors.items() if first[id(value)] == name}
    return {
        name: value.detach()
        for name, value in changing.items()
        if value.requires_grad or not isinstance(value, nn.Parameter)
    }


def _load_learnt(model: nn.Module, tensors: Mapping[str, Tensor]) -> None:
    wanted = learnt(model).keys()
    if wanted != tensors.keys():
        raise ValueError(f"it holds other arrays: {', '.join(sorted(wanted ^ tensors.keys())[:3])}")
    model.load_state_dict(tensors, strict=False)


def _load_optimizer(optimizer: torch.optim.Optimizer, tensors: Mapping[str, Tensor]) -> None:
    state: dict[int, dict[str, Tensor]] = {}
    for name, value in tensors.items():
        index, key = name.split(".", 1)
        state.setdefault(int(index), {})[key] = value
    optimizer.load_state_dict({"state": state, "param_groups": optimizer.state_dict()["param_groups"]})


def _below(tensors: Mapping[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return {name.removeprefix(prefix): value for name, value in tensors.items() if name.startswith(prefix)}
