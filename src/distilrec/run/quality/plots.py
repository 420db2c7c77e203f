"""Two pictures of a proof: quality against size, and how validation went epoch by epoch."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from distilrec.errors import MissingExtraError
from distilrec.evaluate.compare import metric_title
from distilrec.files import atomic_path
from distilrec.run.quality.judging import Outcome
from distilrec.run.quality.settings import ALONE
from distilrec.run.quality.table import ProofTable

_ALONE_COLOUR, _TAUGHT_COLOUR, _TEACHER_COLOUR = "#7a7a7a", "#0b6fb8", "#c2571a"
_LOOK = {
    "svg.hashsalt": "distilrec",
    "svg.fonttype": "none",
    "font.size": 9,
    "axes.spines.top": False,
    "axes.spines.right": False,
}


def plot_size(table: ProofTable, path: Path, *, title: str) -> None:
    """Test quality against parameters: each student alone, and with its method that is best on validation.

    Raises:
        MissingExtraError: matplotlib is not installed.
    """
    figure_class, context = _drawing()
    with context(_LOOK):
        figure = figure_class(figsize=(6.4, 4.2), layout="constrained")
        axes = figure.subplots()
        for student in table.students:
            _draw_student(axes, table, student)
        for teacher in table.teachers:
            _draw_point(axes, teacher, "D", _TEACHER_COLOUR, "teacher")
            axes.axhline(teacher.interval.mean, color=_TEACHER_COLOUR, linewidth=0.6, linestyle=":")
            axes.annotate(teacher.method, (teacher.parameters, teacher.interval.mean), **_BESIDE)
        axes.set(xscale="log", xlabel="parameters", ylabel=f"test {metric_title(table.metric)}", title=title)
        axes.margins(x=0.12)  # room for the names
        _legend(axes)
        _save(figure, path)


def plot_curves(table: ProofTable, outcomes: Sequence[Outcome], path: Path, *, title: str) -> None:
    """Validation after each epoch of the first seed: each student alone, and with its best method, a panel each.

    Raises:
        MissingExtraError: matplotlib is not installed.
    """
    figure_class, context = _drawing()
    students = [student for student in table.students if table.best(student) is not None] or table.students
    columns = min(3, len(students))
    rows = -(-len(students) // columns)
    with context(_LOOK):
        figure = figure_class(figsize=(3.2 * columns, 2.4 * rows + 0.3), layout="constrained")
        panels = figure.subplots(rows, columns, squeeze=False)
        for axes in panels.ravel()[len(students) :]:
            axes.set_visible(False)
        for axes, student in zip(panels.ravel(), students, strict=False):
            best = table.best(student)
            _draw_curve(axes, outcomes, student, ALONE, _ALONE_COLOUR)
            if best is not None:
                _draw_curve(axes, outcomes, student, best.method, _TAUGHT_COLOUR)
            axes.set(title=student, xlabel="epoch", ylabel=f"validation {metric_title(table.metric)}")
            axes.xaxis.get_major_locator().set_params(integer=True)
            _legend(axes)
        figure.suptitle(title)
        _save(figure, path)


_BESIDE: dict[str, Any] = {"xytext": (5, -3), "textcoords": "offset points", "fontsize": 8}


def _draw_student(axes: Any, table: ProofTable, student: str) -> None:  # noqa: ANN401  (matplotlib's)
    alone, best = table.row(student, ALONE), table.best(student)
    points = [row for row in (alone, best) if row is not None]
    if alone is not None:
        _draw_point(axes, alone, "o", _ALONE_COLOUR, "alone")
    if best is not None:
        _draw_point(axes, best, "o", _TAUGHT_COLOUR, "distilled")
    x, y = [row.parameters for row in points], [row.interval.mean for row in points]
    axes.plot(x, y, color="#bbbbbb", linewidth=0.8, zorder=0)
    axes.annotate(student, (x[-1], y[-1]), **_BESIDE)


def _draw_point(axes: Any, row: Any, marker: str, colour: str, label: str) -> None:  # noqa: ANN401
    mean, low, high = row.interval.mean, row.interval.low, row.interval.high
    reach = [[max(0.0, mean - low)], [max(0.0, high - mean)]]
    axes.errorbar(row.parameters, mean, yerr=reach, fmt=marker, color=colour, label=label, markersize=5, linewidth=0.8)


def _draw_curve(axes: Any, outcomes: Sequence[Outcome], student: str, method: str, colour: str) -> None:  # noqa: ANN401
    found = [one for one in outcomes if (one.cell.student, one.cell.method) == (student, method)]
    if found:
        first = min(found, key=lambda one: one.cell.seed)
        axes.plot(range(1, len(first.curve) + 1), first.curve, color=colour, label=method, linewidth=1.2)
        axes.plot(first.best_epoch, first.curve[first.best_epoch - 1], "o", color=colour, markersize=4)


def _legend(axes: Any) -> None:  # noqa: ANN401
    """Each label once."""
    handles, labels = axes.get_legend_handles_labels()
    once = dict(zip(labels, handles, strict=True))
    axes.legend(once.values(), once.keys(), frameon=False, fontsize=8)


def _save(figure: Any, path: Path) -> None:  # noqa: ANN401
    with atomic_path(path) as temporary:
        figure.savefig(temporary, format=path.suffix[1:], metadata={"Date": None} if path.suffix == ".svg" else None)


def _drawing() -> Any:  # noqa: ANN401  (matplotlib's, without its global state)
    try:
        from matplotlib import rc_context
        from matplotlib.figure import Figure
    except ImportError:
        raise MissingExtraError("matplotlib", "plot") from None
    return Figure, rc_context
