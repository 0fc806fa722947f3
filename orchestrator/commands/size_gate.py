"""The command `orchestrator size-gate`: fit a taught gate's size near the account's floor."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, NamedTuple

import typer

from trigate.errors import ConfigError
from trigate.whole_files import write_whole

if TYPE_CHECKING:
    from llm_gate.review.size_line import AskedAs, SizeLine
    from orchestrator.report.sized_gate import SizedGate, TaughtJudge
    from rl_core.evaluation.size_near_floor import By, LineWorth

TAUGHT_PROMPT = "entry_taught.v1"


def size_gate(
    run: Annotated[Path, typer.Argument(help="The run whose entries taught the gate.")],
    gate: Annotated[Path, typer.Option(help="What llm-gate tune saved: a regression's file, or a model folder.")],
    out: Annotated[Path, typer.Option(help="Where the size line goes.")],
    by: Annotated[
        str, typer.Option(help="passes: how many attempts pass. dollars: what one is worth, fees and payouts.")
    ] = "passes",
    prices: Annotated[
        Path | None,
        typer.Option(help="With --by dollars: what accounts cost and pay; if not given, configs/account_prices.toml."),
    ] = None,
    prompt: Annotated[str, typer.Option(help="A model folder: what it was taught with.")] = TAUGHT_PROMPT,
    calibration: Annotated[
        Path | None, typer.Option(help="A model folder: what makes verdicts of its chances, if anything does.")
    ] = None,
    trials: Annotated[Path, typer.Option(help="The record of what was tried.")] = Path("runs/gate_trials.jsonl"),
    bars: Annotated[Path | None, typer.Option(help="Where the bars of the run lie today.")] = None,
    checkpoint: Annotated[Path | None, typer.Option(help="Where the checkpoint of the run lies today.")] = None,
) -> None:
    """Fit from which room to the floor on entries are halved, by what attempts under the account's rules come to."""
    from llm_gate.commands.teaching import steps
    from llm_gate.evals.data.trials import Trial, count_trials
    from orchestrator.report import sized_gate
    from orchestrator.run.found_again import Sources
    from rl_core.rules.prices import PRICES, read_prices

    if by not in ("passes", "dollars"):
        raise ConfigError(f"--by {by}: a line is chosen by passes or by dollars")
    read = read_prices(prices or PRICES) if by == "dollars" else None
    with _judge_of(gate, prompt, calibration, out) as named, steps() as step:
        sized = sized_gate.fit_size(run, named.judge, prices=read, sources=Sources(bars, checkpoint), step=step)
    fit = sized.fit
    tried = [
        Trial("threshold", prompt, named.asked.model, "size", f"halved under {line} by {fit.by} of {run.name}")
        for line in fit.tried
    ]
    line = line_of(sized, named, count_trials(trials, tried))
    write_whole(out, line.model_dump_json(indent=1) + "\n")
    typer.echo("\n".join(lines_of(sized)))
    typer.echo(f"{len(fit.tried)} lines tried here, {line.trials} trials on record")
    typer.echo(str(out))


class NamedJudge(NamedTuple):
    """A gate that was taught, and what verdicts call it."""

    judge: "TaughtJudge"
    asked: "AskedAs"


@contextmanager
def _judge_of(gate: Path, prompt: str, calibration: Path | None, out: Path) -> Iterator[NamedJudge]:
    """The regression or the model at ``gate``; a model's states are kept beside ``out``."""
    from llm_gate.engines.logistic import LogisticEngine, read_logistic
    from llm_gate.review.size_line import AskedAs
    from orchestrator.report.sized_gate import ByRegression

    if gate.is_dir():
        with _model_of(gate, prompt, calibration, out) as named:
            yield named
        return
    if calibration is not None:
        raise ConfigError("--calibration is of a model folder; a regression is calibrated as it is fitted")
    file = read_logistic(gate)
    yield NamedJudge(ByRegression(file.saved), AskedAs(engine=LogisticEngine.name, model=file.name))


@contextmanager
def _model_of(folder: Path, prompt: str, calibration: Path | None, out: Path) -> Iterator[NamedJudge]:
    from llm_gate.evals.asking.answerers import digest_of_model
    from llm_gate.evals.asking.suite import ModelSpec
    from llm_gate.prompts.prompt_files import find_prompt
    from llm_gate.review.calibrated_verdict import read_calibration
    from llm_gate.review.size_line import AskedAs
    from llm_gate.teaching.computed_letters import ComputedLetters
    from llm_gate.teaching.hidden_states import Reader
    from llm_gate.teaching.states_file import StatesFile
    from llm_gate.teaching.taught_folder import read_card
    from llm_gate.teaching.tune_head import states_path
    from orchestrator.report.sized_gate import ByLetters

    card = read_card(folder)
    if card is None:
        raise ConfigError(f"{folder}: nobody taught this model, so no session is known that it was taught on")
    found, model = find_prompt(prompt), digest_of_model(ModelSpec(source=str(folder)), typer.echo)
    if found.digest != card.prompt_digest:
        raise ConfigError(f"{folder}: was taught with {card.prompt}, digest {card.prompt_digest[:12]}; give that one")
    file = None if calibration is None else read_calibration(calibration)
    if file is not None:
        file.refuse_other(found.digest, model, "choice")
    asked = AskedAs(
        engine="vllm",
        model=model,
        prompt_digest=found.digest,
        mode="choice",
        calibration="" if file is None else file.digest,
    )
    reader = Reader(folder)
    with StatesFile(states_path(out), reader.width) as kept:
        yield NamedJudge(ByLetters(ComputedLetters(reader, found, kept, file), card.last_session), asked)


def line_of(sized: "SizedGate", named: NamedJudge, trials: int) -> "SizeLine":
    """What is saved of a fit."""
    from llm_gate.review.size_line import LineTried, SizeLine

    fit = sized.fit
    return SizeLine(
        gate=named.asked,
        rule_pack=sized.rule_pack,
        rule_pack_digest=sized.rule_pack_digest,
        halve_under=fit.halve_under,
        by=fit.by,
        tried=tuple(LineTried(halve_under=line, **worth._asdict()) for line, worth in fit.worth.items()),
        gains=fit.gains,
        sessions=sized.sessions,
        last_session=named.judge.last_session,
        trials=trials,
    )


def lines_of(sized: "SizedGate") -> list[str]:
    """The fit as lines for the terminal, and what became of later sessions."""
    fit = sized.fit
    lines = [f"{fit.r:+.3f} R a trade at full size; share of attempts that pass, how long one takes{_priced(fit.by)}:"]
    lines += [f"  {_line(line)}: {_worth(worth)}" for line, worth in fit.worth.items()]
    gains = ", ".join(_gain(gain, fit.by) for gain in fit.gains)
    unit = "percentage points" if fit.by == "passes" else "dollars"
    lines.append(f"gain on each fold by what the others chose, {unit}: {gains}")
    chosen = "left-out folds do not say that a smaller size helps: full size everywhere"
    lines.append(_line(fit.halve_under) if fit.halve_under else chosen)
    if fit.halve_under and sized.later:
        lines.append(
            f"on {sized.later_sessions} later sessions, which chose nothing: {_worth(sized.later[fit.halve_under])}; "
            f"at full size {_worth(sized.later[0])}"
        )
    return lines


def _priced(by: "By") -> str:
    return "" if by == "passes" else ", and what one is worth with its fees and payouts"


def _worth(worth: "LineWorth") -> str:
    dollars = "" if worth.dollars is None else f", {worth.dollars:+,.0f} dollars"
    return f"{100 * worth.passes:.1f} % in {worth.sessions:.1f} sessions{dollars}"


def _gain(gain: float, by: "By") -> str:
    return f"{100 * gain:+.1f}" if by == "passes" else f"{gain:+,.0f}"


def _line(halve_under: int) -> str:
    return f"halved under {halve_under / 1000:g} risks of room" if halve_under else "full size everywhere"
