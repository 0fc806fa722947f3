"""Read one TOML file, apply ``--set a.b=c``, and refuse every unknown key with a suggestion."""

import tomllib
from collections.abc import Mapping, Sequence
from difflib import get_close_matches
from pathlib import Path
from typing import Any, TypeVar, get_args

from pydantic import BaseModel, ValidationError

from trigate.errors import ConfigError

Model = TypeVar("Model", bound=BaseModel)


def read_config(model: type[Model], path: Path | None, settings: Sequence[str] = ()) -> Model:
    """The configuration in ``path`` (none: the defaults) with ``settings`` applied last.

    Args:
        model: what the file must hold.
        path: a TOML file, or None.
        settings: ``a.b=value`` each, the value in TOML's notation or a bare word.

    Raises:
        ConfigError: an unreadable file, an unknown key, or a value that does not fit; all are listed.
    """
    content = read_toml(path) if path is not None else {}
    for setting in settings:
        _apply(content, setting)
    where = str(path) if path is not None else "configuration"
    try:
        return model.model_validate(content)
    except ValidationError as error:
        raise ConfigError(describe(error, model, where)) from error


def describe(error: ValidationError, model: type[BaseModel], where: str) -> str:
    """Every fault of a validation in one line."""
    return "; ".join(_fault(fault, model, where) for fault in error.errors())


def read_toml(path: Path) -> dict[str, Any]:
    """The tables of a TOML file.

    Raises:
        ConfigError: it cannot be read, or is not TOML.
    """
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        here = "" if path.is_absolute() else f"; paths are taken from {Path.cwd()}"
        raise ConfigError(f"{path}: cannot be read: {error.strerror}{here}") from error
    except (ValueError, RecursionError) as error:  # also of numbers too long and arrays too deep to be read
        raise ConfigError(f"{path}: not valid TOML: {error}") from error


def _apply(content: dict[str, Any], setting: str) -> None:
    key, equals, text = setting.partition("=")
    if not equals or not all(key.split(".")):
        raise ConfigError(f"--set {setting!r}: expected a.b=value")
    *parents, last = key.split(".")
    for parent in parents:
        content = content.setdefault(parent, {})
        if not isinstance(content, dict):
            raise ConfigError(f"--set {setting!r}: {parent!r} is a value, not a section")
    content[last] = parse_value(text)


def parse_value(text: str) -> Any:
    """The value that ``text`` has in TOML, or the bare word itself."""
    try:
        return tomllib.loads(f"value = {text}")["value"]
    except (ValueError, RecursionError):
        return text


def _fault(fault: Mapping[str, Any], model: type[BaseModel], where: str) -> str:
    path = [str(part) for part in fault["loc"]]
    key = ".".join(path)
    if fault["type"] != "extra_forbidden":
        return f"{where}: {key}: {fault['msg']} (got {fault['input']!r})"
    known = _keys(model, path[:-1])
    near = get_close_matches(path[-1], known, n=1)
    hint = f"did you mean {near[0]!r}?" if near else f"known keys: {', '.join(known)}"
    return f"{where}: unknown key {key!r}: {hint}"


def _keys(model: type[BaseModel], path: Sequence[str]) -> list[str]:
    """The keys of the section at ``path``; [] where it is no section with keys of its own."""
    for part in path:
        if part.isdecimal():  # a place in a list, whose section is that of the list
            continue
        field = model.model_fields.get(part)
        candidates = [] if field is None else [field.annotation, *get_args(field.annotation)]
        inner = [c for c in candidates if isinstance(c, type) and issubclass(c, BaseModel)]
        if not inner:
            return []
        model = inner[0]
    return list(model.model_fields)
