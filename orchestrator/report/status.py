"""How a run stands now: read from its folder, without a lock and without writing, whether it lives or not."""

from collections import Counter, deque
from collections.abc import Iterable, Iterator, Mapping
from types import MappingProxyType
from typing import Any, NamedTuple

from orchestrator.journal.journal import examine_journal, whole_records
from orchestrator.journal.lines import Record
from orchestrator.report.filled_by import filled_by, is_rejected, refused
from orchestrator.run.config import FOLLOWING
from orchestrator.run.control import Control
from orchestrator.run.folder import RunFolder, RunManifest
from orchestrator.run.telemetry import read_telemetry
from orchestrator.trader.state import Standing
from rl_core.exchange.instruments import instrument
from rl_core.market.told import mean_price
from rl_core.trading.setup import TradingConfig, compile_trading
from trigate.errors import TrigateError
from trigate.locks import holder_of

LAST_RECORDS = 8
_ROUTINE = frozenset({"bar", "acted", "executions", "mark", "stop_move"})
"""Records that are written at nearly every bar: not what a person looks for."""


class Standings(NamedTuple):
    """What the records of a journal add up to; money in cents, prices in ticks."""

    bars: int = 0
    last_bar_ns: int | None = None  # start of the last bar, UTC
    close: int | None = None
    attempt: int = 0
    account: str = "none yet"  # active, or how the last one ended
    equity: int | None = None
    floor: int | None = None
    quantity: int = 0  # contracts, signed
    entered: int = 0  # with which the open position began, signed: a part of them may have left
    entry: int | None = None
    stop: int | None = None
    trades: int = 0
    standing: Standing = "trading"
    guards: tuple[str, ...] = ()  # that acted in the session of the last bar
    feed: Mapping[str, int] = MappingProxyType({})  # what came besides the next bar, by its code
    closed_by_clock: int = 0
    still_open: int = 0  # contracts, signed, that the broker has not closed though the session is over
    rejected: int = 0  # orders that the broker did not take
    moves_refused: int = 0  # of stops, by the broker
    why_rejected: str = ""  # the last order, in the broker's words
    ended: bool = False


class RunStatus(NamedTuple):
    """One run, as it stands."""

    folder: RunFolder
    manifest: RunManifest
    pid: int | None  # of the process that runs it
    records: int
    torn: int  # bytes behind the last whole record of a run that nobody plays
    now: Standings
    asked: Standing  # by the control file
    target: int | None  # equity at which the account passes; None: it has none, or the rules cannot be read
    last: tuple[Record, ...]
    alarms: tuple[str, ...]

    @property
    def state(self) -> str:
        """running, or how it ended: killed where nobody could write down how."""
        return state_of(self.manifest, self.pid)

    @property
    def room(self) -> int | None:
        """Cents of equity above the drawdown floor."""
        now = self.now
        return None if now.equity is None or now.floor is None else now.equity - now.floor

    @property
    def to_target(self) -> int | None:
        """Cents of equity that are missing to the target, 0 once it is made."""
        return None if self.target is None or self.now.equity is None else max(0, self.target - self.now.equity)


def state_of(manifest: RunManifest, pid: int | None) -> str:
    """A run's state, from its manifest and whether a process holds its journal."""
    if pid is not None:
        return "running"
    return "killed" if manifest.status == "running" else manifest.status


def holder_of_run(folder: RunFolder) -> int | None:
    """The process that holds the run's journal, None where none does."""
    return holder_of(folder.journal.with_name(folder.journal.name + ".lock"))


def status_of(folder: RunFolder) -> RunStatus:
    """How the run in ``folder`` stands.

    Raises:
        ResourceError: its manifest or its journal cannot be read.
    """
    # The holder first: a run that ends meanwhile is then shown as running, never as killed.
    pid, manifest = holder_of_run(folder), folder.manifest()
    size = folder.journal.stat().st_size if folder.journal.exists() else 0
    # A living run appends while it is read; what its manifest knows from an earlier stop must still be there.
    examined = examine_journal(folder.journal, manifest.known_head)
    last: deque[Record] = deque(maxlen=LAST_RECORDS)
    now = standings(_noted(whole_records(folder.journal, examined.verified), last))
    asked = Control(folder.path).wanted()
    target, unread = target_of(manifest)
    seen = Counter(str(event.get("event", "")) for event in read_telemetry(folder.telemetry))
    return RunStatus(
        folder=folder,
        manifest=manifest,
        pid=pid,
        records=examined.verified.chain.length,
        torn=0 if pid else max(0, size - examined.verified.end),
        now=now,
        asked=asked,
        target=target,
        last=tuple(last),
        alarms=(*alarms(manifest, examined.fault, now, asked, seen), *unread),
    )


def standings(records: Iterable[Record]) -> Standings:
    """What ``records`` add up to, from the first on."""
    now = Standings()
    for record in records:
        now = after(now, record.type, record.payload)
    return now


def _noted(records: Iterator[Record], last: "deque[Record]") -> Iterator[Record]:
    for record in records:
        if record.type not in _ROUTINE and not _moved(record):
            last.append(record)
        yield record


def _moved(record: Record) -> bool:
    """Whether the broker has only said where a stop stands, as it does at every close of a trail."""
    return record.type == "order" and "stop" in record.payload and not record.payload["reason"]


_TAKEN: dict[str, dict[str, str]] = {
    "bar": {"last_bar_ns": "ts_event_ns", "close": "close"},
    "account_opened": {"attempt": "attempt", "equity": "cash", "floor": "floor"},
    "session_closed": {"equity": "cash", "floor": "floor"},
    "account_ended": {"equity": "cash", "floor": "floor", "account": "status"},
    "mark": {"equity": "equity", "floor": "floor", "stop": "stop"},
    "managed": {"stop": "stop"},
    "trade": {"trades": "number"},
    "operator": {"standing": "standing"},
    "still_open": {"still_open": "quantity"},
}
"""Type of a record -> field of `Standings` -> field of the record."""


def after(now: Standings, kind: str, payload: Mapping[str, Any]) -> Standings:
    """What stands after one more record."""
    now = _after(now, kind, payload)
    return now if now.quantity else now._replace(entered=0, entry=None, stop=None)


def _after(now: Standings, kind: str, payload: Mapping[str, Any]) -> Standings:
    now = now._replace(**{field: payload[name] for field, name in _TAKEN.get(kind, {}).items()})
    if kind == "bar":
        return now._replace(bars=now.bars + 1)
    if kind == "account_opened":
        return now._replace(account="active")
    if kind == "fill":
        now = _entered(now, payload) if payload["reason"] == "entry" else now
        quantity = now.quantity + payload["quantity"]
        return now._replace(quantity=quantity, still_open=quantity if now.still_open else 0)
    if kind == "guard":
        return now._replace(guards=tuple(sorted({*now.guards, payload["guard"]})))
    if is_rejected(kind, payload):
        return now._replace(rejected=now.rejected + 1, why_rejected=payload["reason"])
    if kind == "stop_kept":
        return now._replace(moves_refused=now.moves_refused + 1)
    if kind == "feed":
        return now._replace(feed={**now.feed, payload["code"]: now.feed.get(payload["code"], 0) + 1})
    return now._replace(ended=kind == "end", closed_by_clock=now.closed_by_clock + (kind == "flat_time"))


def _entered(now: Standings, fill: Mapping[str, Any]) -> Standings:
    """After an entry, or a later part of it, which counts at the mean price of both."""
    entered, price = now.entered + fill["quantity"], fill["price"]
    if now.entry is not None and now.quantity:
        total = abs(now.quantity) * now.entry + abs(fill["quantity"]) * price
        price = mean_price(now.quantity + fill["quantity"], total).price
    return now._replace(entered=entered, entry=price)


def target_of(manifest: RunManifest) -> tuple[int | None, tuple[str, ...]]:
    """Equity at the profit target, and why it is not known."""
    try:
        config = TradingConfig.model_validate(manifest.inputs.config.get("trading") or {})
        rules = compile_trading(config, instrument(manifest.market)).venue.rules
    except (TrigateError, ValueError) as error:
        return None, (f"the account's rules cannot be read: {error}",)
    return rules.start + rules.target, ()


def alarms(
    manifest: RunManifest, fault: str, now: Standings, asked: Standing, seen: Mapping[str, int]
) -> Iterator[str]:
    """What a person should know of a run.

    Args:
        manifest: of the run.
        fault: what was lost of its journal, "" where nothing was.
        now: what its records add up to.
        asked: how it is to stand by its control file.
        seen: how often each event stands in its telemetry, of all its starts.
    """
    if fault:
        yield f"the journal is damaged: {fault}; orchestrator replay --quarantine sets the damage aside"
    if manifest.cause:
        yield f"{manifest.status}: {manifest.cause}"
    if now.standing != "trading":
        yield f"the run is {now.standing}: it takes no further entry until orchestrator resume"
    if now.guards:
        yield f"{', '.join(now.guards)} held back in this session: a guard of the run's own settings"
    if now.feed:
        told = ", ".join(f"{code.replace('_', ' ')} {count}" for code, count in sorted(now.feed.items()))
        yield f"the feed gave more than the next bar: {told}"
    yield from _at_the_end(now)
    yield from _refused(manifest, now)
    if asked != now.standing and not now.ended:
        yield f"{asked} was asked for and is not in force yet: it is taken between two bars"
    # In paper mode the market goes on, and what was missed is recorded.
    again = "" if manifest.inputs.config.get("mode") in FOLLOWING else " and was asked again"
    yield from _seen_by_the_clock(seen, again)


def _at_the_end(now: Standings) -> Iterator[str]:
    """How a session ended, where it did not end with a bar."""
    if now.still_open:
        yield (
            f"the session is over and the broker has not closed {abs(now.still_open)} contracts that it was asked to "
            f"close: nothing is entered until it has, and it is asked with the next bar; look at the account there"
        )
    elif now.closed_by_clock:
        yield "no bar came before the flat time: the clock closed what was open"


def _refused(manifest: RunManifest, now: Standings) -> Iterator[str]:
    """What the broker refused, if it has."""
    if told := refused(now.rejected, now.moves_refused):
        why = f"; of the last order it said: {now.why_rejected}" if now.why_rejected else ""
        yield f"{filled_by(manifest.inputs.config)} refused {told}{why}"


def _seen_by_the_clock(seen: Mapping[str, int], again: str) -> Iterator[str]:
    """What the telemetry of every start of the run holds that a person should know of."""
    if same := seen.get("gate_degenerate"):
        yield f"the gate says the same to everything: alarmed {same} times"
    if seen.get("given_up"):
        yield "a worker was given up: the run takes no further entry, closes what is open and stops (exit code 5)"
    if troubles := seen.get("feed_trouble"):
        yield f"the feed was away or gave what are no rows: told {troubles} times in telemetry.jsonl"
    if silent := seen.get("feed_silent"):
        yield f"the feed fell silent in an open market: {silent} times"
    for name, count in sorted(seen.items()):
        if name.endswith("_missed"):
            yield f"{name.removesuffix('_missed')} did not answer {count} times{again}"
