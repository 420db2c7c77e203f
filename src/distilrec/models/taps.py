"""Looking into a network while it runs: hidden states, attention and relations of any layer, named by its path."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Literal, Self, get_args

import torch
from torch import Tensor, nn

from distilrec.errors import SettingsError
from distilrec.models.blocks import CausalBlock, causal_shares
from distilrec.types import Batch

Kind = Literal["hidden", "attention", "relation"]
Of = Literal["hidden", "query", "key", "value"]
_PARTS: tuple[Of, ...] = ("query", "key", "value")  # in the order in which our blocks make them
_TOGETHER = ("query_key_value", "c_attn")  # ours and GPT-2's: all three side by side in one product
_THEIR_NAMES = {part: (part, f"{part[0]}_proj", f"{part[0]}_lin", part[0]) for part in _PARTS}

Take = Callable[[Any], Tensor]


@dataclass(frozen=True)
class Tap:
    """One thing to take out of a layer."""

    kind: Kind
    path: str
    """As `named_modules` has it, such as `blocks.0` or `body.model.encoder.layer.5`."""
    heads: int = 1
    """For a relation: into how many heads what is compared is split first; it need not be the layer's own number."""
    of: Of = "hidden"
    """For a relation: whether positions are compared by the layer's output, or by its queries, keys or values."""

    def __post_init__(self) -> None:
        if self.of != "hidden" and self.kind != "relation":
            raise SettingsError(f"{self.kind} of {self.path} is of the layer; only a relation is of its {self.of}")

    @classmethod
    def parse(cls, column: str, *, heads: int = 1) -> Self:
        """The tap of a column's name: `hidden.blocks.0`, `attention.blocks.0`, `relation.blocks.0.value`."""
        kind, _, path = column.partition(".")
        if kind not in get_args(Kind) or not path:
            raise SettingsError(
                f"{column!r} names nothing inside a network; expected hidden, attention or relation, a dot, and the "
                "path of a layer, such as hidden.blocks.0"
            )
        layer, _, last = path.rpartition(".")
        if kind == "relation" and layer and last in _PARTS:
            return cls("relation", layer, heads, last)
        return cls(kind, path, heads if kind == "relation" else 1)  # type: ignore[arg-type]  # one of Kind

    @property
    def column(self) -> str:
        """The name of what it gives in a knowledge folder."""
        return f"{self.kind}.{self.path}" if self.of == "hidden" else f"{self.kind}.{self.path}.{self.of}"

    @property
    def per(self) -> Literal["position", "pair"]:
        """What a row of its column is of."""
        return "position" if self.kind == "hidden" else "pair"

    def rows(self, value: Tensor, batch: Batch) -> Tensor:
        """The real part of what was caught: [P, H], or [pairs, heads], window after window and row by row."""
        batch_and_length = value.shape[:2] if self.kind == "hidden" else (value.shape[0], value.shape[2])
        if tuple(batch_and_length) != batch.items.shape:
            raise SettingsError(
                f"{self.path} gives a tensor of shape {tuple(value.shape)} for {len(batch)} histories of "
                f"{batch.items.shape[1]} positions; name a layer that gives a row for each position"
            )
        mask = torch.from_numpy(batch.mask).to(value.device)  # [B, L]
        if self.kind == "hidden":
            return value[mask]
        return value.permute(0, 2, 3, 1)[mask[:, :, None] & mask[:, None, :]]  # [sum of squared lengths, heads]


@dataclass
class Taps:
    """What was caught in the last forward pass, by tap: hidden states [B, L, H], shares [B, heads, L, L]."""

    taps: Sequence[Tap]
    caught: dict[Tap, Tensor] = field(default_factory=dict)

    def rows(self, batch: Batch) -> dict[str, Tensor]:
        """The real part of everything, by the column's name: [P, H] or [pairs, heads]."""
        return {tap.column: tap.rows(value, batch) for tap, value in self.caught.items()}


@contextmanager
def tapped(module: nn.Module, taps: Sequence[Tap], *, detach: bool = True, whose: str = "teacher") -> Iterator[Taps]:
    """Catch what the layers give while the block runs; each forward pass replaces what the one before left.

    Args:
        detach: False lets gradients flow back through what is caught, as a student that is trained wants.
        whose: network this is, for messages.
    """
    found, handles = Taps(taps), []
    try:
        for tap in taps:
            layer = _layer(module, tap.path, whose)
            source, take = _source(layer, tap)
            handles.append(source.register_forward_hook(_catch(found, tap, take, detach)))
        yield found
    finally:
        for handle in handles:
            handle.remove()


def _catch(found: Taps, tap: Tap, take: Take, detach: bool) -> Callable[[nn.Module, Any, Any], None]:
    def hook(_module: nn.Module, _inputs: Any, output: Any) -> None:  # noqa: ANN401  (whatever a layer gives)
        value = take(output)
        found.caught[tap] = value.detach() if detach else value

    return hook


def _source(layer: nn.Module, tap: Tap) -> tuple[nn.Module, Take]:
    """Which module's output tells, and how it is read."""
    if tap.kind == "attention" and isinstance(layer, CausalBlock):
        return layer.query_key_value, lambda output: _own_attention(output, layer.heads)
    if tap.kind == "attention":
        return layer, lambda output: _attention(output, tap)
    if tap.kind == "hidden":
        return layer, lambda output: _hidden(output, tap)
    if tap.of == "hidden":
        return layer, lambda output: _relation(_hidden(output, tap), tap)
    for name in _THEIR_NAMES[tap.of]:
        if isinstance(module := getattr(layer, name, None), nn.Module):
            return module, lambda output: _relation(_hidden(output, tap), tap)
    for name in _TOGETHER:
        if isinstance(module := getattr(layer, name, None), nn.Module):
            return module, lambda output: _relation(_third(_hidden(output, tap), tap.of), tap)
    raise SettingsError(
        f"{tap.path} makes no queries, keys and values; name one of our blocks, or a language model's attention layer"
    )


def _own_attention(output: Tensor, heads: int) -> Tensor:
    """Of our blocks, which make queries, keys and values in one product, [B, L, 3 D] -> [B, heads, L, L]."""
    query, key, _ = output.chunk(3, dim=2)
    return causal_shares(_split(query, heads), _split(key, heads))


def _attention(output: Any, tap: Tap) -> Tensor:  # noqa: ANN401
    weights = output[1] if isinstance(output, tuple) and len(output) > 1 else None
    if not isinstance(weights, Tensor) or weights.ndim != 4:
        raise SettingsError(
            f"{tap.path} gives no attention weights; name one of our blocks, or an attention layer of a language "
            "model whose attention is 'eager'"
        )
    return weights


def _hidden(output: Any, tap: Tap) -> Tensor:  # noqa: ANN401
    hidden = output[0] if isinstance(output, tuple) else getattr(output, "last_hidden_state", output)
    if not isinstance(hidden, Tensor) or hidden.ndim != 3:
        raise SettingsError(f"{tap.path} gives no [B, L, H] tensor; name a layer that does, such as a whole block")
    return hidden


def _relation(hidden: Tensor, tap: Tap) -> Tensor:
    """How alike each position is to itself and those before it, [B, heads, L, L].

    Source: MiniLM (Wang et al. 2020) for values; MiniLMv2 (Wang et al. 2021) for queries, keys and values, split into
    relation heads.
    """
    if hidden.shape[2] % tap.heads:
        raise SettingsError(
            f"{tap.path} has width {hidden.shape[2]}, which does not divide by {tap.heads} relation heads"
        )
    split = _split(hidden, tap.heads)
    return causal_shares(split, split)


def _third(together: Tensor, of: Of) -> Tensor:
    """Queries, keys or values, [B, L, 3 D] -> [B, L, D]"""
    return together.chunk(3, dim=2)[_PARTS.index(of)]


def _split(hidden: Tensor, heads: int) -> Tensor:
    """[B, L, H] -> [B, heads, L, H / heads]"""
    batch, length, width = hidden.shape
    return hidden.reshape(batch, length, heads, width // heads).transpose(1, 2)


def _layer(module: nn.Module, path: str, whose: str) -> nn.Module:
    layers: dict[str, nn.Module] = dict(module.named_modules())
    if path not in layers or not path:
        near = difflib.get_close_matches(path, layers, n=4, cutoff=0.3) or [name for name in layers if name][:8]
        raise SettingsError(f"the {whose} has no layer {path!r}; near it are {', '.join(near)}")
    return layers[path]
