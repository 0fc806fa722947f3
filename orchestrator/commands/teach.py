"""`orchestrator teach`: a gate taught on what a policy's entries earned, and judged on the sessions after those."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from orchestrator.run.config import GateSection, RunConfig
from orchestrator.run.settings import read_run_config
from trigate.command_line import ConfigFile, Settings
from trigate.errors import ConfigError, ExitCode
from trigate.whole_files import disk_faults, write_whole

if TYPE_CHECKING:
    from llm_gate.evals.asking.suite import Suite
    from llm_gate.teaching.lessons import Lessons
    from orchestrator.run.plan import RunPlan

CASES = "cases.jsonl"
REGRESSION, TAUGHT, JUDGED = "logistic.json", "taught", "judged"
TAUGHT_PROMPT = "entry_taught.v1"
EMBARGO = 1  # sessions left out between those that teach and those that judge


def teach(
    out: Annotated[Path, typer.Option(help="Folder for the run, its cases, both taught gates and the page.")],
    bars: Annotated[Path | None, typer.Option(help="Minute bars that the policy was not trained on.")] = None,
    checkpoint: Annotated[Path | None, typer.Option(help="The policy: a training run or checkpoint folder.")] = None,
    model: Annotated[str, typer.Option(help="Whose output layer is taught: package, tiny or a folder.")] = "package",
    tune_share: Annotated[float, typer.Option(min=0.1, max=0.9, help="Of the sessions, the first ones teach.")] = 0.6,
    config: ConfigFile = None,
    settings: Settings = None,
) -> None:
    """Play the policy without a gate, teach a regression and a model on its first sessions, judge them on the later.

    Given again, it goes on where it was stopped. The page compares the model before and after, the regression, the
    three-line rule and approving everything, in R and in milliseconds.
    """
    asked = read_run_config(config, settings or (), {"--bars": bars, "--checkpoint": checkpoint}).config
    with disk_faults(out):
        out.mkdir(parents=True, exist_ok=True)
    cases = _cases_of(asked, out, tune_share)
    lessons = _lessons(cases)
    _teach_regression(lessons, out / REGRESSION)
    _teach_model(lessons, out / TAUGHT, model)
    _judge(_suite(cases, asked.gate, out, model), out / JUDGED)


def _cases_of(asked: RunConfig, out: Path, tune_share: float) -> Path:
    """The file of the policy's own proposals on every held-out session; played now, or before by the same command."""
    from llm_gate.evals.data.cases import write_cases
    from orchestrator.report.cases import in_sample_line, recorded_cases
    from orchestrator.run.plan import plan_run

    ungated = asked.model_copy(
        update={"name": "lessons", "gate": GateSection(engine="off"), "sessions": None, "runs": out / "runs"}
    )
    plan = plan_run(ungated, say=_say)
    found = recorded_cases(_played(plan), tune_share=tune_share, embargo=EMBARGO)
    path = out / CASES
    write_cases(found.cases, path)
    tune = sum(case.split == "tune" for case in found.cases)
    _say(f"{len(found.cases)} cases of {found.sessions} sessions: {tune} teach, {len(found.cases) - tune} judge")
    _say(in_sample_line(found.cases))
    return path


def _played(plan: "RunPlan") -> Path:
    """The folder of the ended run of this plan: an earlier one, or one played now."""
    from orchestrator.run.folder import ended_run
    from orchestrator.run.simulate import RunHooks, simulate

    before = ended_run(plan.config.runs, plan.inputs.run_id)
    if before is not None:
        _say(f"played before: {before.path}")
        return before.path
    total = plan.span.stop - plan.span.first

    def on_bar(done: int) -> None:
        if done % max(1, total // 10) == 0:
            _say(f"played {done:,} of {total:,} bars")

    outcome = simulate(plan, RunHooks(say=_say, on_bar=on_bar))
    if not outcome.complete:
        _say(f"stopped after {outcome.bars} bars; the same command goes on")
        raise typer.Exit(ExitCode.STOPPED)
    return outcome.folder.path


def _lessons(cases: Path) -> "Lessons":
    from llm_gate.evals.data.cases import read_cases
    from llm_gate.teaching.lessons import lessons_of

    return lessons_of(read_cases(cases))


def _teach_regression(lessons: "Lessons", path: Path) -> None:
    from llm_gate.commands.teaching import threshold_line
    from llm_gate.teaching.fit_logistic import fit_logistic

    fitted = fit_logistic(lessons)
    write_whole(path, fitted.model_dump_json(indent=1) + "\n")
    _say(f"regression: taught on {fitted.cases} cases of {fitted.sessions} sessions; {threshold_line(fitted)}")


def _teach_model(lessons: "Lessons", folder: Path, model: str) -> None:
    """Teach the model's output layer, unless the folder holds one taught on the very same cases."""
    from llm_gate.commands.teaching import FOUND_NOTHING, steps
    from llm_gate.prompts.prompt_files import find_prompt
    from llm_gate.serving.model_folders import model_folder
    from llm_gate.teaching.hidden_states import Reader
    from llm_gate.teaching.taught_folder import read_card
    from llm_gate.teaching.tune_head import tune_head

    prompt = find_prompt(TAUGHT_PROMPT)
    card = read_card(folder)
    if card is not None:
        if (card.cases_digest, card.prompt_digest) != (lessons.digest, prompt.digest):
            raise ConfigError(f"{folder}: was taught on other cases or another prompt; give --out another folder")
        _say(f"model: taught before, {folder}")
        return
    reader = Reader(model_folder(model, progress=_say))
    with steps() as step:
        card = tune_head(lessons, prompt, reader, folder, step=step)
    _say(
        f"model: taught in {card.steps} steps, loss on the last fold {card.loss_before:.4f} before and "
        f"{card.loss_taught:.4f} after; {card.seconds_states + card.seconds_fit:.0f} s"
    )
    if not card.found:
        _say(f"model: {FOUND_NOTHING}")


def _suite(cases: Path, gate: GateSection, out: Path, model: str) -> "Suite":
    """Who is asked about the sessions that judge: the run's own gate as it was, and those that were taught."""
    from llm_gate.evals.asking.suite import Suite

    before = str(gate.prompt)
    return Suite.model_validate(
        {
            "name": "taught",
            "cases": [str(cases)],
            "prompts": list(dict.fromkeys((TAUGHT_PROMPT, before))),
            "prompts_folder": gate.prompts,
            "models": [
                {"engine": "rules"},
                {"engine": "logistic", "source": str(out / REGRESSION)},
                {"name": "untouched", "source": model},
                {"name": "taught", "source": str(out / TAUGHT)},
            ],
            "passes": [{"prompts": [TAUGHT_PROMPT]}, {"models": ["untouched"], "prompts": [before]}],
            "trials": out / "gate_trials.jsonl",
        }
    )


def _judge(suite: "Suite", folder: Path) -> None:
    from llm_gate.commands.evals import asking_steps, print_findings
    from llm_gate.evals.asking.run import run_suite
    from llm_gate.evals.report.findings import findings_of
    from llm_gate.evals.report.page import write_report

    with asking_steps() as step:
        findings = findings_of(run_suite(suite, folder, say=_say, step=step, retry=False))
    write_report(findings, folder)
    print_findings(findings, folder)


def _say(text: str) -> None:
    typer.echo(text, err=True)
