"""Texts to vectors through a pretrained encoder, as fast as the processor can without padding."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import numpy as np

from distilrec.encode.folder import EncoderFolder, locate, read_folder
from distilrec.encode.layers import POOLING, Layer, load_layer
from distilrec.encode.processor import takes_bf16
from distilrec.encode.settings import Dtype
from distilrec.errors import MissingExtraError, SettingsError, SourceError
from distilrec.memory import keep_freed_memory
from distilrec.progress import Advance, progress
from distilrec.types import FloatArray, IntArray

if TYPE_CHECKING:
    import torch

_NO_LIMIT = 100_000  # tokenizers without a limit say 10^30
TOKEN_BUDGET = 4096
_MOST_AT_ONCE = 8  # batches; more would wait for Python, which does one thing at a time


class TextEncoder:
    """A pretrained encoder and its tokenizer.

    Texts of equal token count share a batch, so there is no padding and no mask: a text has the same vector
    (but for rounding) whatever else is encoded with it.
    """

    def __init__(
        self,
        folder: EncoderFolder,
        tokenizer: Any,  # noqa: ANN401  (transformers' own, without types)
        model: Any,  # noqa: ANN401
        after: Sequence[Layer],
        max_tokens: int,
    ) -> None:
        self._folder, self._tokenizer, self._model = folder, tokenizer, model
        self._after, self.max_tokens = after, max_tokens

    @classmethod
    def load(
        cls,
        name_or_folder: str | Path,
        *,
        dtype: Dtype = "auto",
        max_tokens: int | None = None,
        device: str | None = None,
    ) -> Self:
        """Load from a folder, or by a name on the Hugging Face hub.

        `max_tokens` may only shorten what the model reads. Weights that are not safetensors are refused.
        """
        for library in ("torch", "transformers"):
            if importlib.util.find_spec(library) is None:
                raise MissingExtraError(library, "train")
        folder = read_folder(locate(name_or_folder))
        chosen = choose_device(device)
        tokenizer, model = _load(folder, choose_dtype(dtype, chosen), chosen)
        most = _most_tokens(folder, tokenizer, model)
        if max_tokens is not None and max_tokens > most:
            raise SettingsError(f"max_tokens is {max_tokens}; {folder.path} reads at most {most} tokens")
        after = [load_layer(kind, path, chosen) for kind, path in folder.after]
        return cls(folder, tokenizer, model, after, max_tokens or most)

    def encode(
        self,
        texts: Sequence[str],
        *,
        token_budget: int = TOKEN_BUDGET,
        quiet: bool = False,
        advance: Advance | None = None,
    ) -> FloatArray:
        """One vector for each text in the order given, [n, F]; an empty text gets zeros.

        Equal texts are encoded once. `advance` reports to a progress bar of the caller's instead of a new one.
        """
        unique = list(dict.fromkeys(text for text in texts if text))
        rows = {text: row for row, text in enumerate(unique)}
        if advance is not None:
            vectors = self._encode_unique(unique, token_budget, advance)
        else:
            with progress("encoding texts", total=len(unique), quiet=quiet) as own:
                vectors = self._encode_unique(unique, token_budget, own)
        return vectors[[rows.get(text, -1) for text in texts]]  # the last row is for empty texts

    def _encode_unique(self, texts: list[str], token_budget: int, advance: Advance) -> FloatArray:
        """A row for each text, and one of zeros at the end, [n + 1, F]."""
        import torch

        keep_freed_memory()
        tokens = self._tokenize(texts)
        lengths = np.array([len(ids) for ids in tokens], dtype=np.int64)
        vectors = np.zeros((len(texts) + 1, self.width), dtype=np.float32)

        def encode(rows: IntArray) -> int:
            with torch.inference_mode():
                vectors[rows] = self._vectors(torch.tensor([tokens[row] for row in rows])).cpu().numpy()
            return len(rows)

        batches = list(_batches(lengths, token_budget))
        side_by_side = _MOST_AT_ONCE if self._model.device.type == "cpu" else 1
        _do_each(encode, batches, advance, at_once=min(side_by_side, len(batches)))
        return vectors

    def _tokenize(self, texts: list[str]) -> list[list[int]]:
        if not texts:
            return []
        prompt = self._folder.prompt
        read = [prompt + (text.lower() if self._folder.lower_case else text) for text in texts]
        tokens: list[list[int]] = self._tokenizer(
            read,
            truncation=True,
            max_length=self.max_tokens,
            padding=False,
            return_attention_mask=False,
            return_token_type_ids=False,
        )["input_ids"]
        return tokens

    def _vectors(self, tokens: torch.Tensor) -> torch.Tensor:
        hidden = self._model(input_ids=tokens.to(self._model.device)).last_hidden_state  # [B, L, F]
        pooled = POOLING[self._folder.pooling](hidden.float())  # [B, F]
        for layer in self._after:
            pooled = layer(pooled)
        return pooled

    @property
    def width(self) -> int:
        """Length of a vector, F."""
        import torch

        probe = torch.zeros((1, 1), dtype=torch.int64)
        with torch.inference_mode():
            return int(self._vectors(probe).shape[1])


def _batches(lengths: IntArray, token_budget: int) -> Iterator[IntArray]:
    """Rows of equal length, the longest first, so that a batch too large for the memory fails at once.

    A text of which the tokenizer keeps nothing is in no batch.
    """
    for length in np.unique(lengths[lengths > 0])[::-1]:
        rows = np.flatnonzero(lengths == length)
        size = max(1, token_budget // int(length))
        yield from (rows[start : start + size] for start in range(0, len(rows), size))


def _do_each(encode: Callable[[IntArray], int], batches: Sequence[IntArray], advance: Advance, *, at_once: int) -> None:
    """Encode batches side by side, each on its share of torch's threads.

    Threads that work on one batch wait for one another hundreds of times; where the machine has other work to do as
    well, that took seven times as long as a batch for each thread.
    """
    import torch

    threads = torch.get_num_threads()
    workers = max(1, min(threads, at_once))
    torch.set_num_threads(threads // workers)
    try:
        with ThreadPoolExecutor(workers) as pool:
            for done in pool.map(encode, batches):
                advance(done)
    finally:
        torch.set_num_threads(threads)


def _load(folder: EncoderFolder, dtype: torch.dtype, device: str) -> tuple[Any, Any]:
    from transformers import AutoModel, AutoTokenizer

    with _without_loading_bars():
        try:
            tokenizer = AutoTokenizer.from_pretrained(folder.transformer)
            model = AutoModel.from_pretrained(folder.transformer, dtype=dtype, use_safetensors=True)
        except (OSError, ValueError, KeyError) as error:  # transformers' three ways to refuse a folder
            raise SourceError(f"{folder.transformer} cannot be loaded as an encoder: {error}") from error
    return tokenizer, model.eval().to(device)


@contextmanager
def _without_loading_bars() -> Iterator[None]:
    """Reading a small file needs no bar of its own; the setting is put back."""
    from transformers.utils import logging

    shown = logging.is_progress_bar_enabled()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        if shown:
            logging.enable_progress_bar()


def _most_tokens(folder: EncoderFolder, tokenizer: Any, model: Any) -> int:  # noqa: ANN401
    said = (
        folder.max_tokens,
        getattr(tokenizer, "model_max_length", None),
        getattr(model.config, "max_position_embeddings", None),
    )
    return min(int(limit) for limit in (*said, _NO_LIMIT) if limit)


def choose_device(name: str | None) -> str:
    """A device that can be used here: the one named, or else a GPU if there is one."""
    import torch

    if name is None:
        return "cuda" if torch.cuda.is_available() else "cpu"
    try:
        torch.empty(0, device=name)
    except (RuntimeError, AssertionError) as error:  # an unknown name; a kind that this torch was not built for
        raise SettingsError(f"device {name!r} cannot be used here: {error}") from None
    return name


def choose_dtype(dtype: Dtype, device: str) -> torch.dtype:
    """The number type; auto is bfloat16 where that is fast."""
    import torch

    return torch.bfloat16 if takes_bf16(dtype, device) else torch.float32
