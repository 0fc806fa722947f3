"""What the live page is told of a run: plain values, with the words and formats of the report."""

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any, NamedTuple

from orchestrator.clock import wall_time_ns
from orchestrator.journal.lines import Record
from orchestrator.live.follower import Follower, Outside, quantile
from orchestrator.live.watched import Decision, Watched
from orchestrator.report.advice import plan_in_words, until
from orchestrator.report.filled_by import filled_by, refused, sent_to
from orchestrator.report.formats import EXCHANGE, NONE, dollars, points
from orchestrator.report.gate_words import in_words, not_taken, odds_percent, reason_in_words
from orchestrator.report.record_words import record_in_words
from rl_core.exchange.instruments import instrument
from rl_core.market.types import UNLIMITED
from rl_core.trading.hours import MINUTE_NS

Told = dict[str, Any]
OUTCOMES = {
    "asked": "asked",
    "approve": "approved",
    "resize": "shrunk",
    "veto": "vetoed",
    "gate_failed": "no verdict",
}


class Cursor(NamedTuple):
    """How much of each row a page has been told."""

    starts: int = 0
    bars: int = 0
    marks: int = 0
    fills: int = 0


def rows_since(follower: Follower, cursor: Cursor) -> tuple[Told, Cursor]:
    """What the plots are drawn from, as far as it is new; ``anew`` where the page has to begin again."""
    watched, anew = follower.watched, cursor.starts != follower.starts
    cursor = Cursor(follower.starts) if anew else cursor
    tick = _tick(follower)
    told = {
        "anew": anew,
        "bars": [
            [_at(bar.ts_event_ns), *(_price(ticks, tick) for ticks in bar[1:])]
            for bar in watched.bars.since(cursor.bars)
        ],
        "marks": [[_at(mark.ts_ns), mark.equity / 100, mark.floor / 100] for mark in watched.marks.since(cursor.marks)],
        "fills": [
            [_at(fill.ts_event_ns), _price(fill.price, tick), fill.quantity, fill.reason.replace("_", " ")]
            for fill in watched.fills.since(cursor.fills)
        ],
    }
    return told, Cursor(follower.starts, watched.bars.count, watched.marks.count, watched.fills.count)


def state_told(follower: Follower, outside: Outside) -> Told:
    """Everything else, whole: how the run stands, its account, position, decisions, trades, workers and alarms."""
    watched, manifest = follower.watched, outside.manifest
    now, config = watched.now, manifest.inputs.config
    room = None if now.equity is None or now.floor is None else now.equity - now.floor
    target = None if outside.target is None or outside.target >= UNLIMITED else outside.target
    missing = None if target is None or now.equity is None else max(0, target - now.equity)
    return {
        "state": outside.state,
        "standing": now.standing,
        "asked": outside.asked,
        "mode": config.get("mode", "sim"),
        "synthetic": bool(manifest.declaration),
        "bars_played": now.bars,
        "bar": None if now.last_bar_ns is None else _clock(now.last_bar_ns + MINUTE_NS),
        "close": _price(now.close, _tick(follower)),
        "position": _position(follower),
        "plan": _plan(follower),
        "equity": dollars(now.equity),
        "today": None if now.equity is None else dollars(now.equity - watched.session_opened),
        "gains": now.equity is not None and now.equity >= watched.session_opened,
        "floor": dollars(now.floor),
        "room": dollars(room),
        "to_target": "no target" if target is None else dollars(missing),
        "target": None if target is None else target / 100,
        "account": f"attempt {now.attempt}: {now.account}",
        "trades": [_trade(trade, _tick(follower)) for trade in reversed(watched.trades.all()[-12:])],
        "trade_count": now.trades,
        "refused": refused(now.rejected, now.moves_refused),
        "entries_today": watched.entries_today,
        "decisions": [_decision(watched.proposals[name]) for name in _newest(watched)],
        "gate": _gate(config),
        "gate_latency": _latency(follower.latencies_s),
        "bar_latency": _latency(follower.bars_s),
        "guards": _guards(config, now.guards),
        "workers": [{"name": worker.name, "pid": worker.pid} for worker in outside.workers],
        "runner": outside.pid,
        "worker_lines": list(follower.worker_lines),
        "alarms": list(outside.alarms),
        "notes": [_note(record, _tick(follower)) for record in reversed(watched.notes.all())],
        "records": watched.records,
        "starts": manifest.starts,
        "told": datetime.fromtimestamp(wall_time_ns() / 1e9, UTC).strftime("%H:%M:%SZ"),
    }


def header_told(follower: Follower) -> Told:
    """What a run is: its name, market, account and gate."""
    manifest = follower.manifest
    mode = str(manifest.inputs.config.get("mode", "sim"))
    return {
        "name": follower.folder.path.resolve().name,
        "market": manifest.market,
        "contract": manifest.contract,
        "rule_pack": manifest.rule_pack,
        "declaration": manifest.declaration,
        "filled_by": filled_by(manifest.inputs.config),
        "sent_to": sent_to(manifest.inputs.config),
        "kind": {"sim": "simulated"}.get(mode, mode),
        "gate": _gate(manifest.inputs.config),
    }


def _newest(watched: Watched) -> Iterable[str]:
    return [name for name in reversed(watched.decisions.all()[-12:]) if name in watched.proposals]


def _position(follower: Follower) -> Told | None:
    """What is open, with what it would bring at the last close."""
    now, tick = follower.watched.now, _tick(follower)
    if not now.quantity or now.entry is None or now.close is None:
        return None
    contract = instrument(follower.manifest.contract)
    return {
        "side": "long" if now.quantity > 0 else "short",
        "quantity": abs(now.quantity),
        "entered": abs(now.entered),
        "entry": points(now.entry, tick),
        "stop": None if now.stop is None else points(now.stop, tick),
        "target": None if follower.watched.target is None else points(follower.watched.target, tick),
        "open_profit": dollars((now.close - now.entry) * now.quantity * contract.tick_value),
        "gains": (now.close - now.entry) * now.quantity >= 0,
    }


def _plan(follower: Follower) -> Told | None:
    """The last plan of a run in advisory mode, and whether a later bar has ended it."""
    watched = follower.watched
    if watched.plan is None or watched.now.last_bar_ns is None:
        return None
    lines = plan_in_words(watched.plan, _tick(follower), follower.manifest.contract)
    valid = watched.plan["bar"] == watched.last_seq and not watched.plan_over
    return {
        "lines": [line.removeprefix("PLAN").strip() for line in lines],
        "valid": valid,
        "until": until(watched.plan),
    }


def _decision(decision: Decision) -> Told:
    taken, wanted = decision.taken, abs(decision.quantity)
    outcome = OUTCOMES[decision.outcome]
    if decision.outcome == "asked" and (taken is not None or decision.not_taken):
        outcome = "not judged"
    size = f"{wanted}" if taken is None or abs(taken) == wanted else f"{wanted} → {abs(taken)}"
    why = reason_in_words({"kind": decision.outcome, "reason": decision.reason})
    return {
        "at": _clock(decision.closed_ns),
        "proposal": f"{'buy' if decision.quantity > 0 else 'sell'} {size}",
        "told": in_words(decision.context),
        "kind": decision.outcome,
        "outcome": outcome,
        "odds": _odds(decision),
        "reason": why if why and not decision.not_taken.startswith("rejected") else not_taken(decision.not_taken),
    }


def _odds(decision: Decision) -> str:
    percents = odds_percent(decision.odds_milli)
    return NONE if percents is None else " / ".join(f"{percent:.1f}" for percent in percents)


def _trade(trade: Any, tick: Decimal) -> Told:
    return {
        "number": trade["number"],
        "entered": _clock(trade["entry_ns"]),
        "left": _clock(trade["exit_ns"]),
        "side": f"{'long' if trade['quantity'] > 0 else 'short'} {abs(trade['quantity'])}",
        "entry": points(trade["entry"], tick),
        "exit": points(trade["exit"], tick),
        "reason": trade["reason"].replace("_", " "),
        "r": f"{trade['pnl'] / trade['risk']:+.2f}",
        "net": dollars(trade["pnl"]),
        "gains": trade["pnl"] > 0,
    }


def _note(record: Record, tick: Decimal) -> Told:
    words = record_in_words(record.payload, tick)
    return {"number": record.number, "type": record.type.replace("_", " "), "words": words}


def _gate(config: dict[str, Any]) -> str:
    gate = config["gate"]
    return f"{gate['engine']}{' (shadow)' if gate.get('shadow') else ''}"


def _guards(config: dict[str, Any], acted: tuple[str, ...]) -> list[Told]:
    """Those that are set, and whether each acted in this session."""
    given = config.get("guards") or {}
    return [
        {"name": name.replace("_", " "), "limit": str(limit), "acted": name.removesuffix("_dollars") in acted}
        for name, limit in given.items()
        if limit is not None
    ]


def _latency(took_s: Sequence[float]) -> str | None:
    """The last of some times, and the slow end of them."""
    if not took_s:
        return None
    return f"{1000 * took_s[-1]:,.1f} ms last, {1000 * quantile(took_s, 0.99):,.1f} ms p99 of {len(took_s)}"


def _tick(follower: Follower) -> Decimal:
    return instrument(follower.manifest.market).tick_size


def _price(ticks: int | None, tick: Decimal) -> float | None:
    return None if ticks is None else float(ticks * tick)


def _local(ts_ns: int) -> datetime:
    return datetime.fromtimestamp(ts_ns // 1_000_000_000, UTC).astimezone(EXCHANGE)


def _at(ts_ns: int) -> str:
    """For a plot, which has no zones: the exchange's local time."""
    return _local(ts_ns).strftime("%Y-%m-%dT%H:%M")


def _clock(ts_ns: int) -> str:
    return _local(ts_ns).strftime("%a %H:%M")
