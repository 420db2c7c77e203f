"""What a form of storage is: named parts made of an array, and the array made of its parts."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, Literal

import numpy as np
from numpy.typing import NDArray

from distilrec.config import Settings
from distilrec.errors import ArtifactError, SettingsError

Array = NDArray[Any]
Parts = Mapping[str, Array]
Precision = Literal["float16", "float32"]

LARGEST = 1e15
"""Weights are far smaller; the squares of larger numbers would leave the range of float32."""


class Form(Settings):
    """How an array is stored. `decode(encode(x))` is x, or near it; how near, each form says."""

    form: str
    """Its name, in settings and in files."""

    lossy: ClassVar[bool] = True
    """Whether decoding gives other numbers than were encoded."""
    slots: ClassVar[tuple[str, ...]] = ()
    """Parts that may be stored in forms of their own, which are the settings of the same names."""

    def encode(self, array: Array) -> dict[str, Array]:
        """The parts to store; never views of the input.

        Raises:
            SettingsError: the array has a rank, a shape or numbers that this form cannot hold.
        """
        raise NotImplementedError

    def decode(self, parts: Parts) -> Array:
        """The array that the parts hold: float32, or whole numbers where those were encoded.

        Raises:
            ArtifactError: a part is missing, strange, of the wrong type or shape, or out of range.
        """
        raise NotImplementedError

    def deepened(self, parts: Parts, inner: Form) -> tuple[Form, dict[str, Array]]:
        """The same array with what is not yet stored in a lossy form stored in `inner`: the form, and the parts.

        Raises:
            SettingsError: all of it is stored in lossy forms already.
        """
        free = [slot for slot in self.slots if getattr(self, slot, None) is None]
        if free:
            deeper = self.with_changes(**dict.fromkeys(free, inner))
            return deeper, deeper.pack(self.unpack(parts))
        if self.lossy or self.slots:
            raise SettingsError(
                f"is stored as {self.form} already; storing it again would lose more without saving what it seems to. "
                "Start from the model that was not compressed"
            )
        return inner, inner.encode(self.decode(parts))

    def pack(self, parts: Parts) -> dict[str, Array]:
        """Plain parts as they are stored: those in slots go into the forms that the settings name."""
        packed: dict[str, Array] = {}
        for name, array in parts.items():
            inner = getattr(self, name) if name in self.slots else None
            packed |= {name: array} if inner is None else _below(name, inner.encode(array))
        return packed

    def unpack(self, parts: Parts) -> dict[str, Array]:
        """Plain parts from those stored."""
        inner = {slot: getattr(self, slot) for slot in self.slots if getattr(self, slot) is not None}
        plain = {name: array for name, array in parts.items() if name.partition("/")[0] not in inner}
        for slot, form in inner.items():
            held = {name.partition("/")[2]: array for name, array in parts.items() if name.startswith(f"{slot}/")}
            if held or slot in parts:
                plain[slot] = form.decode(held)
        return plain

    def checked(self, parts: Parts, **expected: tuple[str, int | None]) -> list[Array]:
        """The parts in the order asked for; each has a type, such as "int8" or "float16 float32", and a rank."""
        if parts.keys() != expected.keys():
            raise ArtifactError(
                f"{self.form} needs the parts {', '.join(expected)}; the file has {', '.join(parts) or 'none'}"
            )
        for name, (types, rank) in expected.items():
            part = parts[name]
            if part.dtype.name not in types.split() or (rank is not None and part.ndim != rank):
                wanted = types.replace(" ", " or ") + ("" if rank is None else f" with {rank} dimensions")
                raise ArtifactError(f"{self.form}: {name} is {part.dtype.name} {part.shape}; expected {wanted}")
            if part.dtype.kind == "f" and not np.isfinite(part).all():
                raise ArtifactError(f"{self.form}: {name} holds NaN or infinity; the file is damaged")
        return [parts[name] for name in expected]

    def damaged(self, told: str) -> ArtifactError:
        """What to raise when parts do not fit one another."""
        return ArtifactError(f"{self.form}: {told}; the file is damaged")

    def floats(self, array: Array, *, ranks: tuple[int, ...] | None = None) -> NDArray[np.float32]:
        """The array as float32, refused where it is empty, has another rank, or holds what no weight is."""
        if ranks is not None and array.ndim not in ranks:
            wanted = " or ".join(str(rank) for rank in ranks)
            raise SettingsError(f"{self.form} stores arrays of {wanted} dimensions; this one has shape {array.shape}")
        if array.size == 0:
            raise SettingsError(f"an array of shape {array.shape} is empty; there is nothing to store as {self.form}")
        if array.dtype.kind != "f":
            raise SettingsError(f"{self.form} stores real numbers; this array holds {array.dtype.name}")
        largest = np.abs(array).max()
        if not largest <= LARGEST:  # NaN is not either
            raise SettingsError(
                f"the array holds NaN, infinity or numbers beyond {LARGEST:g}, which {self.form} cannot store; "
                "the model is damaged or its training diverged"
            )
        return array.astype(np.float32, copy=False)


def _below(name: str, parts: Parts) -> dict[str, Array]:
    return {f"{name}/{part}": array for part, array in parts.items()}
