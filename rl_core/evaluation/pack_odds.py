"""Which account suits what was judged: its sessions, drawn anew many thousand times, under every rule pack."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from rl_core.evaluation.accounts import EvaluationInputs
from rl_core.evaluation.attempts_at_once import ENDINGS, PASSED, Integers, Setting, play_attempts
from rl_core.evaluation.tapes import Tape, tape_of
from rl_core.features.market_view import view_of
from rl_core.market.types import UNLIMITED
from rl_core.rules.files import RULES_FOLDER, pack_paths, resolved
from rl_core.rules.pack import RulePack, limits_of, read_rule_pack
from rl_core.statistics.proportions import wilson_interval
from rl_core.trading.setup import Trading
from trigate.intervals import LEAST_BLOCKS

DRAWS = 10_000
HORIZON = 250  # sessions that an attempt is given: about a year
BLOCK = 5  # sessions that are drawn together: about a week
ALL = "all"
NOT_SIMULATED = "not_simulated"


class NamedPack(NamedTuple):
    """A rule pack and the name by which a person gives it."""

    name: str
    pack: RulePack


@dataclass(frozen=True)
class PackOdds:
    """What becomes of an attempt under one pack.

    Attributes:
        name: of the pack.
        pack: itself.
        shares: of the draws that ended so, by `ENDINGS`; together 1.
        interval: of the share that passed; None where there are too few sessions for any, or nothing to pass.
        median_sessions: that attempts which passed took; None where none did.
        attempts_held: how many attempts of this length the sessions hold: what the interval is as wide as.
    """

    name: str
    pack: RulePack
    shares: Mapping[str, float]
    interval: tuple[float, float] | None
    median_sessions: float | None
    attempts_held: float

    @property
    def passes(self) -> float | None:
        """The probability of passing; None where the pack has no target."""
        return None if self.pack.target is None else self.shares["passed"]

    @property
    def fees(self) -> dict[str, float] | None:
        """What the account costs in dollars, as far as the pack knows; None where it does not."""
        if self.pack.fees is None:
            return None
        return {name: float(value) for name, value in self.pack.fees if isinstance(value, Decimal)}

    def row(self) -> dict[str, Any]:
        """Plain values."""
        low, high = self.interval or (None, None)
        return {
            "pack": self.name,
            "pass_probability": self.passes,
            "low": low,
            "high": high,
            "median_sessions_to_pass": self.median_sessions,
            **{f"share_{ending}": share for ending, share in self.shares.items()},
            "attempts_held": self.attempts_held,
            "fees_dollars": self.fees,
            "expected_value": NOT_SIMULATED,  # no pack knows its payouts
        }


def chosen_packs(words: str, folder: Path = RULES_FOLDER) -> list[NamedPack]:
    """Every pack of ``folder`` for ``all``, else those that are named, with commas between.

    Raises:
        ConfigError: there is no such pack, or one cannot be read.
    """
    paths = pack_paths(folder) if words == ALL else [resolved(word.strip(), folder) for word in words.split(",")]
    return [NamedPack(path.name.replace(".toml", ""), read_rule_pack(path)) for path in paths]


def orders(sessions: int, *, draws: int = DRAWS, horizon: int = HORIZON, block: int = BLOCK, seed: int = 0) -> Integers:
    """[draws, horizon] which of ``sessions`` comes when: blocks that follow each other in time, wrapping at the end."""
    blocks = -(-horizon // block)
    begins = np.random.default_rng(seed).integers(0, sessions, (draws, blocks))
    each = (begins[:, :, None] + np.arange(block)) % sessions
    return each.reshape(draws, blocks * block)[:, :horizon]


def odds_under(named: NamedPack, tape: Tape, setting: Setting, order: Integers) -> PackOdds:
    """What becomes of an attempt of this pack, over the drawn orders [D, H] of the sessions of ``tape``."""
    days = np.arange(order.shape[1])
    ended = play_attempts(tape, setting, order, days // 5 * 7 + days % 5)  # five sessions a week
    counts = np.bincount(ended.ending, minlength=len(ENDINGS)) / len(order)
    passed = ended.sessions[ended.ending == PASSED]
    held = max(1.0, len(tape.session) / float(ended.sessions.mean()))
    enough = int((tape.trades > 0).sum()) >= LEAST_BLOCKS and setting.rules.target < UNLIMITED
    return PackOdds(
        name=named.name,
        pack=named.pack,
        shares=dict(zip(ENDINGS, counts.tolist(), strict=True)),
        interval=wilson_interval(float(counts[PASSED]), held) if enough else None,
        median_sessions=float(np.median(passed)) if len(passed) else None,
        attempts_held=held,
    )


def odds_of(
    inputs: EvaluationInputs, packs: Sequence[NamedPack], *, draws: int = DRAWS, seed: int = 0
) -> list[PackOdds]:
    """What becomes of an attempt under each pack, the likeliest to pass first.

    What is judged is played once for each flat time that the packs have, under an account that stops nothing; that is
    the tape. Risk, costs, hours and size cap stay those of ``inputs``; rules, contracts and flat time are the pack's.

    Args:
        inputs: who enters, on which bars, under which setting.
        packs: to be compared.
        draws: attempts of each pack.
        seed: of the draws, which are the same for every pack.
    """
    tapes: dict[tuple[str, int], Tape] = {}
    found = []
    for named in packs:
        trading = _under(inputs.trading, named.pack)
        flat = (named.pack.session.flat_by, named.pack.session.early_close_margin_minutes)
        if flat not in tapes:
            view = view_of(inputs.view.bars, named.pack, trading.hours, trading.yardstick)
            tapes[flat] = tape_of(inputs._replace(view=view, trading=trading))
        setting = Setting(trading.venue.rules, trading.limits, trading.venue.terms)
        found.append(odds_under(named, tapes[flat], setting, orders(len(tapes[flat].session), draws=draws, seed=seed)))
    best: Callable[[PackOdds], float] = lambda odds: -1.0 if odds.passes is None else odds.passes  # noqa: E731
    return sorted(found, key=best, reverse=True)


def _under(trading: Trading, pack: RulePack) -> Trading:
    """The same setting under another pack."""
    rules = pack.compiled()._replace(stand_down=trading.venue.rules.stand_down)
    own = trading.pack.max_quantity(trading.contract)
    cap = trading.limits.max_quantity if trading.limits.max_quantity < own else None
    limits = limits_of(pack, trading.contract, trading.limits.risk_budget, cap)
    return trading._replace(pack=pack, venue=trading.venue._replace(rules=rules), limits=limits)


def odds_lines(found: Sequence[PackOdds], sessions: int, draws: int = DRAWS) -> list[str]:
    """The comparison as lines of a table for the terminal."""
    lines = [
        f"which account suits it: {draws:,} attempts of each pack, from {sessions} sessions in blocks of {BLOCK}, "
        f"{HORIZON} sessions at most",
        f"{'':<38}{'pass':>7}{'95 %':>16}{'sessions':>10}{'floor':>8}{'day':>7}{'no room':>9}{'days':>7}{'open':>7}",
    ]
    for odds in found:
        shown = "-" if odds.passes is None else f"{odds.passes:.1%}"
        bounds = "-" if odds.interval is None else f"{odds.interval[0]:.0%} to {odds.interval[1]:.0%}"
        took = "-" if odds.median_sessions is None else f"{odds.median_sessions:.0f}"
        share = odds.shares
        lines.append(
            f"{odds.name:<38}{shown:>7}{bounds:>16}{took:>10}{share['floor']:>8.1%}{share['daily_loss']:>7.1%}"
            f"{share['no_room']:>9.1%}{share['out_of_days']:>7.1%}{share['open']:>7.1%}"
        )
    if all(odds.fees is None for odds in found):
        lines.append("no pack knows its fees or payouts: the expected value of an attempt is not simulated")
    return lines
