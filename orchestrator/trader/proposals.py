"""Turn an order into the proposal that the gate sees: facts in integers, blind to date, symbol and price level."""

from llm_gate.contract import EntryProposal, RegimeContext
from orchestrator.trader.seen_at_close import CloseView
from rl_core.market.fills import Venue
from rl_core.market.types import Account, Order


def propose(
    proposal_id: str, order: Order, account: Account, view: CloseView, losing_streak: int, venue: Venue
) -> EntryProposal:
    """The proposal of ``order`` as the account and the market stand."""
    atr_bars = view.atr_bars
    atr_sum = max(atr_bars, view.true_range_sum)  # an ATR below one tick counts as one, as in features and regimes
    risk = max(1, abs(order.quantity) * order.stop_ticks * venue.terms.tick_value)
    regime = view.regime
    return EntryProposal(
        proposal_id=proposal_id,
        side="buy" if order.quantity > 0 else "sell",
        quantity=abs(order.quantity),
        stop_atr_milli=order.stop_ticks * atr_bars * 1000 // atr_sum,
        target_atr_milli=order.target_ticks * atr_bars * 1000 // atr_sum,
        context=RegimeContext.model_validate(
            {
                "trend_15_atr_milli": regime.trend_15_atr_milli,
                "trend_60_atr_milli": regime.trend_60_atr_milli,
                "trend_240_atr_milli": regime.trend_240_atr_milli,
                "volatility_percentile": regime.volatility_percentile,
                "regime": regime.label,
                "session_part": regime.session_part,
                "minutes_to_flat": view.minutes_to_flat,
                "room_to_floor_risks_milli": (account.cash - account.floor) * 1000 // risk,
                "losing_streak": losing_streak,
                "volume_percentile": regime.volume_percentile,
                "to_session_high_atr_milli": regime.to_session_high_atr_milli,
                "to_session_low_atr_milli": regime.to_session_low_atr_milli,
                "vwap_atr_milli": regime.vwap_atr_milli,
                "wild_percent": view.wild_percent,
            }
        ),
    )
