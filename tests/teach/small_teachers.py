"""Teachers of ten items, and their knowledge."""

import numpy as np
import torch

from distilrec.knowledge.labels import probabilities
from distilrec.models.ease import EASE, EASESettings
from distilrec.teach.extract import extract
from distilrec.teach.settings import KnowledgeSettings
from distilrec.teach.teacher import as_teacher
from distilrec.teach.text_and_ids import TeacherSettings, build_teacher
from distilrec.types import Ragged

N_ITEMS = 10
EXACT = KnowledgeSettings(soft_labels="whole", dtype="float32")
SEQUENCES = Ragged.of([np.random.default_rng(u).integers(N_ITEMS, size=2 + u % 7) for u in range(30)])


def network(seed=0, **changes):
    """Left in training mode, with dropout: what it says must not depend on that."""
    torch.manual_seed(seed)
    content = np.random.default_rng(0).normal(size=(N_ITEMS, 12)).astype(np.float32)
    shape = {"width": 16, "heads": 2, "max_length": 4, "dropout": 0.5, **changes}
    return build_teacher(TeacherSettings(**shape), content).train()


def ease(l2=5):
    return EASE.fit(SEQUENCES, n_items=N_ITEMS, settings=EASESettings(l2=l2))


def take(teacher, folder, windows, settings=EXACT, **options):
    return extract(
        teacher if hasattr(teacher, "soft_labels") else as_teacher(teacher, relation_heads=settings.relation_heads),
        folder,
        make_batch=options.pop("make_batch", windows.batch),
        positions=windows.positions,
        windows_digest=windows.digest(),
        n_items=N_ITEMS,
        settings=settings,
        quiet=True,
        **options,
    )


def shares(source, batch):
    return probabilities(source.soft_labels(batch), n_positions=int(batch.lengths.sum()), n_items=N_ITEMS)[0]
