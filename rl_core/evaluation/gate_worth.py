"""What a gate was worth on the whole path: the same bars and policy played again under other gates, session by session.

A veto changes what comes after it: the next signal finds a free account, and the room to the floor is another. So no
sum over single proposals says what a gate was worth; the path without it does. Paths are paired by session.
"""

from collections.abc import Callable, Mapping
from fractions import Fraction
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from rl_core.evaluation.carried import Accounts, CarriedPath, played_again
from rl_core.evaluation.gates import DrawnByBar, Gate
from rl_core.evaluation.path_tables import PathTables
from rl_core.evaluation.span import Span
from rl_core.regimes.fitted import LABELS
from rl_core.statistics.bootstrap import Interval, session_block_bootstrap

RERUNS = 200
APPROVING, THREE_LINES = "always approving", "the three-line rule"  # how the other paths are called

Floats = npt.NDArray[np.float64]
Integers = npt.NDArray[np.int64]


class Played(NamedTuple):
    """What one path came to."""

    trades: int
    cents: int
    r: Floats  # [S] of each session
    session_cents: Floats  # [S]
    session_regime_r: Floats  # [S, 9] by the label of the bar that decided
    regime_trades: Integers  # [9]
    attempts: int  # accounts that were opened
    failed: int  # of them, at the floor
    passed: int
    stranded: int  # without room, or refused by the gate

    @property
    def regime_r(self) -> Floats:
        """[9] of all sessions."""
        return np.asarray(self.session_regime_r.sum(axis=0))

    def row(self) -> dict[str, Any]:
        """Plain values of the whole path."""
        return {
            "trades": self.trades,
            "dollars": self.cents / 100,
            "r": float(self.r.sum()),
            "attempts": self.attempts,
            "failed": self.failed,
            "passed": self.passed,
            "stranded": self.stranded,
        }


class Rates(NamedTuple):
    """How often a gate vetoed and shrank what it was asked about."""

    vetoed: float
    shrunk: float
    factor: Fraction  # of the contracts that a shrunk entry keeps

    @property
    def stop_any(self) -> bool:
        """Whether it stopped anything: else all draws at these rates are one path."""
        return self.vetoed > 0 or self.shrunk > 0


class Against(NamedTuple):
    """A gate's path less another one's."""

    other: str
    dollars: float
    r: float
    session_r: Interval | None  # mean difference in R a session
    beaten: float | None  # share of the random reruns with less R; None: the other is one path

    def row(self) -> dict[str, Any]:
        """Plain values."""
        interval = None if self.session_r is None else self.session_r._asdict()
        return self._asdict() | {"session_r": interval}


class GateWorth(NamedTuple):
    """A gate's path beside the others."""

    sessions: int
    rates: Rates
    paths: Mapping[str, Played]  # the gate's first, then one for each other gate
    random: tuple[Played, ...]  # the reruns of random vetoes at the same rates
    against: tuple[Against, ...]

    def row(self) -> dict[str, Any]:
        """Plain values, as `verdict.json` holds them."""
        return {
            "sessions": self.sessions,
            "vetoed_share": self.rates.vetoed,
            "shrunk_share": self.rates.shrunk,
            "paths": {name: path.row() for name, path in self.paths.items()},
            "random": random_row(self.random),
            "against": [each.row() for each in self.against],
            "by_regime": self.by_regime(),
        }

    def by_regime(self) -> list[dict[str, Any]]:
        """R and trades in each regime that any of the named paths traded in."""
        rows = []
        for place, label in enumerate(LABELS):
            if not any(path.regime_trades[place] for path in self.paths.values()):
                continue
            row: dict[str, Any] = {"regime": label}
            for name, path in self.paths.items():
                row[name] = {"r": float(path.regime_r[place]), "trades": int(path.regime_trades[place])}
            row["random"] = {
                "r": float(np.mean([path.regime_r[place] for path in self.random])),
                "trades": float(np.mean([path.regime_trades[place] for path in self.random])),
            }
            rows.append(row)
        return rows


class Ground(NamedTuple):
    """What all paths are played on."""

    tables: PathTables
    span: Span
    regime: Integers  # [T] index into LABELS
    accounts: Accounts  # how they follow each other

    def played(self, gate: Gate | None) -> tuple[CarriedPath, Played]:
        """The path under ``gate`` (None: everything goes through), and what it came to."""
        path = played_again(self.tables, self.span, accounts=self.accounts, gate=gate)
        return path, self._summed(path)

    def _summed(self, path: CarriedPath) -> Played:
        trades, session = path.trades, self.tables.view.located.session
        days = np.unique(session[self.span.first : self.span.stop])
        place, label = np.searchsorted(days, trades.session), self.regime[trades.decided]
        ends = [ended.status for ended in path.ended]
        # One that runs out of days ends as a session opens, and the next one begins with that session.
        last = path.ended[-1] if path.ended else None
        last_ended = last is not None and last.session == days[-1] and last.status != "expired"
        return Played(
            trades=len(trades.r),
            cents=int(trades.pnl_cents.sum()),
            r=_summed_by(place, trades.r, len(days)),
            session_cents=_summed_by(place, trades.pnl_cents, len(days)),
            session_regime_r=_summed_by(place * len(LABELS) + label, trades.r, len(days) * len(LABELS)).reshape(
                len(days), len(LABELS)
            ),
            regime_trades=np.bincount(label, minlength=len(LABELS)),
            attempts=len(ends) + (not last_ended),
            failed=ends.count("failed"),
            passed=ends.count("passed"),
            stranded=ends.count("stranded"),
        )


def gate_worth(
    ground: Ground,
    gate: Played,
    others: Mapping[str, Played],
    rates: Rates,
    *,
    reruns: int = RERUNS,
    on_rerun: Callable[[int], None] = lambda count: None,
) -> GateWorth:
    """The gate's path beside ``others``, and beside random vetoes at the same rates.

    Args:
        ground: bars, policy and account.
        gate: the gate's own path.
        others: paths by the names that people read, such as that of always approving.
        rates: how often the gate vetoed and shrank.
        reruns: of random vetoes, each with a seed of its own.
        on_rerun: told after each how many there were.
    """
    random: list[Played] = []
    for seed in range(reruns):
        random.append(_random_path(ground, rates, seed) if rates.stop_any or not random else random[0])
        on_rerun(seed + 1)
    against = [_against(gate, name, [other]) for name, other in others.items()]
    against.append(_against(gate, "random", random))
    return GateWorth(len(gate.r), rates, {"gate": gate, **others}, tuple(random), tuple(against))


def _random_path(ground: Ground, rates: Rates, seed: int) -> Played:
    drawn = DrawnByBar(len(ground.regime), vetoed=rates.vetoed, shrunk=rates.shrunk, factor=rates.factor, seed=seed)
    return ground.played(drawn)[1]


def _summed_by(place: Integers, values: Floats | Integers, size: int) -> Floats:
    """[size] sums of ``values`` [N] by their ``place`` [N]."""
    return np.bincount(place, weights=values, minlength=size).astype(np.float64)


def _against(gate: Played, name: str, others: list[Played]) -> Against:
    r, cents = (np.mean([getattr(other, field) for other in others], axis=0) for field in ("r", "session_cents"))
    by_session = gate.r - r
    beaten = None
    if len(others) > 1:
        beaten = float(np.mean([gate.r.sum() > other.r.sum() for other in others]))
    return Against(
        other=name,
        dollars=float((gate.session_cents - cents).sum()) / 100,
        r=float(by_session.sum()),
        session_r=session_block_bootstrap(by_session, np.arange(len(by_session))),
        beaten=beaten,
    )


def random_row(paths: tuple[Played, ...]) -> dict[str, Any]:
    """Means over the reruns, and between what 95 % of them lie."""
    rows = [path.row() for path in paths]
    row: dict[str, Any] = {"reruns": len(paths)}
    for name in rows[0] if rows else ():
        row[name] = float(np.mean([each[name] for each in rows]))
    for name in ("dollars", "r") if rows else ():
        row[f"{name}_95"] = [float(bound) for bound in np.quantile([each[name] for each in rows], [0.025, 0.975])]
    return row
