"""A recipe's losses and layers tried on a made-up catalogue, before its teacher is trained."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import torch

from distilrec.data.batches import Windows
from distilrec.distil.objective import Objective
from distilrec.distil.settings import DistilSettings, TrainSettings
from distilrec.distil.weights import map_layers
from distilrec.errors import DistilRecError
from distilrec.mixture.parts import Onto
from distilrec.models.product_form import ProductForm
from distilrec.models.students import StudentModel, build_student
from distilrec.models.taps import Tap, tapped
from distilrec.models.transformer import Transformer, TransformerSettings
from distilrec.run.teacher_stages import IdsTeacher, TeacherStage, TextAndIdsTeacher
from distilrec.teach.settings import KnowledgeSettings
from distilrec.teach.teacher import as_teacher
from distilrec.types import Ragged

_ITEMS = 4096  # more than any loss divides into groups


def rehearse(
    model: StudentModel,
    train: TrainSettings,
    distil: DistilSettings,
    teacher: TeacherStage,
    knowledge: KnowledgeSettings,
) -> Iterator[str]:
    """What would be refused once the teacher is trained: unknown layers, widths and heads that do not fit.

    Of teachers that are not transformers of ours the student's side alone is looked at.
    """
    if not distil.losses and not distil.layers:
        return
    with torch.random.fork_rng(devices=[]):  # reading a recipe changes nothing that is drawn later
        try:
            student, theirs = build_student(model, _ITEMS, sequences=Ragged.of([[0, 1]])), _untrained(teacher)
            if theirs is None:
                _look_for_layers(student, distil)
            else:
                _try_losses(student, train, distil, theirs, knowledge.relation_heads)
                _try_layers(student, theirs, distil)
        except DistilRecError as error:
            yield f"distil: {error}"


def _untrained(teacher: TeacherStage) -> Transformer | None:
    """A teacher of the shape that the recipe's will have."""
    if not isinstance(teacher, IdsTeacher | TextAndIdsTeacher):
        return None
    shape = {name: getattr(teacher.model, name) for name in TransformerSettings.model_fields}
    return Transformer(TransformerSettings(**shape), _ITEMS)


def _look_for_layers(student: ProductForm, distil: DistilSettings) -> None:
    paths = [path for loss in distil.losses if (path := getattr(loss, "student", "history_vectors"))]
    with tapped(student, [Tap("hidden", path) for path in paths if path != "history_vectors"], whose="student"):
        pass


def _try_losses(
    student: ProductForm, train: TrainSettings, distil: DistilSettings, teacher: Transformer, relation_heads: int
) -> None:
    plain = train.augment.without_neighbours() if train.augment is not None else None
    Objective(
        student,
        Windows.cut(Ragged.of([[0, 1]]), max_length=1),
        train.with_changes(augment=plain),
        knowledge=as_teacher(teacher, device="cpu", relation_heads=relation_heads),
        distil=distil.with_changes(trust=None),
        onto=Onto(torch.device("cpu")),
        precision=torch.float32,
    )


def _try_layers(student: ProductForm, teacher: Transformer, distil: DistilSettings) -> None:
    ours, theirs = (int(model.item_vectors().shape[1]) for model in (student, teacher))
    directions = np.eye(theirs, ours, dtype=np.float32) if distil.start_from_teacher else None
    map_layers(student, teacher.state(), distil.layers, directions=directions)
