"""What a report does not prove: plain sentences, each chosen by a fact of the run."""

from collections.abc import Iterator

from llm_gate.review.calibrated_verdict import Calibration
from orchestrator.report.facts import RunFacts
from orchestrator.report.figures import AttemptFigures, GateFigures, TradeFigures
from rl_core.market.attempts import NARROW_BUDGETS, REFUSED_SESSIONS
from rl_core.rules.pack import RulePack
from rl_core.rules.text import left_out
from rl_core.statistics.criteria import read_criteria
from rl_core.statistics.verdict import Tries

AUTOMATION = {
    "banned": "The rule pack says that the firm bans automated trading. This run is a rehearsal: nothing here may be "
    "sent to such an account.",
    "unknown": "The rule pack does not know whether the firm allows automated trading. Take it as banned: this run is "
    "a rehearsal.",
    "restricted": "The firm restricts automated trading; the pack does not say that this use is allowed.",
}


def caveats(
    facts: RunFacts, trades: TradeFigures, attempts: AttemptFigures, gate: GateFigures, sessions: int, tries: Tries
) -> list[str]:
    """Every sentence that applies; ``sessions`` is the number of trading days in the run, ``tries`` looked at them."""
    return [
        *_on_bars(facts),
        *_on_numbers(trades, sessions, tries, by_policy=facts.by_policy),
        *_on_gate(facts, gate),
        *_on_fills(facts, trades),
        *_on_rules(facts, attempts),
        *_on_goal(facts.trading.pack),
        *(f"{doubt[0].upper()}{doubt[1:]}." for doubt in facts.doubts),
    ]


def _on_bars(facts: RunFacts) -> Iterator[str]:
    if facts.synthetic:
        yield (
            "The bars are a generated world whose edge was planted. A profit here shows that the machinery works; it "
            "says nothing about a market."
        )
    if not facts.by_policy:
        yield from _on_own_entries(facts)
    elif facts.origin.in_sample:
        yield (
            "The run traded bars that the policy or its phase 1 was trained on. Its result is in sample: any learner "
            "can know such bars by heart."
        )
    if facts.origin.trained_on_world and not facts.synthetic:
        yield (
            "The policy was trained on a synthetic world. If these bars are a copy of one without its declaration, the "
            "result shows the planted edge."
        )
    if facts.manifest.foreign_market:
        yield f"{facts.manifest.foreign_market[0].upper()}{facts.manifest.foreign_market[1:]}."
    if facts.by_policy:
        yield "The bars file does not say whether volumes were measured or imputed, and the policy sees volume."


def _on_own_entries(facts: RunFacts) -> Iterator[str]:
    yield "The entries are a trader's own. Whether they were made before the market moved, or after, no file can say."
    if facts.origin.in_sample:
        yield (
            "The run traded bars that had been seen when the entries were made. Its result is in sample: whoever knows "
            "the bars can choose the winners."
        )


def _on_numbers(trades: TradeFigures, sessions: int, tries: Tries, *, by_policy: bool) -> Iterator[str]:
    traded = trades.expectancy.sessions if trades.expectancy else 0
    needed = read_criteria().policy
    if traded < needed.min_sessions or trades.closed < needed.min_trades:
        yield (
            f"{trades.closed} trades on {traded} of {sessions} sessions are few: under {needed.min_trades} trades or "
            f"{needed.min_sessions} sessions with trades no edge counts as proven."
        )
    others, elsewhere = tries.made - 1, "what was tried elsewhere is not counted"
    counted = f"No other look at these sessions stands in the registry of tries; {elsewhere}."
    if others:
        other = "One other" if others == 1 else f"{others} others"
        counted = (
            f"{other} looked at some of these sessions, by the registry of tries; the verdict is deflated for that; "
            f"{elsewhere}."
        )
    who = "One seed, one checkpoint" if by_policy else "One list of entries"
    yield f"{who}, one stretch of bars. {counted}"


def _on_gate(facts: RunFacts, gate: GateFigures) -> Iterator[str]:
    engine = facts.gate["engine"]
    if engine == "off":
        yield "No gate judged the entries, so nothing here speaks for or against one."
        return
    if engine == "rules":
        yield "The gate was the three-line rule, the control that a model has to beat. No language model was asked."
    elif facts.gate["model"] == "package":
        yield (
            f"The gate is not proven. Its model, {facts.model or 'the package model'}, is very small and has next to "
            "no judgement: it shows that the path works, not that its vetoes are worth anything."
        )
    else:
        yield f"The gate is not proven: its model is {facts.model}, and it was not compared with random vetoes."
    yield from _on_what_was_fitted(facts)
    if facts.gate["shadow"]:
        yield "The gate ran in shadow: its verdicts were recorded and did not act."
    yield (
        "The worth of a gate is the whole path rerun with it and without it, paired by session. That was not done "
        "here; the veto ledger looks at each proposal alone."
    )
    if gate.alarm:
        yield f"The gate's alarm rang: {gate.alarm}. Such a gate does not tell one proposal from another."
    if gate.failures:
        failed = sum(gate.failures.values())
        yield f"The gate gave no verdict on {failed} proposals; they count as failures, not as vetoes."


def _on_what_was_fitted(facts: RunFacts) -> Iterator[str]:
    if facts.calibration is not None:
        yield _calibration_in_words(facts.calibration)
    if facts.size is not None:
        yield (
            f"The size near the floor was not the gate's: {facts.size_words}. What it did to this run's path is not "
            "told apart from what the gate did."
        )


def _calibration_in_words(used: Calibration) -> str:
    test = used.folds[-1]
    shrunk = "" if used.shrink_from is None else f", shrank from {used.shrink_from:.3f} on"
    text = (
        f"A calibration made the verdicts: the gate approved from P(approve) {used.threshold:.3f} on{shrunk} and "
        f"vetoed below, whatever letter the model chose. It was fitted on {used.fitted_rows} answers (data digest "
        f"{used.data_digest}), with {used.trials} prompts and thresholds tried until then."
    )
    if test.r_gate is None or test.r_always is None:
        return text
    return (
        f"{text} On the {test.rows} later proposals it was tested on, it earned {test.r_gate:+.3f} R a proposal, "
        f"approving all {test.r_always:+.3f}."
    )


def _on_fills(facts: RunFacts, trades: TradeFigures) -> Iterator[str]:
    if facts.mode == "advisory":
        yield (
            "The account follows every plan as if it had been taken, at simulated fills. What a person did with the "
            "plans, and at which prices, is not known here."
        )
    if facts.sent_to:
        yield (
            f"Fills are those that the broker of account {facts.sent_to} told, at its prices. Commission is the "
            f"configured one: what the broker charged is not known here. The veto ledger runs its brackets alone, at "
            f"simulated fills and full size."
        )
        return
    how = {
        "pessimistic": "the stop is taken to come first",
        "adaptive": "the extreme nearer the open comes first",
        "seconds": "within one second the stop is taken to come first",
    }
    bars = "one-second" if facts.resolution == "seconds" else "minute"
    yield (
        f"Fills are simulated from {bars} bars, resolution {facts.resolution}: where stop and target lie in one bar, "
        f"{how[facts.resolution]}. That decided {trades.ambiguous} of {trades.closed} trades. "
        f"{_costs_in_words(facts)}"
    )


def _costs_in_words(facts: RunFacts) -> str:
    frictions = facts.trading.frictions
    if frictions is None:
        return f"Slippage is a fixed {facts.trading.venue.terms.slippage_ticks} tick and every order fills whole."
    cap = f"an entry takes at most {frictions.volume_milli / 10:g} % of a bar's volume, an exit fills whole"
    filled = cap if frictions.volume_milli else "every order fills whole"
    return (
        f"Slippage is {min(frictions.by_minute)} to {max(frictions.by_minute)} ticks by the clock and at least "
        f"{frictions.atr_milli / 10:g} % of ATR{frictions.atr_bars}; {filled}. "
        "The veto ledger runs its brackets alone at fixed slippage and full size."
    )


def _on_rules(facts: RunFacts, attempts: AttemptFigures) -> Iterator[str]:
    pack = facts.trading.pack
    if pack.automation in AUTOMATION:
        yield AUTOMATION[pack.automation]
    if unsimulated := left_out(pack):
        yield f"Not simulated of the rules: {'; '.join(unsimulated)}."
    if attempts.paused_days:
        yield f"The daily loss limit ended {attempts.paused_days} trading days early; the account went on the next day."
    if attempts.opened > 1:
        yield "A new account replaced each one that ended, free of charge: fees and resets are not in the profit."
    if facts.rules_stale:
        yield f"The rules were read on {pack.as_of}, more than 90 days before the run; they may have changed."
    if attempts.refused:
        yield (
            f"{attempts.refused} of the accounts were stranded by the gate: in {REFUSED_SESSIONS} sessions in a row it "
            f"vetoed every entry while the room to the floor was under {NARROW_BUDGETS} trades' risk. Without a trade "
            "that room never changes, so the next attempt began."
        )
    if attempts.idle_sessions:
        yield f"No entry was made in the last {attempts.idle_sessions} sessions. {_why_idle(attempts)}"


def _why_idle(attempts: AttemptFigures) -> str:
    """Why there was no entry at the end: the gate, where it vetoed what was proposed, else the room."""
    room = f"${attempts.room_left / 100:,.2f} of room above its floor at the end"
    if attempts.idle_vetoes:
        return (
            f"The policy proposed {attempts.idle_proposals:,} entries in them, and the gate vetoed "
            f"{attempts.idle_vetoes:,}; the last account had {room}."
        )
    return f"The last account had {room}; an entry needs more than its stop's loss and costs."


def _on_goal(pack: RulePack) -> Iterator[str]:
    if pack.target is None:
        yield "The account has no target: it trades until it fails. Payouts are not simulated."
    if pack.consistency is not None and pack.consistency.scope == "payout":
        yield "The best-day rule blocks payouts only, so it ends nothing here; see the account's days."
