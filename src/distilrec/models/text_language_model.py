"""A pretrained language model that reads a history as text, and each item as text, and compares the two."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, ClassVar, Literal, Self

import numpy as np
import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional as F

from distilrec.config import Settings
from distilrec.encode.processor import fast_bf16_flags
from distilrec.errors import ArtifactError, DataError, TrainingError
from distilrec.models.sampled import SampledVectors
from distilrec.types import Batch, FloatArray, IntArray, Ragged

Pooling = Literal["mean", "cls", "max", "lasttoken"]
_LARGEST_SCALE = 100.0
_MOST_PADDING = 1 / 4
ENCODER_DECODERS = ("t5", "mt5", "umt5")
"""Types of which the encoder can be had alone."""


class TextReading(Settings):
    """How much text is read, and what a history is told apart from while training."""

    max_tokens: int = Field(128, ge=4)
    """Tokens of a history that are read, special ones included; its oldest items are cut off."""
    item_tokens: int = Field(32, ge=1)
    """Tokens of an item's text that are read, by itself or in a history."""
    max_length: int = Field(50, ge=1)
    """Items of a history that are read at most."""
    positions: int = Field(1, ge=1)
    """Positions of each history that are drawn in one training step."""
    hard_negatives: int = Field(1, ge=0)
    """Items like the right one that stand beside each in training; the other right ones of a batch always do."""
    temperature: float = Field(0.05, gt=0)
    """Cosines are divided by it before they are compared."""
    learn_temperature: bool = True
    """Whether the temperature is only where it starts."""
    precision: Literal["auto", "float32", "bfloat16"] = "auto"
    """Of the matrix products while nothing is learnt; auto takes bfloat16 where the processor is good at it."""
    token_budget: int = Field(4096, ge=1)
    """Tokens that go through the language model at once."""


class TextLanguageModelSettings(TextReading):
    """The shape of a built model, from which it is rebuilt without the folder that it came from."""

    body: dict[str, Any]
    """The language model's configuration, as transformers writes it."""
    pooling: Pooling
    """How the vectors of all tokens become one."""
    history_begin: tuple[int, ...] = ()
    """Tokens before a history."""
    item_begin: tuple[int, ...] = ()
    """Tokens before an item that is read by itself."""
    separator: tuple[int, ...] = ()
    """Tokens between two items of a history."""
    end: tuple[int, ...] = ()
    """Tokens after every text."""


class TextLanguageModel(nn.Module):
    """One language model for both sides: unit vectors of a history's text and of an item's, times 1 / temperature.

    While training, only some positions and items are read: `forward` gives `SampledVectors`, with in-batch negatives
    and with hard ones drawn from `neighbours`. Otherwise it reads everything, without gradients, and keeps the item
    vectors until the weights change. What has no text has a vector of zeros, and so scores 0.

    Source: the two-tower form of Reimers and Gurevych 2019 (Sentence-BERT), items read as in Li et al. 2023
    (Recformer); in-batch negatives corrected for popularity as in Yi et al. 2019.
    """

    kind: ClassVar[str] = "text_language_model"

    def __init__(
        self,
        settings: TextLanguageModelSettings,
        body: nn.Module,
        texts: Ragged,
        *,
        neighbours: IntArray | None = None,
        counts: IntArray | None = None,
    ) -> None:
        """Put a language model and a catalogue together.

        Args:
            texts: the tokens of each item's text without special ones, N rows; an empty row is an item without text.
            neighbours: items like each item, [N, H]: what hard negatives are drawn from.
            counts: how often each item is chosen in training, [N]; with them the candidates' logits are corrected for
                how often they are drawn, so that popular items are not pushed down for being in many batches.
        """
        super().__init__()
        self.settings, self.body = settings, body
        self._texts = texts
        self._kept: tuple[object, Tensor] | None = None
        scale = torch.tensor(-math.log(settings.temperature))
        self.log_scale = nn.Parameter(scale, requires_grad=settings.learn_temperature)
        # Buffers, so that a checkpoint of other texts or neighbours is known to be another model's.
        self.register_buffer("item_tokens", torch.from_numpy(texts.values), persistent=False)
        self.register_buffer("item_offsets", torch.from_numpy(texts.offsets), persistent=False)
        self.neighbours: Tensor | None
        self.rates: Tensor | None
        self.register_buffer("neighbours", None, persistent=False)
        self.register_buffer("rates", None, persistent=False)
        self.set_negatives(neighbours, counts)

    def set_negatives(self, neighbours: IntArray | None, counts: IntArray | None = None) -> None:
        """Say what hard negatives are drawn from, [N, H], and how often each item is chosen in training, [N]."""
        self.neighbours = None if neighbours is None else torch.from_numpy(neighbours)
        self.rates = None if counts is None else self._rates(torch.from_numpy(counts))

    def _rates(self, counts: Tensor) -> Tensor:
        """How often one drawn position makes each item a candidate, as a target or as a hard negative, [N]."""
        shares = (counts + 1) / (counts + 1).sum()  # [N]; no item is never drawn
        if self.neighbours is None or not self.settings.hard_negatives:
            return shares
        hard = torch.zeros_like(shares).index_add(
            0, self.neighbours.flatten(), shares.repeat_interleave(self.neighbours.shape[1])
        )
        return shares + hard * (self.settings.hard_negatives / self.neighbours.shape[1])

    @property
    def n_items(self) -> int:
        """How many items are ranked, N."""
        return len(self._texts)

    @property
    def max_length(self) -> int:
        """How many of the newest items of a history are read at most."""
        return self.settings.max_length

    @property
    def n_parameters(self) -> int:
        """Numbers that make up the language model."""
        return sum(parameter.numel() for parameter in self.parameters())

    def pretrained_parameters(self) -> list[nn.Parameter]:
        """Those of the language model, which want a smaller step size than what starts from nothing."""
        return list(self.body.parameters())

    def forward(self, batch: Batch) -> tuple[Tensor, Tensor] | SampledVectors:
        """History vectors of the real positions `[P, D]` and item vectors `[N, D]`; in training, a sample of both."""
        _check_items(batch, self.n_items)
        if self.training:
            return self._sample(batch)
        rows, ends = np.nonzero(batch.mask)
        histories = [batch.items[row, : end + 1] for row, end in zip(rows, ends, strict=True)]
        return self.history_vectors(histories), self.item_vectors()

    def history_vectors(self, histories: Sequence[IntArray]) -> Tensor:
        """What comes after each history of items, oldest first, [n, D]; without gradients."""
        with self._still():
            return self._histories(histories)

    def item_vectors(self) -> Tensor:
        """Every item's vector, [N, D]; without gradients, and worked out again only when the weights have changed."""
        # torch counts how often a tensor was written to, as when weights are read back. Its fused optimizers do not
        # count, so nothing is kept while training.
        now = (self.log_scale.device, *(parameter._version for parameter in self.parameters()))
        if self._kept is not None and self._kept[0] == now:
            return self._kept[1]
        with self._still():
            vectors = self._items(np.arange(self.n_items))
        self._kept = None if self.training else (now, vectors)
        return vectors

    def train(self, mode: bool = True) -> Self:
        """Switch dropout, sampling and gradients on or off."""
        if mode:
            self._kept = None
        return super().train(mode)

    def scores(self, batch: Batch) -> FloatArray:
        """A score for every item after each history, [B, N]; zeros after a history without text."""
        _check_items(batch, self.n_items)
        histories = [batch.items[row, :length] for row, length in enumerate(batch.lengths)]
        scores: FloatArray = (self.history_vectors(histories) @ self.item_vectors().T).cpu().numpy()
        return scores

    def _sample(self, batch: Batch) -> SampledVectors:
        rows, ends = self._draw_positions(batch)
        assert batch.targets is not None
        targets = torch.from_numpy(batch.targets[rows, ends])  # [P']
        candidates, right = self._draw_candidates(targets)
        histories = self._histories([batch.items[row, : end + 1] for row, end in zip(rows, ends, strict=True)])
        items = self._items(candidates.numpy())  # [M, D]
        if self.rates is not None:
            # One more column, by which the product of the two takes off the logarithm of how likely a candidate is.
            likely = -torch.expm1(-len(rows) * self.rates[candidates].to(items.device))
            histories = torch.cat([histories, torch.ones_like(histories[:, :1])], dim=1)
            items = torch.cat([items, -likely.log()[:, None]], dim=1)
        return SampledVectors(histories, items, right.to(items.device))

    def _draw_positions(self, batch: Batch) -> tuple[IntArray, IntArray]:
        """Rows and places of some positions of each history whose targets have text, each [P']."""
        if batch.targets is None:
            raise TrainingError("a training batch came without targets; take batches from Windows.batch")
        told = batch.mask & (self._texts.lengths[batch.targets] > 0)  # [B, L]
        drawn = np.where(told, torch.rand(told.shape).numpy(), -1.0)
        first = np.argsort(-drawn, axis=1, kind="stable")[:, : self.settings.positions]  # [B, positions]
        rows, places = np.nonzero(np.take_along_axis(told, first, axis=1))
        return rows, first[rows, places]

    def _draw_candidates(self, targets: Tensor) -> tuple[Tensor, Tensor]:
        """Each target once, with hard negatives `[M]`, and which of them is each position's target `[P']`."""
        distinct, count = torch.unique(targets), self.settings.hard_negatives
        drawn = targets
        if count:
            if self.neighbours is None:
                raise TrainingError(
                    f"hard_negatives is {count}, but this model has no table of neighbours to draw them from; "
                    "train one that build_text_language_model made"
                )
            near = self.neighbours.cpu()[distinct]  # [targets, H]
            drawn = torch.cat([targets, near.gather(1, torch.randint(near.shape[1], (len(near), count))).flatten()])
        candidates, place = torch.unique(drawn, return_inverse=True)
        return candidates, place[: len(targets)]

    def _histories(self, histories: Sequence[IntArray]) -> Tensor:
        return self._encode([self.history_tokens(items) for items in histories]) * self._scale()

    def _items(self, items: IntArray) -> Tensor:
        return self._encode([self.item_text(int(item)) for item in items])

    def _scale(self) -> Tensor:
        return self.log_scale.exp().clamp(max=_LARGEST_SCALE)

    def item_text(self, item: int) -> IntArray:
        """The tokens that are read of an item by itself; none if it has no text."""
        tokens = self._texts[item][: self.settings.item_tokens]
        return self._whole(self.settings.item_begin, [tokens] if len(tokens) else [])

    def history_tokens(self, items: IntArray) -> IntArray:
        """The tokens that are read of a history, newest item first, cut to what fits; none if there is no text."""
        parts: list[IntArray] = []
        for item in items[::-1][: self.settings.max_length]:
            tokens = self._texts[int(item)][: self.settings.item_tokens]
            if len(tokens):
                parts += [np.array(self.settings.separator, dtype=np.int64), tokens] if parts else [tokens]
            if sum(map(len, parts)) >= self.settings.max_tokens:
                break
        return self._whole(self.settings.history_begin, parts)

    def _whole(self, begin: tuple[int, ...], parts: list[IntArray]) -> IntArray:
        """Tokens between what comes before and after every text, cut so that all of it fits."""
        if not parts:
            return np.zeros(0, dtype=np.int64)
        room = self.settings.max_tokens - len(begin) - len(self.settings.end)
        return np.concatenate(
            [np.array(begin, dtype=np.int64), np.concatenate(parts)[:room], self.settings.end]
        ).astype(np.int64)

    def _encode(self, texts: Sequence[IntArray]) -> Tensor:
        """A unit vector for each text in the order given, zeros for those without tokens, [n, D]."""
        lengths = np.array([len(text) for text in texts], dtype=np.int64)
        places, parts = np.zeros(len(texts), dtype=np.int64), []
        done = 1  # row 0 is for empty texts
        for rows in _similar_lengths(lengths, self.settings.token_budget):
            parts.append(self._read([texts[row] for row in rows]))
            places[rows] = np.arange(done, done + len(rows))
            done += len(rows)
        nothing = self.log_scale.new_zeros(1, self.width)
        return torch.cat([nothing, *parts])[torch.from_numpy(places).to(nothing.device)]

    def _read(self, texts: list[IntArray]) -> Tensor:
        """Unit vectors of texts that share a batch, [b, D]."""
        lengths = torch.tensor([len(text) for text in texts])
        tokens = torch.full((len(texts), int(lengths.max())), self._padding())  # [b, L]
        for row, text in enumerate(texts):
            tokens[row, : len(text)] = torch.from_numpy(text)
        mask = torch.arange(tokens.shape[1]) < lengths[:, None]
        device = self.log_scale.device
        tokens, mask, lengths = tokens.to(device), mask.to(device), lengths.to(device)
        even = bool((lengths == lengths[0]).all())
        hidden = self.body(input_ids=tokens, attention_mask=None if even else mask.long()).last_hidden_state.float()
        return F.normalize(_pool(self.settings.pooling, hidden, mask, lengths), dim=-1)

    def _padding(self) -> int:
        """Any token will do, since no real one looks at it; where the model has one of its own, that."""
        return max(0, int(self.settings.body.get("pad_token_id") or 0))

    @property
    def width(self) -> int:
        """Width of the vectors, D."""
        return int(self.body.config.hidden_size)  # type: ignore[union-attr, arg-type]

    @contextmanager
    def _still(self) -> Iterator[None]:
        """No dropout, no gradients, products in bfloat16 where that is faster; the mode is put back."""
        was_training, device = self.training, self.log_scale.device
        self.eval()
        try:
            # Not torch.inference_mode: the item vectors are kept, and may be asked for outside of it.
            faster = torch.autocast(device.type, torch.bfloat16, enabled=_in_bfloat16(self.settings.precision, device))
            with torch.inference_mode(False), torch.no_grad(), faster:
                yield
        finally:
            self.train(was_training)

    def state(self) -> dict[str, np.ndarray[Any, Any]]:
        """The weights as float32 arrays, and the items' tokens."""
        weights = {name: _array(value) for name, value in _distinct(self.state_dict()).items()}
        tokens = {"item_tokens": self._texts.values, "item_offsets": self._texts.offsets}
        return {**weights, **{name: array.astype(np.int32) for name, array in tokens.items()}}

    def fold(self) -> Self:
        """Itself, ready to be asked: nothing of it is needed in training alone."""
        return self.eval()

    @classmethod
    def from_state(cls, settings: TextLanguageModelSettings, state: Mapping[str, np.ndarray[Any, Any]]) -> Self:
        """Rebuild a model; every array must be there, of the right shape and finite."""
        body = build_body(settings.body)
        model = cls(settings, body, _texts_of(state, int(body.config.vocab_size)))  # type: ignore[union-attr, arg-type]
        weights = {name: array for name, array in state.items() if name not in ("item_tokens", "item_offsets")}
        wanted = _distinct(model.state_dict())
        shapes, got = ({name: tuple(value.shape) for name, value in of.items()} for of in (wanted, weights))
        if shapes != got:
            wrong = sorted(name for name in shapes.keys() | got.keys() if shapes.get(name) != got.get(name))
            told = "; ".join(f"{name}: expected {shapes.get(name)}, got {got.get(name)}" for name in wrong[:3])
            raise ArtifactError(f"the weights do not fit the settings: {told}")
        infinite = [name for name, array in weights.items() if not np.isfinite(array).all()]
        if infinite:
            raise ArtifactError(f"the weights hold NaN or infinity in {', '.join(infinite)}")
        with torch.no_grad():
            for name, value in wanted.items():
                value.copy_(torch.from_numpy(np.array(weights[name])))
        return model.eval()


def build_body(config: Mapping[str, Any]) -> nn.Module:
    """An untrained language model of a configuration; of an encoder-decoder, the encoder."""
    from transformers import AutoConfig, AutoModel, AutoModelForTextEncoding

    kind = str(config.get("model_type"))
    try:
        parsed = AutoConfig.for_model(kind, **{key: value for key, value in config.items() if key != "model_type"})
    except ValueError as error:
        raise ArtifactError(f"this transformers knows no language model of type {kind!r}: {error}") from None
    maker = AutoModelForTextEncoding if kind in ENCODER_DECODERS else AutoModel
    return without_pooler(maker.from_config(parsed, dtype=torch.float32))


def without_pooler(body: nn.Module) -> nn.Module:
    """BERT's layer on top of its first token takes no part in what is read here."""
    if getattr(body, "pooler", None) is not None:
        setattr(body, "pooler", None)  # noqa: B010  (torch's types know no part that is taken away)
    return body


def _pool(pooling: Pooling, hidden: Tensor, mask: Tensor, lengths: Tensor) -> Tensor:
    """One vector of the real tokens' [b, L, D] -> [b, D]."""
    if pooling == "mean":
        return (hidden * mask[:, :, None]).sum(dim=1) / lengths[:, None]
    if pooling == "max":
        return hidden.masked_fill(~mask[:, :, None], float("-inf")).amax(dim=1)
    at = lengths - 1 if pooling == "lasttoken" else torch.zeros_like(lengths)
    return hidden[torch.arange(len(hidden), device=hidden.device), at]


def _similar_lengths(lengths: IntArray, token_budget: int) -> Iterator[IntArray]:
    """Rows of similar length, the longest first, so that little is padded; empty ones are left out."""
    order = np.argsort(-lengths, kind="stable")[: int((lengths > 0).sum())]
    start = 0
    while start < len(order):
        longest = int(lengths[order[start]])
        size = max(1, token_budget // longest)
        rows = order[start : start + size]
        yield rows[lengths[rows] >= (1 - _MOST_PADDING) * longest]
        start += int((lengths[rows] >= (1 - _MOST_PADDING) * longest).sum())


def _in_bfloat16(precision: str, device: torch.device) -> bool:
    if precision != "auto":
        return precision == "bfloat16"
    return torch.cuda.is_bf16_supported() if device.type == "cuda" else bool(fast_bf16_flags())


def _check_items(batch: Batch, n_items: int) -> None:
    lowest, highest = int(batch.items.min(initial=0)), int(batch.items.max(initial=0))
    if lowest < 0 or highest >= n_items:
        wrong = lowest if lowest < 0 else highest
        raise DataError(f"item {wrong} is outside the catalogue of {n_items} items (rows 0 to {n_items - 1})")


def _distinct(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Each tensor once: tied weights have several names."""
    seen: dict[tuple[int, tuple[int, ...]], str] = {}
    for name, tensor in tensors.items():
        seen.setdefault((tensor.data_ptr(), tuple(tensor.shape)), name)
    return {name: tensors[name] for name in seen.values()}


def _array(value: Tensor) -> np.ndarray[Any, Any]:
    return np.array(value.detach().float().cpu().numpy(), order="C")


def _texts_of(state: Mapping[str, np.ndarray[Any, Any]], vocabulary: int) -> Ragged:
    """The items' tokens, checked."""
    tokens, offsets = state.get("item_tokens"), state.get("item_offsets")
    if tokens is None or offsets is None:
        raise ArtifactError("the weights lack item_tokens or item_offsets, the items' texts")
    if tokens.ndim != 1 or offsets.ndim != 1 or len(offsets) < 2 or offsets[0] != 0 or offsets[-1] != len(tokens):
        raise ArtifactError(
            f"item_tokens {tokens.shape} and item_offsets {offsets.shape} do not fit each other; the file is damaged"
        )
    if (np.diff(offsets) < 0).any() or tokens.min(initial=0) < 0 or tokens.max(initial=0) >= vocabulary:
        raise ArtifactError(
            f"item_offsets fall, or item_tokens are not all from 0 to {vocabulary - 1}, the language model's words"
        )
    return Ragged(tokens.astype(np.int64), offsets.astype(np.int64))
