"""Questions that arrive together are answered together, without waiting for more to come.

While the model works, requests gather in the sockets; in the next turn of the event loop all of them are read, and go
to the model as one batch. One request alone goes as it is. There is no timer and no thread in between.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from distilrec.serve.model import Id, InUse

if TYPE_CHECKING:  # they load polars, whose threads must not be there when workers are forked
    from distilrec.serve.choice import Where
    from distilrec.serve.runtime import Recommendations


@dataclass(frozen=True)
class Question:
    """A history, and what is wanted after it."""

    history: Sequence[Id]
    k: int = 10
    exclude_history: bool = True
    allow: Sequence[Id] | None = None
    block: Sequence[Id] | None = None
    where: Where | None = None

    @property
    def filtered(self) -> bool:
        """Whether it has lists or conditions of its own, so that it cannot share a batch."""
        return self.allow is not None or self.block is not None or bool(self.where)


@dataclass
class _Waiting:
    question: Question
    answer: asyncio.Future[Recommendations] = field(default_factory=lambda: asyncio.get_running_loop().create_future())


class Batcher:
    """Collects the questions of one turn of the event loop."""

    def __init__(self, in_use: InUse, *, largest: int = 32, seen: Callable[[int], None] = lambda size: None) -> None:
        """Put questions to the model in use.

        Args:
            in_use: what answers.
            largest: questions of one batch; a bound on how long the event loop is held up.
            seen: told the size of every batch.
        """
        self._in_use, self._largest, self._seen = in_use, largest, seen
        self._waiting: list[_Waiting] = []

    async def ask(self, question: Question) -> Recommendations:
        """The model's answer."""
        waiting = _Waiting(question)
        self._waiting.append(waiting)
        if len(self._waiting) == 1:
            asyncio.get_running_loop().call_soon(self._answer_some)
        return await waiting.answer

    def _answer_some(self) -> None:
        now, self._waiting = self._waiting[: self._largest], self._waiting[self._largest :]
        if self._waiting:
            asyncio.get_running_loop().call_soon(self._answer_some)
        wanted = [one for one in now if not one.answer.done()]  # not of those who gave up
        for exclude in (True, False):
            plain = [o for o in wanted if not o.question.filtered and o.question.exclude_history is exclude]
            if plain:
                self._answer(plain)
        for one in wanted:
            if one.question.filtered:
                self._answer([one])

    def _answer(self, group: Sequence[_Waiting]) -> None:
        self._seen(len(group))
        first = group[0].question
        try:
            found = self._in_use.model.recommend(
                [one.question.history for one in group],
                k=[one.question.k for one in group],
                exclude_history=first.exclude_history,
                allow=first.allow,
                block=first.block,
                where=first.where,
            )
        except Exception as error:
            if len(group) > 1:  # one of them is to blame; the others get their answers
                for one in group:
                    self._answer([one])
                return
            group[0].answer.set_exception(error)
            return
        for one, answer in zip(group, found, strict=True):
            one.answer.set_result(answer)
