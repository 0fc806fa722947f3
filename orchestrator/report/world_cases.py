"""The signals of a gated world as recorded cases: what the best policy would propose, without training one.

It is here because it needs both sides: a world and its market from `rl_core`, the form of a case from `llm_gate`,
neither of which knows the other. Each signal is proposed by the function that a run proposes with, and played to its
end alone as the veto ledger plays a proposal.
"""

from hashlib import blake2b
from typing import NamedTuple

import numpy as np

from llm_gate.evals.data.cases import Case
from llm_gate.evals.data.planted_cases import PlantedCases
from orchestrator.report.account_book import BarColumns
from orchestrator.report.veto_ledger import play_bracket, run_bars_of
from orchestrator.trader.proposals import propose
from orchestrator.trader.seen_at_close import CloseView
from rl_core.contract import BUY, SELL
from rl_core.evaluation.span import span_of
from rl_core.features.market_view import MarketView, view_of
from rl_core.market.account import opening_account
from rl_core.market.broker import XP
from rl_core.market.decisions import KnownAtClose, order_for
from rl_core.market.types import FLAT, Order
from rl_core.regimes.labels import Regimes, compute_regimes
from rl_core.trading.setup import Trading, TradingConfig, compile_trading
from rl_core.worlds.controls import world_of
from trigate.errors import ConfigError


class WorldCases(NamedTuple):
    """Cases of a world, and what there is to find in them."""

    cases: tuple[Case, ...]
    world: PlantedCases


def world_cases(
    kind: str, seed: int, sessions: int, *, drift_atr: float, form: str, tune_share: float = 0.5
) -> WorldCases:
    """Every signal of that gated world or twin, proposed to a new account, with what it earned after costs.

    Raises:
        ConfigError: no gated world, or no signal in it that may be traded.
    """
    made = world_of(kind, seed, sessions, drift_atr=drift_atr, form=form)
    if made.edge.uplift_r is None or made.edge.pays is None:
        raise ConfigError(f"the world {kind} has no condition that a gate could know; give gated or gated_twin")
    bars, trading = made.minutes, compile_trading(TradingConfig(), made.minutes.instrument)
    view = view_of(bars, trading.pack, trading.hours)
    regimes = compute_regimes(view)
    ticks = (bars.open, bars.high, bars.low, bars.close)
    columns = BarColumns(
        *(np.asarray(column, np.int64) for column in (bars.ts_event_ns, *ticks, bars.contract, bars.volume))
    )
    run_bars = run_bars_of(columns, trading.pack, trading.hours, complete=True)
    first = span_of(view.located.session, 0).first
    at = np.flatnonzero((made.edge.signals != 0) & view.hours.entry_open & (np.arange(len(bars)) >= first))
    days = np.unique(view.located.session[first:])
    cases, paying = [], []
    for t in at.tolist():
        order = _order(view, t, BUY if made.edge.signals[t] > 0 else SELL, trading)
        result = play_bracket(run_bars, t, order, trading.venue) if order.quantity else None
        if result is None:
            continue
        name = blake2b(f"{kind}/{form}/{drift_atr}/{seed}/{t}".encode(), digest_size=16).hexdigest()
        if made.edge.pays[t]:
            paying.append(name)
        session = int(np.searchsorted(days, view.located.session[t]))
        cases.append(
            Case(
                case_id=name,
                source="recorded",
                split="tune" if session < round(tune_share * len(days)) else "held_out",
                proposal=propose(
                    name, order, opening_account(XP, trading.venue.rules), _seen(view, regimes, t), 0, trading.venue
                ),
                outcome_r_milli=round(1000 * result.r),
                session=session,
                in_sample=False,  # nobody was trained on them
            )
        )
    if not cases:
        raise ConfigError(f"{sessions} sessions hold no signal that may be traded; ask for more")
    planted = PlantedCases(
        kind=kind,
        form=form,
        drift_atr=drift_atr,
        seed=seed,
        sessions=sessions,
        uplift_r=made.edge.uplift_r,
        declaration=made.edge.text,
        paying=tuple(paying),
    )
    return WorldCases(tuple(cases), planted)


def _order(view: MarketView, t: int, action: int, trading: Trading) -> Order:
    """The bracket that the market engine places for this action at the close of bar ``t``."""
    true_range_sum = int(view.features.true_range_sum[t])
    known = KnownAtClose(int(view.bars.close[t]), true_range_sum, True, False)
    return order_for(XP, action, FLAT, known, trading.venue.terms, trading.limits)


def _seen(view: MarketView, regimes: Regimes, t: int) -> CloseView:
    """What a run sees at the close of bar ``t``, but for the features, which no gate is told."""
    return CloseView(
        window=np.zeros(0, np.float32),
        true_range_sum=int(view.features.true_range_sum[t]),
        entry_open=True,
        flatten_due=False,
        session=int(view.located.session[t]),
        minutes_to_flat=int(view.hours.minutes_to_flat[t]),
        regime=regimes.at(t),
        decision_minute=int(view.hours.decision_minute[t]),
    )
