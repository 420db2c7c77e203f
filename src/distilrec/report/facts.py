"""What a report says of a run, as plain values: `gather` fills them, everything else turns them into text."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from distilrec.evaluate.bootstrap import Interval
from distilrec.evaluate.cost import CostTable
from distilrec.evaluate.evaluation import Evaluation
from distilrec.evaluate.verdicts import Verdicts
from distilrec.latency import Latency
from distilrec.run.splits import BothSplits
from distilrec.types import IntArray

_NO_PARTS = ("loss", "score", "seconds")


@dataclass(frozen=True)
class Curve:
    """How one training went."""

    seed: int | None
    """None for a teacher."""
    epochs: Sequence[Mapping[str, float]]
    """For each epoch `score` on validation, `loss`, its parts as far as it has them, `seconds`."""
    best_epoch: int
    """From 1."""

    @property
    def parts(self) -> list[str]:
        """The names of what the loss is made of in any epoch; none where it has one part only."""
        names = dict.fromkeys(name for epoch in self.epochs for name in epoch if name not in _NO_PARTS)
        return list(names) if len(names) > 1 else []


@dataclass(frozen=True, eq=False)
class Model:
    """One model of a run; what was not measured, or is not finished, is none or empty."""

    name: str
    title: str
    evaluation: Evaluation | None
    metrics: Mapping[str, Interval]
    parameters: int | None = None
    bytes_on_disk: int | None = None
    latency: Latency | None = None
    milliseconds: Sequence[float] = ()
    """Of each request that was timed."""
    curves: Sequence[Curve] = ()
    """One a seed."""
    lists: IntArray | None = None
    """Row numbers of the items that are shown for each test case, best first, [C, k]; -1 where there are no more."""

    @property
    def role(self) -> str:
        """`teacher`, `student_alone`, `distilled`, or `baseline`: what its colour and its mark stand for."""
        return self.name if self.name in ("teacher", "student_alone", "distilled") else "baseline"


@dataclass(frozen=True)
class Slice:
    """Some of the test cases, and how each model did on them."""

    by: str
    label: str
    count: int
    metrics: Mapping[str, Interval]
    """Name of a model -> its mean."""


@dataclass(frozen=True)
class Shown:
    """How popular items are: where the places of lists, or something they are held against, go."""

    title: str
    role: str
    shares: Sequence[float]
    """Of head, middle and tail; together 1."""
    measures: Mapping[str, float] = field(default_factory=dict)
    """What else is known of a model's lists: coverage, novelty, how much they are the teacher's."""


@dataclass(frozen=True)
class Recommended:
    """An item in somebody's list."""

    title: str
    chosen: bool
    """Whether the user did choose it next."""
    shared: bool
    """Whether it is in the teacher's list too."""


@dataclass(frozen=True)
class Sample:
    """One user's past, and what each model shows."""

    user: str
    history: Sequence[str]
    chosen: Sequence[str]
    lists: Mapping[str, Sequence[Recommended]]
    """Title of a model -> its list."""


@dataclass(frozen=True)
class Stage:
    """A stage of the run."""

    name: str
    key: str
    seconds: float | None
    """None while it is not finished."""


@dataclass(frozen=True, eq=False)
class RunFacts:
    """All that is known of one run."""

    place: str
    """Its folder, as it was named."""
    name: str
    metric: str
    models: Sequence[Model]
    verdicts: Sequence[Verdicts] = ()
    """Of the distilled student beside itself alone and beside its teacher."""
    notes: Sequence[str] = ()
    costs: CostTable | None = None
    """What models cost beside time; none where it was not measured."""
    splits: BothSplits | None = None
    """What a second split says of the same models."""
    data: Sequence[tuple[str, str]] = ()
    """What the log holds, as names and values."""
    protocol: Mapping[str, Any] | None = None
    slices: Sequence[Slice] = ()
    shown: Sequence[Shown] = ()
    samples: Sequence[Sample] = ()
    recipe: str = ""
    """The settings as YAML, without folders of the machine."""
    stages: Sequence[Stage] = ()
    machine: Mapping[str, str] | None = None
    digests: Sequence[tuple[str, str]] = ()
    missing: Sequence[str] = ()
    """Sentences about what is not there, and why."""

    def model(self, name: str) -> Model | None:
        """The model of that name."""
        return next((model for model in self.models if model.name == name), None)

    @property
    def ranked(self) -> list[Model]:
        """Those that were measured by the metric."""
        return [model for model in self.models if self.metric in model.metrics]
