"""Settings: frozen, typed, documented by the line under each field; an unknown key is refused."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Self, TypeVar, get_args

import yaml
from pydantic import BaseModel, ConfigDict, ValidationError

from distilrec.errors import SettingsError

S = TypeVar("S", bound="Settings")


class Settings(BaseModel):
    """Base of every settings class."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True, allow_inf_nan=False)

    def with_changes(self, **changes: Any) -> Self:  # noqa: ANN401  (any field's type)
        """A checked copy with some fields changed."""
        return parse(type(self), {**self.model_dump(), **changes})


def parse(kind: type[S], values: Mapping[str, Any], *, where: str = "settings") -> S:
    """Check plain values against a settings class; every problem is named with its field in one message."""
    try:
        return kind.model_validate(dict(values))
    except ValidationError as error:
        lines = [_explain(kind, dict(problem)) for problem in error.errors()]
        raise SettingsError(f"{where}: " + "; ".join(lines)) from None


def load_yaml(path: Path) -> dict[str, Any]:
    """Read a mapping from a YAML file."""
    if not path.is_file():
        raise SettingsError(f"{path} does not exist; expected a YAML recipe")
    try:
        values = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise SettingsError(f"{path} is not valid YAML: {error}") from None
    if not isinstance(values, dict):
        held = "nothing" if values is None else f"a {type(values).__name__}"
        raise SettingsError(f"{path} holds {held}; expected a mapping of stages to settings")
    return values


def apply_overrides(values: Mapping[str, Any], overrides: Sequence[str]) -> dict[str, Any]:
    """Apply `stage.key=value` lines; values are read as YAML: `true`, `0.5` and `[1, 2]` keep their type."""
    changed: dict[str, Any] = {**values}
    for override in overrides:
        path, equals, text = override.partition("=")
        if not equals or not path.strip():
            raise SettingsError(f"--set {override!r}: expected stage.key=value")
        _set(changed, path.strip().split("."), _parse_value(override, text))
    return changed


def _parse_value(override: str, text: str) -> Any:  # noqa: ANN401  (whatever the YAML says)
    try:
        return yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise SettingsError(f"--set {override!r}: {error}\n{_QUOTES}") from None


_QUOTES = "Text with braces needs quotes of its own, as in --set 'encode.template=\"{title}. {genres}\"'"


def _set(values: dict[str, Any], keys: list[str], value: Any) -> None:  # noqa: ANN401
    *parents, last = keys
    for key in parents:
        child = values.get(key)
        if child is not None and not isinstance(child, dict):
            raise SettingsError(f"--set {'.'.join(keys)}: {key} is {child!r}, not a group of settings")
        values[key] = dict(child or {})
        values = values[key]
    values[last] = value


def _explain(kind: type[BaseModel], problem: dict[str, Any]) -> str:
    field, given = ".".join(str(part) for part in problem["loc"] if not _is_tag(part)), problem.get("input")
    if problem["type"] == "extra_forbidden":
        return f"unknown setting {field!r}{_did_you_mean(kind, problem['loc'])}"
    told = (f"{field}: " if field else "") + str(problem["msg"]).removeprefix("Value error, ")
    if isinstance(given, Mapping) and problem["type"] in ("missing", "value_error"):
        return told  # what came is a whole group of settings, too long to repeat
    braces = f". {_QUOTES}" if isinstance(given, Mapping) and problem["type"] == "string_type" else ""
    return f"{told} (got {given!r}){braces}"


def tag_by_kind(default: str | None = None, *, key: str = "kind") -> Callable[[Any], str]:
    """For pydantic's `Discriminator`: which of several settings classes a value is for, `<kind>`, by its `kind`."""

    def tag(value: Any) -> str:  # noqa: ANN401  (a mapping from a recipe, or a settings object)
        kind = value.get(key, default) if isinstance(value, Mapping) else getattr(value, key, default)
        return f"<{kind}>"

    return tag


def settings_within(annotation: Any) -> list[type[BaseModel]]:  # noqa: ANN401  (whatever a field may hold)
    """Every settings class that a type mentions."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [annotation]
    return [found for inner in get_args(annotation) for found in settings_within(inner)]


def _tag_annotations(kind: type[BaseModel]) -> list[Any]:
    """The types of the fields by which `tag_by_kind` may tell settings classes apart."""
    return [kind.model_fields[name].annotation for name in ("kind", "form") if name in kind.model_fields]


def _is_tag(part: str | int) -> bool:
    """Whether it is pydantic's note of which form of a setting was chosen, which nobody wrote."""
    return str(part).startswith("<")


def _did_you_mean(kind: type[BaseModel], location: Sequence[str | int]) -> str:
    options: list[type[BaseModel]] = [kind]
    for key in location[:-1]:
        if _is_tag(key):
            named = [o for o in options if (str(key)[1:-1],) in map(get_args, _tag_annotations(o))]
            options = named or options  # a tag may also tell a group of settings from a plain value
        elif isinstance(key, str):
            field = options[0].model_fields.get(key) if options else None
            options = settings_within(field.annotation) if field else []
        if not options:
            return ""
    kind = options[0]
    close = difflib.get_close_matches(str(location[-1]), list(kind.model_fields), n=1)
    return f"; did you mean {close[0]!r}?" if close else f"; known: {', '.join(sorted(kind.model_fields))}"
