"""Looking into a teacher while it runs: hidden states, attention and relations of any layer, named by its path."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor, nn

from distilrec.errors import SettingsError
from distilrec.knowledge import Column
from distilrec.models.blocks import CausalBlock
from distilrec.types import Batch

Array = np.ndarray[Any, Any]


@dataclass(frozen=True)
class Tap:
    """One thing to take out of a layer."""

    kind: Literal["hidden", "attention", "relation"]
    path: str
    """As `named_modules` has it, such as `blocks.0` or `body.model.encoder.layer.5`."""
    heads: int = 1
    """For a relation: into how many heads the layer's output is split first."""

    @property
    def column(self) -> str:
        """The name of what it gives in a knowledge folder."""
        return f"{self.kind}.{self.path}"


@dataclass
class Taps:
    """What was caught in the last forward pass, by tap."""

    taps: Sequence[Tap]
    caught: dict[Tap, Tensor] = field(default_factory=dict)

    def arrays(self, batch: Batch) -> dict[str, Array]:
        """Columns of the batch: hidden states [P, H]; attention and relations [pairs, heads], window after window."""
        return {
            tap.column: _rows(value, batch) if tap.kind == "hidden" else _pairs(value, batch)
            for tap, value in self.caught.items()
        }

    def columns(self, dtype: str) -> list[Column]:
        """The columns, once something was caught."""
        return [
            Column(tap.column, (value.shape[-1],), dtype, "position")
            if tap.kind == "hidden"
            else Column(tap.column, (value.shape[1],), dtype, "pair")
            for tap, value in self.caught.items()
        ]


@contextmanager
def tapped(module: nn.Module, taps: Sequence[Tap]) -> Iterator[Taps]:
    """Catch what the layers give while the block runs; each forward pass replaces what the one before left."""
    found, handles = Taps(taps), []
    try:
        for tap in taps:
            layer = _layer(module, tap.path)
            handles.append(_source(layer, tap).register_forward_hook(_catch(found, tap, layer)))
        yield found
    finally:
        for handle in handles:
            handle.remove()


def _catch(found: Taps, tap: Tap, layer: nn.Module) -> Callable[[nn.Module, Any, Any], None]:
    def hook(_module: nn.Module, _inputs: Any, output: Any) -> None:  # noqa: ANN401  (whatever a layer gives)
        found.caught[tap] = _taken(tap, layer, output).detach()

    return hook


def _source(layer: nn.Module, tap: Tap) -> nn.Module:
    """Which module's output tells; our own blocks make queries and keys in one product."""
    if tap.kind == "attention" and isinstance(layer, CausalBlock):
        return layer.query_key_value
    return layer


def _taken(tap: Tap, layer: nn.Module, output: Any) -> Tensor:  # noqa: ANN401
    if tap.kind == "attention" and isinstance(layer, CausalBlock):
        batch, length, width = output.shape
        split = output.view(batch, length, 3, layer.heads, width // 3 // layer.heads).permute(2, 0, 3, 1, 4)
        return causal_shares(split[0], split[1])
    if tap.kind == "attention":
        weights = output[1] if isinstance(output, tuple) and len(output) > 1 else None
        if not isinstance(weights, Tensor) or weights.ndim != 4:
            raise SettingsError(
                f"{tap.path} gives no attention weights; name one of our blocks, or an attention layer of a language "
                "model whose attention is 'eager'"
            )
        return weights
    hidden = output[0] if isinstance(output, tuple) else getattr(output, "last_hidden_state", output)
    if not isinstance(hidden, Tensor) or hidden.ndim != 3:
        raise SettingsError(f"{tap.path} gives no [B, L, H] tensor; name a layer that does, such as a whole block")
    return hidden if tap.kind == "hidden" else _relation(hidden, tap)


def _relation(hidden: Tensor, tap: Tap) -> Tensor:
    """How alike each position is to itself and those before it, [B, heads, L, L]: MiniLM's (Wang et al. 2020)."""
    batch, length, width = hidden.shape
    if width % tap.heads:
        raise SettingsError(f"{tap.path} has width {width}, which does not divide by {tap.heads} relation heads")
    split = hidden.view(batch, length, tap.heads, width // tap.heads).transpose(1, 2)  # [B, heads, L, H / heads]
    return causal_shares(split, split)


def causal_shares(query: Tensor, key: Tensor) -> Tensor:
    """softmax(Q K^T / sqrt(d)) over each position and those before it, [B, heads, L, L]."""
    length = query.shape[2]
    future = torch.ones(length, length, dtype=torch.bool, device=query.device).triu(1)
    scores = (query * query.shape[3] ** -0.5) @ key.transpose(2, 3)
    return torch.softmax(scores.float().masked_fill(future, float("-inf")), dim=-1)


def _layer(module: nn.Module, path: str) -> nn.Module:
    layers: dict[str, nn.Module] = dict(module.named_modules())
    if path not in layers or not path:
        near = difflib.get_close_matches(path, layers, n=4, cutoff=0.3) or [name for name in layers if name][:8]
        raise SettingsError(f"the teacher has no layer {path!r}; near it are {', '.join(near)}")
    return layers[path]


def _rows(hidden: Tensor, batch: Batch) -> Array:
    mask = torch.from_numpy(batch.mask).to(hidden.device)
    rows: Array = hidden[mask].float().cpu().numpy()
    return rows


def _pairs(shares: Tensor, batch: Batch) -> Array:
    """[B, heads, L, L] as [sum of squared lengths, heads]: each window's real square, row by row."""
    values = shares.float().cpu().numpy().transpose(0, 2, 3, 1)  # [B, L, L, heads]
    return np.concatenate(
        [values[row, :n, :n].reshape(n * n, -1) for row, n in enumerate(batch.lengths)]
        or [np.zeros((0, shares.shape[1]), dtype=np.float32)]
    )
