"""The one training loop: every model is trained here, alone or with a teacher's knowledge.

It sees training windows, a `validate` function and, for distilling, a `KnowledgeSource`; never a test set.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from distilrec.config import Settings
from distilrec.data.batches import Windows
from distilrec.distil import checkpoint
from distilrec.distil.checkpoint import Place
from distilrec.distil.objective import TOTAL, Objective, StepLoss
from distilrec.distil.ordering import WindowOrder, difficulty_of
from distilrec.distil.schedules import value_at
from distilrec.distil.settings import DistilSettings, TrainSettings
from distilrec.distil.weights import pull_towards
from distilrec.encode.processor import takes_bf16
from distilrec.errors import MissingExtraError, SettingsError, TrainingError
from distilrec.files import sha256_of_arrays, sha256_of_value
from distilrec.knowledge import KnowledgeSource
from distilrec.memory import give_back_freed_memory, keep_freed_memory
from distilrec.mixture.parts import Onto
from distilrec.progress import Advance, progress
from distilrec.seeding import derive_seed
from distilrec.types import Batch, FloatArray

Validate = Callable[[nn.Module], float]

_ALONE = DistilSettings(alpha=0.0)


@dataclass(frozen=True)
class TrainReport:
    """What training did."""

    epochs: list[dict[str, float]]
    """For each epoch its loss, validation score and seconds."""
    best_epoch: int
    """The epoch, from 0, whose weights the model has now."""
    best_score: float
    """Its validation score."""


def train(
    model: nn.Module,
    windows: Windows,
    *,
    validate: Validate,
    settings: TrainSettings,
    knowledge: KnowledgeSource | None = None,
    distil: DistilSettings | None = None,
    advantage: FloatArray | None = None,
    towards: Mapping[str, Tensor] | None = None,
    checkpoint_path: Path | None = None,
    name: str = "Training",
    quiet: bool = False,
) -> TrainReport:
    """Train a model in place and leave it with its best weights.

    Args:
        model: called with a `Batch`, gives history vectors of the real positions `[P, D]` and item vectors `[N, D]`;
            or `SampledVectors`, which plain training alone can use.
        validate: a score of the model as it is, higher is better; called after every epoch.
        knowledge: a teacher's, on disk or live; without it this is plain training.
        distil: how it is learnt from; none takes the defaults.
        advantage: for `trust.advantage`, how much better the teacher is at each training position, 0 to 1, window after
            window; `run.advantage` measures it.
        towards: for `pull`, the teacher's weights in the student's shapes, by parameter (`weights.map_layers`).
        checkpoint_path: where to keep a resumable checkpoint. A run that was killed goes on from it to the same
            result as one that was not. It is for the same data, settings, teacher and first weights (so seed those);
            others start afresh and replace it. It does not know what `validate` asks.

    Raises:
        TrainingError: the loss became NaN or infinite, or a checkpoint is damaged.
        KnowledgeError: the knowledge on disk is of other training windows, or lacks what a loss needs.
        SettingsError: a loss does not fit the student or the teacher. Both come before anything is trained.
    """
    if distil is not None and knowledge is None:
        raise SettingsError("distil settings were given, but no knowledge of a teacher; give both or neither")
    keep_freed_memory()  # otherwise each step has the system clear its pages anew
    heard = distil or (_ALONE if knowledge is None else DistilSettings())
    run = _Run(model, windows, settings, knowledge, heard, advantage, towards)
    place, best = run.resume(checkpoint_path)
    batches = run.order.most_batches
    total, done = settings.epochs * batches, place.epoch * batches + place.step
    with progress(name, total=total, start=done, quiet=quiet) as advance:
        while place.epoch < settings.epochs and place.without_better < settings.patience:
            began = time.monotonic()
            run.epoch(place, best, checkpoint_path, advance)
            seconds = time.monotonic() - began
            run.plain_model.eval()
            loss, score = place.means()[TOTAL], validate(run.plain_model)
            best = _note_score(place, best, run.plain_model, score, seconds)
            run.save(checkpoint_path, place, best)
            give_back_freed_memory()
            advance(
                0,
                f"epoch {place.epoch}, loss {loss:.4f}, validation {score:.5f}, best {place.best_score:.5f}",
            )
    run.plain_model.load_state_dict(best, strict=False)  # what was not trained is not in it
    run.plain_model.eval()
    return TrainReport(place.epochs, place.best_epoch, float(place.best_score or 0.0))


def choose_precision(wanted: str, device: torch.device) -> torch.dtype:
    """bfloat16 where the device multiplies it faster than float32, unless told otherwise."""
    return torch.bfloat16 if takes_bf16(wanted, device.type) else torch.float32


class _Run:
    """What stays the same from step to step."""

    def __init__(
        self,
        model: nn.Module,
        windows: Windows,
        settings: TrainSettings,
        knowledge: KnowledgeSource | None,
        distil: DistilSettings,
        advantage: FloatArray | None,
        towards: Mapping[str, Tensor] | None,
    ) -> None:
        try:
            from accelerate import Accelerator
        except ImportError:
            raise MissingExtraError("accelerate", "train") from None
        self.windows, self.settings, self.knowledge, self.distil = windows, settings, knowledge, distil
        self.windows_digest = windows.digest()
        n_items: int | None = getattr(model, "n_items", None)
        if knowledge is not None and n_items is not None:  # rows are found by window number
            knowledge.check_belongs(windows_digest=self.windows_digest, n_items=n_items)
        self.accelerator = Accelerator()
        self.plain_model, onto = model.to(self.accelerator.device), Onto(self.accelerator.device)
        self.precision = choose_precision(settings.precision, self.accelerator.device)
        torch.manual_seed(derive_seed(settings.seed, "objective"))  # of projections' first weights
        self.objective = Objective(
            model,
            windows,
            settings,
            knowledge=knowledge,
            distil=distil,
            onto=onto,
            precision=self.precision,
            advantage=advantage,
        ).to(self.accelerator.device)
        self.order = WindowOrder(
            windows,
            batch_size=settings.batch_size,
            seed=settings.seed,
            curriculum=distil.curriculum,
            difficulty=difficulty_of(windows, distil.curriculum, knowledge, n_items=n_items, onto=onto),
        )
        self.advantage, self.towards = advantage, dict(towards or {})
        self.learnt = nn.ModuleDict({"student": model, "objective": self.objective})  # all that is checkpointed
        optimizer = torch.optim.AdamW(
            [*_parameter_groups(model, settings), *_groups_beside(self.objective, settings)],
            lr=settings.learning_rate,
            weight_decay=settings.weight_decay,
            fused=self.accelerator.device.type in ("cpu", "cuda"),
        )
        self.model, self.optimizer = self.accelerator.prepare(model, optimizer)

    def identity(self) -> str:
        """Digest of all that decides where training ends up, but for `validate`."""
        teacher = [self.distil.model_dump(), self.knowledge.digest()] if self.knowledge is not None else None
        trusted = None if self.advantage is None else sha256_of_arrays({"advantage": self.advantage})
        goal = sha256_of_arrays({name: value.detach().cpu().numpy() for name, value in self.towards.items()})
        settings = self.settings.model_dump(exclude={"checkpoint_seconds"})
        how = [str(self.precision), self.accelerator.device.type, self.accelerator.num_processes]
        told = [settings, teacher, trusted, goal, self.windows_digest, _describe(self.plain_model)]
        return sha256_of_value([*told, *how])

    def resume(self, path: Path | None) -> tuple[Place, dict[str, Tensor]]:
        identity = self.identity()
        found = checkpoint.load(path, identity, self.learnt, self.optimizer) if path else None
        return found or (Place(identity), _copy(self.plain_model))

    def save(self, path: Path | None, place: Place, best: dict[str, Tensor]) -> None:
        if path is not None and self.accelerator.is_main_process:
            checkpoint.save(path, place, self.learnt, self.optimizer, best)
        self.accelerator.wait_for_everyone()

    def epoch(self, place: Place, best: dict[str, Tensor], path: Path | None, advance: Advance) -> None:
        """One pass over the training positions, from wherever `place` is in it."""
        self.model.train()
        self.objective.train()
        plan = self.order.batches(place.epoch, place.epoch / self.settings.epochs)
        saved = time.monotonic()
        while place.step < len(plan):
            rows = plan[place.step][self.accelerator.process_index :: self.accelerator.num_processes]
            batch = self.windows.batch(rows)
            loss = self._step(batch, place)
            place.step += 1
            place.add(loss.values, int(batch.lengths.sum()))
            advance(1)
            if time.monotonic() - saved > self.settings.checkpoint_seconds and place.step < len(plan):
                self.save(path, place, best)
                saved = time.monotonic()
        advance(self.order.most_batches - len(plan))

    def _step(self, batch: Batch, place: Place) -> StepLoss:
        step, steps = place.epoch * self.order.most_batches + place.step, self.settings.epochs * self.order.most_batches
        seed = derive_seed(self.settings.seed, "step", step, self.accelerator.process_index)
        torch.manual_seed(seed)
        factor = rate_factor(self.settings, step, steps)
        for group in self.optimizer.param_groups:
            group["lr"] = factor * group["full_rate"]
        loss: StepLoss = self.objective(self.model, self.plain_model, batch, progress=step / steps, seed=seed)
        value = loss.values[TOTAL]
        if not math.isfinite(value):
            raise TrainingError(
                f"the loss became {value} in epoch {place.epoch}, batch {place.step}. Lower learning_rate "
                f"(now {self.settings.learning_rate}) or set clip_norm; the last checkpoint is kept"
            )
        self.optimizer.zero_grad(set_to_none=True)
        self.accelerator.backward(loss.total)
        self._join_gradients()
        if self.settings.clip_norm is not None:
            self.accelerator.clip_grad_norm_(self.model.parameters(), self.settings.clip_norm)
        self.optimizer.step()
        pull = value_at(self.distil.pull, step / steps)
        if pull and self.towards:
            pull_towards(self.plain_model, self.towards, pull)
        return loss

    def _join_gradients(self) -> None:
        """Of what is learnt beside the student, over all processes; Accelerate does so for the student."""
        if self.accelerator.num_processes > 1:
            for parameter in self.objective.parameters():
                if parameter.grad is not None:
                    parameter.grad = self.accelerator.reduce(parameter.grad, reduction="mean")


def rate_factor(settings: TrainSettings, step: int, total_steps: int) -> float:
    """What the step size of one batch is multiplied by."""
    factor = 0.5 * (1 + math.cos(math.pi * step / total_steps)) if settings.schedule == "cosine" else 1.0
    return factor * min(1.0, (step + 1) / settings.warmup_steps) if settings.warmup_steps else factor


def _parameter_groups(model: nn.Module, settings: TrainSettings) -> list[dict[str, Any]]:
    """What is learnt, apart from what was pretrained, which may have a step size of its own."""
    name_them = getattr(model, "pretrained_parameters", None)
    pretrained = {id(p) for p in name_them()} if name_them is not None else set()
    learnt = [p for p in model.parameters() if p.requires_grad]
    rates = {False: settings.learning_rate, True: settings.body_learning_rate or settings.learning_rate}
    groups = {slow: [p for p in learnt if (id(p) in pretrained) is slow] for slow in rates}
    return [{"params": found, "full_rate": rates[slow]} for slow, found in groups.items() if found]


def _groups_beside(objective: nn.Module, settings: TrainSettings) -> list[dict[str, Any]]:
    """What is learnt beside the student and does not ship: projections, heads."""
    found = [p for p in objective.parameters() if p.requires_grad]
    return [{"params": found, "full_rate": settings.learning_rate}] if found else []


def _note_score(
    place: Place, best: dict[str, Tensor], model: nn.Module, score: float, seconds: float
) -> dict[str, Tensor]:
    """Write an epoch's outcome into `place` and return the best weights so far."""
    if not math.isfinite(score):
        raise TrainingError(f"validation gave {score} after epoch {place.epoch}; expected a finite number")
    place.epochs.append({**place.means(), "score": score, "seconds": round(seconds, 3)})
    better = place.best_score is None or score > place.best_score
    if better:
        place.best_score, place.best_epoch, place.without_better = score, place.epoch, 0
    else:
        place.without_better += 1
    place.epoch, place.step, place.sums, place.seen_positions = place.epoch + 1, 0, {}, 0
    return _copy(model) if better else best


def _describe(model: nn.Module) -> list[object]:
    """A model's class, its settings where it has some, and a digest of its weights and fixed tables."""
    settings = getattr(model, "settings", None)
    told = settings.model_dump(mode="json") if isinstance(settings, Settings) else None
    tensors = {**dict(model.named_parameters()), **dict(model.named_buffers())}
    weights = {name: value.detach().cpu().float().numpy() for name, value in tensors.items()}
    return [type(model).__qualname__, told, sha256_of_arrays(weights)]


def _copy(model: nn.Module) -> dict[str, Tensor]:
    return {name: value.detach().clone() for name, value in checkpoint.learnt(model).items()}
