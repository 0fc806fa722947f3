"""A rule pack in words and rows for people: its fields, how two packs differ, what is kept anyway or left out."""

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
    rows = ((key, first.get(key, UNSAID), second.get(key, UNSAID)) for key in keys)
    return [row for row in rows if row[1] != row[2]]


def kept_by_construction(pack: RulePack) -> list[str]:
    """The pack's rules that no run can break, whatever the policy decides, and that compile to nothing."""
    rules = [f"the trading day opens at {pack.days.start} ET"]
    if pack.daily_loss is not None:
        rules.append(f"the daily loss starts afresh at {pack.daily_loss.reset} ET")
    if pack.consistency is not None:
        rules.append(f"the best day is held against the {pack.consistency.basis.replace('_', ' ')}")
    if pack.trade.stop_required:
        rules.append("every entry carries its stop")
    if pack.trade.one_direction:
        rules.append("there is one position at a time, so never one in each direction")
    return rules


def left_out(pack: RulePack) -> list[str]:
    """What the pack says of itself as not simulated, and what its fields name that no run does."""
    allowed = ["holding over the close, which the firm allows"] if pack.session.hold_over_close else []
    return [*pack.not_simulated, *allowed, *_fees(pack)]


def _fees(pack: RulePack) -> list[str]:
    """The account's fees, which are in no profit of a run."""
    if pack.fees is None:
        return []
    named = {
        "evaluation": pack.fees.evaluation,
        "activation": pack.fees.activation,
        "reset": pack.fees.reset,
        "monthly": pack.fees.monthly,
    }
    dollars = ", ".join(f"{name} ${fee:,}" for name, fee in named.items() if fee is not None)
    return [f"the account's fees ({dollars})"] if dollars else []


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
