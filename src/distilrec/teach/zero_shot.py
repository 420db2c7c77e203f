"""A language model that was never trained on the data ranks items by how likely it finds their titles."""

from __future__ import annotations

import copy
import importlib.util
import inspect
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Literal, Self

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from distilrec.encode.folder import digest_of_folder, locate, transformer_folder
from distilrec.encode.settings import Dtype
from distilrec.encode.text import choose_device, choose_dtype
from distilrec.errors import DataError, MissingExtraError, SettingsError
from distilrec.files import sha256_of_value
from distilrec.teach.causal_model import load_causal_model, most_tokens, tokens_before_texts
from distilrec.teach.prompts import Prompt, load_prompt
from distilrec.types import FloatArray

Likelihood = Literal["mean", "sum"]
_MOST_TOKENS = 1024  # where nobody says; models that read a hundred thousand are slow long before
_PASS_TOKENS, _PASS_LOGITS = 8192, 1024  # of all titles that go through the model at once, with and without the prompt
_VERSION = 1  # raised when the same model and prompt would give other scores


class ZeroShotRanker:
    """Scores titles by their log-likelihood after a prompt made from the history.

    Each title is read as " title" after the prompt. The prompt is read once for each history; its keys and values are
    then used for all of that history's candidates. A mean over tokens does not favour short titles as a sum does, and
    still favours titles whose ending follows from their beginning: compare scores within a list, not between lists.
    What many people write about scores high after every history.

    Source: Sileo, Vossen and Raymaekers 2022 (Zero-Shot Recommendation as Language Modeling).
    """

    def __init__(
        self,
        model: Any,  # noqa: ANN401  (transformers' own, without types)
        tokenizer: Any,  # noqa: ANN401
        prompt: Prompt,
        *,
        likelihood: Likelihood = "mean",
        max_tokens: int = _MOST_TOKENS,
        title_tokens: int | None = None,
        folder: Path,
    ) -> None:
        """Put a loaded model and a prompt together; see `load`."""
        self._model, self._tokenizer, self._folder = model, tokenizer, folder
        self.prompt, self.likelihood = prompt, likelihood
        self.max_tokens, self.title_tokens = max_tokens, title_tokens
        takes = inspect.signature(model.forward).parameters
        self._last_logits = {"logits_to_keep": 1} if "logits_to_keep" in takes else {}
        self._begin = tokens_before_texts(tokenizer)

    @classmethod
    def load(
        cls,
        name_or_folder: str | Path,
        *,
        prompt: str | Path = "next_item",
        likelihood: Likelihood = "mean",
        max_tokens: int | None = None,
        title_tokens: int | None = None,
        dtype: Dtype = "auto",
        device: str | None = None,
    ) -> Self:
        """Load a causal language model (GPT-2, Llama, Qwen ...) from a folder, or by a name on the hub.

        The tokenizer needs no padding token.

        Args:
            prompt: one that comes with the package, or a file of one's own; see `teach.prompts`.
            likelihood: mean or sum over the tokens of a title.
            max_tokens: of prompt and title together, the history's oldest items are cut off; left out, what the model
                reads, and 1,024 at most.
            title_tokens: longer titles are cut; left out, one that does not fit is an error.

        Raises:
            SourceError: the folder holds no causal language model, or no tokenizer that fits it.
            SettingsError: no such prompt or device, or `max_tokens` is more than the model reads.
        """
        for library in ("torch", "transformers"):
            if importlib.util.find_spec(library) is None:
                raise MissingExtraError(library, "train")
        read = load_prompt(prompt)
        folder = transformer_folder(locate(name_or_folder))
        chosen = choose_device(device)
        model, tokenizer = load_causal_model(folder, choose_dtype(dtype, chosen), chosen)
        most = most_tokens(model, tokenizer)
        if max_tokens is not None and not 2 <= max_tokens <= most:
            raise SettingsError(f"max_tokens is {max_tokens}; expected 2 to {most}, what {folder} reads")
        if title_tokens is not None and title_tokens < 1:
            raise SettingsError(f"title_tokens is {title_tokens}; expected at least 1")
        return cls(
            model,
            tokenizer,
            read,
            likelihood=likelihood,
            max_tokens=max_tokens or min(most, _MOST_TOKENS),
            title_tokens=title_tokens,
            folder=folder,
        )

    def rank(self, histories: Sequence[Sequence[str]], candidates: Sequence[Sequence[str]]) -> FloatArray:
        """The score of each candidate after its history, [B, K], higher is better; -inf after a shorter list's end.

        Args:
            histories: titles, oldest first; an empty one gets the prompt's text for no history.
            candidates: for each history, titles to score.

        Raises:
            DataError: a candidate without text, or one that does not fit the model beside the shortest prompt.
        """
        if len(histories) != len(candidates):
            raise DataError(f"{len(histories)} histories and {len(candidates)} lists of candidates; expected as many")
        scores = np.full((len(histories), max(map(len, candidates), default=0)), -np.inf, dtype=np.float32)
        tokens = self._title_tokens(candidates)
        for row, (history, titles) in enumerate(zip(histories, candidates, strict=True)):
            if titles:
                scores[row, : len(titles)] = self._scores(history, [tokens[title] for title in titles])
        return scores

    def digest(self) -> str:
        """SHA-256 of everything that decides the scores, but for rounding."""
        settings = [self.likelihood, self.max_tokens, self.title_tokens, str(self._model.dtype)]
        prompt = [self.prompt.with_history, self.prompt.without_history]
        return sha256_of_value([_VERSION, digest_of_folder(self._folder), prompt, settings])

    def _title_tokens(self, candidates: Sequence[Sequence[str]]) -> dict[str, list[int]]:
        """The tokens of each different title as it follows the prompt."""
        titles = list(dict.fromkeys(title for row in candidates for title in row))
        for row, listed in enumerate(candidates):
            if not all(title.strip() for title in listed):
                raise DataError(f"list {row} (from 0) has a candidate without a title; leave it out")
        after = self._plain([f": {' '.join(title.split())}" for title in titles])
        (colon,) = self._plain([":"])
        # Read after another sign, because some tokenizers put a space of their own before a text.
        tokens = [row[len(colon) :] if row[: len(colon)] == colon else row for row in after]
        found = {title: row[: self.title_tokens] for title, row in zip(titles, tokens, strict=True)}
        if unread := [title for title, row in found.items() if not row]:
            raise DataError(f"the tokenizer in {self._folder} keeps nothing of the title {unread[0]!r}; leave it out")
        return found

    def _scores(self, history: Sequence[str], titles: list[list[int]]) -> FloatArray:
        """Of one history's candidates, [K]."""
        prompt = self._fitted(history, max(titles, key=len))
        with torch.inference_mode():
            sums = self._log_likelihoods(prompt, titles).cpu().numpy()
        lengths = np.array([len(title) for title in titles], dtype=np.float32)
        return np.asarray(sums / lengths if self.likelihood == "mean" else sums, dtype=np.float32)

    def _fitted(self, history: Sequence[str], longest: list[int]) -> list[int]:
        """The tokens of the prompt with as much of the history, from its newest end, as leaves room for a title."""
        room = self.max_tokens - len(longest)
        fits, too_many = 0, len(history) + 1  # items
        middle = len(history)
        prompt = None
        while fits < too_many - 1 or prompt is None:
            tokens = self._prompt_tokens(history[len(history) - middle :])
            if len(tokens) <= room:
                fits, prompt = middle, tokens
            elif middle == 0:
                raise DataError(
                    f"the title {self._tokenizer.decode(longest).strip()!r} has {len(longest)} tokens, the prompt "
                    f"without a history {len(tokens)}; expected at most {self.max_tokens} together. Shorten the "
                    "title, or cut titles with title_tokens"
                )
            else:
                too_many = middle
            middle = (fits + too_many) // 2
        return prompt

    def _prompt_tokens(self, history: Sequence[str]) -> list[int]:
        (tokens,) = self._plain([self.prompt.text([" ".join(title.split()) for title in history])])
        if not self._begin and not tokens:
            raise SettingsError(f"prompt {self.prompt.name} has no text for an empty history")
        return self._begin + tokens

    def _log_likelihoods(self, prompt: list[int], titles: list[list[int]]) -> Tensor:
        """Summed over the tokens of each title, [K]."""
        read = self._model(input_ids=self._tensor([prompt]), use_cache=True, **self._last_logits)  # [1, P]
        first = read.logits[0, -1].float().log_softmax(dim=0)  # [V]
        totals: Tensor = first[self._tensor([title[0] for title in titles])]  # [K]
        for rows in _passes([len(title) - 1 for title in titles], len(prompt)):
            totals[rows] += self._after_first(read.past_key_values, [titles[row] for row in rows])
        return totals

    def _after_first(self, cache: Any, titles: list[list[int]]) -> Tensor:  # noqa: ANN401
        """Of the second and later tokens of each title, [K]. What is padded stands on the right, where none looks."""
        width = max(map(len, titles)) - 1
        read = self._tensor([title[:-1] + [0] * (width + 1 - len(title)) for title in titles])  # [K, T]
        wanted = self._tensor([title[1:] + [-100] * (width + 1 - len(title)) for title in titles])  # [K, T]
        own = copy.deepcopy(cache)  # the model writes into it
        own.batch_repeat_interleave(len(titles))
        logits = self._model(input_ids=read, past_key_values=own, use_cache=True).logits  # [K, T, V]
        losses = F.cross_entropy(logits.float().flatten(0, 1), wanted.flatten(), ignore_index=-100, reduction="none")
        sums: Tensor = -losses.view(len(titles), width).sum(dim=1)
        return sums

    def _plain(self, texts: list[str]) -> list[list[int]]:
        if not texts:
            return []
        tokens: list[list[int]] = self._tokenizer(texts, add_special_tokens=False, padding=False, verbose=False)[
            "input_ids"
        ]
        return tokens

    def _tensor(self, values: Sequence[Any]) -> Tensor:
        return torch.tensor(values, dtype=torch.int64, device=self._model.device)


def _passes(lengths: list[int], prompt: int) -> Iterator[list[int]]:
    """Rows of similar length that go through the model together; those of length 0 need not."""
    rows = sorted((row for row, length in enumerate(lengths) if length), key=lambda row: -lengths[row])
    while rows:
        longest = lengths[rows[0]]
        size = max(1, min(_PASS_TOKENS // (prompt + longest), _PASS_LOGITS // longest))
        yield rows[:size]
        rows = rows[size:]
