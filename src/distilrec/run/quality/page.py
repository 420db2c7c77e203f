"""The table of a proof as people read it, with sentences that say what follows from it."""

from __future__ import annotations

from collections.abc import Sequence

from distilrec.evaluate.beyond import HEAD_SHARE
from distilrec.evaluate.compare import Comparison, compare, metric_title
from distilrec.run.quality.settings import ALONE
from distilrec.run.quality.table import TEACHER, ProofTable, Row


def text_cells(table: ProofTable) -> tuple[list[str], list[list[str]]]:
    """Heading and rows of the table, as text."""
    title, k = metric_title(table.metric), table.k
    head = ["student", "parameters", "method", "seeds", f"validation {title}", f"test {title} [95 %]", f"Recall@{k}"]
    head += [f"coverage@{k}", f"tail {title}", "against alone", "teacher's lead", "time an epoch"]
    return head, [_texts(row, k) for row in [*table.teachers, *table.rows]]


def _texts(row: Row, k: int) -> list[str]:
    return [
        row.student or "-",
        f"{row.parameters:,}",
        f"{row.method} (control)" if row.control and row.student and row.method != ALONE else row.method,
        ", ".join(map(str, row.seeds)) or "-",
        f"{row.validation:.4f}",
        f"{row.interval.mean:.4f} [{row.interval.low:.4f}, {row.interval.high:.4f}]",
        f"{row.test.mean(f'recall@{k}'):.4f}",
        f"{100 * row.coverage:.1f} %",
        "-" if row.tail is None else f"{row.tail:.4f}",
        "-" if row.gain is None else _gain(row.gain),
        "-" if row.share_of_lead is None else f"{100 * row.share_of_lead:.0f} %",
        "-" if row.slowdown is None else f"{row.slowdown:.2f}x",
    ]


def _gain(gain: Comparison) -> str:
    alone = gain.means[1]
    return f"{100 * gain.result.difference / alone:+.1f} % (p = {gain.result.p_value:.4f})" if alone else "-"


def sentences(table: ProofTable) -> list[str]:
    """What the table says: each student's best method against itself alone and its teacher; the shuffled teacher.

    Methods with another teacher than the recipe's are told against theirs, whether they are best or not.
    """
    found = []
    for student in table.students:
        best = table.best(student)
        if best is not None and best.gain is not None:
            found.append(f"Best on validation for {student}: {best.method}. {_told(best.gain)}")
        others = [row for row in table.rows if row.student == student and row.teacher != TEACHER and row is not best]
        found += [_against_teacher(row, table) for row in ([] if best is None else [best, *others])]
    return [*filter(None, found), shuffled_sentence(table)]


def _against_teacher(row: Row, table: ProofTable) -> str:
    """How a student stands to its teacher; nothing while that is not known."""
    teacher = table.teacher_of(row)
    if teacher is None:
        return ""
    names = (
        f"{row.student} with {row.method}",
        "its teacher" if row.teacher == TEACHER else f"its teacher {row.teacher}",
    )
    return _told(compare(row.test, teacher.test, metric=table.metric, names=names))


def shuffled_sentence(table: ProofTable) -> str:
    """Whether a control failed: a teacher whose words are given to others must not help."""
    gains = [(row.student, row.gain) for row in table.rows if row.shuffled and row.gain is not None]
    if not gains:
        return "The shuffled teacher must not help: not known yet."
    helped = dict.fromkeys(student for student, gain in gains if gain.differs and gain.result.difference > 0)
    verdict = f"BUT IT DID for {', '.join(helped)}" if helped else "it did not"
    told = " ".join(_told(gain) for _, gain in gains)
    return f"The shuffled teacher must not help: {verdict}. {told}"


def notes(table: ProofTable) -> list[str]:
    """How the numbers came about."""
    if not table.rows:
        return ["No cell is done yet."]
    protocol = table.rows[0].test.protocol
    history = "left out" if protocol["exclude_history"] else "not left out"
    whole = table.cells_done == table.cells_planned
    return [
        *([] if whole else [f"{table.cells_done} of {table.cells_planned} cells are done; the rest is not in here."]),
        f"Full ranking of {protocol['n_items']:,} items for {len(table.rows[0].test.per_user):,} users, items of the "
        f"history {history}, ties {protocol['ties']}. Each student is trained alike alone and with every method, from "
        "the same first weights but for the table, and stopped on validation; each cell was judged on test once. "
        "Intervals and p (paired bootstrap) are over users, whose values are means over seeds.",
        f"Tail: test cases whose item is not among the fewest items that hold {100 * HEAD_SHARE:.0f} % of the training "
        f"events. Coverage: share of the catalogue among the best {table.k} of at least one user. Teacher's lead: the "
        "share of its lead over the student alone that is recovered, of its own where a method has another teacher. "
        "Time an epoch: of training, alone = 1, without taking the teacher's knowledge, which is done once.",
        "shuffled_teacher: each training window is given what the teacher said of another one of the same length, and "
        "each item another's vector to start from; no layers are copied. self_distillation: the student alone is the "
        "teacher. alone_from_table: no soft labels, but the teacher's item table to start from.",
    ]


def markdown(table: ProofTable, *, title: str, facts: Sequence[str] = ()) -> str:
    """A page with the table, what it says, and how it was made."""
    head, body = text_cells(table)
    lines = [head, ["---" if n in (0, 2) else "---:" for n in range(len(head))], *body]
    text = "\n".join("| " + " | ".join(cells) + " |" for cells in lines)
    return "\n\n".join([f"# {title}", *facts, text, *sentences(table), *notes(table)]) + "\n"


def _told(comparison: Comparison) -> str:
    """As a sentence of its own; names of students stay as they are."""
    sentence = comparison.sentence()
    return f"{'N' + sentence[1:] if sentence.startswith('no ') else sentence}."
