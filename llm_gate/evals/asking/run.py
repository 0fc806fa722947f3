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
from llm_gate.evals.asking.answerers import Serving, answering_engine, digest_of_model
from llm_gate.evals.asking.letter_orders import reordered
from llm_gate.evals.asking.plan import CaseQuestion, CellWork, cases_of, key_of, prompts_of, refuse_modes, work_of_model
from llm_gate.evals.asking.questions import Cell, rendered_question
from llm_gate.evals.asking.regime_task import regime_question
from llm_gate.evals.asking.suite import ModelSpec, Suite
from llm_gate.evals.data.cases import Case
from llm_gate.evals.data.log import LOG, Key, Row, RowLog, newest
from llm_gate.evals.data.trials import Trial, count_trials
from llm_gate.evals.scoring.money import rule_share
from llm_gate.review.gate import Gate, GateConfig
from llm_gate.review.rehearsal import proof_of
from trigate.errors import ResourceError

NO_LIMIT = 1_000_000_000
"""Of failures and equal verdicts: an evaluation goes on, whatever a model answers."""

Step = Callable[[str, int, int], None]
"""Called with the model's name, the number of its questions that are answered, and the number of all."""


class ModelPlan(NamedTuple):
    """Everything that one model of a suite is asked."""

    spec: ModelSpec
    digest: str
    work: tuple[CellWork, ...]


class Asked(NamedTuple):
    """One question of a suite: what is needed to show it again as it was sent."""

    cell: Cell
    case: Case
    """With the note that was added, where one was."""


class SuiteRun(NamedTuple):
    """A suite that was run: every question has a row in the log."""

    suite: Suite
    cases: tuple[Case, ...]
    rows: list[Row]
    """Of this suite only, in the order of its questions."""
    asked: list[Asked]
    """The question of each row."""
    trials: int
    newly_asked: int
    """How many rows were missing before, and were asked for now."""


def plan_suite(suite: Suite, say: Callable[[str], None]) -> tuple[tuple[Case, ...], list[ModelPlan]]:
    """The cases, and what each model is asked; every fault of the suite, prompts, cases and models shows here."""
    cases, prompts = cases_of(suite), prompts_of(suite)
    refuse_modes(suite, prompts)
    for prompt in prompts.values():
        prompt.render(cases[0].proposal)
    model_plans = [
        ModelPlan(spec, digest_of_model(spec, say), work_of_model(suite, spec, cases, prompts)) for spec in suite.models
    ]
    _refuse_doubles(model_plans)
    return cases, model_plans


def run_suite(suite: Suite, folder: Path, *, say: Callable[[str], None], step: Step, retry: bool = False) -> SuiteRun:
    """Ask what is missing in the log of ``folder``; with ``retry``, rows without a verdict are asked again.

    Raises:
        RequestError, PromptError: the suite, its prompts, cases or models cannot be used.
        ResourceError: the log is locked, or the disk refuses.
    """
    cases, model_plans = plan_suite(suite, say)
    with RowLog(folder / LOG) as log:
        known = newest(log.rows)
        asked_count = 0
        for model_plan in model_plans:
            missing = _missing(model_plan, known, retry)
            asked_count += sum(len(work.questions) for work in missing)
            if missing:
                ways = [(work.cell.prompt, work.cell.mode) for work in missing]
                proof = proof_of((prompt, mode) for prompt, mode in ways if prompt is not None)
                serving = Serving(folder, suite.ready_deadline_s, say, proof)
                _ask_model(model_plan._replace(work=tuple(missing)), suite, log, serving, step)
        logged = newest(log.rows)
    suite_rows = [
        _under_suite_names(logged[key_of(work.cell, question, model_plan.digest)], model_plan, work)
        for model_plan, work, question in _questions(model_plans)
    ]
    asked = [Asked(work.cell, question.case) for _, work, question in _questions(model_plans)]
    trials = count_trials(suite.trials, [trial for model_plan in model_plans for trial in _trials(model_plan)])
    return SuiteRun(suite=suite, cases=cases, rows=suite_rows, asked=asked, trials=trials, newly_asked=asked_count)


class _LoggedAnswer(NamedTuple):
    """What the log keeps of one answer, whatever the task; the names are those of `Row`."""

    answer: str | None
    latency_s: float
    share_milli: int = 0
    probabilities: dict[str, float] | None = None
    error: str | None = None
    reason: str | None = None
    prompt_tokens: int | None = None
    completion_tokens: int | None = None


class _ModelTurn(NamedTuple):
    """What all questions of one model share while they are asked."""

    model_plan: ModelPlan
    suite: Suite
    log: RowLog
    step: Callable[[int], None]
    """Called with the number of questions that were answered since the last call."""


def _refuse_doubles(model_plans: Sequence[ModelPlan]) -> None:
    labels: dict[str, str] = {}
    for model_plan in model_plans:
        first = labels.setdefault(model_plan.digest, model_plan.spec.label)
        if first != model_plan.spec.label:
            raise RequestError(f"{first} and {model_plan.spec.label} are one model under two names; leave one out")


def _questions(model_plans: Sequence[ModelPlan]) -> Iterator[tuple[ModelPlan, CellWork, CaseQuestion]]:
    return (
        (model_plan, work, question)
        for model_plan in model_plans
        for work in model_plan.work
        for question in work.questions
    )


def _under_suite_names(row: Row, model_plan: ModelPlan, work: CellWork) -> Row:
    """The row under the names that this suite gives model and prompt; the log may know them by others."""
    names = {"model": model_plan.spec.label, "prompt": work.cell.prompt_name}
    return row if names == {"model": row.model, "prompt": row.prompt} else row.model_copy(update=names)


def _missing(model_plan: ModelPlan, known: dict[Key, Row], retry: bool) -> list[CellWork]:
    def wanted(cell: Cell, question: CaseQuestion) -> bool:
        row = known.get(key_of(cell, question, model_plan.digest))
        return row is None or (retry and row.answer is None)

    missing = [
        work._replace(questions=tuple(question for question in work.questions if wanted(work.cell, question)))
        for work in model_plan.work
    ]
    return [work for work in missing if work.questions]


def _ask_model(model_plan: ModelPlan, suite: Suite, log: RowLog, serving: Serving, step: Step) -> None:
    total = sum(len(work.questions) for work in model_plan.work)
    done = 0

    def advance(count: int) -> None:
        nonlocal done
        done += count
        step(model_plan.spec.label, done, total)

    model_turn = _ModelTurn(model_plan, suite, log, advance)
    with ExitStack() as stack:
        try:
            engine = stack.enter_context(answering_engine(model_plan.spec, serving))
        except (ServerNotReadyError, ResourceError) as error:
            serving.say(f"{model_plan.spec.label}: {error}")
            _log_unanswered(model_turn, f"the model server is not ready: {str(error).splitlines()[0]}")
            return
        for work in model_plan.work:
            asyncio.run(_ask_all(model_turn, engine, work))


def _log_unanswered(model_turn: _ModelTurn, cause: str) -> None:
    unanswered = _LoggedAnswer(answer=None, latency_s=0.0, error=cause)
    for work in model_turn.model_plan.work:
        for question in work.questions:
            model_turn.log.append(_row(model_turn.model_plan, work.cell, question, unanswered))
        model_turn.step(len(work.questions))


async def _ask_all(model_turn: _ModelTurn, engine: Engine, work: CellWork) -> None:
    """Ask the questions of one cell, a few at a time."""
    left = iter(work.questions)
    answer = _way_of_asking(model_turn.suite, engine, work.cell)

    async def one_after_the_other() -> None:
        for question in left:
            model_turn.log.append(_row(model_turn.model_plan, work.cell, question, await answer(question)))
            model_turn.step(1)

    try:
        async with asyncio.TaskGroup() as group:
            for _ in range(model_turn.suite.concurrency):
                group.create_task(one_after_the_other())
    except ExceptionGroup as faults:
        raise faults.exceptions[0] from None


def _way_of_asking(suite: Suite, engine: Engine, cell: Cell) -> Callable[[CaseQuestion], Awaitable[_LoggedAnswer]]:
    """The function that asks one question of ``cell``: through the gate, or the model alone for another task."""
    if cell.prompt is None:
        assert isinstance(engine, VllmEngine), "only a model is asked what the market or the day is"
        return partial(_answer_without_gate, engine, cell, suite.deadline_s)
    config = GateConfig(
        mode=cell.mode,
        deadline_s=suite.deadline_s,
        breaker_failures=NO_LIMIT,
        alarm_window=NO_LIMIT,
        remembered=0,
        cache_entries=0,  # a repetition is asked, not remembered
    )
    return partial(_answer_by_gate, Gate(engine, reordered(cell.prompt, cell.order), config))


async def _answer_by_gate(gate: Gate, question: CaseQuestion) -> _LoggedAnswer:
    proposal = question.case.proposal.model_copy(update={"proposal_id": _proposal_id(question)})
    try:
        reviewed = await gate.review(proposal)
    except GateError as error:  # the prompt refuses this case
        return _LoggedAnswer(None, 0.0, error=f"{type(error).__name__}: {error}")
    answer, share_milli = _effect(reviewed, proposal.quantity)
    outcome = reviewed.outcome
    return _LoggedAnswer(
        answer=answer,
        latency_s=reviewed.latency_s,
        share_milli=share_milli,
        probabilities=None if reviewed.probabilities is None else dict(reviewed.probabilities.items()),
        error=outcome.cause if isinstance(outcome, GateFailed) else None,
        reason=outcome.reason if isinstance(outcome, Resize | Veto) and reviewed.reason_source == "model" else None,
        prompt_tokens=reviewed.prompt_tokens,
        completion_tokens=reviewed.completion_tokens,
    )


async def _answer_without_gate(
    engine: VllmEngine, cell: Cell, deadline_s: float, question: CaseQuestion
) -> _LoggedAnswer:
    rendered = rendered_question(cell, question.case)
    letters: dict[str, Label] = dict.fromkeys(rendered.meanings, "approve")  # the labels play no part here
    started_s = time.monotonic()
    try:
        async with asyncio.timeout(deadline_s):
            answer = await engine.ask(rendered.chat, letters, _proposal_id(question))
    except (EngineError, TimeoutError) as error:
        cause = "timeout" if isinstance(error, TimeoutError) else type(error).__name__
        return _LoggedAnswer(None, time.monotonic() - started_s, error=cause)
    meanings, probabilities = rendered.meanings, answer.probabilities
    return _LoggedAnswer(
        answer=meanings.get(answer.letter),
        latency_s=time.monotonic() - started_s,
        probabilities=(
            None if probabilities is None else {meanings[letter]: min(1.0, p) for letter, p in probabilities.items()}
        ),
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


def _proposal_id(question: CaseQuestion) -> str:
    """The case's own, and for a repetition another one: an answer belongs to one decision."""
    case_id = question.case.proposal.proposal_id
    return case_id if question.repeat == 0 else hashlib.sha256(f"{case_id}/{question.repeat}".encode()).hexdigest()[:32]


def _row(model_plan: ModelPlan, cell: Cell, question: CaseQuestion, answer: _LoggedAnswer) -> Row:
    case = question.case
    return Row(
        task=cell.task,
        prompt=cell.prompt_name,
        prompt_digest=cell.prompt_digest,
        model=model_plan.spec.label,
        model_digest=model_plan.digest,
        mode=cell.mode,
        order=cell.order,
        repeat=question.repeat,
        case_id=case.case_id,
        case_digest=question.case_digest,
        source=case.source,
        split=case.split,
        regime=case.regime,
        outside_rules=case.outside_rules,
        truth=_truth(cell, question),
        question_digest=question.question_digest,
        options=len(cell.options) or None,
        family=question.family,
        outcome_r_milli=case.outcome_r_milli,
        session=case.session,
        rule_share_milli=round(1000 * rule_share(case.proposal)),
        **answer._asdict(),
    )


def _truth(cell: Cell, question: CaseQuestion) -> str | None:
    if cell.task in ("entry", "injection"):
        return question.case.label if cell.task == "entry" else None
    if cell.day_attribute is not None:
        return question.truth
    asked = regime_question(cell.aspect, question.case.proposal.context)
    return None if asked is None else asked.right_answer


def _trials(model_plan: ModelPlan) -> list[Trial]:
    """The prompts that a model was tried with; controls are fixed beforehand, so they are no trials."""
    if model_plan.spec.engine != "vllm":
        return []
    cells = [work.cell for work in model_plan.work if work.cell.task == "entry"]
    return [Trial("prompt", cell.prompt_digest, model_plan.digest, cell.mode) for cell in cells]
