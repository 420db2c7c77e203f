"""Several models as one: their probabilities, averaged."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Self

import numpy as np
from numpy.typing import NDArray

from distilrec.config import Settings, parse
from distilrec.errors import ArtifactError, SettingsError
from distilrec.models.kinds import Model, rebuild
from distilrec.types import Batch, FloatArray

State = Mapping[str, np.ndarray[Any, Any]]
_SUM_TOLERANCE = 1e-6


class MemberSettings(Settings):
    """What a member of an ensemble is rebuilt with."""

    kind: str
    """Its kind of model."""
    settings: dict[str, Any]
    """What it was made with."""


class EnsembleSettings(Settings):
    """Who is in an ensemble and how much each is heard."""

    members: tuple[MemberSettings, ...]
    """The members; two at least."""
    weights: tuple[float, ...]
    """Each member's share of the average; they sum to 1."""
    temperatures: tuple[float, ...]
    """What each member's scores are divided by before they become probabilities."""
    exclude_history: bool = False
    """Whether these are probabilities of the items outside the history, for rankings that leave the history out. Some
    members, such as EASE, give the history's items most of their probability."""


@dataclass(frozen=True, eq=False)
class Ensemble:
    """Scores an item by the log of the weighted mean of the probabilities that the members give it."""

    kind: ClassVar[str] = "ensemble"
    settings: EnsembleSettings
    members: tuple[Model, ...]

    def __post_init__(self) -> None:
        _check(self.settings, self.members)

    @classmethod
    def of(
        cls,
        members: Sequence[Model],
        *,
        weights: Sequence[float],
        temperatures: Sequence[float],
        exclude_history: bool = False,
    ) -> Self:
        """Put fitted models together."""
        about = [{"kind": member.kind, "settings": member.settings.model_dump(mode="json")} for member in members]
        shares = {"weights": weights, "temperatures": temperatures, "exclude_history": exclude_history}
        return cls(parse(EnsembleSettings, {"members": about, **shares}, where="ensemble"), tuple(members))

    @property
    def n_items(self) -> int:
        """How many items are ranked, N."""
        return self.members[0].n_items

    @property
    def n_parameters(self) -> int:
        """Numbers that the members learnt, together."""
        return sum(member.n_parameters for member in self.members)

    @property
    def max_length(self) -> int | None:
        """How many of the newest items the member that reads most of them reads; none if one reads all."""
        lengths = [max_length_of(member) for member in self.members]
        known = [length for length in lengths if length is not None]
        return max(known) if len(known) == len(lengths) else None

    def scores(self, batch: Batch) -> FloatArray:
        """log sum over members of weight x softmax(scores / temperature), [B, N]."""
        total = np.full((len(batch), self.n_items), -np.inf, dtype=np.float32)
        excluded = history_mask(batch, self.n_items) if self.settings.exclude_history else None
        for member, weight, temperature in zip(
            self.members, self.settings.weights, self.settings.temperatures, strict=True
        ):
            if weight > 0:
                logs = log_softmax(member_scores(member, batch), temperature, excluded)
                np.logaddexp(total, logs + np.float32(np.log(weight)), out=total)
        return total

    def state(self) -> dict[str, np.ndarray[Any, Any]]:
        """The members' arrays; the names begin with the member's number."""
        return {
            f"{number}.{name}": array
            for number, member in enumerate(self.members)
            for name, array in member.state().items()
        }

    @classmethod
    def from_state(cls, settings: EnsembleSettings, state: State) -> Self:
        """Rebuild every member, then the whole."""
        below: list[dict[str, np.ndarray[Any, Any]]] = [{} for _ in settings.members]
        for name, array in state.items():
            number, dot, rest = name.partition(".")
            if not dot or not number.isdecimal() or int(number) >= len(below):
                raise ArtifactError(
                    f"ensemble: array {name!r} belongs to none of the {len(below)} members; expected names such as "
                    "0.table.weight"
                )
            below[int(number)][rest] = array
        members = [rebuild(m.kind, m.settings, arrays) for m, arrays in zip(settings.members, below, strict=True)]
        return cls(settings, tuple(members))


def member_scores(member: Model, batch: Batch) -> FloatArray:
    """A member's scores, given no more of each history than it reads, [B, N]."""
    limit = max_length_of(member)
    return member.scores(batch if limit is None else batch.newest(limit))


def max_length_of(member: Model) -> int | None:
    """How many of the newest items of a history a model reads; none if it reads all."""
    limit: int | None = getattr(member, "max_length", None)
    return limit


def history_mask(batch: Batch, n_items: int) -> NDArray[np.bool_]:
    """True at the items of each history, [B, N]; none of a history that holds the whole catalogue."""
    mask = np.zeros((len(batch), n_items), dtype=np.bool_)
    rows, columns = np.nonzero(batch.mask)
    mask[rows, batch.items[rows, columns]] = True
    mask[mask.all(axis=1)] = False
    return mask


def log_softmax(scores: FloatArray, temperature: float, excluded: NDArray[np.bool_] | None = None) -> FloatArray:
    """Log-probabilities, [B, N]. Those of the items that are not excluded sum to one; the others stay beside them."""
    scaled: FloatArray = scores / np.float32(temperature)
    ranked = scaled if excluded is None else np.where(excluded, np.float32(-np.inf), scaled)
    top = ranked.max(axis=1, keepdims=True, initial=-np.inf)
    total = np.exp(ranked - top).sum(axis=1, keepdims=True)
    scaled -= top  # before the logarithm of the sum, which would be lost beside large scores
    scaled -= np.log(total)
    return scaled


def _check(settings: EnsembleSettings, members: tuple[Model, ...]) -> None:
    weights, temperatures = settings.weights, settings.temperatures
    if len(members) < 2:
        raise SettingsError(f"an ensemble has two members or more; got {len(members)}")
    if not len(members) == len(weights) == len(temperatures):
        raise SettingsError(
            f"an ensemble of {len(members)} members has {len(weights)} weights and {len(temperatures)} temperatures; "
            "expected one of each for every member"
        )
    sizes = {member.n_items for member in members}
    if len(sizes) > 1:
        told = ", ".join(f"{member.kind} ranks {member.n_items:,} items" for member in members)
        raise SettingsError(f"members rank different catalogues: {told}; take models trained on the same prepared data")
    if min(weights) < 0:
        raise SettingsError(f"weights are {list(weights)}; expected none below 0")
    if abs(sum(weights) - 1) > _SUM_TOLERANCE:
        raise SettingsError(f"weights are {list(weights)}, which sum to {sum(weights):g}; expected a sum of 1")
    if min(temperatures) <= 0:
        raise SettingsError(f"temperatures are {list(temperatures)}; expected all above 0")
