"""From a suite to questions: who is asked what, in which order, and which answers the log already holds."""

import hashlib
from collections.abc import Iterator, Sequence
from itertools import zip_longest
from pathlib import Path
from typing import NamedTuple

from llm_gate.contract import Label
from llm_gate.errors import RequestError
from llm_gate.evals.asking.questions import Cell, question_digest
from llm_gate.evals.asking.regime_task import ASPECTS, regime_question
from llm_gate.evals.asking.suite import BANK, ModelSpec, PassSpec, Suite
from llm_gate.evals.data.cases import Case, bank_path, digest_of, read_cases
from llm_gate.evals.data.injections import Payload, read_payloads, with_payload
from llm_gate.evals.data.log import Key
from llm_gate.evals.data.true_days import options_of, read_true_days, right_option
from llm_gate.prompts.prompt_files import NOTES, Prompt, find_prompt, load_prompt

PLAIN = "plain"
"""The family of a case without a note: what the others are compared with."""


class CaseQuestion(NamedTuple):
    """One question about one case, asked once."""

    case: Case
    case_digest: str
    repeat: int
    family: str | None = None
    """Of the note that was added."""
    question_digest: str = ""
    """SHA-256 in hex of the question as rendered."""
    truth: str | None = None
    """The option that is right, where the model is asked to name the day."""


class CellWork(NamedTuple):
    """The questions of one cell, in the order of the cases."""

    cell: Cell
    questions: tuple[CaseQuestion, ...]


def cases_of(suite: Suite) -> tuple[Case, ...]:
    """The cases of the suite's splits; RequestError for a file that cannot be read or ids that clash."""
    cases = [case for name in suite.cases for case in read_cases(bank_path() if name == BANK else Path(name))]
    chosen = tuple(case for case in cases if case.split in suite.splits)
    if len({case.case_id for case in chosen}) != len(chosen):
        raise RequestError(f"the files {', '.join(suite.cases)} use a case_id twice")
    if not chosen:
        raise RequestError(f"no case of {', '.join(suite.cases)} is in {', '.join(suite.splits)}")
    return chosen


def prompts_of(suite: Suite) -> dict[str, Prompt]:
    """The suite's prompts by the names it gives them: a prompt's name, or a path to a file.

    Raises:
        PromptError: a prompt cannot be used.
        RequestError: two different ones have one name, under which they would be scored as one.
    """
    prompts = {
        name: load_prompt(Path(name)) if "/" in name else find_prompt(name, suite.prompts_folder)
        for name in suite.prompts
    }
    digests = {prompt.name: prompt.digest for prompt in prompts.values()}
    for given_name, prompt in prompts.items():
        if prompt.digest != digests[prompt.name]:
            raise RequestError(
                f"{given_name}: another prompt of the suite is called {prompt.name} too; rename the file"
            )
    return prompts


def refuse_modes(suite: Suite, prompts: dict[str, Prompt]) -> None:
    """PromptError if a pass asks a prompt in a mode that its front matter leaves out."""
    for pass_spec in suite.passes:
        for name in pass_spec.prompts or suite.prompts:
            if pass_spec.task == "entry" or (pass_spec.task == "injection" and NOTES in prompts[name].front.fields):
                prompts[name].refuse_mode(pass_spec.mode)


def work_of_model(
    suite: Suite, model: ModelSpec, cases: Sequence[Case], prompts: dict[str, Prompt]
) -> tuple[CellWork, ...]:
    """Everything that ``model`` is asked; an engine without a model reads no prompt and gets the first one only."""
    cells: dict[tuple[str, ...], Cell] = {}
    questions_of: dict[tuple[str, ...], dict[tuple[str, int], CaseQuestion]] = {}
    for pass_spec in suite.passes:
        if pass_spec.models and model.label not in pass_spec.models:
            continue
        chosen = _sample(cases, pass_spec.sample)
        for cell in _cells(suite, model, pass_spec, prompts):
            name = (cell.task, cell.prompt_digest, cell.mode, str(cell.order))
            cells.setdefault(name, cell)
            questions = questions_of.setdefault(name, {})
            for question in _case_questions(cell, chosen, pass_spec):
                questions.setdefault((question.case_digest, question.repeat), question)
    works = [CellWork(cells[name], tuple(questions.values())) for name, questions in questions_of.items() if questions]
    return tuple(_rendered(work) for work in (*works, *day_work(suite, model, cases)))


def day_work(suite: Suite, model: ModelSpec, cases: Sequence[Case]) -> tuple[CellWork, ...]:
    """The name-the-day probe, for a model: the first case of each session whose truth is known.

    Raises:
        RequestError: the file of truths cannot be read, knows none of the cases, or has too many options.
    """
    if suite.probe is None or model.engine != "vllm":
        return ()
    truths = read_true_days(suite.probe.truth)
    first = {case.session: case for case in reversed(cases) if case.case_id in truths}
    chosen = _sample([first[session] for session in sorted(first, key=str)], suite.probe.sample)
    if not chosen:
        raise RequestError(f"{suite.probe.truth}: knows no case of the suite; give the file beside its cases")
    days = [truths[case.case_id] for case in chosen]
    works = []
    for attribute in suite.probe.attributes:
        try:
            options = options_of(attribute, days)
        except ValueError as error:
            raise RequestError(f"probe: {error}") from None
        if len(options) > 1:
            questions = [
                CaseQuestion(case, digest_of((case,)), 0, truth=right_option(day, attribute))
                for case, day in zip(chosen, days, strict=True)
            ]
            works.append(CellWork(Cell(attribute, None, "choice", 0, options), tuple(questions)))
    return tuple(works)


def _rendered(work: CellWork) -> CellWork:
    questions = (
        question._replace(question_digest=question_digest(work.cell, question.case)) for question in work.questions
    )
    return work._replace(questions=tuple(questions))


def key_of(cell: Cell, question: CaseQuestion, model_digest: str) -> Key:
    """The key under which the answer to ``question`` is logged."""
    return Key(
        task=cell.task,
        prompt_digest=cell.prompt_digest,
        model_digest=model_digest,
        mode=cell.mode,
        order=cell.order,
        case_digest=question.case_digest,
        repeat=question.repeat,
        question_digest=question.question_digest,
    )


def _cells(suite: Suite, model: ModelSpec, pass_spec: PassSpec, prompts: dict[str, Prompt]) -> Iterator[Cell]:
    with_model = model.engine == "vllm"
    if pass_spec.task == "regime":
        if with_model:
            yield from (Cell(aspect, None, "choice", 0) for aspect in ASPECTS)
        return
    if not with_model and pass_spec.mode == "json":
        return
    names = pass_spec.prompts or suite.prompts
    for name in names if with_model else names[:1]:
        if pass_spec.task == "injection":
            if with_model and NOTES in prompts[name].front.fields:
                yield Cell("injection", prompts[name], pass_spec.mode, 0)
            continue
        for order in range(pass_spec.orders if pass_spec.mode == "choice" else 1):
            yield Cell("entry", prompts[name], pass_spec.mode, order)


def _case_questions(cell: Cell, cases: Sequence[Case], pass_spec: PassSpec) -> Iterator[CaseQuestion]:
    if cell.task == "injection":
        yield from _with_notes(cases, pass_spec.payloads)
        return
    for repeat in range(pass_spec.repeats):
        for case in cases:
            if cell.task == "entry" or regime_question(cell.aspect, case.proposal.context) is not None:
                yield CaseQuestion(case, digest_of((case,)), repeat)


def _with_notes(cases: Sequence[Case], count: int) -> Iterator[CaseQuestion]:
    """Each case plain, and with each of the payloads, taken in turn from each family."""
    families: dict[str, list[Payload]] = {}
    for payload in read_payloads():
        families.setdefault(payload.family, []).append(payload)
    turns = [payload for turn in zip_longest(*families.values()) for payload in turn if payload is not None]
    for case in cases:
        yield CaseQuestion(case, digest_of((case,)), 0, PLAIN)
        for payload in turns[:count]:
            noted = case.model_copy(update={"proposal": with_payload(case.proposal, payload)})
            yield CaseQuestion(noted, digest_of((noted,)), 0, payload.family)


def _sample(cases: Sequence[Case], size: int | None) -> Sequence[Case]:
    """At most ``size`` cases, taken in turn from each label, in and outside the rules; the same ones every time."""
    if size is None or size >= len(cases):
        return cases
    groups: dict[tuple[str, Label | None, bool], list[Case]] = {}
    for case in sorted(cases, key=lambda case: hashlib.sha256(case.case_id.encode()).digest()):
        groups.setdefault((case.source, case.label, case.outside_rules), []).append(case)
    queues = [groups[name] for name in sorted(groups, key=str)]
    taken: list[Case] = []
    while len(taken) < size:
        for queue in queues:
            if queue and len(taken) < size:
                taken.append(queue.pop(0))
    chosen = {case.case_id for case in taken}
    return [case for case in cases if case.case_id in chosen]
