"""Runs a suite: asks every question that the log does not hold yet, one model after the other.

A question that fails is a row with its cause, and a model that does not start is a row with its cause for each of
its questions: the rest goes on.
"""

import asyncio
import hashlib
import time
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import NamedTuple

from llm_gate.contract import Approve, GateFailed, Label, Resize, Reviewed, Veto
from llm_gate.engines.base import Engine
from llm_gate.engines.vllm import VllmEngine
from llm_gate.errors import EngineError, GateError, RequestError, ServerNotReadyError
from llm_gate.evals.asking.answerers import Serving, digest_of_model, voice
from llm_gate.evals.asking.letter_orders import reordered
from llm_gate.evals.asking.plan import Ask, Work, cases_of, key_of, prompts_of, refuse_modes, work_for
from llm_gate.evals.asking.questions import Cell, posed
from llm_gate.evals.asking.regime_task import reading
from llm_gate.evals.asking.suite import ModelSpec, Suite
from llm_gate.evals.data.cases import Case
from llm_gate.evals.data.log import LOG, Key, Row, RowLog, newest
from llm_gate.evals.data.trials import Trial, count_trials
from llm_gate.evals.scoring.money import rule_share
from llm_gate.review.gate import Gate, GateConfig
from trigate.errors import ResourceError

NEVER = 1_000_000_000

Step = Callable[[str, int, int], None]
"""Told the model, and how many of its missing questions are done of how many."""


class Planned(NamedTuple):
    """One model's part of a suite."""

    spec: ModelSpec
    digest: str
    work: tuple[Work, ...]


class Ran(NamedTuple):
    """A suite whose every question has a row."""

    suite: Suite
    cases: tuple[Case, ...]
    rows: list[Row]
    """Of this suite only, in the order of its questions."""
    trials: int
    asked: int
    """How many were missing before."""


def plan(suite: Suite, say: Callable[[str], None]) -> tuple[tuple[Case, ...], list[Planned]]:
    """The cases, and what each model is asked; every fault of the suite, prompts, cases and models shows here."""
    cases, prompts = cases_of(suite), prompts_of(suite)
    refuse_modes(suite, prompts)
    for prompt in prompts.values():
        prompt.render(cases[0].proposal)
    planned = [
        Planned(spec, digest_of_model(spec, say), work_for(suite, spec, cases, prompts)) for spec in suite.models
    ]
    _refuse_doubles(planned)
    return cases, planned


def run_suite(suite: Suite, folder: Path, *, say: Callable[[str], None], step: Step, retry: bool = False) -> Ran:
    """Ask what is missing in the log of ``folder``; with ``retry``, rows without a verdict are asked again.

    Raises:
        RequestError, PromptError: the suite, its prompts, cases or models cannot be used.
        ResourceError: the log is locked, or the disk refuses.
    """
    cases, planned = plan(suite, say)
    with RowLog(folder / LOG) as log:
        known = newest(log.rows)
        asked = 0
        for part in planned:
            missing = _missing(part, known, retry)
            asked += sum(len(work.asks) for work in missing)
            if missing:
                serving = Serving(folder, suite.ready_deadline_s, say)
                _ask_model(part._replace(work=tuple(missing)), suite, log, serving, step)
        rows = newest(log.rows)
    told = [_told(rows[key_of(work.cell, ask, part.digest)], part, work) for part, work, ask in _questions(planned)]
    trials = count_trials(suite.trials, [trial for part in planned for trial in _trials(part)])
    return Ran(suite, cases, told, trials, asked)


class _Said(NamedTuple):
    """An answer to one question, whatever the task."""

    answer: str | None
    latency_s: float
    share_milli: int = 0
    probabilities: dict[str, float] | None = None
    error: str | None = None
    prompt_tokens: int | None = None
    completion_tokens: int | None = None


class _Asking(NamedTuple):
    """What the questions of one model share."""

    part: Planned
    suite: Suite
    log: RowLog
    step: Callable[[int], None]
    """Told how many more are done."""


def _refuse_doubles(planned: Sequence[Planned]) -> None:
    labels: dict[str, str] = {}
    for part in planned:
        first = labels.setdefault(part.digest, part.spec.label)
        if first != part.spec.label:
            raise RequestError(f"{first} and {part.spec.label} are one model under two names; leave one out")


def _questions(planned: Sequence[Planned]) -> Iterator[tuple[Planned, Work, Ask]]:
    return ((part, work, ask) for part in planned for work in part.work for ask in work.asks)


def _told(row: Row, part: Planned, work: Work) -> Row:
    """The row under the names that this suite gives model and prompt; the log may know them by others."""
    names = {"model": part.spec.label, "prompt": work.cell.prompt_name}
    return row if names == {"model": row.model, "prompt": row.prompt} else row.model_copy(update=names)


def _missing(part: Planned, known: dict[Key, Row], retry: bool) -> list[Work]:
    def wanted(cell: Cell, ask: Ask) -> bool:
        row = known.get(key_of(cell, ask, part.digest))
        return row is None or (retry and row.answer is None)

    left = [work._replace(asks=tuple(ask for ask in work.asks if wanted(work.cell, ask))) for work in part.work]
    return [work for work in left if work.asks]


def _ask_model(part: Planned, suite: Suite, log: RowLog, serving: Serving, step: Step) -> None:
    total = sum(len(work.asks) for work in part.work)
    done = 0

    def advance(count: int) -> None:
        nonlocal done
        done += count
        step(part.spec.label, done, total)

    asking = _Asking(part, suite, log, advance)
    with ExitStack() as stack:
        try:
            engine = stack.enter_context(voice(part.spec, serving))
        except (ServerNotReadyError, ResourceError) as error:
            serving.say(f"{part.spec.label}: {error}")
            _give_up(asking, f"the model server is not ready: {str(error).splitlines()[0]}")
            return
        for work in part.work:
            asyncio.run(_ask_all(asking, engine, work))


def _give_up(asking: _Asking, cause: str) -> None:
    for work in asking.part.work:
        for ask in work.asks:
            asking.log.append(_row(asking.part, work.cell, ask, _Said(None, 0.0, error=cause)))
        asking.step(len(work.asks))


async def _ask_all(asking: _Asking, engine: Engine, work: Work) -> None:
    """Ask the questions of one cell, a few at a time."""
    left = iter(work.asks)
    answer = _answerer(asking.suite, engine, work.cell)

    async def one_after_the_other() -> None:
        for ask in left:
            asking.log.append(_row(asking.part, work.cell, ask, await answer(ask)))
            asking.step(1)

    try:
        async with asyncio.TaskGroup() as group:
            for _ in range(asking.suite.concurrency):
                group.create_task(one_after_the_other())
    except ExceptionGroup as faults:
        raise faults.exceptions[0] from None


def _answerer(suite: Suite, engine: Engine, cell: Cell) -> Callable[[Ask], Awaitable[_Said]]:
    """How one cell's questions are asked."""
    if cell.prompt is None:
        assert isinstance(engine, VllmEngine), "only a model is asked to read"
        return partial(_read, engine, cell, suite.deadline_s)
    config = GateConfig(
        mode=cell.mode,
        deadline_s=suite.deadline_s,
        breaker_failures=NEVER,
        alarm_window=NEVER,
        remembered=0,
        cache_entries=0,  # a repetition is asked, not remembered
    )
    return partial(_review, Gate(engine, reordered(cell.prompt, cell.order), config))


async def _review(gate: Gate, ask: Ask) -> _Said:
    proposal = ask.case.proposal.model_copy(update={"proposal_id": _proposal_id(ask)})
    try:
        reviewed = await gate.review(proposal)
    except GateError as error:  # the prompt refuses this case
        return _Said(None, 0.0, error=f"{type(error).__name__}: {error}")
    answer, share_milli = _effect(reviewed, proposal.quantity)
    outcome = reviewed.outcome
    return _Said(
        answer=answer,
        latency_s=reviewed.latency_s,
        share_milli=share_milli,
        probabilities=None if reviewed.probabilities is None else dict(reviewed.probabilities.items()),
        error=outcome.cause if isinstance(outcome, GateFailed) else None,
        prompt_tokens=reviewed.prompt_tokens,
        completion_tokens=reviewed.completion_tokens,
    )


async def _read(engine: VllmEngine, cell: Cell, deadline_s: float, ask: Ask) -> _Said:
    question = posed(cell, ask.case)
    letters: dict[str, Label] = dict.fromkeys(question.meanings, "approve")  # the labels play no part here
    started_s = time.monotonic()
    try:
        async with asyncio.timeout(deadline_s):
            answer = await engine.ask(question.chat, letters, _proposal_id(ask))
    except (EngineError, TimeoutError) as error:
        cause = "timeout" if isinstance(error, TimeoutError) else type(error).__name__
        return _Said(None, time.monotonic() - started_s, error=cause)
    meanings, odds = question.meanings, answer.probabilities
    return _Said(
        answer=meanings.get(answer.letter),
        latency_s=time.monotonic() - started_s,
        probabilities=None if odds is None else {meanings[letter]: min(1.0, p) for letter, p in odds.items()},
        error=None if answer.letter in meanings else "malformed",
        prompt_tokens=answer.prompt_tokens,
        completion_tokens=answer.completion_tokens,
    )


def _effect(reviewed: Reviewed, quantity: int) -> tuple[Label | None, int]:
    """The label that a verdict amounts to, and how much of the contracts it lets through, in thousandths."""
    match reviewed.outcome:
        case Approve():
            return "approve", 1000
        case Resize(size_factor=factor):
            return "shrink", round(1000 * (int(factor * quantity) / quantity))
        case Veto():
            return "veto", 0
        case GateFailed():
            return None, 0


def _proposal_id(ask: Ask) -> str:
    """The case's own, and for a repetition another one: an answer belongs to one decision."""
    own = ask.case.proposal.proposal_id
    return own if ask.repeat == 0 else hashlib.sha256(f"{own}/{ask.repeat}".encode()).hexdigest()[:32]


def _row(part: Planned, cell: Cell, ask: Ask, said: _Said) -> Row:
    case = ask.case
    return Row(
        task=cell.task,
        prompt=cell.prompt_name,
        prompt_digest=cell.prompt_digest,
        model=part.spec.label,
        model_digest=part.digest,
        mode=cell.mode,
        order=cell.order,
        repeat=ask.repeat,
        case_id=case.case_id,
        case_digest=ask.case_digest,
        source=case.source,
        split=case.split,
        regime=case.regime,
        outside_rules=case.outside_rules,
        truth=_truth(cell, ask),
        question_digest=ask.question,
        options=len(cell.options) or None,
        family=ask.family,
        outcome_r_milli=case.outcome_r_milli,
        session=case.session,
        rule_share_milli=round(1000 * rule_share(case.proposal)),
        **said._asdict(),
    )


def _truth(cell: Cell, ask: Ask) -> str | None:
    if cell.task in ("entry", "injection"):
        return ask.case.label if cell.task == "entry" else None
    if cell.probed is not None:
        return ask.truth
    found = reading(cell.aspect, ask.case.proposal.context)
    return None if found is None else found.truth


def _trials(part: Planned) -> list[Trial]:
    """The prompts that a model was tried with; a control was not chosen for its luck."""
    if part.spec.engine != "vllm":
        return []
    cells = [work.cell for work in part.work if work.cell.task == "entry"]
    return [Trial("prompt", cell.prompt_digest, part.digest, cell.mode) for cell in cells]
