"""Settings: one TOML file, then what the command line gives; every unknown key is refused with a suggestion."""

import json
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from datetime import date, time
from pathlib import Path
from typing import Any, Generic, NamedTuple, TypeVar, get_args

from pydantic import BaseModel, ValidationError

from trigate.errors import ConfigError
from trigate.shipped import found_file
from trigate.suggestions import nearest

Model = TypeVar("Model", bound=BaseModel)
DEFAULT, COMMAND_LINE = "default", "command line"
_EXACT_WHOLE_FLOATS = 2.0**53


class Given(NamedTuple):
    """One value of the command line."""

    key: str
    """Dotted: ``ppo.learning_rate``."""
    value: Any
    said: str
    """What was typed: ``--set ppo.learning_rate=3e-4``, ``--bars NQ.csv``."""


class ReadConfig(NamedTuple, Generic[Model]):
    """Settings, and where each that is no default came from."""

    config: Model
    origins: dict[str, str]
    """Dotted key, of a value or of a whole section -> the file, or the command line."""


class ShownValue(NamedTuple):
    """One value of the settings as a person is shown it."""

    key: str
    value: Any
    origin: str


def read_config(model: type[Model], path: Path | None, given: Sequence[str | Given] = ()) -> Model:
    """The configuration in ``path`` (none: the defaults) with the command line's values over it.

    Args:
        model: what the file must hold.
        path: a TOML file, or None.
        given: in order, the last one counts; a text is ``a.b=value`` of ``--set``, the value in TOML's notation or a
            bare word.

    Raises:
        ConfigError: an unreadable file, an unknown key, or a value that does not fit; all are listed.
    """
    return read_with_origins(model, path, given).config


def read_with_origins(model: type[Model], path: Path | None, given: Sequence[str | Given] = ()) -> ReadConfig[Model]:
    """As `read_config`, with the origin of each value."""
    content = read_toml(path) if path is not None else {}
    origins = dict.fromkeys(_dotted(content), f"file {path}")
    typed = [_parsed(each) if isinstance(each, str) else each for each in given]
    for each in typed:
        _put(content, each)
        table = isinstance(each.value, dict) and each.value
        origins |= dict.fromkeys(_dotted(each.value, f"{each.key}.") if table else [each.key], COMMAND_LINE)
    return ReadConfig(validated(model, content, str(path) if path is not None else "configuration", typed), origins)


def validated(model: type[Model], content: Mapping[str, Any], where: str, given: Sequence[Given] = ()) -> Model:
    """``content`` as the model, of exactly its types: text is no number and a number no switch.

    Args:
        model: what it must be.
        content: tables as `tomllib` reads them.
        where: the file, for messages.
        given: what of it the command line gave: a fault there names what was typed.

    Raises:
        ConfigError: every fault in one line.
    """
    # As JSON, because of its strict reading alone takes a list for a tuple and text for a path or a date.
    text = json.dumps(_whole_numbers(content), default=_as_text)
    try:
        return model.model_validate_json(text, strict=True)
    except ValidationError as error:
        raise ConfigError("; ".join(_fault(fault, model, where, given) for fault in error.errors())) from error


def overlaid(base: Model, over: BaseModel) -> Model:
    """``base`` with the values that were given in ``over``, key by key; what ``over`` has by default changes nothing.

    Raises:
        ConfigError: the two do not go together.
    """
    try:
        return type(base).model_validate(_overlaid(base, over).model_dump())
    except ValidationError as error:
        faults = "; ".join(_fault(fault, type(base), "configuration", ()) for fault in error.errors())
        raise ConfigError(faults) from error


def shown_values(config: BaseModel, origins: Mapping[str, str]) -> list[ShownValue]:
    """Every value of ``config`` by its dotted key, as JSON, with its origin."""
    return [
        ShownValue(key, value, next((origins[k] for k in reversed(list(origins)) if related(k, key)), DEFAULT))
        for key, value in _leaves(config)
    ]


def related(one: str, other: str) -> bool:
    """Whether two dotted keys are the same, or one lies in the section of the other."""
    return f"{one}.".startswith(f"{other}.") or f"{other}.".startswith(f"{one}.")


def read_toml(path: Path) -> dict[str, Any]:
    """The tables of a TOML file: the one at ``path``, else the one that ships under that name.

    Raises:
        ConfigError: it cannot be read, or is not TOML.
    """
    try:
        return tomllib.loads(found_file(path).read_text(encoding="utf-8-sig"))
    except OSError as error:
        here = "" if path.is_absolute() else f"; paths are taken from {Path.cwd()}, then from what ships"
        raise ConfigError(f"{path}: cannot be read: {error.strerror}{here}") from error
    except (ValueError, RecursionError) as error:  # also of numbers too long and arrays too deep to be read
        raise ConfigError(f"{path}: not valid TOML: {error}") from error


def _parsed(setting: str) -> Given:
    key, equals, text = setting.partition("=")
    if not equals or not all(key.split(".")):
        raise ConfigError(f"--set {setting!r}: expected a.b=value")
    return Given(key, parse_value(text), f"--set {setting}")


def _put(content: dict[str, Any], given: Given) -> None:
    *parents, last = given.key.split(".")
    for parent in parents:
        content = content.setdefault(parent, {})
        if not isinstance(content, dict):
            raise ConfigError(f"{given.said}: {parent!r} is a value, not a section")
    content[last] = given.value


def parse_value(text: str) -> Any:
    """The value that ``text`` has in TOML, or the bare word itself."""
    try:
        return tomllib.loads(f"value = {text}")["value"]
    except (ValueError, RecursionError):
        return text


def _dotted(content: Mapping[str, Any], prefix: str = "") -> Iterator[str]:
    """The dotted key of every value in the tables."""
    for key, value in content.items():
        if isinstance(value, dict) and value:
            yield from _dotted(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}"


def _whole_numbers(value: Any) -> Any:
    """``2e6`` is a whole number, although TOML calls it a float."""
    if isinstance(value, Mapping):
        return {key: _whole_numbers(each) for key, each in value.items()}
    if isinstance(value, list):
        return [_whole_numbers(each) for each in value]
    if isinstance(value, float) and value.is_integer() and abs(value) < _EXACT_WHOLE_FLOATS:
        return int(value)
    return value


def _as_text(value: object) -> str:
    if isinstance(value, Path):
        return str(value)
    assert isinstance(value, date | time), f"TOML has no {type(value).__name__}"
    return value.isoformat()


def _overlaid(base: BaseModel, over: BaseModel) -> BaseModel:
    changed = {}
    for name in over.model_fields_set:
        value, known = getattr(over, name), getattr(base, name)
        both = isinstance(value, BaseModel) and isinstance(known, BaseModel)
        changed[name] = _overlaid(known, value) if both else value
    return base.model_copy(update=changed)


def _leaves(config: BaseModel, prefix: str = "") -> Iterator[tuple[str, Any]]:
    for name, plain in config.model_dump(mode="json").items():
        value = getattr(config, name)
        if isinstance(value, BaseModel):
            yield from _leaves(value, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", plain


def _fault(fault: Mapping[str, Any], model: type[BaseModel], where: str, given: Sequence[Given]) -> str:
    path = [str(part) for part in fault["loc"]]
    key = ".".join(path)
    typed = [each.said for each in given if related(each.key, key)] if key else [each.said for each in given]
    # A fault of the whole, as two keys that exclude each other, names all that was typed.
    where = typed[-1] if typed and key else " ".join(typed) if typed and where == "configuration" else where
    if fault["type"] == "extra_forbidden":
        return f"{where}: unknown key {key!r}: {_suggestion(model, path)}"
    said = str(fault["msg"]).removeprefix("Value error, ")
    if fault["type"] == "value_error":
        return f"{where}: {key}: {said}" if key else f"{where}: {said}"
    return f"{where}: {key}: {said} (got {fault['input']!r})"


def _suggestion(model: type[BaseModel], path: Sequence[str]) -> str:
    parent = ".".join(path[:-1])
    siblings = [f"{parent}.{name}" if parent else name for name in _keys(model, path[:-1])]
    key = ".".join(path)
    near = nearest(key, siblings) or nearest(key, _all_keys(model))
    if near:
        return f"did you mean {' or '.join(repr(name) for name in near)}?"
    return f"known keys: {', '.join(siblings)}"


def _keys(model: type[BaseModel], path: Sequence[str]) -> list[str]:
    """The keys of the section at ``path``; [] where it is no section with keys of its own."""
    for part in path:
        if part.isdecimal():  # a place in a list, whose section is that of the list
            continue
        inner = _section(model, part)
        if inner is None:
            return []
        model = inner
    return list(model.model_fields)


def _all_keys(model: type[BaseModel], prefix: str = "") -> Iterator[str]:
    """Every dotted key, of sections in sections too."""
    for name in model.model_fields:
        yield f"{prefix}{name}"
        inner = _section(model, name)
        if inner is not None:
            yield from _all_keys(inner, f"{prefix}{name}.")


def _section(model: type[BaseModel], name: str) -> type[BaseModel] | None:
    """The model that the field ``name`` holds, or a list of which it holds."""
    field = model.model_fields.get(name)
    candidates = [] if field is None else [field.annotation, *get_args(field.annotation)]
    return next((c for c in candidates if isinstance(c, type) and issubclass(c, BaseModel)), None)
