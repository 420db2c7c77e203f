"""Where two protocols, such as leave-last-out and a split by time, tell different stories about the same models."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import combinations

from distilrec.errors import DataError
from distilrec.evaluate.compare import compare, metric_title
from distilrec.evaluate.evaluation import Evaluation
from distilrec.evaluate.verdicts import holm

Models = Mapping[str, Evaluation]
_LEVEL = "no difference shown"


@dataclass(frozen=True)
class PairOfModels:
    """What each protocol says of model a beside model b."""

    metric: str
    names: tuple[str, str]
    words: Mapping[str, str]
    """Protocol -> better, worse or no difference shown, said of a, corrected for the number of pairs."""

    @property
    def agree(self) -> bool:
        """Whether all protocols say the same."""
        return len(set(self.words.values())) == 1

    @property
    def opposite(self) -> bool:
        """Whether one calls better what another calls worse."""
        return {"better", "worse"} <= set(self.words.values())

    def claim(self, protocol: str) -> str | None:
        """Which of both a protocol shows to be better; nothing where it shows no difference."""
        better, worse = self.names if self.words[protocol] == "better" else self.names[::-1]
        return None if self.words[protocol] == _LEVEL else f"{better} better than {worse}"

    def sentence(self) -> str:
        """What was found, for a reader who sees nothing else."""
        a, b = self.names
        said = "; ".join(f"{protocol}: {_said(word, a, b)}" for protocol, word in self.words.items())
        how = "agree on" if self.agree else "contradict each other on" if self.opposite else "differ on"
        return f"the protocols {how} {a} and {b} by {metric_title(self.metric)} ({said})"


def compare_protocols(
    protocols: Mapping[str, Models], *, metric: str = "ndcg@10", level: float = 0.95
) -> list[PairOfModels]:
    """Compare every two models under each protocol; those that not every protocol judged are left out.

    Args:
        protocols: name of a protocol -> name of a model -> its evaluation.
    """
    if len(protocols) < 2:
        raise DataError(f"{len(protocols)} protocols were given; expected two or more to compare")
    first, *others = protocols.values()
    shared = [name for name in first if all(name in models for models in others)]
    if len(shared) < 2:
        raise DataError(
            f"the protocols {', '.join(protocols)} have {len(shared)} models in common; expected two or more"
        )
    pairs = list(combinations(shared, 2))
    words = {protocol: _words(models, pairs, metric, level) for protocol, models in protocols.items()}
    return [
        PairOfModels(metric, pair, {protocol: said[number] for protocol, said in words.items()})
        for number, pair in enumerate(pairs)
    ]


def _words(models: Models, pairs: list[tuple[str, str]], metric: str, level: float) -> list[str]:
    found = [compare(models[a], models[b], metric=metric, names=(a, b), level=level) for a, b in pairs]
    corrected = holm([comparison.result.p_value for comparison in found])
    words = []
    for comparison, p in zip(found, corrected, strict=True):
        shown = comparison.differs and p < 1 - level
        words.append(("better" if comparison.result.difference > 0 else "worse") if shown else _LEVEL)
    return words


def _said(word: str, a: str, b: str) -> str:
    return word if word == _LEVEL else f"{a} {word} than {b}"
