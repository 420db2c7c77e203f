"""The rows of a proof's table: one for each student and method, out of whatever is done."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from distilrec.evaluate.bootstrap import Interval
from distilrec.evaluate.compare import Comparison, compare, share_of_lead
from distilrec.evaluate.evaluation import Evaluation, average
from distilrec.run.quality.cells import cells_of
from distilrec.run.quality.judging import Judged, Outcome
from distilrec.run.quality.settings import ALONE, QualityRecipe

TEACHER = "teacher"


@dataclass(frozen=True)
class Row:
    """One student with one method, over its seeds."""

    student: str
    method: str
    control: bool
    seeds: tuple[int, ...]
    parameters: int
    validation: float
    test: Evaluation
    """Each user's mean over the seeds."""
    interval: Interval
    """Of the metric on test."""
    tail: float | None
    coverage: float
    gain: Comparison | None = None
    """Against the same student alone, over the seeds that both have."""
    teacher: str = TEACHER
    """Which of the teachers it is measured against: its own; the recipe's where it has none, or is its own."""
    share_of_lead: float | None = None
    """How much of that teacher's lead over the student alone is recovered."""
    shuffled: bool = False
    """Whether its teacher's words were given to others, so that a gain would be a failed control."""
    slowdown: float | None = None
    """Seconds an epoch, those of the student alone being 1; the median over seeds."""


@dataclass(frozen=True)
class ProofTable:
    """Everything that is known so far."""

    metric: str
    k: int
    teachers: list[Row]
    rows: list[Row]
    cells_done: int
    cells_planned: int

    def row(self, student: str, method: str) -> Row | None:
        """A student's row for a method; none while there is none."""
        return next((row for row in self.rows if (row.student, row.method) == (student, method)), None)

    def teacher_of(self, row: Row) -> Row | None:
        """The teacher that a row is measured against; none while that is not known."""
        return next((teacher for teacher in self.teachers if teacher.method == row.teacher), None)

    def best(self, student: str) -> Row | None:
        """The method, not a control, that is best on validation; none while none is done."""
        found = [row for row in self.rows if row.student == student and not row.control]
        return max(found, key=lambda row: row.validation) if found else None

    @property
    def students(self) -> list[str]:
        """Those with a row."""
        return list(dict.fromkeys(row.student for row in self.rows))


def make_table(recipe: QualityRecipe, outcomes: Sequence[Outcome], teachers: Mapping[str, Judged]) -> ProofTable:
    """Put together what is done; what is missing is left out."""
    metric, k = recipe.evaluate.metric, recipe.cutoff
    of_teachers = [_row("", name, True, [judged], (), metric) for name, judged in teachers.items()]
    groups: dict[tuple[str, str], list[Outcome]] = {}
    for outcome in outcomes:
        groups.setdefault((outcome.cell.student, outcome.cell.method), []).append(outcome)
    rows = [
        _student_row(recipe, groups[student, method], groups.get((student, ALONE), []), teachers)
        for student in recipe.students
        for method in recipe.method_names(student)
        if (student, method) in groups
    ]
    return ProofTable(metric, k, of_teachers, rows, len(outcomes), len(cells_of(recipe)))


def _row(
    student: str, method: str, control: bool, judged: Sequence[Judged], seeds: tuple[int, ...], metric: str
) -> Row:
    test = average([one.test for one in judged])
    tails = [one.tail for one in judged if one.tail is not None]
    return Row(
        student,
        method,
        control,
        seeds,
        judged[0].parameters,
        statistics.mean(one.validation for one in judged),
        test,
        test.interval(metric),
        statistics.mean(tails) if tails else None,
        statistics.mean(one.coverage for one in judged),
    )


def _student_row(
    recipe: QualityRecipe, outcomes: Sequence[Outcome], alone: Sequence[Outcome], teachers: Mapping[str, Judged]
) -> Row:
    student, method, metric = outcomes[0].cell.student, outcomes[0].cell.method, recipe.evaluate.metric
    seeds = tuple(sorted(outcome.cell.seed for outcome in outcomes))
    settings = recipe.method(method)
    own = settings.teacher if settings.teacher in recipe.other_teachers else TEACHER
    row = replace(_row(student, method, settings.control, outcomes, seeds, metric), teacher=own)
    pairs = [(one, other) for one in outcomes for other in alone if one.cell.seed == other.cell.seed]
    if method == ALONE or not pairs:
        return row
    ours, theirs = (average([pair[side].test for pair in pairs]) for side in (0, 1))
    gain = compare(ours, theirs, metric=metric, names=(f"{student} with {method}", f"{student} alone"))
    share = None
    if own in teachers:
        share = share_of_lead(gain.means[0], alone=gain.means[1], teacher=teachers[own].test.mean(metric))
    slowdown = statistics.median(one.seconds_an_epoch / max(other.seconds_an_epoch, 1e-9) for one, other in pairs)
    return replace(row, gain=gain, share_of_lead=share, slowdown=slowdown, shuffled=settings.shuffled)
