"""Weight space: a student that begins as chosen layers of its teacher, or is drawn towards them while it learns."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from distilrec.errors import SettingsError
from distilrec.models.tables import IdTable
from distilrec.types import FloatArray

Array = np.ndarray[Any, Any]


def copy_layers(
    student: nn.Module,
    teacher_state: Mapping[str, Array],
    layers: Mapping[str, str],
    *,
    directions: FloatArray | None = None,
) -> dict[str, Tensor]:
    """Start the student from chosen layers of the teacher, in place; gives what `map_layers` does.

    It takes every second block of a deep teacher: `copy_layers(student, teacher.state(), {"blocks.0": "blocks.1",
    "blocks.1": "blocks.3"})`, as in DistilBERT (Sanh et al. 2019).
    """
    mapped = map_layers(student, teacher_state, layers, directions=directions)
    pull_towards(student, mapped, 1.0)
    return mapped


def map_layers(
    student: nn.Module,
    teacher_state: Mapping[str, Array],
    layers: Mapping[str, str],
    *,
    directions: FloatArray | None = None,
) -> dict[str, Tensor]:
    """The teacher's weights in the student's shapes, `phi(theta_T)`, by the student's parameter names.

    Without directions, weights are taken as they are. With orthonormal directions V `[D_t, D_s]`, every side of a
    weight that is as long as the teacher's width is seen along them: matrices become `V^T W V`, biases `V^T b`, tables
    of positions `P V`; a side of several widths (queries, keys and values together) is mapped width by width. A norm's
    gain `g` becomes the diagonal of `V^T diag(g) V`, so that equal gains stay as they are.

    It keeps what a layer does to vectors that lie along V, but for what is not linear: norms, the activation between
    feed-forward layers, and the division into heads are only near. So it is a start, not a smaller copy. Start the item
    table with `initialise.start_from_teacher` and take V from `initialise.principal_directions` of the same table; with
    other directions the layers speak another language than the table, which nothing tells but the validation score.

    Args:
        teacher_state: arrays by name, as a model's `state()` gives them.
        layers: the path of a student's layer, or of a single weight, to that of the teacher it is made from.
        directions: V, needed where widths differ.

    Raises:
        SettingsError: a path that is not there, a layer made of other parts, or a shape that can not be mapped.
    """
    _check_directions(directions)
    mapped = {}
    for to, source in layers.items():
        ours = _inside(dict(student.named_parameters()), to, "student")
        theirs = _inside(teacher_state, source, "teacher")
        if ours.keys() != theirs.keys():
            told = ", ".join(sorted(_joined(to, name) for name in ours.keys() ^ theirs.keys())[:4])
            raise SettingsError(
                f"the student's {to} and the teacher's {source} are not made of the same parts ({told}: in one alone); "
                "choose layers of the same kind"
            )
        for name, parameter in ours.items():
            path = _joined(to, name)
            owner = student.get_submodule(path.rpartition(".")[0])
            value = _mapped(theirs[name], path, parameter, owner, directions, _joined(source, name))
            mapped[path] = torch.from_numpy(value).to(parameter)
    return mapped


@torch.no_grad()
def pull_towards(student: nn.Module, mapped: Mapping[str, Tensor], a: float) -> None:
    """`theta' = theta + a (phi(theta_T) - theta)` for the mapped weights, in place: 0 does nothing, 1 copies them.

    Called after each step of the optimizer, it is a spring to the teacher; weights that are not mapped go free.

    Args:
        mapped: what `map_layers` gives.
        a: how far the weights are moved, 0 to 1.
    """
    if not 0 <= a <= 1:
        raise SettingsError(f"weights are to be moved {a} of the way to the teacher's; expected a number from 0 to 1")
    parameters = dict(student.named_parameters())
    unknown = sorted(mapped.keys() - parameters.keys())
    if unknown:
        raise SettingsError(f"the student has no weight {unknown[0]!r}; {_near(unknown[0], parameters)}")
    for name, value in mapped.items():
        parameters[name].lerp_(value.to(parameters[name]), a)


def _inside(weights: Mapping[str, Any], path: str, whose: str) -> dict[str, Any]:
    """The weights of a layer by their names within it; a single weight has the name ""."""
    found = {name.removeprefix(path + "."): weights[name] for name in weights if name.startswith(path + ".")}
    if path in weights:
        found[""] = weights[path]
    if not found:
        paths = {".".join(parts[:n]) for parts in (name.split(".") for name in weights) for n in range(1, len(parts))}
        raise SettingsError(f"the {whose} has no layer {path!r} with weights; {_near(path, sorted(paths))}")
    return found


def _near(path: str, known: Iterable[str]) -> str:
    names = list(known)
    return f"near it are {', '.join(difflib.get_close_matches(path, names, n=4, cutoff=0.3) or names[:8])}"


def _joined(path: str, name: str) -> str:
    return f"{path}.{name}" if name else path


def _check_directions(directions: FloatArray | None) -> None:
    if directions is None:
        return
    if directions.ndim != 2:
        raise SettingsError(f"directions have shape {directions.shape}; expected [teacher's width, student's width]")
    square = directions.T @ directions
    if not np.allclose(square, np.eye(len(square)), atol=1e-3):
        raise SettingsError(
            "directions are not of length 1 and at right angles; take them from distil.initialise.principal_directions"
        )


def _mapped(
    array: Array, path: str, parameter: Tensor, owner: nn.Module, directions: FloatArray | None, source: str
) -> FloatArray:
    """One weight in the student's shape."""
    if not np.isfinite(array).all():
        raise SettingsError(f"the teacher's {source} holds NaN or infinity; train the teacher again")
    wanted = tuple(parameter.shape)
    is_gain = array.ndim == 1 and path.endswith("weight")
    rows_are_things = isinstance(owner, nn.Embedding | IdTable)  # places or items, not directions
    value = array.astype(np.float64)
    for axis, (from_size, to_size) in enumerate(zip(array.shape, wanted, strict=False)):
        side = None if axis == 0 and rows_are_things else _side(from_size, to_size, directions)
        if side is not None:
            value = np.moveaxis(np.tensordot(value, side**2 if is_gain else side, (axis, 0)), -1, axis)
    if value.shape != wanted:
        raise SettingsError(
            f"the teacher's {source} has shape {array.shape}, the student's {path} {wanted}, which {_why(directions)}"
        )
    return value.astype(np.float32)


def _side(from_size: int, to_size: int, directions: FloatArray | None) -> Array | None:
    """V, or as many of it as there are widths in a side; none where a side is not made of widths."""
    if directions is None:
        return None
    times, rest = divmod(from_size, directions.shape[0])
    return None if rest or times * directions.shape[1] != to_size else np.kron(np.eye(times), directions)


def _why(directions: FloatArray | None) -> str:
    if directions is None:
        return "differ; give the directions that the student's item table was reduced along, or take equal widths"
    return (
        f"can not be mapped along directions {directions.shape}: each side has to be equal, or as many times the one "
        "width as the other; choose a student of that shape"
    )
