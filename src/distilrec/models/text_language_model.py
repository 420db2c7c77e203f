"""A pretrained language model that reads a history as text, and each item as text, and compares the two."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, ClassVar, Literal, Self

import numpy as np
import torch
from pydantic import Field
from torch import Tensor, nn

from distilrec.config import Settings
from distilrec.encode.processor import takes_bf16
from distilrec.errors import ArtifactError, TrainingError
from distilrec.models.body import Body, body_from_config
from distilrec.models.checks import check_batch
from distilrec.models.product_form import as_arrays, count_parameters, load_arrays
from distilrec.models.sampled import SampledVectors
from distilrec.models.text_reading import Pooling, read_texts
from distilrec.models.text_sampling import Sampler
from distilrec.types import Batch, FloatArray, IntArray, Ragged

_LARGEST_SCALE = 100.0
_TOKENS, _OFFSETS = "item_tokens", "item_offsets"


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
    """Of the matrix products outside of training; auto takes bfloat16 where the processor is good at it."""
    token_budget: int = Field(4096, ge=1)
    """Tokens that go through the language model at once."""


class TextLanguageModelSettings(TextReading):
    """The shape of a built model, from which it is rebuilt without the folder that it came from."""

    body_config: dict[str, Any]
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

    While training, only some positions and items are read: `forward` gives `SampledVectors`. Otherwise it reads
    everything, without gradients, and keeps the item vectors until the weights change. What has no text has a vector
    of zeros, and so scores 0.

    Source: one encoder for two texts as in Reimers and Gurevych 2019 (Sentence-BERT); histories of items that are read
    as text as in Li et al. 2023 (Recformer).
    """

    kind: ClassVar[str] = "text_language_model"

    def __init__(
        self,
        settings: TextLanguageModelSettings,
        texts: Ragged,
        *,
        body: Body | None = None,
        sampler: Sampler | None = None,
    ) -> None:
        """Put a language model and a catalogue together; without a `body`, the language model is random.

        Args:
            texts: the tokens of each item's text without special ones, N rows; an empty row is an item without text.
            sampler: says what is read while training, so it is needed for that alone.
        """
        super().__init__()
        self.settings, self._texts = settings, texts
        self.body = body if body is not None else body_from_config(settings.body_config, words=True)
        scale = torch.tensor(-math.log(settings.temperature))
        self.log_scale = nn.Parameter(scale, requires_grad=settings.learn_temperature)
        self.sampler = sampler
        # Buffers, so that a checkpoint of other texts is known to be another model's.
        self.register_buffer(_TOKENS, torch.from_numpy(texts.values), persistent=False)
        self.register_buffer(_OFFSETS, torch.from_numpy(texts.offsets), persistent=False)
        self._kept: tuple[object, Tensor] | None = None

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
        """Numbers that are learnt, in pretraining or here."""
        return count_parameters(self)

    def pretrained_parameters(self) -> list[nn.Parameter]:
        """Those of the language model, which want a step size of their own; even if it began at random."""
        return list(self.body.parameters())

    def forward(self, batch: Batch) -> tuple[Tensor, Tensor] | SampledVectors:
        """History vectors of the real positions `[P, D]` and item vectors `[N, D]`; in training, a sample of both."""
        check_batch(batch, self.n_items)
        if self.training:
            return self._sample(batch)
        rows, places = np.nonzero(batch.mask)
        return self.history_vectors(_histories(batch, rows, places + 1)), self.item_vectors()

    def history_vectors(self, histories: Sequence[IntArray]) -> Tensor:
        """What comes after each history of items, oldest first, [n, D]; without gradients."""
        with self._still():
            return self._read_histories(histories)

    def item_vectors(self) -> Tensor:
        """Every item's vector, [N, D]; without gradients, and worked out again only when the weights have changed."""
        # torch counts how often a tensor was written to, as when weights are read back. Its fused optimizers do not
        # count, so nothing is kept while training.
        now = (self.log_scale.device, *(parameter._version for parameter in self.parameters()))
        if self._kept is not None and self._kept[0] == now:
            return self._kept[1]
        with self._still():
            vectors = self._read_items(range(self.n_items))
        self._kept = None if self.training else (now, vectors)
        return vectors

    def train(self, mode: bool = True) -> Self:
        """Switch dropout, sampling and gradients on or off."""
        if mode:
            self._kept = None
        return super().train(mode)

    def scores(self, batch: Batch) -> FloatArray:
        """A score for every item after each history, [B, N]; zeros after a history without text."""
        check_batch(batch, self.n_items)
        vectors = self.history_vectors(_histories(batch, range(len(batch)), batch.lengths))  # [B, D]
        scores: FloatArray = (vectors @ self.item_vectors().T).cpu().numpy()
        return scores

    def _sample(self, batch: Batch) -> SampledVectors:
        if self.sampler is None or batch.targets is None:
            raise TrainingError(
                "training needs a batch with targets (Windows.batch makes one) and a model with a sampler "
                "(build_text_language_model makes one; a loaded model has none)"
            )
        rows, places = self.sampler.draw_positions(batch.mask & (self._texts.lengths[batch.targets] > 0))
        candidates, targets = self.sampler.draw_candidates(torch.from_numpy(batch.targets[rows, places]))
        histories = self._read_histories(_histories(batch, rows, places + 1))  # [P', D]
        items = self._read_items(candidates.tolist())  # [M, D]
        log_chances = self.sampler.log_chances(candidates, len(rows))
        if log_chances is not None:  # one more column, by which the product of the two takes it off
            histories = torch.cat([histories, torch.ones_like(histories[:, :1])], dim=1)
            items = torch.cat([items, -log_chances[:, None]], dim=1)
        return SampledVectors(histories, items, targets.to(items.device))

    def _read_histories(self, histories: Sequence[IntArray]) -> Tensor:
        scale = self.log_scale.exp().clamp(max=_LARGEST_SCALE)
        return self._read([self.read_of_history(history) for history in histories]) * scale

    def _read_items(self, items: Sequence[int]) -> Tensor:
        return self._read([self.read_of_item(item) for item in items])

    def _read(self, texts: Sequence[IntArray]) -> Tensor:
        return read_texts(self.body, texts, pooling=self.settings.pooling, token_budget=self.settings.token_budget)

    def read_of_item(self, item: int) -> IntArray:
        """The tokens that are read of an item by itself; none if it has no text."""
        return self._whole(self.settings.item_begin, self._text(item))

    def read_of_history(self, history: IntArray) -> IntArray:
        """The tokens that are read of a history of items, newest first, as many as fit; none if there is no text."""
        tokens: list[int] = []
        for item in history[::-1][: self.settings.max_length].tolist():
            text = self._text(item)
            tokens += [*self.settings.separator, *text] if tokens and text else text
            if len(tokens) >= self.settings.max_tokens:
                break
        return self._whole(self.settings.history_begin, tokens)

    def _text(self, item: int) -> list[int]:
        tokens: list[int] = self._texts[item][: self.settings.item_tokens].tolist()
        return tokens

    def _whole(self, begin: tuple[int, ...], tokens: list[int]) -> IntArray:
        """A text between what comes before and after it, cut so that all of it fits."""
        room = self.settings.max_tokens - len(begin) - len(self.settings.end)
        return np.array([*begin, *tokens[:room], *self.settings.end] if tokens else [], dtype=np.int64)

    @contextmanager
    def _still(self) -> Iterator[None]:
        """No dropout, no gradients, products in bfloat16 where that is faster; the mode is put back."""
        was_training, device = self.training, self.log_scale.device
        self.eval()
        try:
            rough = takes_bf16(self.settings.precision, device.type)
            faster = torch.autocast(device.type, torch.bfloat16, enabled=rough)
            # Not torch.inference_mode: the item vectors are kept, and may be asked for outside of it.
            with torch.inference_mode(False), torch.no_grad(), faster:
                yield
        finally:
            self.train(was_training)

    def state(self) -> dict[str, np.ndarray[Any, Any]]:
        """The weights as float32 arrays, LoRA's merged, and the items' tokens."""
        weights = {
            "log_scale": self.log_scale,
            **{f"body.{name}": value for name, value in self.body.weights().items()},
        }
        return {
            **as_arrays(weights),
            _TOKENS: self._texts.values.astype(np.int32),
            _OFFSETS: self._texts.offsets.astype(np.int32),
        }

    def fold(self) -> TextLanguageModel:
        """The same model without LoRA; itself where there is none, ready to be asked."""
        if any(".lora_" in name for name, _ in self.named_parameters()):
            return TextLanguageModel.from_state(self.settings, self.state())
        return self.eval()

    @classmethod
    def from_state(cls, settings: TextLanguageModelSettings, state: Mapping[str, np.ndarray[Any, Any]]) -> Self:
        """Rebuild a model; every array must be there, of the right shape and finite."""
        model = cls(settings, _texts_of(state, int(settings.body_config.get("vocab_size", 0))))
        weights = {name: array for name, array in state.items() if name not in (_TOKENS, _OFFSETS)}
        load_arrays(model, weights)
        return model.eval()


def _histories(batch: Batch, rows: Iterable[int], lengths: Iterable[int]) -> list[IntArray]:
    """The first so many items of some of a batch's histories."""
    return [batch.items[row, :length] for row, length in zip(rows, lengths, strict=True)]


def _texts_of(state: Mapping[str, np.ndarray[Any, Any]], vocabulary: int) -> Ragged:
    """The items' tokens, checked."""
    if _TOKENS not in state or _OFFSETS not in state:
        raise ArtifactError(f"the weights lack {_TOKENS} or {_OFFSETS}, the items' texts")
    tokens, offsets = state[_TOKENS], state[_OFFSETS]
    if tokens.ndim != 1 or offsets.ndim != 1 or len(offsets) < 2 or offsets[0] != 0 or offsets[-1] != len(tokens):
        raise ArtifactError(f"{_TOKENS} {tokens.shape} and {_OFFSETS} {offsets.shape} do not fit each other")
    if (np.diff(offsets) < 0).any() or tokens.min(initial=0) < 0 or tokens.max(initial=0) >= vocabulary:
        raise ArtifactError(f"{_OFFSETS} fall, or {_TOKENS} are not all among the {vocabulary} that the model knows")
    return Ragged(tokens.astype(np.int64), offsets.astype(np.int64))
