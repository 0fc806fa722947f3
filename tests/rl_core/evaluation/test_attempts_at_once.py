"""Attempts from a tape end as the account engine ends them, session by session, for every pack."""

from fractions import Fraction
from functools import cache

import numpy as np
import pytest

from rl_core.evaluation.accounts import play_account
from rl_core.evaluation.attempts_at_once import ACTIVE, ENDINGS, OUT_OF_DAYS, Setting, play_attempts
from rl_core.evaluation.carried import Accounts, play_carried, played_again
from rl_core.evaluation.entrants import Signals
from rl_core.evaluation.gates import APPROVED, Ruling, Wanted
from rl_core.evaluation.inputs import EvaluationInputs
from rl_core.evaluation.path_tables import PathTables
from rl_core.evaluation.span import span_of
from rl_core.evaluation.tapes import Tape, tape_of, unhindered
from rl_core.features.market_view import MarketView, view_of
from rl_core.market.broker import XP
from rl_core.market.costs import stop_loss
from rl_core.market.types import CLOSED_BALANCE, INTRADAY, Terms
from rl_core.rules.files import pack_paths
from rl_core.rules.pack import RulePack, limits_of, read_rule_pack
from rl_core.trading.hours import EntryHours
from rl_core.trading.setup import Trading
from tests.rl_core.markets import MNQ, RULES_FOLDER, mnq_venue, random_bars, session_minutes

PACKS = [str(path) for path in pack_paths(RULES_FOLDER)]
SESSIONS = 20
NO_LIMIT = Accounts(most_entries=1 << 30)
STATUS = {"passed": "passed", "failed": "failed", "stranded": "no_room", "expired": "out_of_days"}


@cache
def view(flat_by: str, margin: int) -> MarketView:
    pack = next(pack for pack in map(read, PACKS) if of_view(pack) == (flat_by, margin))
    return view_of(random_bars(11, session_minutes(SESSIONS), spread=6.0), pack, EntryHours())


@cache
def read(path: str) -> RulePack:
    return read_rule_pack(RULES_FOLDER / path.removeprefix(str(RULES_FOLDER) + "/"))


def of_view(pack: RulePack) -> tuple[str, int]:
    return pack.session.flat_by, pack.session.early_close_margin_minutes


def trading(pack: RulePack, risk: int) -> Trading:
    return Trading(pack, MNQ, mnq_venue(rules=pack.compiled()), limits_of(pack, MNQ, risk), EntryHours())


def inputs(pack: RulePack, risk: int, lucky: float) -> EvaluationInputs:
    """A coin that is thrown at one close in forty-five, and comes down on the better side more often than not."""
    seen = view(*of_view(pack))
    rng = np.random.default_rng(5)
    side = np.where(rng.random(len(seen.bars)) < 1 / 45, rng.choice((-1, 1), len(seen.bars)), 0).astype(np.int8)
    later = np.append(seen.bars.close[20:], np.full(20, seen.bars.close[-1])).astype(np.int64) - seen.bars.close
    better = (side != 0) & (rng.random(len(side)) < lucky)
    side[better] = np.where(later[better] >= 0, 1, -1)
    return EvaluationInputs(Signals("coin", side), seen, trading(pack, risk), span_of(seen.located.session, 0))


@cache
def tape(flat: tuple[str, int], risk: int, lucky: float) -> tuple[Tape, Signals]:
    """The tape, and its entries as a list, so that both sides meet the same ones."""
    pack = next(pack for pack in map(read, PACKS) if of_view(pack) == flat)
    given = inputs(pack, risk, lucky)
    decided = play_account("fresh", given._replace(trading=unhindered(given.trading))).trades
    made = tape_of(given, decided)
    side = np.zeros(len(given.view.bars), np.int8)
    side[decided.decided] = decided.side
    return made, Signals("tape", side)


def replayed(made: Tape, setting: Setting) -> list[tuple[str, int]]:
    """One attempt after another over the sessions in their own order: how each ended, and in which session."""
    at, ends = 0, []
    while at < len(made.session):
        order = np.arange(at, len(made.session))[None, :]
        ended = play_attempts(made, setting, order, made.session[at:])
        ending, took = int(ended.ending[0]), int(ended.sessions[0])
        if ending == ACTIVE:
            break
        last = at + took - (ending != OUT_OF_DAYS)
        ends.append((ENDINGS[ending], int(made.session[last])))
        at += took
    return ends


def both_ways(name: str, risk: int, lucky: float, **changed: object) -> tuple[list[tuple[str, int]], set[str]]:
    """Play the tape and the account engine, see that they agree, and give back how attempts ended."""
    pack = read(name)
    made, signals = tape(of_view(pack), risk, lucky)
    given = inputs(pack, risk, lucky)._replace(who=signals)
    rules = given.trading.venue.rules._replace(**changed)
    venue = given.trading.venue._replace(rules=rules)
    trading_ = given.trading._replace(venue=venue)

    real = play_carried(signals, given.view, trading_, given.span, accounts=NO_LIMIT).ended
    found = replayed(made, Setting(rules, trading_.limits, venue.terms))

    expected = [(STATUS[end.status], end.session) for end in real]
    assert [("failed" if e in ("floor", "daily_loss") else e, s) for e, s in found] == expected, (name, changed)
    return found, {ending for ending, _ in found}


def test_sessions_in_their_own_order_end_as_the_account_engine_ends_them() -> None:
    """Every pack: which attempt ended in which session, and how."""
    seen = set()
    for name in PACKS:
        seen |= both_ways(name, 100_000, 0.4)[1]

    assert len(PACKS) >= 51 and seen == {"passed", "floor", "no_room"}


@pytest.mark.parametrize(
    ("changed", "ending"),
    [
        ({"max_days": 6, "target": 10**7}, "out_of_days"),
        ({"daily_percent": 180, "daily_fails": 1}, "daily_loss"),
        ({"daily_percent": 180, "daily_counts_open": 0}, "no_room"),
        ({"kills_open": 0, "ratchet": INTRADAY}, "floor"),
        ({"ratchet": CLOSED_BALANCE}, "no_room"),
        ({"min_days": 2, "target": 30_000, "max_loss": 300_000}, "passed"),
        ({"best_day_percent": 90, "best_day_blocks_pass": 1, "target": 30_000, "max_loss": 300_000}, "passed"),
        ({"stand_down": 0, "min_days": 2}, "passed"),
        ({"lock_at_close": 5_060_000}, "no_room"),
        ({"open_loss_percent": 20, "open_loss_base": 200_000}, "passed"),
    ],
)
def test_rules_that_few_packs_have_end_attempts_alike(changed: dict[str, int], ending: str) -> None:
    assert ending in both_ways(PACKS[0], 100_000, 0.4, **changed)[1]


class HalvesNearFloor:
    """Takes half of an entry that finds less room to the floor than so many thousandths of its risk."""

    def __init__(self, line: int, terms: Terms) -> None:
        self._line, self._terms, self.halved, self.whole = line, terms, 0, 0

    def review(self, wanted: Wanted) -> Ruling:
        """Half or all of it."""
        risk = abs(wanted.order.quantity) * stop_loss(XP, wanted.order.stop_ticks, self._terms)
        near = (wanted.account.cash - wanted.account.floor) * 1000 < self._line * risk
        self.halved, self.whole = self.halved + near, self.whole + (not near)
        return Ruling(Fraction(1, 2)) if near else APPROVED


class HalvesAt:
    """Takes half of the entries of some bars."""

    def __init__(self, bars: frozenset[int]) -> None:
        self._bars = bars

    def review(self, wanted: Wanted) -> Ruling:
        """Half or all of it."""
        return Ruling(Fraction(1, 2)) if wanted.bar in self._bars else APPROVED


def test_entries_that_a_gate_halves_everywhere_are_halved_as_on_the_path() -> None:
    """Every second one; the same attempts end in the same sessions, and others than at full size."""
    pack = read(next(name for name in PACKS if name.endswith("#50k-eval-rithmic")))
    made, signals = tape(of_view(pack), 50_000, 0.4)
    given = inputs(pack, 50_000, 0.4)._replace(who=signals)
    venue, limits = given.trading.venue, given.trading.limits
    second = np.arange(len(made.gain)) % 2 == 0
    bars = frozenset(np.flatnonzero(signals.side)[second].tolist())
    tables = PathTables(signals, given.view, given.trading)

    real = played_again(tables, given.span, accounts=NO_LIMIT, gate=HalvesAt(bars)).ended
    found = replayed(made._replace(halved=second), Setting(venue.rules, limits, venue.terms))

    told = [("failed" if ending == "floor" else ending, session) for ending, session in found]
    assert told == [(STATUS[end.status], end.session) for end in real]
    assert found != replayed(made, Setting(venue.rules, limits, venue.terms))


@pytest.mark.parametrize("line", [1_500, 2_500])
def test_entries_near_the_floor_are_halved_as_a_gate_on_the_path_halves_them(line: int) -> None:
    """The same attempts end in the same sessions, and others than at full size."""
    pack = read(next(name for name in PACKS if name.endswith("#50k-eval-rithmic")))
    made, signals = tape(of_view(pack), 50_000, 0.4)
    given = inputs(pack, 50_000, 0.4)._replace(who=signals)
    venue, limits = given.trading.venue, given.trading.limits
    gate = HalvesNearFloor(line, venue.terms)

    real = played_again(PathTables(signals, given.view, given.trading), given.span, accounts=NO_LIMIT, gate=gate).ended
    found = replayed(made, Setting(venue.rules, limits, venue.terms, halved_under=line))

    told = [("failed" if ending == "floor" else ending, session) for ending, session in found]
    assert told == [(STATUS[end.status], end.session) for end in real]
    assert gate.halved > 2 and gate.whole > 2
    assert found != replayed(made, Setting(venue.rules, limits, venue.terms))
