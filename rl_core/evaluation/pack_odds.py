"""Which account suits what was judged: its sessions, drawn anew many thousand times, under every rule pack."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from rl_core.evaluation.attempts_at_once import ENDINGS, PASSED, Integers, Setting, play_packs
from rl_core.evaluation.tapes import Tape
from rl_core.market.types import UNLIMITED
from rl_core.rules.files import RULES_FOLDER, pack_paths, resolved
from rl_core.rules.pack import STALE_DAYS, RulePack, limits_of, read_rule_pack
from rl_core.rules.prices import PRICES, AccountPrice
from rl_core.statistics.proportions import wilson_interval
from rl_core.trading.setup import Trading
from trigate.intervals import LEAST_BLOCKS, widened_level

DRAWS = 10_000
HORIZON = 250  # sessions that an attempt is given: about a year
BLOCK = 5  # sessions that are drawn together: about a week
ALL = "all"
OTHERS_END = {"floor": "floor", "daily_loss": "day's loss", "no_room": "room", "out_of_days": "days", "open": "open"}
"""Endings of an attempt that did not pass, in a word."""
LEAST_SHOWN = 0.005
MONTH = 21  # sessions that a monthly fee pays for
ATTEMPTS = 5
"""A lifetime buys so many attempts at most, and stops at the first that passes."""


class NamedPack(NamedTuple):
    """A rule pack and the name by which a person gives it."""

    name: str
    pack: RulePack


class AccountValue(NamedTuple):
    """Expected dollars of one account, as `rl_core.evaluation.account_value` computes them."""

    attempt: float  # its fees, and the funded account where it passes
    lifetime: float  # of up to `ATTEMPTS` attempts, and the funded account of the first that passes
    payouts: float  # that one funded account pays to the trader
    fees: float  # that a lifetime pays, activation included
    attempts: float  # that a lifetime buys


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
        renewals: months that an attempt pays for besides its first, on average.
        value: expected dollars; None where the pack has no price, or nothing to pass.
        lifetime_between: interval of the lifetime's value, by other sessions in the place of those that were judged.
        price: that the value is of.
    """

    name: str
    pack: RulePack
    shares: Mapping[str, float]
    interval: tuple[float, float] | None
    median_sessions: float | None
    attempts_held: float
    renewals: float = 0.0
    value: AccountValue | None = None
    lifetime_between: tuple[float, float] | None = None
    price: AccountPrice | None = None

    @property
    def passes(self) -> float | None:
        """The probability of passing; None where the pack has no target."""
        return None if self.pack.target is None else self.shares["passed"]

    @property
    def luck(self) -> float | None:
        """At most so often passes whoever has neither edge nor costs: room over room and target, if the floor stays.

        Of a fair game stopped at either end; a floor that follows, and any further rule, only make it less. None
        where the pack has no target.
        """
        if self.pack.target is None:
            return None
        loss = float(self.pack.max_loss.amount)
        return loss / (loss + float(self.pack.target))

    def surely_passes(self, among: int) -> float | None:
        """The lower bound of passing as the best of ``among`` packs that were looked at; None without an interval."""
        if self.interval is None or self.passes is None:
            return None
        return wilson_interval(self.passes, self.attempts_held, level=widened_level(0.95, among))[0]

    @property
    def fees(self) -> dict[str, float] | None:
        """What the account costs in dollars, as far as the pack knows; None where it does not."""
        if self.pack.fees is None:
            return None
        return {name: float(value) for name, value in self.pack.fees if isinstance(value, Decimal)}

    @property
    def no_value(self) -> str:
        """Why there is no expected value; "" where there is one."""
        if self.value is not None:
            return ""
        return "nothing to pass" if self.passes is None else f"no price of {self.name} in {PRICES}"

    def _value_row(self) -> dict[str, Any]:
        if self.value is None or self.price is None:
            return {"unknown": self.no_value}
        low, high = self.lifetime_between or (None, None)
        said = {"as_of": str(self.price.as_of), "source": self.price.source, "funded": self.price.funded}
        return {**self.value._asdict(), "lifetime_low": low, "lifetime_high": high, **said}

    def row(self) -> dict[str, Any]:
        """Plain values."""
        low, high = self.interval or (None, None)
        return {
            "pack": self.name,
            "pass_probability": self.passes,
            "luck_at_most": self.luck,
            "low": low,
            "high": high,
            "median_sessions_to_pass": self.median_sessions,
            **{f"share_{ending}": share for ending, share in self.shares.items()},
            "attempts_held": self.attempts_held,
            "fees_dollars": self.fees,
            "expected_value": self._value_row(),
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


SETS_SEED = 4


def orders_of_others(
    sessions: int, *, sets: int, of_each: int, seed: int, horizon: int = HORIZON, block: int = BLOCK
) -> Integers:
    """[sets * of_each, horizon] as `orders`, but ``of_each`` through each of many sets of other sessions in turn.

    A set has as many sessions as were judged, drawn from them in blocks: what might have come in their place. It is the
    same whatever the ``seed``, which is that of the orders in which its sessions come.
    """
    begins = np.random.default_rng(SETS_SEED).integers(0, sessions, (sets, -(-sessions // block)))
    drawn = ((begins[:, :, None] + np.arange(block)) % sessions).reshape(sets, -1)[:, :sessions]
    within = orders(sessions, draws=sets * of_each, horizon=horizon, block=block, seed=seed)
    return np.take_along_axis(drawn, within.reshape(sets, -1), axis=1).reshape(sets * of_each, horizon)


def renewals_of(sessions: Integers) -> Integers:
    """Months that attempts of so many ``sessions`` pay for besides the first."""
    return np.asarray((np.maximum(sessions, 1) - 1) // MONTH)


def once_a_flat_time(tape_under: Callable[[Trading], Tape]) -> Callable[[Trading], Tape]:
    """The same, and each tape made once: packs with one flat time share it."""
    tapes: dict[tuple[str, int], Tape] = {}

    def under(trading: Trading) -> Tape:
        key = _flat_time(trading.pack)
        if key not in tapes:
            tapes[key] = tape_under(trading)
        return tapes[key]

    return under


def _flat_time(pack: RulePack) -> tuple[str, int]:
    return pack.session.flat_by, pack.session.early_close_margin_minutes


def calendar_days(sessions: int) -> Integers:
    """[H] the calendar day of each of ``sessions`` in a row, five a week."""
    days = np.arange(sessions)
    return days // 5 * 7 + days % 5


def odds_under(named: Sequence[NamedPack], tape: Tape, settings: Sequence[Setting], order: Integers) -> list[PackOdds]:
    """What becomes of an attempt of each pack, over the drawn orders [D, H] of the sessions of ``tape``."""
    played = play_packs(tape, settings, order, calendar_days(order.shape[1]))
    traded = int((tape.trades > 0).sum())
    found = []
    for each, setting, ended in zip(named, settings, played, strict=True):
        counts = np.bincount(ended.ending, minlength=len(ENDINGS)) / len(order)
        passed = ended.sessions[ended.ending == PASSED]
        held = max(1.0, len(tape.session) / float(ended.sessions.mean()))
        enough = traded >= LEAST_BLOCKS and setting.rules.target < UNLIMITED
        odds = PackOdds(
            name=each.name,
            pack=each.pack,
            shares=dict(zip(ENDINGS, counts.tolist(), strict=True)),
            interval=wilson_interval(float(counts[PASSED]), held) if enough else None,
            median_sessions=float(np.median(passed)) if len(passed) else None,
            attempts_held=held,
            renewals=float(np.mean(renewals_of(ended.sessions))),
        )
        found.append(odds)
    return found


def odds_of(
    trading: Trading,
    packs: Sequence[NamedPack],
    tape_under: Callable[[Trading], Tape],
    *,
    draws: int = DRAWS,
    seed: int = 0,
) -> list[PackOdds]:
    """What becomes of an attempt under each pack, the likeliest to pass first.

    What is judged is asked for one tape for each flat time that the packs have. Risk, costs, hours and size cap stay
    those of ``trading``; rules, contracts and flat time are the pack's.

    Args:
        trading: the setting in which it was judged.
        packs: to be compared.
        tape_under: what would be traded under a setting of another pack.
        draws: attempts of each pack.
        seed: of the draws, which are the same for every pack.
    """
    by_flat: dict[tuple[str, int], list[NamedPack]] = {}
    for named in packs:
        by_flat.setdefault(_flat_time(named.pack), []).append(named)
    found: list[PackOdds] = []
    for group in by_flat.values():
        there = [under_pack(trading, named.pack) for named in group]
        tape = tape_under(there[0])
        settings = [setting_of(under) for under in there]
        found += odds_under(group, tape, settings, orders(len(tape.session), draws=draws, seed=seed))
    best: Callable[[PackOdds], float] = lambda odds: -1.0 if odds.passes is None else odds.passes  # noqa: E731
    return sorted(found, key=best, reverse=True)


def setting_of(trading: Trading) -> Setting:
    """What its attempts are played under."""
    return Setting(trading.venue.rules, trading.limits, trading.venue.terms)


def under_pack(trading: Trading, pack: RulePack) -> Trading:
    """The same setting under another pack."""
    rules = pack.compiled()._replace(stand_down=trading.venue.rules.stand_down)
    own = trading.pack.max_quantity(trading.contract)
    cap = trading.limits.max_quantity if trading.limits.max_quantity < own else None
    limits = limits_of(pack, trading.contract, trading.limits.risk_budget, cap)
    return trading._replace(pack=pack, venue=trading.venue._replace(rules=rules), limits=limits)


def suiting(found: Sequence[PackOdds]) -> list[PackOdds]:
    """The packs that suit: even the lower bound of passing, widened for all packs, is above what luck can reach."""
    bounds = [(odds, odds.surely_passes(len(found))) for odds in found]
    return [odds for odds, low in bounds if low is not None and odds.luck is not None and low > odds.luck]


def suiting_line(found: Sequence[PackOdds]) -> str:
    """Which account suits it, if any, in a sentence."""
    best = next((odds for odds in found if odds.passes is not None), None)
    if best is None or best.luck is None:
        return "none: no pack has a target to pass"
    low = best.surely_passes(len(found))
    if low is None:
        return f"none can be named: under {LEAST_BLOCKS} sessions with trades there is no interval"
    if not (suited := suiting(found)):
        return (
            f"none: the best, {best.name}, passes in {best.passes:.0%} of attempts, of which {low:.0%} are sure as the "
            f"best of {len(found)} packs; luck without edge or cost reaches up to {best.luck:.0%}"
        )
    more = f" and {len(suited) - 3} more" if len(suited) > 3 else ""
    names = ", ".join(odds.name for odds in suited[:3])
    return f"{names}{more}: even the lower bound, widened for {len(found)} packs, is above what luck can reach"


def odds_lines(found: Sequence[PackOdds], sessions: int, draws: int = DRAWS) -> list[str]:
    """The comparison as lines of a table for the terminal."""
    lines = [
        f"which account suits it: {draws:,} attempts of each pack",
        f"(of {sessions} sessions in blocks of {BLOCK}, up to {HORIZON}; took: median of sessions to pass)",
        f"{'':<38}{'pass':>6}{'95 %':>11}{'took':>6}  others end by, %",
    ]
    for odds in found:
        shown = "-" if odds.passes is None else f"{odds.passes:.1%}"
        bounds = "-" if odds.interval is None else f"{100 * odds.interval[0]:.0f} to {100 * odds.interval[1]:.0f}"
        took = "-" if odds.median_sessions is None else f"{odds.median_sessions:.0f}"
        lines.append(f"{odds.name:<38}{shown:>6}{bounds:>11}{took:>6}  {_others_end(odds.shares)}".rstrip())
    lines.append(f"the account that suits it: {suiting_line(found)}")
    return lines + value_lines(found)


def _others_end(shares: Mapping[str, float]) -> str:
    """How the attempts that do not pass end: what half a per cent of them or more end by, the commonest first."""
    others = [(share, words) for name, words in OTHERS_END.items() if (share := shares[name]) >= LEAST_SHOWN]
    return ", ".join(f"{100 * share:.0f} {words}" for share, words in sorted(others, reverse=True))


def _prices_read(prices: Sequence[AccountPrice], today: date) -> list[str]:
    """When the prices of the rows were read, and how many are older than firms leave them alone."""
    if not prices:
        return []
    first, last = min(price.as_of for price in prices), max(price.as_of for price in prices)
    span = f"on {first}" if first == last else f"from {first} to {last}"
    lines = [f"list prices read {span}; write what you would pay", f"into {PRICES}, which names their sources"]
    if old := sum(price.staleness(today) is not None for price in prices):
        lines.append(f"warning: {old} of these prices were read more than {STALE_DAYS} days ago")
    return lines


def value_lines(found: Sequence[PackOdds]) -> list[str]:
    """What each pack with a price is worth, as lines for the terminal; and that the others have none."""
    valued = [odds for odds in found if odds.value is not None]
    lines = []
    if valued:
        head = f"{'expected dollars':<38}{'attempt':>8}{'lifetime':>9}{'lifetime, 95 %':>18}{'fees':>7}"
        lines = ["", head]
    for odds in valued:
        assert odds.value is not None
        value, between = odds.value, odds.lifetime_between
        bounds = "-" if between is None else f"{between[0]:,.0f} to {between[1]:,.0f}"
        lines.append(f"{odds.name:<38}{value.attempt:>8,.0f}{value.lifetime:>9,.0f}{bounds:>18}{value.fees:>7,.0f}")
    lines += _prices_read([odds.price for odds in valued if odds.price is not None], date.today())
    if unknown := sum(odds.value is None and odds.passes is not None for odds in found):
        lines.append(f"no expected value for {unknown} packs: {PRICES} has no price of them (docs/verdict.md)")
    return lines
