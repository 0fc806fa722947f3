"""An evaluation that carries its account is the run without a gate: the same trades and attempts, to the cent."""

from functools import cache
from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import pytest

from llm_gate.contract import EntryProposal, Reviewed
from orchestrator.journal.journal import Journal
from orchestrator.messaging.catalogue import Bar, Second
from orchestrator.report.account_book import AccountBook, read_account_book, trades_of
from orchestrator.run.runner import FeedBar, Runner
from orchestrator.trader.seen_at_close import CloseViewStream
from orchestrator.trader.state import PolicyAnswered, Setting
from rl_core.bars.bars import Bars
from rl_core.bars.read import read_bars
from rl_core.bars.seconds import MinuteSeconds
from rl_core.checkpoints.policy import Policy
from rl_core.evaluation.carried import CarriedPath, play_carried
from rl_core.evaluation.span import Span, span_of
from rl_core.exchange.instruments import instrument
from rl_core.features.features import VOLUME_SESSIONS
from rl_core.features.market_view import MarketView, view_of
from rl_core.features.observation import ACTION_COUNTS, OBSERVATION_SIZES
from rl_core.market.types import EXIT_NAMES
from rl_core.trading.setup import MAX_ENTRIES_PER_SESSION, Trading, TradingConfig, compile_trading, resolved
from tests.rl_core.markets import RULES_FOLDER, random_bars, random_seconds, session_minutes

NQ = Path(__file__).parents[3] / ".." / "shared" / "data" / "NQ_D1M.csv.gz"
SESSIONS = 7  # of which the first two warm up
MONTH = 22


class TradeRow(NamedTuple):
    """One trade as both lists know it."""

    attempt: int
    quantity: int
    entry_ns: int
    entry: int
    exit_ns: int
    exit: int
    reason: str
    pnl: int
    risk: int


def some_policy(phase: int, seed: int) -> Policy:
    """A policy of random weights, that enters and manages often and for reasons of the market's."""
    drawn = np.random.default_rng(seed)
    size, actions = OBSERVATION_SIZES[phase], ACTION_COUNTS[phase]
    kernel = drawn.normal(0, 0.3, (size, actions)).astype(np.float32)
    bias = np.array([1.5, 0, 0, 0, 0, 0][:actions], np.float32)
    return Policy(np.zeros(size, np.float32), np.ones(size, np.float32), 10.0, (kernel,), (bias,))


def pack(folder: Path) -> Path:
    """The plain pack with a target of $700, two days and an intraday floor $900 below the best equity."""
    text = (RULES_FOLDER / "plain_static.toml").read_text(encoding="utf-8")
    for before, after in (
        ("target = 3_000", "target = 700"),
        ("amount = 2_000", "amount = 1_100"),
        ('ratchet = "static"', 'ratchet = "intraday_unrealized"'),
        ("min = 0", "min = 2\nmax = 6"),
        ("examples = [{ peak = 51_000, close = 51_000, floor = 48_000 }]", ""),
    ):
        assert before in text
        text = text.replace(before, after)
    (folder / "own.toml").write_text(text, encoding="utf-8")
    return folder / "own.toml"


class Answers:
    """The bars of a span and a policy in this process."""

    def __init__(self, bars: Bars, span: Span, policy: Policy, seconds: MinuteSeconds | None) -> None:
        self._bars, self._span, self._policy, self._seconds = bars, span, policy, seconds

    def bar(self, seq: int) -> Bar:
        """The bar numbered ``seq`` from the first of the span; the history before it has negative numbers."""
        t, bars = self._span.first + seq, self._bars
        return Bar(
            seq=max(0, seq),
            ts_event_ns=int(bars.ts_event_ns[t]),
            open=int(bars.open[t]),
            high=int(bars.high[t]),
            low=int(bars.low[t]),
            close=int(bars.close[t]),
            volume=int(bars.volume[t]),
            contract=int(bars.contract[t]),
        )

    def next_bar(self, seq: int) -> FeedBar | None:
        """The bar numbered ``seq``, with its seconds where there are any."""
        if self._span.first + seq >= self._span.stop:
            return None
        rows = [] if self._seconds is None else self._seconds.of(self._span.first + seq)
        return FeedBar(self.bar(seq), "5" * 64, tuple(Second(n, *row) for n, row in enumerate(rows)))

    def act(self, bar_seq: int, observation: npt.NDArray[np.float32], legal: tuple[bool, ...]) -> PolicyAnswered:
        """The policy's choice."""
        return PolicyAnswered(self._policy.act(observation, np.array(legal, np.bool_)).action, "policy")

    def review(self, proposal: EntryProposal) -> Reviewed:
        """Nobody asks."""
        raise AssertionError("the run has no gate")


def run_book(
    folder: Path, view: MarketView, trading: Trading, span: Span, policy: Policy, seconds: MinuteSeconds | None
) -> AccountBook:
    """The run of the real trader, journal and stream of features, as `orchestrator run --gate off` sets them up."""
    answers = Answers(view.bars, span, policy, seconds)
    session = view.located.session
    shown = np.unique(session[: span.first])[-(VOLUME_SESSIONS + 2) :]
    history = int(np.searchsorted(session, shown[0]))
    stream = CloseViewStream(int(view.bars.ts_event_ns[history]), trading.pack, trading.hours)
    for t in range(history, span.first):
        stream.push(answers.bar(t - span.first))
    setting = Setting(
        run_id="ab" * 16,
        phase=1 if policy.num_actions == 3 else 2,
        venue=trading.venue,
        limits=trading.limits,
        gated=False,
        shadow=False,
        fail_factor=0,  # type: ignore[arg-type]  # no gate, so nothing fails
        max_entries_per_session=MAX_ENTRIES_PER_SESSION,
        frictions=trading.frictions,
    )
    with Journal.open(folder / "journal.jsonl") as journal:
        assert Runner(journal, answers, stream, setting).run().complete
    return read_account_book(folder / "journal.jsonl")


def of_run(book: AccountBook) -> list[TradeRow]:
    return [
        TradeRow(
            booked.attempt,
            booked.trade.quantity,
            booked.trade.entry_ns,
            booked.trade.entry,
            booked.trade.exit_ns,
            booked.trade.exit,
            booked.trade.reason,
            booked.trade.pnl,
            booked.trade.risk,
        )
        for booked in trades_of(book)
    ]


def of_path(path: CarriedPath, bars: Bars) -> list[TradeRow]:
    trades = path.trades
    rows = zip(
        trades.attempt.tolist(),
        trades.quantity.tolist(),
        bars.ts_event_ns[trades.decided + 1].tolist(),
        trades.entry.tolist(),
        bars.ts_event_ns[trades.exit_bar].tolist(),
        trades.exit.tolist(),
        [EXIT_NAMES[reason] for reason in trades.reason],
        trades.pnl_cents.tolist(),
        trades.risk_cents.tolist(),
        strict=True,
    )
    return [TradeRow(*row) for row in rows]


def ends(book: AccountBook) -> list[tuple[int, str]]:
    return [(event.payload["attempt"], event.payload["status"]) for event in book.of("account_ended")]


@cache
def synthetic(*, seconds: bool) -> tuple[Bars, Bars | None]:
    """A week after two sessions of warm-up, in which one minute in fifty has no bar unless it has seconds."""
    if seconds:
        return random_seconds(4, session_minutes(SESSIONS))
    return random_bars(4, session_minutes(SESSIONS), missing=0.02), None


CASES = {
    "stand_down": {},
    "trade_on": {"at_target": "trade_on"},
    "costs": {"costs": {"slippage_by_time": {"09:31": 3, "11:00": 1}, "volume_share": "0.05"}},
    "seconds": {"resolution": "seconds"},
}


@pytest.mark.parametrize("phase", [1, 2])
@pytest.mark.parametrize("case", CASES)
def test_a_synthetic_week_is_played_alike(tmp_path: Path, case: str, phase: int) -> None:
    """Every way in which an attempt ends occurs in some of the cases, and there is more than one attempt in each."""
    minutes, second_bars = synthetic(seconds=case == "seconds")
    config = TradingConfig.model_validate({"rules": str(pack(tmp_path)), "risk_dollars": 250, **CASES[case]})
    trading = compile_trading(resolved(config, seconds=second_bars is not None), instrument("NQ"))
    view = view_of(minutes, trading.pack, trading.hours)
    span, policy = span_of(view.located.session, 0), some_policy(phase, 5)
    seconds = None if second_bars is None else MinuteSeconds(minutes, second_bars)

    path = play_carried(policy, view, trading, span, seconds=seconds)
    book = run_book(tmp_path, view, trading, span, policy, seconds)

    assert of_path(path, view.bars) == of_run(book)
    assert [(ended.number, ended.status) for ended in path.ended] == ends(book)
    assert len(path.trades.session) > 15 and path.trades.attempt.max() > 1
    assert ("stood_down" in {event.type for event in book.events}) == (case != "trade_on")


@pytest.mark.skipif(not NQ.is_file(), reason="needs ../shared/data/NQ_D1M.csv.gz")
@pytest.mark.parametrize("at_target", ["stand_down", "trade_on"])
def test_a_month_of_nq_is_played_alike(tmp_path: Path, at_target: str) -> None:
    """The last 22 sessions of the file under the default pack and budget."""
    bars = read_bars(NQ)
    bars = bars.slice(len(bars) - (2 * MONTH + 8) * 1380, len(bars))
    config = TradingConfig.model_validate(
        {"rules": str(RULES_FOLDER / "apex_legacy_50k_eval.toml"), "at_target": at_target}
    )
    trading = compile_trading(config, bars.instrument)
    view = view_of(bars, trading.pack, trading.hours)
    session = view.located.session
    span = span_of(session, int(np.searchsorted(session, np.unique(session)[-MONTH])))
    policy = some_policy(2, 3)

    path = play_carried(policy, view, trading, span)
    book = run_book(tmp_path, view, trading, span, policy, None)

    assert of_path(path, bars) == of_run(book)
    assert [(ended.number, ended.status) for ended in path.ended] == ends(book)
    assert len(path.trades.session) > 100 and path.ended
