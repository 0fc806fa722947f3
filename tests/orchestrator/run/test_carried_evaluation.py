"""An evaluation that carries its account is the run without a gate: the same trades and attempts, to the cent.

The run is its trading state machine, fed with the bars and what is known at their closes; one test goes the whole way
through stream, runner and journal.
"""

from collections.abc import Iterable, Mapping
from dataclasses import replace
from decimal import Decimal
from fractions import Fraction
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import pytest

from llm_gate.contract import Approve, EntryProposal, Resize, Reviewed, Veto
from orchestrator.journal.journal import Journal, read_journal
from orchestrator.messaging.catalogue import Bar, Second
from orchestrator.run.runner import FeedBar, Runner
from orchestrator.trader.events import Recorded
from orchestrator.trader.machine import advance, opening_state
from orchestrator.trader.seen_at_close import CloseView, CloseViewStream
from orchestrator.trader.state import AskGate, AskPolicy, BarClosed, BarsEnded, GateAnswered, PolicyAnswered, Setting
from rl_core.bars.bars import Bars
from rl_core.bars.read import read_bars
from rl_core.bars.seconds import MinuteSeconds
from rl_core.checkpoints.policy import Policy
from rl_core.evaluation.carried import CarriedPath, play_carried, played_again
from rl_core.evaluation.entrants import Trained
from rl_core.evaluation.gates import APPROVED, VETOED, Ruling, Wanted
from rl_core.evaluation.path_tables import PathTables
from rl_core.evaluation.span import Span, span_of
from rl_core.exchange.instruments import instrument
from rl_core.features.features import VOLUME_SESSIONS
from rl_core.features.market_view import MarketView, view_of
from rl_core.features.observation import ACTION_COUNTS, observation_size
from rl_core.market.types import EXIT_NAMES
from rl_core.market.yardstick import USUAL
from rl_core.regimes.labels import Regime
from rl_core.trading.setup import MAX_ENTRIES_PER_SESSION, Trading, TradingConfig, compile_trading, resolved
from tests.rl_core.markets import RULES_FOLDER, random_bars, random_seconds, session_minutes

NQ = Path(__file__).parents[3] / ".." / "shared" / "data" / "NQ_D1M.csv.gz"
SESSIONS = 7  # of which the first two warm up
MONTH = 22
REGIME = Regime(100, -200, 300, 50, "up/normal", "midday")


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


def some_policy(phase: int, seed: int, window: int = USUAL.window) -> Policy:
    """A policy of random weights, that enters and manages often and for reasons of the market's."""
    drawn = np.random.default_rng(seed)
    size, actions = observation_size(phase, window), ACTION_COUNTS[phase]
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
        self._bars, self.span, self._policy, self._seconds = bars, span, policy, seconds

    def bar(self, seq: int) -> Bar:
        """The bar numbered ``seq`` from the first of the span; the history before it has negative numbers."""
        t, bars = self.span.first + seq, self._bars
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
        if self.span.first + seq >= self.span.stop:
            return None
        rows = [] if self._seconds is None else self._seconds.of(self.span.first + seq)
        return FeedBar(self.bar(seq), "5" * 64, tuple(Second(n, *row) for n, row in enumerate(rows)))

    def act(self, bar_seq: int, observation: npt.NDArray[np.float32], legal: tuple[bool, ...]) -> PolicyAnswered:
        """The policy's choice."""
        return PolicyAnswered(self._policy.act(observation, np.array(legal, np.bool_)).action, "policy")

    def review(self, proposal: EntryProposal) -> Reviewed:
        """Nobody asks."""
        raise AssertionError("the run has no gate")


class EveryThird:
    """A gate of both worlds: by the minute of the entry it approves, vetoes or halves."""

    def __init__(self, view: MarketView) -> None:
        self._minute = view.hours.decision_minute

    def review(self, wanted: Wanted) -> Ruling:
        """As a path that is played again asks."""
        return (APPROVED, VETOED, Ruling(Fraction(1, 2)))[int(self._minute[wanted.bar]) % 3]

    def reviewed(self, proposal: EntryProposal, bar: int) -> Reviewed:
        """As the trader of a run asks."""
        kinds = (Approve(), Veto(reason="no"), Resize.model_validate_json('{"size_factor": "0.5", "reason": "small"}'))
        return Reviewed(
            proposal_id=proposal.proposal_id,
            outcome=kinds[int(self._minute[bar]) % 3],
            probabilities=None,
            latency_s=0.0,
            prompt_digest="0" * 64,
            engine="rules",
            model="",
            reason_source="model",
        )


class Refuses(EveryThird):
    """Vetoes everything."""

    def __init__(self) -> None:
        self._minute = np.ones(1 << 20, np.int32)


def setting_of(trading: Trading, policy: Policy, *, gated: bool = False) -> Setting:
    """A run of this account and policy."""
    return Setting(
        run_id="ab" * 16,
        phase=1 if policy.num_actions == 3 else 2,
        venue=trading.venue,
        limits=trading.limits,
        gated=gated,
        shadow=False,
        fail_factor=Decimal(0),
        max_entries_per_session=MAX_ENTRIES_PER_SESSION,
        frictions=trading.frictions,
        yardstick=trading.yardstick,
    )


def close_view(view: MarketView, t: int) -> CloseView:
    """What the trader knows at the close of bar ``t``; no regime, as no gate asks for it."""
    return CloseView(
        window=view.features.values[t - view.yardstick.window + 1 : t + 1].reshape(-1),
        true_range_sum=int(view.features.true_range_sum[t]),
        entry_open=bool(view.hours.entry_open[t] and view.features.warm[t]),
        flatten_due=bool(view.hours.flatten_due[t]),
        session=int(view.located.session[t]),
        minutes_to_flat=int(view.hours.minutes_to_flat[t]),
        regime=REGIME,
        decision_minute=int(view.hours.decision_minute[t]),
    )


def traded(
    answers: Answers, view: MarketView, trading: Trading, policy: Policy, gate: EveryThird | None = None
) -> list[Recorded]:
    """The records of the trader over every bar that ``answers`` has."""
    setting, records, seq = setting_of(trading, policy, gated=gate is not None), list[Recorded](), 0
    state = opening_state(setting)
    while (fed := answers.next_bar(seq)) is not None:
        step = advance(state, BarClosed(fed.bar, close_view(view, answers.span.first + seq), fed.seconds), setting)
        records += step.records
        if isinstance(step.question, AskPolicy):
            answer = answers.act(seq, step.question.observation, step.question.legal_actions)
            step = advance(step.state, answer, setting)
            records += step.records
        if isinstance(step.question, AskGate):
            assert gate is not None
            reviewed = gate.reviewed(step.question.proposal, answers.span.first + seq)
            step = advance(step.state, GateAnswered(reviewed), setting)
            records += step.records
        state, seq = step.state, seq + 1
    return [*records, *advance(state, BarsEnded(), setting).records]


def journalled(
    folder: Path, answers: Answers, view: MarketView, trading: Trading, policy: Policy
) -> list[dict[str, Any]]:
    """The trades in the journal of the same run, whose trader sees the bars one by one after their history."""
    session, first = view.located.session, answers.span.first
    history = int(np.searchsorted(session, np.unique(session[:first])[-(VOLUME_SESSIONS + 2) :][0]))
    stream = CloseViewStream(
        int(view.bars.ts_event_ns[history]), trading.pack, trading.hours, yardstick=trading.yardstick
    )
    for t in range(history, first):
        stream.push(answers.bar(t - first))
    with Journal.open(folder / "journal.jsonl") as journal:
        assert Runner(journal, answers, stream, setting_of(trading, policy)).run().complete
    return [record.payload for record in read_journal(folder / "journal.jsonl") if record.type == "trade"]


def of_run(trades: Iterable[Mapping[str, Any]]) -> list[TradeRow]:
    return [TradeRow(*(trade[name] for name in TradeRow._fields)) for trade in trades]


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


def payloads(records: list[Recorded], kind: str) -> list[dict[str, Any]]:
    return [record.payload for record in records if record.type == kind]


def assert_same(path: CarriedPath, records: list[Recorded], bars: Bars) -> None:
    assert of_path(path, bars) == of_run(payloads(records, "trade"))
    ends = [(end["attempt"], end["status"]) for end in payloads(records, "account_ended")]
    assert [(ended.number, ended.status) for ended in path.ended] == ends


@cache
def synthetic(*, seconds: bool) -> tuple[Bars, Bars | None]:
    """A week after two sessions of warm-up, in which one minute in fifty has no bar unless it has seconds."""
    if seconds:
        return random_seconds(4, session_minutes(SESSIONS))
    return random_bars(4, session_minutes(SESSIONS), missing=0.02), None


class Case(NamedTuple):
    """An account's setting and a policy, and how some of its attempts end."""

    phase: int
    ends: set[str]
    trading: dict[str, Any] = {}  # noqa: RUF012 - never written


CASES = {
    "stand_down": Case(2, {"passed", "failed", "stranded"}),
    "trade_on": Case(2, {"stranded"}, {"at_target": "trade_on"}),
    "costs": Case(1, {"passed"}, {"costs": {"slippage_by_time": {"09:31": 3, "11:00": 1}, "volume_share": "0.05"}}),
    "seconds": Case(2, {"passed", "stranded"}, {"resolution": "seconds"}),
    "lengths": Case(
        2,
        {"stranded"},
        {
            "bracket": {"stop_atr": "2.25", "target_stops": "1.4", "trail_atr": "0.6"},
            "features": {"window": 7, "atr_bars": 5},
            "costs": {"slippage_atr_share": "0.1"},
        },
    ),
}


def compiled(folder: Path, case: Case, *, seconds: bool) -> Trading:
    config = TradingConfig.model_validate({"rules": str(pack(folder)), "risk_dollars": 250} | case.trading)
    return compile_trading(resolved(config, seconds=seconds), instrument("NQ"))


@pytest.mark.parametrize("name", CASES)
def test_a_synthetic_week_is_played_alike(tmp_path: Path, name: str) -> None:
    """Attempts pass, fail and are stranded; in two cases the whole run is played too, journal and all."""
    case = CASES[name]
    minutes, second_bars = synthetic(seconds=name == "seconds")
    trading = compiled(tmp_path, case, seconds=second_bars is not None)
    view = view_of(minutes, trading.pack, trading.hours, trading.yardstick)
    span, policy = span_of(view.located.session, 0), some_policy(case.phase, 7, trading.yardstick.window)
    seconds = None if second_bars is None else MinuteSeconds(minutes, second_bars)
    answers = Answers(minutes, span, policy, seconds)

    path = play_carried(Trained(policy), view, trading, span, seconds=seconds)
    records = traded(answers, view, trading, policy)

    assert_same(path, records, minutes)
    assert len(path.trades.session) > 20 and case.ends <= {ended.status for ended in path.ended}
    assert bool(payloads(records, "stood_down")) == ("passed" in case.ends)
    if name in ("stand_down", "lengths"):
        assert of_path(path, minutes) == of_run(journalled(tmp_path, answers, view, trading, policy))


def test_a_gated_week_is_played_alike(tmp_path: Path) -> None:
    """Vetoes, halved orders and the accounts that a gate strands, on the whole path."""
    trading, (minutes, _) = compiled(tmp_path, CASES["stand_down"], seconds=False), synthetic(seconds=False)
    view = view_of(minutes, trading.pack, trading.hours, trading.yardstick)
    span, policy, gate = span_of(view.located.session, 0), some_policy(2, 7), EveryThird(view)

    path = played_again(PathTables(Trained(policy), view, trading), span, gate=gate)

    records = traded(Answers(minutes, span, policy, None), view, trading, policy, gate)
    assert_same(path, records, minutes)
    assert len(path.trades.r) > 15
    assert "vetoed" in {closed["code"] for closed in payloads(records, "proposal_closed")}


def test_a_gate_that_refuses_near_the_floor_strands_alike(tmp_path: Path) -> None:
    """Under two budgets of room from the first day on, and every entry vetoed: the third session ends the account."""
    trading, (minutes, _) = (
        compiled(tmp_path, Case(1, set(), {"risk_dollars": 600}), seconds=False),
        synthetic(seconds=False),
    )
    view = view_of(minutes, trading.pack, trading.hours, trading.yardstick)
    span, policy = span_of(view.located.session, 0, 3), some_policy(1, 7)

    path = played_again(PathTables(Trained(policy), view, trading), span, gate=Refuses())

    records = traded(Answers(minutes, span, policy, None), view, trading, policy, Refuses())
    assert_same(path, records, minutes)
    assert [ended.status for ended in path.ended] == ["stranded"] and len(path.trades.r) == 0


def test_attempts_of_a_policy_that_waits_run_out_of_days_alike(tmp_path: Path) -> None:
    """Six calendar days from Wednesday on."""
    trading, (minutes, _) = compiled(tmp_path, CASES["stand_down"], seconds=False), synthetic(seconds=False)
    view = view_of(minutes, trading.pack, trading.hours)
    span, policy = span_of(view.located.session, 0), some_policy(1, 7)
    waiting = replace(policy, biases=(np.array([99, 0, 0], np.float32),))

    path = play_carried(Trained(waiting), view, trading, span)

    assert_same(path, traded(Answers(minutes, span, waiting, None), view, trading, waiting), minutes)
    assert [ended.status for ended in path.ended] == ["expired"] and len(path.trades.session) == 0


@pytest.mark.skipif(not NQ.is_file(), reason="needs ../shared/data/NQ_D1M.csv.gz")
@pytest.mark.parametrize("at_target", ["stand_down", "trade_on"])
def test_a_month_of_nq_is_played_alike(at_target: str) -> None:
    """The last 22 sessions of the file under the default pack and budget."""
    bars = nq()
    config = TradingConfig.model_validate(
        {"rules": str(RULES_FOLDER / "apex_legacy_50k_eval.toml"), "at_target": at_target}
    )
    trading = compile_trading(config, bars.instrument)
    view = view_of(bars, trading.pack, trading.hours)
    session = view.located.session
    span = span_of(session, int(np.searchsorted(session, np.unique(session)[-MONTH])))
    policy = some_policy(2, 3)

    path = play_carried(Trained(policy), view, trading, span)

    assert_same(path, traded(Answers(bars, span, policy, None), view, trading, policy), bars)
    assert len(np.unique(path.trades.session)) == MONTH and path.ended


@cache
def nq() -> Bars:
    """The last sessions of the file, a month and its history."""
    bars = read_bars(NQ)
    return bars.slice(len(bars) - (2 * MONTH + 8) * 1380, len(bars))
