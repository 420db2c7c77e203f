"""What comes after the transformer: pooling, and a sentence-transformers model's further layers.

All texts of a batch have the same number of tokens, so nothing is padded and no mask is needed.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from distilrec.encode.folder import read_object
from distilrec.errors import SourceError

if TYPE_CHECKING:
    from torch import Tensor

Layer = Callable[["Tensor"], "Tensor"]

POOLING: dict[str, Layer] = {  # [B, L, F] -> [B, F]
    "mean": lambda hidden: hidden.mean(dim=1),
    "cls": lambda hidden: hidden[:, 0],
    "max": lambda hidden: hidden.amax(dim=1),
    "lasttoken": lambda hidden: hidden[:, -1],
}
_ACTIVATIONS = ("Identity", "Tanh", "ReLU", "GELU", "Sigmoid")


def load_layer(kind: str, folder: Path, device: str) -> Layer:
    """A `Normalize` or `Dense` layer, [B, F] -> [B, F']."""
    if kind == "Normalize":
        return normalize
    return _dense(folder, device)


def normalize(vectors: Tensor) -> Tensor:
    """Unit length, [B, F]."""
    import torch

    return torch.nn.functional.normalize(vectors, dim=-1)


def _dense(folder: Path, device: str) -> Layer:
    import torch
    from safetensors.torch import load_file

    config = read_object(folder / "config.json")
    name = str(config.get("activation_function", "Identity")).rpartition(".")[2]
    if name not in _ACTIVATIONS:
        raise SourceError(f"{folder}/config.json: activation {name}; known: {', '.join(_ACTIVATIONS)}")
    if not (folder / "model.safetensors").is_file():
        raise SourceError(f"{folder} holds no model.safetensors; expected the weights of a Dense layer")
    weights = load_file(folder / "model.safetensors", device=device)
    weight, bias = weights["linear.weight"].float(), weights.get("linear.bias")
    activation = getattr(torch.nn, name)()
    bias = None if bias is None else bias.float()

    def dense(vectors: Tensor) -> Tensor:  # [B, F] -> [B, F']
        result: Tensor = activation(torch.nn.functional.linear(vectors, weight, bias))
        return result

    return dense
