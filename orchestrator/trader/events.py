"""The records that the trader writes: one function a type, integers and words only; and the trade they add up to."""

import json
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from llm_gate.contract import EntryProposal, Reviewed
from orchestrator.messaging.broker import Execution, OrderState
from orchestrator.messaging.catalogue import Bar, Second, Seconds
from rl_core.market.broker import BrokerState, Fill, equity_at
from rl_core.market.days import Days
from rl_core.market.fills import Venue
from rl_core.market.own_bracket import OwnBracket
from rl_core.market.types import Account, Bracket, Order, Position
from rl_core.trading.hours import MINUTE_NS

SYNCED = frozenset({"intent", "stop_move", "order", "plan", "fill", "account_ended", "operator", "flat_time", "end"})


class Recorded(NamedTuple):
    """One record to be journalled."""

    type: str
    payload: dict[str, Any]

    @property
    def sync(self) -> bool:
        """Whether it must be on disk before anything follows from it; of a verdict what is recorded next is."""
        return self.type in SYNCED or (self.type == "executions" and bool(self.payload["executions"]))


def last_durable(records: Sequence[Recorded], *, verdict: bool) -> int | None:
    """Which record of a step has to be on disk, and with it all before it, as nothing is done before the step's end.

    A verdict is made durable by what follows from it, its order above all: the two take one sync, not two.
    """
    durable = [place for place, record in enumerate(records) if record.sync]
    if verdict and not durable:
        assert records, "something is recorded of every verdict"
        return len(records) - 1
    return durable[-1] if durable else None


class OpenTrade(NamedTuple):
    """How the open trade began, and what of it has left since."""

    order_id: str
    entry: Fill
    left: tuple[Fill, ...] = ()  # parts of its exit, of the bars before its last one
    ambiguous: bool = False  # whether a bar of one of them could be read in two ways
    at: int = 0  # ticks: entry of what is open of it, another than its own once more has entered after an exit


class TradeRecord(NamedTuple):
    """One round trip; money in cents, prices in ticks."""

    order_id: str
    quantity: int  # signed
    entry_ns: int
    entry: int
    exit_ns: int
    exit: int
    reason: str
    gross: int
    costs: int  # commissions; slippage is inside the prices
    pnl: int
    risk: int
    ambiguous: bool


def run_named(run_id: str) -> Recorded:
    """The first record: which run this is the record of."""
    return Recorded("run", {"run": run_id})


def bar_closed(bar: Bar, seconds_digest: str, seconds: Seconds | None = None) -> Recorded:
    """An input: the bar, the digest of its seconds ("" without), and the seconds themselves where fills read them.

    They are written as rows of the second and four prices in ticks from the bar's open.
    """
    payload = {**bar.model_dump(exclude={"kind"}), "seconds": seconds_digest}
    if seconds is not None:
        payload["frame"] = [[row.second, *(price - bar.open for price in row.prices)] for row in seconds]
    return Recorded("bar", payload)


def seconds_from(payload: Mapping[str, Any]) -> Seconds | None:
    """The seconds as `bar_closed` wrote them; None if it did not."""
    if "frame" not in payload:
        return None
    opened = payload["open"]
    return tuple(Second(row[0], *(opened + price for price in row[1:])) for row in payload["frame"])


def acted(bar_seq: int, action: int, source: str) -> Recorded:
    """An input: what the policy chose."""
    return Recorded("acted", {"bar": bar_seq, "action": action, "source": source})


def decided(reviewed: Reviewed) -> Recorded:
    """An input: the gate's outcome. Latency is of the wall clock and stays out."""
    odds = reviewed.probabilities
    calibrated = {}
    if reviewed.calibration is not None and reviewed.calibrated is not None:
        calibrated = {"calibration": reviewed.calibration, "calibrated_milli": round(1000 * reviewed.calibrated)}
    return Recorded(
        "decided",
        {
            "proposal": reviewed.proposal_id,
            "outcome": reviewed.outcome.model_dump(mode="json"),
            "odds_milli": None if odds is None else {k: round(1000 * v) for k, v in sorted(odds.items())},
            "prompt": reviewed.prompt_digest,
            "engine": reviewed.engine,
            "model": reviewed.model,
            "reason_source": reviewed.reason_source,
            **calibrated,
            **({} if reviewed.sized is None else {"sized": reviewed.sized}),
        },
    )


def reviewed_from(payload: Mapping[str, Any]) -> Reviewed:
    """The gate's outcome as `decided` wrote it; its latency is not recorded and comes back as 0."""
    odds = payload["odds_milli"]
    message = {
        "proposal_id": payload["proposal"],
        "outcome": payload["outcome"],
        "probabilities": None if odds is None else {k: v / 1000 for k, v in odds.items()},
        "latency_s": 0.0,
        "prompt_digest": payload["prompt"],
        "engine": payload["engine"],
        "model": payload["model"],
        "reason_source": payload["reason_source"],
    }
    if "calibration" in payload:
        message |= {"calibration": payload["calibration"], "calibrated": payload["calibrated_milli"] / 1000}
    if "sized" in payload:
        message["sized"] = payload["sized"]
    return Reviewed.model_validate_json(json.dumps(message))


def order_answered(state: OrderState) -> Recorded:
    """An input: how an order stands at the broker."""
    payload = {"order": state.order_id, "status": state.status, "filled": state.filled, "reason": state.reason}
    stop = {} if state.stop is None else {"stop": state.stop}
    return Recorded("order", {**payload, **stop})


def order_from(payload: Mapping[str, Any]) -> OrderState:
    """The broker's answer as `order_answered` wrote it."""
    told = {name: payload[name] for name in ("status", "filled", "reason")}
    return OrderState.model_validate({"order_id": payload["order"], "stop": payload.get("stop"), **told})


def executions_told(executions: Sequence[Execution], bar_seq: int) -> Recorded:
    """An input: what the broker has executed since the last such record, asked for after the bar ``bar_seq``."""
    told = [execution.model_dump(mode="json", exclude={"kind"}) for execution in executions]
    return Recorded("executions", {"bar": bar_seq, "executions": told})


def executions_from(payload: Mapping[str, Any]) -> tuple[Execution, ...]:
    """The executions as `executions_told` wrote them."""
    return tuple(Execution.model_validate(told) for told in payload["executions"])


def bars_ended(seq: int) -> Recorded:
    """An input: there are no more bars."""
    return Recorded("bars_ended", {"bar": seq})


def operator_asked(standing: str, bar_seq: int) -> Recorded:
    """An input: how a person wants the run to stand, after the bar ``bar_seq``, -1 before the first."""
    return Recorded("operator", {"standing": standing, "bar": bar_seq})


def flat_time_passed(bar_seq: int) -> Recorded:
    """An input: by the clock the flat time is over, and no bar has come after ``bar_seq``."""
    return Recorded("flat_time", {"bar": bar_seq})


def feed_noted(code: str, facts: Mapping[str, int | str], bar_seq: int) -> Recorded:
    """An input: what came from the feed after the bar ``bar_seq``, -1 before the first, and is no bar to play."""
    return Recorded("feed", {**facts, "code": code, "bar": bar_seq})


def account_opened(attempt: int, account: Account) -> Recorded:
    """A new evaluation account."""
    return Recorded("account_opened", {"attempt": attempt, "cash": account.cash, "floor": account.floor})


def account_ended(attempt: int, status: str, account: Account, *, refused_sessions: int = 0) -> Recorded:
    """The account failed, passed, ran out of days, or was stranded: without room, or by a gate that refused it all.

    ``refused_sessions`` is for how many sessions in a row it did; 0 where it was not the gate.
    """
    payload = {"attempt": attempt, "status": status, "cash": account.cash, "floor": account.floor}
    if refused_sessions:
        payload["refused_sessions"] = refused_sessions
    return Recorded("account_ended", payload)


def session_closed(session: int, attempt: int, account: Account, days: Days) -> Recorded:
    """A trading day is over, flat; ``days`` are the attempt's, this one included."""
    payload = {
        "session": session,
        "attempt": attempt,
        "cash": account.cash,
        "floor": account.floor,
        "traded_days": days.traded,
        "winning_days": days.winning,
        "best_day": days.best,
    }
    return Recorded("session_closed", payload)


def day_paused(session: int, attempt: int, account: Account) -> Recorded:
    """The daily loss limit was touched: no entries before the next trading day."""
    payload = {"session": session, "attempt": attempt, "cash": account.cash, "day_floor": account.day_floor}
    return Recorded("day_paused", payload)


def stood_down(session: int, attempt: int, account: Account) -> Recorded:
    """A trade closed with the target banked: no entries before the next trading day."""
    return Recorded("stood_down", {"session": session, "attempt": attempt, "cash": account.cash})


def marked(state: BrokerState, bar: Bar, venue: Venue) -> Recorded:
    """Equity and floor at the close of a bar that traded or held."""
    payload = {
        "bar": bar.seq,
        "equity": equity_at(state, bar.close, venue),
        "floor": state.account.floor,
        "quantity": state.position.quantity,
        "stop": state.position.stop,
    }
    return Recorded("mark", payload)


def proposed(proposal: EntryProposal, order: Order, bar: Bar, own: OwnBracket | None = None) -> Recorded:
    """An entry that the policy wants; of a stop and target at prices of a trader's ``own``, these too."""
    payload = {
        "bar": bar.seq,
        "proposal": proposal.model_dump(mode="json", exclude={"kind"}),
        "quantity": order.quantity,
        "stop_ticks": order.stop_ticks,
        "target_ticks": order.target_ticks,
        **_own_prices(own),
    }
    return Recorded("proposed", payload)


def proposal_closed(proposal_id: str, code: str) -> Recorded:
    """A proposal that led to no order."""
    return Recorded("proposal_closed", {"proposal": proposal_id, "code": code})


def denied(order_id: str, code: str) -> Recorded:
    """Our risk limits said no."""
    return Recorded("denied", {"order": order_id, "code": code})


def intended(order_id: str, order: Order, own: OwnBracket | None = None) -> Recorded:
    """Entry, stop and target, as one bracket; of a stop and target at prices of a trader's ``own``, these too."""
    payload = {
        "order": order_id,
        "quantity": order.quantity,
        "stop_ticks": order.stop_ticks,
        "target_ticks": order.target_ticks,
        **_own_prices(own),
    }
    return Recorded("intent", payload)


def _own_prices(own: OwnBracket | None) -> dict[str, int]:
    prices = {} if own is None else {"stop_price": own.stop, "target_price": own.target}
    return {name: price for name, price in prices.items() if price is not None}


def own_from(payload: Mapping[str, Any]) -> OwnBracket | None:
    """The bracket at own prices as `proposed` or `intended` wrote it; None where both were distances."""
    stop, target = payload.get("stop_price"), payload.get("target_price")
    if stop is None and target is None:
        return None
    return OwnBracket(Bracket(payload["stop_ticks"], payload["target_ticks"]), stop, target)


class Why(NamedTuple):
    """What a person is told of a plan besides its order."""

    risk: int  # cents lost at the stop, costs included
    regime: str
    session_part: str
    reviewed: Reviewed | None  # None: no gate was asked


def planned(order_id: str, order: Order, bar: Bar, why: Why) -> Recorded:
    """An order in advisory mode: prices as from the last close, valid as long as the simulated one works."""
    side = 1 if order.quantity > 0 else -1
    odds = None if why.reviewed is None else why.reviewed.probabilities
    payload = {
        "order": order_id,
        "bar": bar.seq,
        "quantity": order.quantity,
        "close": bar.close,
        "stop": bar.close - side * order.stop_ticks,
        "target": bar.close + side * order.target_ticks,
        "stop_ticks": order.stop_ticks,
        "target_ticks": order.target_ticks,
        "risk": why.risk,
        "until_ns": bar.ts_event_ns + 2 * MINUTE_NS,  # the end of the bar that follows: the order fills in it or never
        "regime": why.regime,
        "session_part": why.session_part,
        "verdict": "none" if why.reviewed is None else why.reviewed.outcome.kind,
        "odds_milli": None if odds is None else {k: round(1000 * v) for k, v in sorted(odds.items())},
    }
    return Recorded("plan", payload)


def still_open(order_id: str, quantity: int, bar_seq: int) -> Recorded:
    """A session is over after the bar ``bar_seq``, and the broker has not closed so many contracts, signed."""
    return Recorded("still_open", {"order": order_id, "quantity": quantity, "bar": bar_seq})


def flatten_ordered(order_id: str) -> Recorded:
    """The flat time is near."""
    return Recorded("flatten", {"order": order_id})


def guarded(guard: str, effect: str, bar_seq: int) -> Recorded:
    """A guard held back, for the first time this session: an entry that was legal, or a position that it closes."""
    return Recorded("guard", {"guard": guard, "effect": effect, "bar": bar_seq})


def cut_by_guard(order_id: str, wanted: int, left: int, bar_seq: int) -> Recorded:
    """A guard cut an order from ``wanted`` to ``left`` contracts, signed."""
    payload = {"guard": "contracts", "effect": "smaller", "bar": bar_seq, "order": order_id}
    return Recorded("guard", {**payload, "wanted": wanted, "left": left})


def cancelled(order_id: str, code: str) -> Recorded:
    """An order that met no bar."""
    return Recorded("cancelled", {"order": order_id, "code": code})


def stop_managed(order_id: str, action: str, position: Position) -> Recorded:
    """The policy moved the stop, or switched the trail."""
    payload = {"order": order_id, "action": action, "stop": position.stop, "trailing": position.trailing}
    return Recorded("managed", payload)


def stop_moving(order_id: str, revision: int, stop: int) -> Recorded:
    """The broker is to be asked for the stop at ``stop`` ticks; ``revision`` counts such moves of an order."""
    return Recorded("stop_move", {"order": order_id, "revision": revision, "stop": stop})


def stop_kept(order_id: str, stop: int) -> Recorded:
    """The broker has refused a move: the stop stands where it stood."""
    return Recorded("stop_kept", {"order": order_id, "stop": stop})


def filled(order_id: str, fill: Fill) -> Recorded:
    """One execution, or the parts of one entry or exit: then with their number."""
    content = fill._asdict()
    parts = content.pop("parts")
    return Recorded("fill", {"order": order_id, **content, **({"parts": parts} if parts > 1 else {})})


def trade_closed(number: int, attempt: int, trade: TradeRecord) -> Recorded:
    """One round trip."""
    return Recorded("trade", {"number": number, "attempt": attempt, **trade._asdict()})
