"""The members of a sweep from the best to the worst, and what is left of the best after so many tries."""

from collections.abc import Sequence
from typing import Any

import tomli_w

from rl_core.evaluation.tries import tries_of
from rl_core.statistics.sharpe import SharpeRatio
from rl_core.training.sweep.study import Member
from rl_core.training.sweep.sweep import SweepPlan

BEST = "best.toml"


def ranked(members: Sequence[Member]) -> list[Member]:
    """Those that were judged, the best first; of equal ones the earlier."""
    return sorted((member for member in members if member.judged), key=lambda each: -each.told["r_a_session"])


def best_toml(plan: SweepPlan, best: Member) -> str:
    """Settings for `rl-core train --config`: those that the sweep began with, and the best member's over them.

    They hold out what the sweep held out, so the tune sessions are trained on now.
    """
    config = plan.config_of(plan.settings(best.drawn))
    said = f"# member {best.number} of a sweep: {best.told['r_a_session']:+.3f} R a session on {plan.split.label}"
    return f"{said}\n{tomli_w.dumps(config.model_dump(mode='json', exclude_unset=True, exclude_none=True))}"


def above_luck(best: Member, tries: int) -> float | None:
    """The probability that the best's Sharpe ratio is above what luck finds in so many tries; None: too few trades."""
    found = best.told["sharpe"]
    return tries_of(tries, None if found is None else SharpeRatio(*found)).deflated


def record_of(plan: SweepPlan, members: Sequence[Member], importances: dict[str, float]) -> dict[str, Any]:
    """Every figure of the sweep, for a file or a program; it holds no time, so two equal sweeps leave equal bytes."""
    order = ranked(members)
    return {
        "over": [axis.said.removeprefix("--over ") for axis in plan.axes],
        "judged_on": plan.split.label,
        "sessions": plan.split.sessions,
        "seeds": list(plan.seeds),
        "members": [_record(plan, member) for member in members],
        "best": None if not order else order[0].number,
        "best_settings": None if not order else plan.settings(order[0].drawn),
        "sharpe_above_luck": None if not order else above_luck(order[0], len(members)),
        "importance": importances,
    }


def _record(plan: SweepPlan, member: Member) -> dict[str, Any]:
    told = member.told
    return {
        "member": member.number,
        "settings": plan.settings(member.drawn),
        "state": told["state"],
        "why": told["why"],
        "r_a_session": told.get("r_a_session"),
        "by_seed": told.get("by_seed", {}),
        "trades": told.get("trades", []),
        "curve": told["curve"],
    }


def table_of(record: dict[str, Any], most: int = 10) -> list[str]:
    """The best members, a line each, under a line that names the columns."""
    judged = [member for member in record["members"] if member["r_a_session"] is not None]
    judged.sort(key=lambda member: -member["r_a_session"])
    rows = [("member", "R a session", "seeds", "trades", *(record["best_settings"] or {}))]
    for member in judged[:most]:
        seeds = member["by_seed"].values()
        spread = f"{min(seeds):+.3f} to {max(seeds):+.3f}" if len(seeds) > 1 else "one"
        settings = [str(value) for value in member["settings"].values()]
        rows.append(
            (str(member["member"]), f"{member['r_a_session']:+.3f}", spread, f"{sum(member['trades']):,}", *settings)
        )
    wide = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    return ["  ".join(text.rjust(width) for text, width in zip(row, wide, strict=True)) for row in rows]
