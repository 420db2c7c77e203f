"""Knowledge small enough to check in the head: five windows of two, one, three, one and two positions."""

import time

import numpy as np

from distilrec.knowledge import Column, FactorPart, KnowledgeWriter
from distilrec.types import Batch

POSITIONS = np.array([2, 1, 3, 1, 2])
ROWS = np.arange(9 * 4, dtype=np.float32).reshape(9, 4)  # one row for each of the nine positions
ITEMS = np.arange(6 * 4, dtype=np.float32).reshape(6, 4)
ABOUT = {"teacher": {"kind": "made up"}, "teacher_digest": "t1", "windows_digest": "w1", "catalogue_digest": "c1"}
VECTORS = Column("history_vectors", (4,), "float32")
SHARDS = ["history_vectors-00000.npy", "history_vectors-00001.npy", "history_vectors-00002.npy"]


def writer(folder, *, about=ABOUT, positions=POSITIONS, columns=(VECTORS,), windows_per_shard=2):
    return KnowledgeWriter(
        folder, about=about, positions=positions, columns=columns, windows_per_shard=windows_per_shard
    )


def rows_of(windows, array=ROWS, per="position"):
    """The rows of a whole column that belong to consecutive windows."""
    counts = {"position": POSITIONS, "window": np.ones_like(POSITIONS), "pair": POSITIONS**2}[per]
    starts = np.concatenate([[0], np.cumsum(counts)])
    return array[starts[windows[0]] : starts[windows[-1] + 1]]


def fill(work, *, upto=99, pause=0.0):
    """Write the missing shards below number `upto`, and say which they were."""
    numbers = []
    for number, windows in work.missing():
        if number < upto:
            time.sleep(pause)
            work.write_shard(number, {"history_vectors": rows_of(windows)})
            numbers.append(number)
    return numbers


def finish(work, *, items=ITEMS):
    work.write_table("item_vectors", items)
    return work.finish([FactorPart()], n_items=len(items), kinds=["soft_labels", "item_vectors"])


def write(folder, **options):
    work = writer(folder, **options)
    fill(work)
    return finish(work)


def windows_batch(*windows):
    """A batch of these windows, whose items do not matter."""
    rows = np.array(windows, dtype=np.int64)
    return Batch(np.zeros((len(rows), 3), np.int64), POSITIONS[rows], rows=rows)


def files(folder):
    return sorted(path.name for path in folder.iterdir())
