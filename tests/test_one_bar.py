"""One market bar from file to report, in the order of the README's table, through the real parts."""

import asyncio
import hashlib
from decimal import Decimal
from pathlib import Path

import numpy as np
import numpy.typing as npt

from llm_gate.contract import EntryProposal, Reviewed
from llm_gate.engines.scripted import ScriptedEngine
from llm_gate.prompts.prompt_files import load_prompt
from llm_gate.review.gate import Gate, GateConfig
from orchestrator.journal.journal import Journal, read_journal
from orchestrator.messaging.catalogue import BarBlock, NextBars
from orchestrator.messaging.wire import Received
from orchestrator.report.report import report_on
from orchestrator.run.answers import unpacked
from orchestrator.run.config import RunConfig
from orchestrator.run.folder import RunFolder, RunInputs, new_manifest
from orchestrator.run.runner import FeedBar, Runner
from orchestrator.trader.seen_at_close import CloseViewTable
from orchestrator.trader.state import PolicyAnswered, Setting
from orchestrator.workers.feed import Feed
from rl_core.bars.read import read_bars
from rl_core.bars.write import write_bars
from rl_core.checkpoints.checkpoint import save_checkpoint
from rl_core.checkpoints.manifest import Identity
from rl_core.checkpoints.policy import Policy, load_policy
from rl_core.contract import ACTION_NAMES, BUY, SELL
from rl_core.envs.env import Env, EnvParams
from rl_core.envs.market_arrays import make_market
from rl_core.features.features import fingerprint
from rl_core.features.market_view import MarketView, view_of
from rl_core.market.costs import size, stop_distance
from rl_core.market.types import PlainIntegers
from rl_core.ppo.config import PPOConfig
from rl_core.ppo.environment import EnvArrays
from rl_core.ppo.train import initial_state
from rl_core.trading.setup import Trading, TradingConfig, compile_trading
from tests.rl_core.markets import closing_at, random_bars, session_minutes

ROOT = Path(__file__).parents[1]
TRADING = TradingConfig.model_validate({"rules": str(ROOT / "configs/rules/apex_legacy_50k_eval.toml")})
EAGER = PPOConfig(num_envs=4, rollout_length=4, total_steps=16, minibatches=1, hidden=(8,), hold_bias=-5.0)
PROMPT = load_prompt(ROOT / "prompts/entry_review.v1.md")


class Parts:
    """Feed, policy and gate as the workers run them, without the sockets between."""

    def __init__(self, feed: Feed, policy: Policy, gate: Gate) -> None:
        self._feed, self._policy, self._gate = feed, policy, gate

    def next_bar(self, seq: int) -> FeedBar | None:
        """Step 5: the market moves."""
        reply = self._feed.next_bars(received(seq))
        return unpacked(reply)[0] if isinstance(reply.message, BarBlock) else None

    def act(self, bar_seq: int, observation: npt.NDArray[np.float32], legal: tuple[bool, ...]) -> PolicyAnswered:
        """Step 7: the policy decides."""
        return PolicyAnswered(self._policy.act(observation, np.array(legal)).action, "policy")

    def review(self, proposal: EntryProposal) -> Reviewed:
        """Step 9: the gate judges."""
        return asyncio.run(self._gate.review(proposal))


def received(seq: int) -> Received:
    """A request for a bar, as it comes over the wire."""
    return Received("runner", str(seq), NextBars(seq=seq, most=1))


def untrained(folder: Path, view: MarketView, trading: Trading) -> Path:
    """A checkpoint, saved as training saves it, that prefers entering to waiting."""
    env, world = Env(1), EnvArrays(make_market(view), EnvParams(trading.venue, trading.limits, 1.0, 1.0))
    features = fingerprint()
    identity = Identity(
        phase=1,
        market="NQ",
        step=0,
        observation_size=env.observation_size,
        actions=ACTION_NAMES[: env.num_actions],
        fingerprint=features.digest,
        features=dict(features.parts),
        config={"trading": TRADING.model_dump(mode="json"), "trained_until_ns": 0},
        data_digest=view.bars.digest,
    )
    return save_checkpoint(folder, initial_state(EAGER, env, world), identity, final=True)


def setting_of(run_id: str, trading: Trading) -> Setting:
    """A gate that acts and fails closed."""
    return Setting(
        run_id=run_id,
        phase=1,
        venue=trading.venue,
        limits=trading.limits,
        gated=True,
        shadow=False,
        fail_factor=Decimal(0),
        max_entries_per_session=50,
    )


def folder_with_manifest(path: Path, checkpoint: Path, digest: str, trading: Trading) -> RunFolder:
    """The run's folder."""
    config = {"trading": TRADING.model_dump(mode="json"), "gate": {"engine": "rules"}, "checkpoint": str(checkpoint)}
    inputs = RunInputs(
        config=RunConfig.model_validate(config).model_dump(mode="json", exclude={"runs"}),
        bars_digest=digest,
        seconds_digest="",
        checkpoint_digest="",
        prompt_digest=PROMPT.digest,
        model="",
        rule_pack_digest=hashlib.sha256(trading.pack.model_dump_json().encode()).hexdigest(),
        code_version="1",
    )
    labels = {"rule_pack": trading.pack.name, "rule_pack_as_of": trading.pack.as_of.isoformat(), "declaration": ""}
    folder = RunFolder(path)
    path.mkdir(mode=0o700)
    folder.write_manifest(new_manifest(inputs, market="NQ", contract=trading.contract.symbol, **labels))
    return folder


def test_one_bar_from_file_to_report(tmp_path: Path) -> None:
    """The bar that closes at 10:30 of the second session: shrunk to half by the gate; the later ones are vetoed."""
    write_bars(random_bars(0, session_minutes(2)), tmp_path / "NQ_D1M.csv.gz")

    # 1 read and validate, 2 see, 4 keep: a file becomes bars, features and a policy that was saved and loaded.
    bars = read_bars(tmp_path / "NQ_D1M.csv.gz")
    trading = compile_trading(TRADING, bars.instrument)
    view = view_of(bars, trading.pack, trading.hours)
    policy = load_policy(untrained(tmp_path / "checkpoints", view, trading), fingerprint=fingerprint())
    t = closing_at(view, "10:30")

    # 5 the market moves ... 12 remember: one turn of the runner for each bar from t on.
    feed = Feed(bars.slice(t, len(bars)), None)
    gate = Gate(ScriptedEngine(["shrink", "veto"]), PROMPT, GateConfig())
    views = CloseViewTable(bars, t, trading.pack, trading.hours)
    folder = folder_with_manifest(tmp_path / "run", tmp_path / "checkpoints", bars.digest, trading)
    setting = setting_of(folder.manifest().run_id, trading)
    with Journal.open(folder.journal) as journal:
        finished = Runner(journal, Parts(feed, policy, gate), views, setting).run()
        folder.write_manifest(folder.manifest().model_copy(update={"status": "ended", "journal_head": journal.head}))
    records = list(read_journal(folder.journal))

    # 5 to 10: the bar as it was in the file, the action as the policy gives it on the batch features, half the size.
    first = ["run", "bar", "account_opened", "acted", "proposed", "decided", "intent", "bar", "fill"]
    assert finished.complete and [record.type for record in records[:9]] == first
    recorded_bar, _, acted, proposed, decided, intent, _, fill = (record.payload for record in records[1:9])
    assert (recorded_bar["ts_event_ns"], recorded_bar["close"]) == (bars.ts_event_ns[t], bars.close[t])
    observation = np.concatenate([view.features.values[t - 19 : t + 1].ravel(), np.zeros(5, np.float32)])
    action = policy.act(observation, np.ones(3, np.bool_)).action
    assert acted["action"] == action and action in (BUY, SELL)
    side, stop = (1 if action == BUY else -1), stop_distance(np, int(view.features.true_range_sum[t]))
    whole = size(PlainIntegers(), stop, trading.venue.terms, trading.limits)
    assert (proposed["quantity"], proposed["stop_ticks"], proposed["target_ticks"]) == (side * whole, stop, 3 * stop)
    assert (decided["outcome"]["size_factor"], decided["prompt"]) == ("0.5", PROMPT.digest)

    # 6 and 11: within our limits, so an order; it fills at the next open, one slippage worse.
    assert intent["quantity"] == side * (whole // 2) != 0
    assert (fill["reason"], fill["quantity"], fill["price"]) == ("entry", intent["quantity"], bars.open[t + 1] + side)
    assert fill["order"] == proposed["proposal"]["proposal_id"]

    # 12 and 13: the one trade, recomputed from its two fills, is what the journal and the report say, to the cent.
    fills = [record.payload for record in records if record.type == "fill"]
    (trade,) = (record.payload for record in records if record.type == "trade")
    gross = -sum(f["price"] * f["quantity"] for f in fills) * 50
    commissions = sum(f["commission"] for f in fills)
    assert len(fills) == 2 and trade["pnl"] == gross - commissions
    closed = next(record.payload for record in records if record.type == "session_closed")
    assert closed["cash"] == 5_000_000 + trade["pnl"]
    summary = report_on(folder.path)
    assert (summary["books"], summary["trades"], summary["status"]) == ("agree to the cent", 1, "ended")
    dollars = Decimal(summary["net_profit"].replace("$", "").replace(",", ""))
    assert dollars * 100 == trade["pnl"]
    assert (folder.path / "report.html").stat().st_size > 10_000
