"""A run on disk, played by the real trader and journal over a scripted market, policy and gate."""

import hashlib
import re
from collections.abc import Callable, Container, Mapping
from pathlib import Path
from typing import Any, cast

import numpy as np
import numpy.typing as npt

from llm_gate.contract import Approve, EntryProposal, Outcome, Reviewed
from llm_gate.review.size_line import SizeFile, SizeLine
from orchestrator.journal.journal import Journal
from orchestrator.messaging.catalogue import Bar, Second, Seconds
from orchestrator.report.explorer import unpacked
from orchestrator.run.config import RunConfig
from orchestrator.run.folder import RunFolder, RunInputs, new_manifest
from orchestrator.run.runner import FeedBar, Runner
from orchestrator.trader.seen_at_close import CloseView, CloseViewStream
from orchestrator.trader.state import PolicyAnswered, Setting
from rl_core.contract import BUY, HOLD, SELL
from rl_core.exchange.calendar import Calendar
from rl_core.exchange.instruments import instrument
from rl_core.regimes.labels import Regime
from rl_core.trading.hours import MINUTE_NS, hours_of
from rl_core.trading.setup import TradingConfig, compile_trading

ROOT = Path(__file__).parents[2]
TRADING = TradingConfig.model_validate({"rules": str(ROOT / "configs/rules/apex_legacy_50k_eval.toml")})

TRUE_RANGE_SUM = 280  # an ATR of 20 ticks: the stop is 30 away, the target 90
DAYS = ("2024-06-03", "2024-06-04", "2024-06-05")
FIRST_MINUTE_UTC, MINUTES = 13 * 60 + 30, 450  # 09:30 to 17:00 ET

Verdicts = Callable[[int], Outcome]
"""The gate's outcome for the n-th proposal, from 0."""


def walk(days: tuple[str, ...] = DAYS, seed: int = 3) -> list[Bar]:
    """Minute bars of a random walk of some 8 ticks a minute."""
    drawn = np.random.default_rng(seed)
    bars: list[Bar] = []
    price = 70_000
    for day in days:
        start = int(np.datetime64(day, "ns").astype(np.int64)) + FIRST_MINUTE_UTC * MINUTE_NS
        for minute in range(MINUTES):
            path = price + np.cumsum(drawn.integers(-5, 6, 6))
            first, last, high, low = int(path[0]), int(path[-1]), int(path.max()), int(path.min())
            ts = start + minute * MINUTE_NS
            bars.append(Bar(seq=len(bars), ts_event_ns=ts, open=first, high=high, low=low, close=last, volume=100))
            price = last
    return bars


def seconds_of(bar: Bar) -> Seconds:
    """Five seconds that add up to ``bar``: its lower extreme first where its minute is even."""
    first, then = (bar.low, bar.high) if bar.seq % 2 == 0 else (bar.high, bar.low)
    prices = (bar.open, first, (first + then) // 2, then, bar.close)
    return tuple(Second(11 * n, price, price, price, price) for n, price in enumerate(prices))


class ScriptedViews:
    """Real sessions and hours, made-up volatility, no features; states by the hundred of the bar if ``fitted``."""

    def __init__(self, bars: list[Bar], config: TradingConfig = TRADING, *, fitted: bool = False) -> None:
        """Look at the clock of ``bars``."""
        self._fitted = fitted
        ts = np.array([bar.ts_event_ns for bar in bars], np.int64)
        located = Calendar.covering(int(ts[0]), int(ts[-1])).locate(ts)
        trading = compile_trading(config, instrument("NQ"))
        self._session, self._hours = located.session, hours_of(ts, located, trading.pack, trading.hours)

    def push(self, bar: Bar) -> CloseView:
        """The view at the close of ``bar``."""
        return CloseView(
            window=np.zeros(220, np.float32),
            true_range_sum=TRUE_RANGE_SUM,
            entry_open=bool(self._hours.entry_open[bar.seq]),
            flatten_due=bool(self._hours.flatten_due[bar.seq]),
            session=int(self._session[bar.seq]),
            minutes_to_flat=int(self._hours.minutes_to_flat[bar.seq]),
            regime=Regime(100, -200, 300, 50, "up/normal", "midday"),
            decision_minute=int(self._hours.decision_minute[bar.seq]),
            wild_percent=bar.seq % 100 if self._fitted else None,
        )


class ScriptedAnswers:
    """Bars from a list, actions by bar, verdicts by proposal."""

    def __init__(
        self,
        bars: list[Bar],
        actions: Mapping[int, int],
        verdicts: Verdicts,
        *,
        seconds: bool = False,
        size: SizeFile | None = None,
    ) -> None:
        """HOLD where ``actions`` says nothing; what ``size`` halves is halved."""
        self._bars, self._actions, self._verdicts, self._seconds = bars, actions, verdicts, seconds
        self._size = size
        self._reviewed = 0

    def next_bar(self, seq: int) -> FeedBar | None:
        """The bar numbered ``seq``."""
        if seq >= len(self._bars):
            return None
        bar = self._bars[seq]
        return FeedBar(bar, "5" * 64, seconds_of(bar)) if self._seconds else FeedBar(bar, "")

    def act(self, bar_seq: int, observation: npt.NDArray[np.float32], legal: tuple[bool, ...]) -> PolicyAnswered:
        """What the script says."""
        return PolicyAnswered(self._actions.get(bar_seq, HOLD), "policy")

    def review(self, proposal: EntryProposal) -> Reviewed:
        """The next outcome."""
        self._reviewed += 1
        outcome, sized = self._verdicts(self._reviewed - 1), None
        if self._size is not None and isinstance(outcome, Approve):
            outcome, halved = self._size.sized(outcome, proposal)
            sized = self._size.digest if halved else None
        return Reviewed(
            proposal_id=proposal.proposal_id,
            outcome=outcome,
            sized=sized,
            probabilities={"approve": 0.6, "shrink": 0.1, "veto": 0.3},
            latency_s=0.0,
            prompt_digest="0" * 64,
            engine="vllm",
            model="scripted@http://127.0.0.1:8000+sampling@0123456789ab",  # as long as a real one
            reason_source="model",
        )


def every_tenth_minute(bars: list[Bar]) -> dict[int, int]:
    """An entry on every tenth bar, long and short in turn."""
    return {bar.seq: BUY if bar.seq % 20 else SELL for bar in bars[::10]}


def play(
    runs: Path,
    bars: list[Bar],
    actions: Mapping[int, int],
    verdicts: Verdicts = lambda number: Approve(),
    *,
    engine: str = "off",
    stop_after: int | None = None,
    declaration: str = "",
    account: TradingConfig = TRADING,
    resolution: str = "pessimistic",
    costs: Mapping[str, object] | None = None,
    regimes: str = "",
    calibration: str = "",
    size: str = "",
    phase: int = 1,
    **config: object,
) -> RunFolder:
    """Play ``bars`` into a folder under ``runs``, or go on with the one that is there.

    ``regimes`` is the file of a fitted model that the run keeps, its states scripted; ``calibration`` is the gate's,
    and ``size`` the file of its size line.
    """
    account = TradingConfig.model_validate({**account.model_dump(), "resolution": resolution, "costs": costs or {}})
    trading = compile_trading(account, instrument("NQ"))
    settings = {"trading": account.model_dump(mode="json"), "gate": {"engine": engine}, **config}
    inputs = RunInputs(
        config=RunConfig.model_validate(settings).model_dump(mode="json", exclude={"runs"}),
        bars_digest="b" * 64,
        seconds_digest="",
        checkpoint_digest="c" * 64,
        prompt_digest="0" * 64,
        model="/models/smollm2-135m" if engine == "vllm" else "",
        rule_pack_digest=hashlib.sha256(trading.pack.model_dump_json().encode()).hexdigest(),
        code_version="1",
        regimes_digest=hashlib.sha256(regimes.encode()).hexdigest() if regimes else "",
        calibration_digest=hashlib.sha256(calibration.encode()).hexdigest() if calibration else "",
        size_digest=hashlib.sha256(size.encode()).hexdigest() if size else "",
    )
    labels = {"rule_pack": trading.pack.name, "rule_pack_as_of": str(trading.pack.as_of), "declaration": declaration}
    folder = RunFolder(runs / "run")
    folder.path.mkdir(mode=0o700, parents=True, exist_ok=True)
    kept = {"regimes.json": regimes, "gate_calibration.json": calibration, "gate_size.json": size}
    for name, text in kept.items():
        if text:
            (folder.path / name).write_text(text)
    setting = Setting(
        run_id=inputs.run_id,
        phase=phase,
        venue=trading.venue,
        limits=trading.limits,
        gated=engine != "off",
        shadow=False,
        fail_factor=RunConfig().gate.fail_factor,
        max_entries_per_session=1000,
        frictions=trading.frictions,
    )
    played: list[int] = []
    with Journal.open(folder.journal) as journal:
        line = SizeFile(SizeLine.model_validate_json(size), size) if size else None
        answers = ScriptedAnswers(bars, actions, verdicts, seconds=resolution == "seconds", size=line)
        views = cast(CloseViewStream, ScriptedViews(bars, account, fitted=bool(regimes)))
        runner = Runner(journal, answers, views, setting)
        done = runner.run(stop_asked=lambda: stop_after is not None and len(played) >= stop_after, on_bar=played.append)
        manifest = new_manifest(inputs, market="NQ", contract="MNQ", **labels)
        status = "ended" if done.complete else "stopped"
        folder.write_manifest(manifest.model_copy(update={"status": status, "journal_head": journal.head}))
    return folder


def text_of(folder: RunFolder) -> str:
    """The words of a run's report, without its script and style."""
    page = (folder.path / "report.html").read_text(encoding="utf-8")
    return re.sub(r"<(script|style).*?</\1>", "", page, flags=re.DOTALL)


TWELVE_DAYS = tuple(str(np.busday_offset(np.datetime64("2024-06-03"), n)) for n in range(12))


def winning_run(runs: Path, *, wrong: Container[int] = (), **options: Any) -> RunFolder:
    """Twelve sessions of a policy that knows what comes: an entry every half an hour, towards where it will be.

    Or away from there, on the days whose numbers are ``wrong``.
    """
    bars = walk(TWELVE_DAYS)
    close = [bar.close for bar in bars]
    actions = {
        n: BUY if (close[n + 25] > close[n]) != (n // MINUTES in wrong) else SELL for n in range(20, len(bars) - 30, 30)
    }
    return play(runs, bars, actions, **options)


def explored(folder: RunFolder) -> dict[str, Any]:
    """What the trade explorer of a run's page holds."""
    page = (folder.path / "report.html").read_text(encoding="utf-8")
    found = re.search(r'id="explorer-data">([^<]*)<', page)
    assert found is not None
    return unpacked(found[1])
