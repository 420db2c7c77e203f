"""The search for the best compressed model under a budget.

First everything that takes seconds; then, of what loses too much so, what training could make the chosen point, most
promising first. Every point is a stage of the output folder: tried once, kept, and resumed when it was interrupted.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from distilrec.compress.budget import Budget, Preference
from distilrec.compress.frontier import Choice, Point, choose
from distilrec.compress.ladder import FIRST, Candidate, Rung, ladder, matching
from distilrec.compress.told import note
from distilrec.compress.walk import PATIENCE, hopeless, order, why_not_train, won_back
from distilrec.energy import EnergySettings
from distilrec.errors import ArtifactError
from distilrec.files import read_json, write_json
from distilrec.progress import progress
from distilrec.run.finished import outside_ids
from distilrec.run.folder import RunFolder, Say, seconds_of_stage
from distilrec.tune.costs import Cost, Requests, machine, measure_costs
from distilrec.tune.judging import Judged, corrected_p_values, judged, point_of
from distilrec.tune.points import Tried, attempt, what_decides
from distilrec.tune.subject import Subject

_STUDENT = "student.json"
_HISTORIES = 100


@dataclass(frozen=True)
class Search:
    """What a search is told beside its subject."""

    budget: Budget
    prefer: Preference | None = None
    """What is made best within the budget; none: see `Budget.preference`."""
    own: tuple[Candidate, ...] = ()
    """Candidates beside those of the ladder; all are tried."""
    only: str | None = None
    """A regular expression: of the ladder only those are tried whose name has it; none tries all."""
    everything: bool = False
    """Whether all of the ladder is trained, not only what could become the chosen point."""
    trainings: int | None = None
    """At most how many candidates of the ladder are trained; none sets no limit."""
    energy: EnergySettings = field(default_factory=EnergySettings)
    """How energy is known."""

    @property
    def wanted(self) -> Preference:
        """What is made best."""
        return self.prefer or self.budget.preference


@dataclass(frozen=True)
class Found:
    """What a search found."""

    folder: Path
    points: list[Point]
    """The first is the uncompressed student."""
    choice: Choice
    left_out: dict[str, str]
    """Candidates that are no points, and why."""
    artefacts: dict[str, Path]
    costs: dict[str, Cost]
    budget: Budget
    machine: str

    @property
    def note(self) -> str:
        """What the columns of its table mean."""
        return note(self.points, self.budget, self.machine, (cost.energy_source for cost in self.costs.values()))


def search(subject: Subject, out: Path, told: Search, *, say: Say = print, quiet: bool = False) -> Found:
    """Try, measure and choose; the subject's artefact is only read.

    Interrupted or killed, the same call goes on where it stopped.

    Raises:
        ArtifactError: `out` is in use for something else, or by another process.
    """
    folder = RunFolder(out, say=say)
    _refuse(subject, out)
    with folder.locked():
        folder.claim(data_digest=subject.prepared.interactions.digest())
        _claim(subject, out)
        return _Walk(subject, folder, told, say, quiet).run()


def _refuse(subject: Subject, out: Path) -> None:
    """Refuse a folder whose own model would be replaced."""
    same = out.resolve() == subject.artefact.resolve()
    if same or (out / "recipe.yaml").exists() or (out / "config.json").exists():
        raise ArtifactError(
            f"{out} holds {'the model itself' if same else 'a run or a model'}, which is not to be altered; give "
            "another --out, such as a new folder in it"
        )


def _claim(subject: Subject, out: Path) -> None:
    path = out / _STUDENT
    if not path.exists():
        write_json(path, {"student": subject.digest})
    held = str(read_json(path).get("student"))
    if held != subject.digest:
        raise ArtifactError(
            f"{out} holds points of another student (digest {held[:12]}, this one is {subject.digest[:12]}); give "
            "another --out, or delete that folder. Nothing in it was changed"
        )


@dataclass
class _Past:
    """What trainings of a search came to so far."""

    seconds: list[float] = field(default_factory=list)
    won_back: list[float] = field(default_factory=list)
    failures: int = 0
    """How many of the last ones changed nothing."""

    def time_left(self, more: int) -> str:
        """For people: how much may come after the next one."""
        if not self.seconds:
            return f"at most {more} more after it"
        mean = sum(self.seconds) / len(self.seconds)
        return f"at most {more} more after it, about {mean:.0f} s each"


@dataclass
class _Walk:
    """One search; what was tried so far."""

    subject: Subject
    folder: RunFolder
    told: Search
    say: Say
    quiet: bool
    tried: dict[str, Tried] = field(default_factory=dict)
    left_out: dict[str, str] = field(default_factory=dict)
    judged: dict[str, Judged] = field(default_factory=dict)

    def run(self) -> Found:
        rungs = ladder(self.subject.recommender)
        if self.told.only is not None:
            rungs = matching(rungs, self.told.only)
        self.decides = what_decides(self.subject)
        self.requests = requests_of(self.subject, self.told.energy)
        untrained = [Candidate(FIRST, ()), *(rung.untrained() for rung in rungs)]
        self._try_all([*untrained, *(own for own in self.told.own if not own.trained)])
        self._train_all([own for own in self.told.own if own.trained])
        costs = self._costs("untrained")
        self._climb([rung for rung in rungs if rung.name in self.tried], costs)
        costs = self._costs("all")
        points = self.points(costs)
        artefacts = {name: tried.artefact for name, tried in self.tried.items()}
        return Found(
            self.folder.path, points, self._choice(costs), self.left_out, artefacts, costs, self.told.budget, machine()
        )

    def _try_all(self, candidates: Sequence[Candidate]) -> None:
        """Those that take seconds."""
        with progress("Points without training", total=len(candidates), quiet=self.quiet) as advance:
            for candidate in candidates:
                self._try(candidate)
                advance(1, candidate.name)

    def _train_all(self, candidates: Sequence[Candidate]) -> None:
        for candidate in candidates:
            self._try(candidate)

    def _try(self, candidate: Candidate) -> Tried:
        quiet = self.quiet or not candidate.trained
        found = attempt(candidate, self.subject, self.folder, self.decides, quiet=quiet)
        if found.refused is None:
            self.tried[candidate.name] = found
        else:
            self.left_out[candidate.name] = found.refused
        return found

    def _climb(self, rungs: Sequence[Rung], costs: Mapping[str, Cost]) -> None:
        """Train what could become the chosen point, who loses least first, until that no longer changes the choice."""
        costs, by_name, past = dict(costs), {rung.name: rung for rung in rungs}, _Past()
        untrained = order([point for point in self.points(costs) if point.name in by_name])
        for at, point in enumerate(untrained):
            candidate = by_name[point.name].trained()
            why = self._why_not(point, self._choice(costs), past)
            if why is not None:
                self.left_out[candidate.name] = why
                continue
            self.say(f"training {candidate.name}; {past.time_left(len(untrained) - at - 1)}")
            found = self._try(candidate)
            past.seconds.append(seconds_of_stage(found.folder))
            if found.refused is None:
                costs[candidate.name] = costs[point.name]  # its arrays have the same forms and shapes
                past.won_back.append(won_back(point, self.points(costs)[-1]))
                past.failures = 0 if self._choice(costs).nearest.name == candidate.name else past.failures + 1

    def _choice(self, costs: Mapping[str, Cost]) -> Choice:
        return choose(self.points(costs), self.told.budget, self.told.prefer)

    def _why_not(self, point: Point, choice: Choice, past: _Past) -> str | None:
        if self.told.trainings is not None and len(past.seconds) >= self.told.trainings:
            return f"no more than {self.told.trainings} trainings were allowed, and others were more promising"
        if self.told.everything:
            return None
        if past.failures >= PATIENCE:
            return f"{PATIENCE} trainings in a row changed nothing, of points that lost less before"
        why = why_not_train(point, self.told.budget, choice, self.told.wanted)
        return why or hopeless(point, self.told.budget, past.won_back)

    def _costs(self, name: str) -> dict[str, Cost]:
        artefacts = {name: tried.artefact for name, tried in self.tried.items()}
        return measure_costs(artefacts, self.requests, self.folder, name, quiet=self.quiet)

    def points(self, costs: Mapping[str, Cost]) -> list[Point]:
        """What was tried and measured, the uncompressed student first."""
        known = [name for name in self.tried if name in costs]
        for name in known:
            if name not in self.judged:  # half a second each, on many users
                ours, first = self.tried[name].validation(), self.tried[FIRST].validation()
                self.judged[name] = judged(ours, first, self.subject.evaluate.metric, self.told.budget.loss)
        corrected = corrected_p_values({name: self.judged[name] for name in known})
        return [point_of(self.tried[name], costs[name], self.judged[name], corrected[name]) for name in known]


def requests_of(subject: Subject, energy: EnergySettings) -> Requests:
    """Histories of validation users, spread evenly."""
    histories = subject.prepared.split.validation.histories
    chosen = np.linspace(0, len(histories) - 1, num=min(_HISTORIES, len(histories)), dtype=np.int64)
    rows = [histories[int(row)] for row in chosen]
    outside = [outside_ids(subject.prepared, of_user) for of_user in rows]
    return Requests(outside, rows, subject.evaluate.latency_requests, energy)
