"""A rule pack as rows of key and value, for people, and what two packs say differently."""

from collections.abc import Mapping
from typing import Any

from rl_core.rules.pack import RulePack

UNSAID = "-"


def rows_of(pack: RulePack) -> dict[str, str]:
    """Every field that the pack sets or leaves at its default, by its dotted key."""
    return dict(_rows("", pack.model_dump(mode="json")))


def differences(a: RulePack, b: RulePack) -> list[tuple[str, str, str]]:
    """Key, value in ``a`` and value in ``b`` of every field that differs."""
    first, second = rows_of(a), rows_of(b)
    keys = [*first, *(key for key in second if key not in first)]
    told = ((key, first.get(key, UNSAID), second.get(key, UNSAID)) for key in keys)
    return [row for row in told if row[1] != row[2]]


def _rows(prefix: str, value: Any) -> list[tuple[str, str]]:
    if isinstance(value, Mapping):
        return [row for key, inner in value.items() for row in _rows(f"{prefix}.{key}" if prefix else key, inner)]
    if isinstance(value, list):
        if any(isinstance(item, Mapping) for item in value):
            return [(f"{prefix}[{i}]", _short(item)) for i, item in enumerate(value, start=1)]
        return [(prefix, "; ".join(map(str, value)) or UNSAID)]
    return [(prefix, _word(value))]


def _short(item: Mapping[str, Any]) -> str:
    return ", ".join(f"{key} {_word(value)}" for key, value in item.items() if value is not None)


def _word(value: Any) -> str:
    if value is None:
        return UNSAID
    return {True: "yes", False: "no"}[value] if isinstance(value, bool) else str(value)
