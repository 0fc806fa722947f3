"""Which account suits a run: an evaluation's numbers where nothing interfered, and without what a gate took out."""

import re
from pathlib import Path

import pytest
from played_runs import every_tenth_minute, play, walk, winning_run

from llm_gate.contract import Approve, Outcome, Veto
from orchestrator.journal.journal import Journal, read_journal
from orchestrator.report.account_book import account_book, proposals_of, read_account_book
from orchestrator.report.facts import facts_of
from orchestrator.report.packs import AccountFit, account_fit
from orchestrator.run.folder import RunFolder
from orchestrator.run.runner import Runner
from orchestrator.trader.seen_at_close import CloseViewStream
from rl_core.checkpoints.policy import Policy
from rl_core.evaluation.account_value import with_values
from rl_core.evaluation.accounts import played_tapes
from rl_core.evaluation.entrants import Trained
from rl_core.evaluation.inputs import EvaluationInputs
from rl_core.evaluation.pack_odds import PackOdds, chosen_packs, odds_of
from rl_core.evaluation.span import span_of
from rl_core.exchange.instruments import instrument
from rl_core.features.market_view import view_of
from rl_core.features.observation import MANAGEMENT_SIZE
from rl_core.rules.prices import read_prices
from rl_core.trading.setup import Trading, TradingConfig, compile_trading, resolved
from tests.orchestrator.run.test_carried_evaluation import Answers, setting_of, some_policy
from tests.rl_core.markets import RULES_FOLDER, random_bars, session_minutes

MINUTE, DAY = 60_000_000_000, 1440
SAME_FLAT = "plain_static,apex_4_0#50k-eod-eval-rithmic,apex_legacy#50k-eval-rithmic"


def blind_to_its_account() -> Policy:
    """A policy that enters and manages for reasons of the market's alone."""
    policy = some_policy(2, 7)
    (kernel,), (bias,) = policy.kernels, policy.biases
    kernel[-MANAGEMENT_SIZE:] = 0
    bias[0] = 5.0
    return policy


def roomy(folder: Path) -> Trading:
    """An account that stops nothing."""
    text = (RULES_FOLDER / "plain_static.toml").read_text().replace("target = 3_000", "").replace("= 2_000", "= 45_000")
    (folder / "roomy.toml").write_text(text.replace("floor = 48_000", "floor = 5_000"))
    config = TradingConfig.model_validate({"rules": str(folder / "roomy.toml"), "risk_dollars": 250})
    return compile_trading(resolved(config, seconds=False), instrument("NQ"))


def test_a_run_that_nothing_stopped_has_the_odds_of_an_evaluation(tmp_path: Path) -> None:
    minutes = session_minutes(10)
    of_day = minutes // MINUTE % DAY
    bars = random_bars(4, minutes[(of_day >= 14 * 60) & (of_day < 22 * 60)], spread=40.0)
    trading, policy = roomy(tmp_path), blind_to_its_account()
    view = view_of(bars, trading.pack, trading.hours, trading.yardstick)
    span = span_of(view.located.session, 0)
    answers = Answers(bars, span, policy, None)
    stream = CloseViewStream(int(bars.ts_event_ns[0]), trading.pack, trading.hours, yardstick=trading.yardstick)
    for t in range(span.first):
        stream.push(answers.bar(t - span.first))
    with Journal.open(tmp_path / "journal.jsonl") as journal:
        setting = setting_of(trading, policy)._replace(max_entries_per_session=1 << 30)
        assert Runner(journal, answers, stream, setting).run().complete
    book = account_book(read_journal(tmp_path / "journal.jsonl"))

    fit = account_fit(trading, book, proposals_of(book), draws=100)
    inputs = EvaluationInputs(Trained(policy), view, trading, span)
    tapes = played_tapes(inputs)
    expected = odds_of(trading, chosen_packs(SAME_FLAT), tapes, draws=100)
    expected = with_values(expected, read_prices(), trading, tapes, draws=100)

    assert fit is not None and {event.payload["action"] for event in book.of("managed")} >= {"breakeven", "trail_on"}
    found = {odds.name: odds for odds in fit.odds}
    assert [found[odds.name] for odds in expected] == expected
    assert len({tuple(odds.shares.values()) for odds in expected}) == 3
    assert (fit.cut_short, fit.own.name, fit.own.passes) == (0, "Plain static 50K (yours)", None)


def fit_of(run: RunFolder) -> AccountFit | None:
    book = read_account_book(run)
    return account_fit(facts_of(run.path, run.manifest()).trading, book, proposals_of(book), draws=100)


@pytest.fixture(scope="module")
def whole(won: RunFolder) -> AccountFit:
    """Of a run whose gate approved everything."""
    fit = fit_of(won)
    assert fit is not None
    return fit


def test_every_pack_with_a_target_is_asked_and_the_best_stands_first(whole: AccountFit) -> None:
    """The policy knows what comes, so its accounts pass before their sessions end; twelve sessions prove little yet."""
    fit = whole

    assert fit.cut_short > 2
    assert len(fit.odds) + fit.without_target == len(chosen_packs("all")) and fit.without_target > 10
    chances = [odds.passes for odds in fit.odds]
    assert all(chance is not None for chance in chances) and chances == sorted(chances, reverse=True)  # type: ignore[type-var]
    assert re.match(r"none: the best, .*, passes in \d+% of attempts, of which \d+% are sure", fit.sentence)
    assert fit.own in fit.odds and fit.own.pack.name.startswith("Apex")


def test_what_the_gate_took_out_is_not_traded_under_any_pack(tmp_path: Path, whole: AccountFit) -> None:
    """Every second entry vetoed: twice the sessions to the same target; all of them: nothing to draw from."""
    half = fit_of(winning_run(tmp_path / "half", verdicts=veto_every_second, engine="vllm"))
    bars = walk(("2024-06-03",))
    actions = every_tenth_minute(bars)
    nothing = fit_of(play(tmp_path / "none", bars, actions, lambda number: Veto(reason="no"), engine="vllm"))
    unfinished = fit_of(play(tmp_path / "cut", bars, actions, stop_after=100))

    assert half is not None and nothing is unfinished is None
    took, longer = (named("topstep_combine#150k", fit).median_sessions for fit in (whole, half))
    assert took is not None and longer is not None and longer > 1.5 * took


def veto_every_second(number: int) -> Outcome:
    return Veto(reason="no") if number % 2 else Approve()


def named(name: str, fit: AccountFit) -> PackOdds:
    return next(odds for odds in fit.odds if odds.name == name)
