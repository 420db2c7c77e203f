"""The one training loop: every model is trained here, alone or with a teacher's knowledge.

It sees training windows, a `validate` function and, for distilling, a `KnowledgeSource`; never a test set.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn

from distilrec.config import Settings
from distilrec.data.batches import Windows, plan_batches
from distilrec.distil import checkpoint
from distilrec.distil.checkpoint import Place
from distilrec.distil.losses import CatalogueLoss, SoftLabels, distillation_loss
from distilrec.distil.settings import DistilSettings, TrainSettings
from distilrec.encode.processor import fast_bf16_flags
from distilrec.errors import MissingExtraError, SettingsError, TrainingError
from distilrec.files import sha256_of_arrays, sha256_of_value
from distilrec.knowledge import Knowledge, KnowledgeSource
from distilrec.memory import give_back_freed_memory
from distilrec.progress import Advance, progress
from distilrec.seeding import derive_seed, generator
from distilrec.types import Batch

Validate = Callable[[nn.Module], float]


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
    checkpoint_path: Path | None = None,
    name: str = "Training",
    quiet: bool = False,
) -> TrainReport:
    """Train a model in place and leave it with its best weights.

    Args:
        model: called with a `Batch`, gives history vectors of the real positions `[P, D]` and item vectors `[N, D]`.
        validate: a score of the model as it is, higher is better; called after every epoch.
        knowledge: a teacher's, on disk or live; without it this is plain training.
        checkpoint_path: where to keep a resumable checkpoint. A run that was killed goes on from it to the same
            result as one that was not. It is for the same data, settings, teacher and first weights (so seed those);
            others start afresh and replace it. It does not know what `validate` asks.

    Raises:
        TrainingError: the loss became NaN or infinite, or a checkpoint is damaged.
        KnowledgeError: the knowledge on disk is of other training windows.
    """
    if distil is not None and knowledge is None:
        raise SettingsError("distil settings were given, but no knowledge of a teacher; give both or neither")
    run = _Run(model, windows, settings, knowledge, distil or DistilSettings())
    place, best = run.resume(checkpoint_path)
    batches = math.ceil(len(windows) / settings.batch_size)
    total, done = settings.epochs * batches, place.epoch * batches + place.step
    with progress(name, total=total, start=done, quiet=quiet) as advance:
        while place.epoch < settings.epochs and place.without_better < settings.patience:
            began = time.monotonic()
            run.epoch(place, best, checkpoint_path, advance)
            seconds = time.monotonic() - began
            run.plain_model.eval()
            loss, score = place.total_loss / place.seen_positions, validate(run.plain_model)
            best = _note_score(place, best, run.plain_model, loss, score, seconds)
            run.save(checkpoint_path, place, best)
            give_back_freed_memory()
            advance(
                0,
                f"epoch {place.epoch}, loss {loss:.4f}, validation {score:.5f}, best {place.best_score:.5f}",
            )
    run.plain_model.load_state_dict(best)
    run.plain_model.eval()
    return TrainReport(place.epochs, place.best_epoch, float(place.best_score or 0.0))


def choose_precision(wanted: str, device: torch.device) -> torch.dtype:
    """bfloat16 where the device multiplies it faster than float32, unless told otherwise."""
    if wanted != "auto":
        return torch.bfloat16 if wanted == "bfloat16" else torch.float32
    on_processor = device.type == "cpu" and bool(fast_bf16_flags())
    on_gpu = device.type == "cuda" and torch.cuda.is_bf16_supported()
    return torch.bfloat16 if on_processor or on_gpu else torch.float32


class _Run:
    """What stays the same from step to step."""

    def __init__(
        self,
        model: nn.Module,
        windows: Windows,
        settings: TrainSettings,
        knowledge: KnowledgeSource | None,
        distil: DistilSettings,
    ) -> None:
        try:
            from accelerate import Accelerator
        except ImportError:
            raise MissingExtraError("accelerate", "train") from None
        self.windows, self.settings, self.knowledge, self.distil = windows, settings, knowledge, distil
        self.windows_digest = windows.digest()
        if isinstance(knowledge, Knowledge):  # its rows are found by window number; the loss compares catalogues
            knowledge.check_belongs(windows_digest=self.windows_digest, n_items=knowledge.n_items)
        self.accelerator = Accelerator()
        self.plain_model = model
        fused = self.accelerator.device.type in ("cpu", "cuda")
        optimizer = torch.optim.AdamW(
            model.parameters(), lr=settings.learning_rate, weight_decay=settings.weight_decay, fused=fused
        )
        self.model, self.optimizer = self.accelerator.prepare(model, optimizer)
        self.precision = choose_precision(settings.precision, self.accelerator.device)
        self.teacher_items = self._tensor(knowledge.item_vectors()) if knowledge else None

    def identity(self) -> str:
        """Digest of all that decides where training ends up, but for `validate`."""
        teacher = [self.distil.model_dump(), self.knowledge.digest()] if self.knowledge is not None else None
        settings = self.settings.model_dump(exclude={"checkpoint_seconds"})
        how = [str(self.precision), self.accelerator.device.type, self.accelerator.num_processes]
        return sha256_of_value([settings, teacher, self.windows_digest, _describe(self.plain_model), *how])

    def resume(self, path: Path | None) -> tuple[Place, dict[str, Tensor]]:
        identity = self.identity()
        found = checkpoint.load(path, identity, self.plain_model, self.optimizer) if path else None
        return found or (Place(identity), _copy(self.plain_model))

    def save(self, path: Path | None, place: Place, best: dict[str, Tensor]) -> None:
        if path is not None and self.accelerator.is_main_process:
            checkpoint.save(path, place, self.plain_model, self.optimizer, best)
        self.accelerator.wait_for_everyone()

    def epoch(self, place: Place, best: dict[str, Tensor], path: Path | None, advance: Advance) -> None:
        """One pass over every training position, from wherever `place` is in it."""
        self.model.train()
        draw = generator(self.settings.seed, "batches", place.epoch)
        plan = plan_batches(self.windows.positions, batch_size=self.settings.batch_size, generator=draw)
        saved = time.monotonic()
        while place.step < len(plan):
            rows = plan[place.step][self.accelerator.process_index :: self.accelerator.num_processes]
            batch = self.windows.batch(rows)
            loss = self._step(batch, place, len(plan))
            place.step += 1
            place.total_loss += loss * int(batch.lengths.sum())
            place.seen_positions += int(batch.lengths.sum())
            advance(1)
            if time.monotonic() - saved > self.settings.checkpoint_seconds and place.step < len(plan):
                self.save(path, place, best)
                saved = time.monotonic()

    def _step(self, batch: Batch, place: Place, steps_per_epoch: int) -> float:
        step = place.epoch * steps_per_epoch + place.step
        torch.manual_seed(derive_seed(self.settings.seed, "step", step, self.accelerator.process_index))
        for group in self.optimizer.param_groups:
            group["lr"] = learning_rate(self.settings, step, self.settings.epochs * steps_per_epoch)
        loss = self._loss(batch)
        value = float(loss.total.detach())
        if not math.isfinite(value):
            raise TrainingError(
                f"the loss became {value} in epoch {place.epoch}, batch {place.step}. Lower learning_rate "
                f"(now {self.settings.learning_rate}) or set clip_norm; the last checkpoint is kept"
            )
        self.optimizer.zero_grad(set_to_none=True)
        self.accelerator.backward(loss.total)
        if self.settings.clip_norm is not None:
            self.accelerator.clip_grad_norm_(self.model.parameters(), self.settings.clip_norm)
        self.optimizer.step()
        return value

    def _loss(self, batch: Batch) -> CatalogueLoss:
        histories, items = self.model(batch)  # [P, D], [N, D]
        if batch.targets is None:
            raise TrainingError("a training batch came without targets; take batches from Windows.batch")
        targets = self._tensor(batch.targets[batch.mask])  # [P]
        soft = None
        if self.knowledge is not None and self.teacher_items is not None:
            soft = SoftLabels(self._tensor(self.knowledge.history_vectors(batch)), self.teacher_items)
        return distillation_loss(
            histories,
            items,
            targets,
            soft_labels=soft,
            alpha=self.distil.alpha if soft else 0.0,
            temperature=self.distil.temperature,
            label_smoothing=self.settings.label_smoothing,
            precision=self.precision,
        )

    def _tensor(self, array: object) -> Tensor:
        return torch.as_tensor(array).to(self.accelerator.device)


def learning_rate(settings: TrainSettings, step: int, total_steps: int) -> float:
    """The step size of one batch."""
    rate = settings.learning_rate
    if settings.schedule == "cosine":
        rate *= 0.5 * (1 + math.cos(math.pi * step / total_steps))
    return rate * min(1.0, (step + 1) / settings.warmup_steps) if settings.warmup_steps else rate


def _note_score(
    place: Place, best: dict[str, Tensor], model: nn.Module, loss: float, score: float, seconds: float
) -> dict[str, Tensor]:
    """Write an epoch's outcome into `place` and return the best weights so far."""
    if not math.isfinite(score):
        raise TrainingError(f"validation gave {score} after epoch {place.epoch}; expected a finite number")
    place.epochs.append({"loss": loss, "score": score, "seconds": round(seconds, 3)})
    better = place.best_score is None or score > place.best_score
    if better:
        place.best_score, place.best_epoch, place.without_better = score, place.epoch, 0
    else:
        place.without_better += 1
    place.epoch, place.step, place.total_loss, place.seen_positions = place.epoch + 1, 0, 0.0, 0
    return _copy(model) if better else best


def _describe(model: nn.Module) -> list[object]:
    """A model's class, its settings where it has some, and a digest of its weights and fixed tables."""
    settings = getattr(model, "settings", None)
    told = settings.model_dump(mode="json") if isinstance(settings, Settings) else None
    tensors = {**dict(model.named_parameters()), **dict(model.named_buffers())}
    weights = {name: value.detach().cpu().float().numpy() for name, value in tensors.items()}
    return [type(model).__qualname__, told, sha256_of_arrays(weights)]


def _copy(model: nn.Module) -> dict[str, Tensor]:
    return {name: value.detach().clone() for name, value in model.state_dict().items()}
