"""A student distilled over a catalogue of a million items: memory, seconds a step, and whether it learns.

The world is made up. Items lie in clusters, a few items of each are popular, and a user stays in a cluster for a while.
The teacher knows the clusters and what is popular, and speaks as two factors whose product would be `[P, 1,000,000]`
logits; the student has an id table of its own and starts from nothing. It is trained by the package's own loop, on hard
and soft labels over candidates (`distil.candidates`), and validated by ranking all items for a sample of users.

Counted in the peak: the student, its gradients, AdamW's two moments, the best weights, the teacher's table, the data,
validation and the writing of checkpoints. Fails if that is more than `--limit-gib`.

Run: python benchmarks/large_catalogue.py
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import resource
import sys
from collections.abc import Collection
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import torch

from distilrec.data.batches import Windows
from distilrec.distil.candidates import CandidateSettings
from distilrec.distil.loop import train
from distilrec.distil.settings import DistilSettings, TrainSettings
from distilrec.encode.processor import fast_bf16_flags
from distilrec.errors import KnowledgeError
from distilrec.evaluate.evaluation import evaluate
from distilrec.knowledge import FactorLabels, Labels, ListLabels
from distilrec.memory import keep_freed_memory
from distilrec.models.transformer import Transformer, TransformerSettings
from distilrec.seeding import generator
from distilrec.types import Batch, Cases, FloatArray, IntArray, Ragged

LENGTH, IN_CLUSTER, WIDTH_TEACHER, SURE = 20, 500, 32, 20.0
STAYS, FADES, POPULAR = 0.8, 0.5, 5.0


def main() -> None:
    """Train, and print what it took."""
    arguments = _arguments()
    torch.set_num_threads(arguments.threads)
    keep_freed_memory()
    world = World(arguments.items, seed=arguments.seed)
    walks = world.walks(arguments.cases + arguments.steps * arguments.batch_size)
    cases = _last_items(walks[: arguments.cases])
    windows = Windows.cut(Ragged.of(list(walks[arguments.cases :])), max_length=LENGTH)
    print(f"{world.n_items:,} items, {len(windows):,} windows, {int(windows.positions.sum()):,} positions")
    print(
        f"{_processor()} ({', '.join(fast_bf16_flags()) or 'no bfloat16'}), {os.cpu_count()} cores, "
        f"{arguments.threads} threads, torch {torch.__version__}; memory so far {_peak()}"
    )
    student, teacher = _student(world.n_items, arguments), Teacher(world)
    recall = partial(_recall, cases=cases)
    print(
        f"recall@100 of {len(cases)} users: teacher {recall(teacher):.3f}, untrained {recall(student):.3f}", flush=True
    )
    with TemporaryDirectory() as folder:
        report = train(
            student,
            windows,
            validate=recall,
            settings=_settings(arguments),
            knowledge=teacher,
            distil=DistilSettings(alpha=0.7, start_from_teacher=False),
            checkpoint_path=Path(folder) / "checkpoint.safetensors",
        )
    for number, epoch in enumerate(report.epochs, start=1):
        told = ", ".join(f"{name} {epoch[name]:.3f}" for name in ("loss", "hard", "soft"))
        each = epoch["seconds"] / arguments.steps
        print(f"round {number}: {told}, recall@100 {epoch['score']:.3f}, {each:.2f} s a step")
    print(f"peak memory {_peak()}")
    print(json.dumps({"rounds": report.epochs, "peak_bytes": _peak_bytes()}))
    if _peak_bytes() > arguments.limit_gib * 2**30:
        sys.exit(f"the peak memory is {_peak()}; expected at most {arguments.limit_gib} GiB")


class World:
    """Items in clusters, and users who walk among them."""

    def __init__(self, n_items: int, *, seed: int) -> None:
        self.n_items, self.n_clusters, self._seed = n_items, -(-n_items // IN_CLUSTER), seed
        draw = generator(seed, "clusters")
        directions = draw.normal(size=(self.n_clusters, WIDTH_TEACHER)).astype(np.float32)
        self.directions = directions / np.linalg.norm(directions, axis=1, keepdims=True)  # [clusters, D_teacher]
        self.popularity = 1 / np.arange(1, IN_CLUSTER + 1)  # of the items of a cluster, in order

    def walks(self, n_users: int) -> IntArray:
        """What each user chooses, [users, LENGTH + 1]: mostly from the cluster of the item before."""
        draw, shape = generator(self._seed, "walks"), (n_users, LENGTH + 1)
        clusters = draw.integers(self.n_clusters, size=shape)
        stays = draw.random(shape) < STAYS
        for step in range(1, LENGTH + 1):
            clusters[:, step] = np.where(stays[:, step], clusters[:, step - 1], clusters[:, step])
        shares = np.cumsum(self.popularity) / self.popularity.sum()
        places = np.searchsorted(shares, draw.random(shape))
        items: IntArray = np.minimum(clusters * IN_CLUSTER + places, self.n_items - 1)
        return items

    def item_vectors(self) -> FloatArray:
        """An item's direction, and how popular it is in its cluster, [N, D_teacher + 1]."""
        items = np.arange(self.n_items)
        popular = np.log(self.popularity)[items % IN_CLUSTER].astype(np.float32)
        return np.concatenate([self.directions[items // IN_CLUSTER], popular[:, None] / POPULAR], axis=1)

    def history_vectors(self, items: IntArray) -> FloatArray:
        """The directions of the items so far, the newest for most, [B, L, D_teacher + 1]."""
        vectors = self.directions[items // IN_CLUSTER]
        for step in range(1, items.shape[1]):
            vectors[:, step] += FADES * (vectors[:, step - 1] - vectors[:, step])
        return np.concatenate([SURE * vectors, np.full((*items.shape, 1), POPULAR, np.float32)], axis=2)


class Teacher:
    """What there is to know of a world, as a source of knowledge and as a scorer."""

    def __init__(self, world: World) -> None:
        self._world, self._items, self.n_items = world, world.item_vectors(), world.n_items

    def soft_labels(self, batch: Batch) -> list[Labels]:
        """The two factors."""
        return [FactorLabels(self._world.history_vectors(batch.items)[batch.mask], self._items)]

    def scores(self, batch: Batch) -> FloatArray:
        """Of every item, [B, N]."""
        last = self._world.history_vectors(batch.items)[np.arange(len(batch)), batch.lengths - 1]
        return last @ self._items.T

    def digest(self) -> str:
        """For the checkpoint, which is never resumed here."""
        return "the teacher of a made-up world"

    def check_belongs(self, *, windows_digest: str, n_items: int) -> None:
        """It speaks of any window."""

    def item_vectors(self) -> FloatArray | None:
        """The student starts from nothing."""
        return None

    def user_vectors(self) -> FloatArray | None:
        """None."""
        return None

    def lists(self, batch: Batch) -> ListLabels | None:
        """None are kept."""
        return None

    @property
    def columns(self) -> Collection[str]:
        """None."""
        return ()

    def column_width(self, name: str) -> int:
        """None has one."""
        raise KnowledgeError(f"there is no column {name}")

    def column(self, name: str, batch: Batch) -> np.ndarray[Any, Any]:
        """There is none."""
        raise KnowledgeError(f"there is no column {name}")


def _last_items(walks: IntArray) -> Cases:
    return Cases(np.arange(len(walks)), Ragged.of(list(walks[:, :-1])), Ragged.of(list(walks[:, -1:])))


def _recall(scorer: Any, *, cases: Cases) -> float:  # noqa: ANN401  (a Scorer; the loop hands it over as a module)
    return evaluate(scorer, cases, cutoffs=[100], exclude_history=False, quiet=True).mean("recall@100")


def _student(n_items: int, arguments: argparse.Namespace) -> Transformer:
    torch.manual_seed(arguments.seed)
    return Transformer(TransformerSettings(width=arguments.width, max_length=LENGTH), n_items)


def _settings(arguments: argparse.Namespace) -> TrainSettings:
    return TrainSettings(
        epochs=arguments.rounds,
        patience=arguments.rounds,
        batch_size=arguments.batch_size,
        learning_rate=arguments.learning_rate,
        candidates=CandidateSettings(),
        seed=arguments.seed,
    )


def _processor() -> str:
    lines = Path("/proc/cpuinfo").read_text().splitlines() if Path("/proc/cpuinfo").exists() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor()


def _peak_bytes() -> int:
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024


def _peak() -> str:
    return f"{_peak_bytes() / 2**30:.2f} GiB"


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--items", type=int, default=1_000_000)
    parser.add_argument("--width", type=int, default=64, help="of the student")
    parser.add_argument("--steps", type=int, default=80, help="batches a round")
    parser.add_argument("--rounds", type=int, default=3, help="passes over the same windows, each validated")
    parser.add_argument("--batch-size", type=int, default=64)
    parser.add_argument("--learning-rate", type=float, default=3e-3)
    parser.add_argument("--cases", type=int, default=256, help="users whose next item is looked for among all")
    parser.add_argument("--limit-gib", type=float, default=6.0)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--seed", type=int, default=0)
    return parser.parse_args()


if __name__ == "__main__":
    main()
