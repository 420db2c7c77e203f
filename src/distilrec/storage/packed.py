"""A model's state whose arrays are stored in forms."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Self

from distilrec.errors import ArtifactError, SettingsError
from distilrec.storage.form import Array, Form
from distilrec.storage.forms import describe_form, read_form
from distilrec.storage.shared import Alias


@dataclass(frozen=True, eq=False)
class Packed:
    """Named arrays, some of them stored in forms: `table.weight/codes` and `table.weight/scales` for an int8 table.

    Arrays without a form are as they are. It is never changed in place.
    """

    arrays: Mapping[str, Array]
    """What lies in the file, by name; the parts of array `a` are named `a/part`."""
    forms: Mapping[str, Form] = field(default_factory=dict)
    """The form of each array that has one, by the array's own name."""

    def __post_init__(self) -> None:
        _check(self)

    @classmethod
    def of(cls, state: Mapping[str, Array], forms: Mapping[str, Form] | None = None) -> Self:
        """Store some arrays of a state in forms; the others as they are.

        Raises:
            SettingsError: a form is for an array that there is not, or one that cannot hold its array.
        """
        return cls(dict(state)).storing(forms or {})

    @classmethod
    def read(cls, arrays: Mapping[str, Array], described: Mapping[str, Any]) -> Self:
        """What an artefact holds, from its arrays and what its config says of their forms (`described`).

        Raises:
            ArtifactError: the two do not fit, or a form is of a newer version.
        """
        return cls(dict(arrays), {name: read_form(form, where=name) for name, form in described.items()})

    def storing(self, forms: Mapping[str, Form]) -> Self:
        """The same state with further arrays stored in forms.

        Raises:
            SettingsError: as for `of`, or an array is stored in a lossy form already.
        """
        unknown = sorted(forms.keys() - set(self.names()))
        if unknown:
            raise SettingsError(f"the model has no array {unknown[0]!r}; it has {', '.join(self.names())}")
        changed = {name: self._stored(name, form) for name, form in forms.items()}
        arrays = {key: array for key, array in self.arrays.items() if key.partition("/")[0] not in changed}
        for name, (_, parts) in changed.items():
            arrays |= {f"{name}/{part}": array for part, array in parts.items()}
        return type(self)(arrays, {**self.forms, **{name: form for name, (form, _) in changed.items()}})

    def replacing(self, name: str, form: Form, parts: Mapping[str, Array]) -> Self:
        """The same state with one array stored as given, such as parts that were learnt; see `Form.pack`."""
        arrays = {key: array for key, array in self.arrays.items() if key.partition("/")[0] != name}
        arrays |= {f"{name}/{part}": array for part, array in parts.items()}
        return type(self)(arrays, {**self.forms, name: form})

    def _stored(self, name: str, form: Form) -> tuple[Form, dict[str, Array]]:
        try:
            if isinstance(form, Alias):
                return form, self._as_alias(name, form)
            if name in self.forms:
                return self.forms[name].deepened(self.parts(name), form)
            return form, form.encode(self.arrays[name])
        except SettingsError as error:
            raise SettingsError(f"{name}: {error}") from None

    def _as_alias(self, name: str, form: Alias) -> dict[str, Array]:
        if form.of not in self.names() or isinstance(self.forms.get(form.of), Alias) or form.of == name:
            raise SettingsError(f"it cannot stand for {form.of!r}: expected another array that is stored itself")
        mine, other = self.array(name), self.array(form.of)
        if mine.shape != other.shape or (mine != other).any():
            raise SettingsError(f"it differs from {form.of}; only equal arrays are stored once. Tie them first")
        return form.encode(mine)

    def names(self) -> list[str]:
        """The arrays' own names, in order."""
        return sorted({key.partition("/")[0] for key in self.arrays} | self.forms.keys())

    def parts(self, name: str) -> dict[str, Array]:
        """The parts of an array that is stored in a form, by their names in the form."""
        before = f"{name}/"
        return {key.removeprefix(before): array for key, array in self.arrays.items() if key.startswith(before)}

    def array(self, name: str) -> Array:
        """One array, decoded.

        Raises:
            ArtifactError: its parts are damaged.
        """
        form = self.forms.get(name)
        if form is None:
            return self.arrays[name]
        if isinstance(form, Alias):
            return self.array(form.of)
        try:
            return form.decode(self.parts(name))
        except ArtifactError as error:
            raise ArtifactError(f"{name}: {error}") from None

    def state(self) -> dict[str, Array]:
        """Every array, decoded: what the model is rebuilt from."""
        return {name: self.array(name) for name in self.names()}

    def described(self) -> dict[str, dict[str, Any]]:
        """The forms as an artefact's config says them."""
        return {name: describe_form(form) for name, form in sorted(self.forms.items())}

    def nbytes(self) -> int:
        """Bytes of all arrays as stored, without their names."""
        return sum(array.nbytes for array in self.arrays.values())


def _check(packed: Packed) -> None:
    for key in packed.arrays:
        name, slash, _ = key.partition("/")
        if (name in packed.forms) != bool(slash):
            fault = "has no form of which it could be a part" if slash else "is there plain and in a form"
            raise ArtifactError(f"the weights hold {key}, which {fault}; the files do not belong together")
    for name, form in packed.forms.items():
        if isinstance(form, Alias):
            _check_alias(packed, name, form)
        elif not packed.parts(name):
            raise ArtifactError(f"the weights lack {name}, which should be stored as {form.form}; copy the model again")


def _check_alias(packed: Packed, name: str, form: Alias) -> None:
    other = packed.forms.get(form.of)
    if form.of not in packed.names() or isinstance(other, Alias):
        raise ArtifactError(f"{name} stands for {form.of}, which the weights do not hold")
    if packed.parts(name):
        raise ArtifactError(f"{name} stands for {form.of} and has parts of its own; the files do not belong together")
