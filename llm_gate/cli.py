"""The command llm-gate: serve a model, check a server, look after prompts, judge one proposal."""

import asyncio
import json
import logging
import os
import signal
import sys
import time
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Annotated

import structlog
import typer

from llm_gate.commands.evals import calibrate, compare, evaluate
from llm_gate.commands.prompts import PromptsFolder, prompts_app, read_proposal
from llm_gate.commands.selftest import selftest
from llm_gate.commands.show_config import show_config
from llm_gate.commands.teaching import tune
from llm_gate.contract import GateFailed, Mode
from llm_gate.engines.base import Engine
from llm_gate.engines.rules import RulesEngine
from llm_gate.errors import RequestError, ServerNotReadyError
from llm_gate.prompts.prompt_files import DEFAULT_PROMPT, find_prompt
from llm_gate.review.gate import Gate, GateConfig
from llm_gate.serving.key import KEY_VARIABLE
from trigate.command_line import new_app, run_command
from trigate.errors import ExitCode
from trigate.toml_config import parse_value

if TYPE_CHECKING:
    from llm_gate.engines.base import TemplateValue
    from llm_gate.engines.vllm import VllmEngine

DEFAULT_LOG = Path("vllm-serve/vllm.log")
"""In a folder of its own, which is its owner's alone: the key lies beside the log."""

app = new_app("Serve a model, check a server, look after prompts, judge a proposal, and say what a gate is worth.")
app.add_typer(prompts_app, name="prompts")
app.command("show-config")(show_config)
app.command("eval")(evaluate)
app.command()(compare)
app.command()(calibrate)
app.command()(tune)
app.command()(selftest)

AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON object.")]
ModeOption = Annotated[str | None, typer.Option("--mode", help="choice or json; by default both are proven.")]
PromptOption = Annotated[str, typer.Option("--prompt", help="The prompt whose cases must be answered too.")]
KeyFile = Annotated[Path | None, typer.Option(help="Holds the server's key; none: VLLM_API_KEY, if set.")]
Served = Annotated[str, typer.Option(help="The name under which the server serves the model.")]
Template = Annotated[
    list[str] | None,
    typer.Option("--template", metavar="KEY=VALUE", help="Tell the chat template, e.g. enable_thinking=false."),
]
Model = Annotated[str, typer.Option(help="A model folder, 'package' (SmolLM2) or 'tiny' (random weights).")]


def main() -> None:
    """Run the command; an error this package names is one line on stderr and an exit code."""
    # Standard output belongs to results. What a log would warn of, the commands say themselves, once.
    structlog.configure(
        wrapper_class=structlog.make_filtering_bound_logger(logging.ERROR),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
    )
    run_command(app, "llm-gate")


@app.command()
def serve(
    model: Model = "package",
    port: Annotated[int | None, typer.Option(min=1, max=65535, help="By default a free one.")] = None,
    log_file: Annotated[Path, typer.Option(help="Where the server writes.")] = DEFAULT_LOG,
    deadline: Annotated[float, typer.Option(help="Seconds without a sign of progress before it is ready.")] = 180.0,
    mode: ModeOption = None,
    prompt: PromptOption = DEFAULT_PROMPT,
    prompts: PromptsFolder = None,
    template: Template = None,
    gpu_memory: Annotated[float | None, typer.Option(min=0.01, max=1, help="Share of a GPU, as doctor says.")] = None,
    as_json: AsJson = False,
) -> None:
    """Start a model server on the loopback address, prove it, and keep it answering until interrupted."""
    from llm_gate.review.rehearsal import proof_in_modes
    from llm_gate.serving.model_folders import model_folder
    from llm_gate.serving.server import VllmServer
    from llm_gate.serving.watch import ServerWatch

    key = os.environ.get(KEY_VARIABLE)
    proof = proof_in_modes(find_prompt(prompt, prompts), _modes(mode))
    for_template = _template_kwargs(template)
    folder = model_folder(model, progress=_progress)
    _end_on_signals()
    with VllmServer(
        folder, log_path=log_file, port=port, key=key, gpu_memory=gpu_memory, template_kwargs=for_template
    ) as server:
        _progress(f"starting {server.model_id} on {server.url}; its log is {log_file}")
        server.wait_ready(deadline, proof=proof)
        if key is None:
            _progress(f"clients need the key: export {KEY_VARIABLE}=$(cat {_saved_key(log_file, server.key)})")
        assert server.warm_up is not None
        ready = {"ready": server.url, "model": server.model_id, "warm_up": server.warm_up._asdict()}
        print(json.dumps(ready) if as_json else f"ready {server.url}", flush=True)
        with ServerWatch(server, notify=_progress) as watch:
            while not watch.failed:
                time.sleep(0.5)
        raise ServerNotReadyError(f"the model server does not come back; see {log_file}")


@app.command()
def check(
    url: Annotated[str, typer.Argument(help="The server's root, e.g. http://127.0.0.1:8000")],
    deadline: Annotated[float, typer.Option(help="Seconds for each answer.")] = 60.0,
    mode: ModeOption = None,
    prompt: PromptOption = DEFAULT_PROMPT,
    prompts: PromptsFolder = None,
    template: Template = None,
    served: Served = "gate",
    key_file: KeyFile = None,
    as_json: AsJson = False,
) -> None:
    """Ask a running server for one letter, for prose, where it must keep to its constraint, and what a run asks."""
    from llm_gate.review.rehearsal import proof_in_modes
    from llm_gate.serving.canaries import canary_results

    proof = proof_in_modes(find_prompt(prompt, prompts), _modes(mode))
    engine = _vllm(url, served, key_file, template)
    results = asyncio.run(canary_results(engine, proof, deadline))
    if as_json:
        print(json.dumps({"url": url, "findings": [result._asdict() for result in results]}))
    for result in results if not as_json else ():
        print(f"{'FAIL' if result.fault else 'ok'} {result.name} {result.seconds:.2f} s {result.fault}".rstrip())
    names_by_fault: dict[str, list[str]] = {}
    for result in results:
        names_by_fault.setdefault(result.fault, []).append(result.name)
    if faults := [f"{', '.join(names)}: {fault}" for fault, names in names_by_fault.items() if fault]:
        raise ServerNotReadyError(f"{url}: {'; '.join(faults)}")


@app.command()
def doctor(
    model: Model = "package",
    max_model_len: Annotated[int, typer.Option(min=1, help="Longest text in tokens.")] = 4096,
    jax_share: Annotated[float, typer.Option(help="Of each GPU that JAX sets aside; its own default is 0.75.")] = 0.75,
    as_json: AsJson = False,
) -> None:
    """Plan the memory between JAX and the model server; exit code 2 if it cannot fit."""
    from llm_gate.serving import memory_plan as planner
    from llm_gate.serving.model_folders import model_folder
    from llm_gate.serving.processes import nvidia_smi

    folder = model_folder(model, progress=_progress)
    devices = [*planner.gpus(nvidia_smi()), planner.machine_memory(Path("/proc/meminfo").read_text())]
    need = {on_gpu: planner.need_of(folder, max_model_len=max_model_len, on_gpu=on_gpu) for on_gpu in (True, False)}
    plan = planner.plan_memory(devices, need, jax_share=jax_share)
    shown = {"device": plan.device._asdict(), "need": plan.need._asdict(), "jax": plan.jax, "left": plan.left}
    print(json.dumps(shown) if as_json else "\n".join(planner.lines_of(plan)))
    planner.refuse_if_too_large(plan)


@app.command()
def model(name: Annotated[str, typer.Argument(help="'package', 'tiny' or a folder.")] = "package") -> None:
    """Prepare a model and print its folder."""
    from llm_gate.serving.model_folders import model_folder

    print(model_folder(name, progress=_progress))


@app.command()
def review(
    proposal: Annotated[Path, typer.Argument(help="A proposal in JSON, or - for standard input.")],
    engine: Annotated[str, typer.Option(help="rules or vllm")] = "rules",
    url: Annotated[str | None, typer.Option(help="The server's root, for vllm.")] = None,
    prompt: Annotated[str, typer.Option(help="A prompt's name.")] = DEFAULT_PROMPT,
    prompts: PromptsFolder = None,
    deadline: Annotated[float, typer.Option(min=0.001, max=300.0, help="Seconds in all.")] = 10.0,
    mode: Annotated[str, typer.Option(help="choice or json")] = "choice",
    served: Served = "gate",
    key_file: KeyFile = None,
    template: Template = None,
) -> None:
    """Judge one proposal and print the reply as JSON; exit code 5 if there is no verdict."""
    question = read_proposal(proposal)
    judge = _engine(engine, url, served, key_file, template)
    gate = Gate(judge, find_prompt(prompt, prompts), GateConfig(deadline_s=deadline, mode=_modes(mode)[0]))
    reviewed = asyncio.run(gate.review(question))
    print(reviewed.model_dump_json())
    if isinstance(reviewed.outcome, GateFailed):
        asked = " (asked twice)" if gate.counts["retried"] else ""
        raise ServerNotReadyError(f"no verdict: {reviewed.outcome.cause}: {gate.last_fault}{asked}")


def _modes(name: str | None) -> tuple[Mode, ...]:
    known: dict[str | None, tuple[Mode, ...]] = {None: ("choice", "json"), "choice": ("choice",), "json": ("json",)}
    if name not in known:
        raise RequestError(f"no mode {name!r}; there are: choice, json")
    return known[name]


def _engine(
    name: str, url: str | None, served: str = "gate", key_file: Path | None = None, template: list[str] | None = None
) -> Engine:
    if name == "rules":
        return RulesEngine()
    if name != "vllm":
        raise RequestError(f"no engine {name!r}; there are: rules, vllm")
    if url is None:
        raise RequestError("--engine vllm needs --url")
    return _vllm(url, served, key_file, template)


def _vllm(url: str, served: str, key_file: Path | None, template: list[str] | None) -> "VllmEngine":
    from llm_gate.engines.vllm import VllmEngine
    from llm_gate.serving.key import key_of

    return VllmEngine(url, key_of(key_file), served=served, template_kwargs=_template_kwargs(template))


def _template_kwargs(settings: list[str] | None) -> "dict[str, TemplateValue]":
    """The values of KEY=VALUE in TOML's notation, a bare word as text."""
    values = {}
    for setting in settings or []:
        key, equals, text = setting.partition("=")
        if not equals or not key.isidentifier():
            raise RequestError(f"--template {setting!r}: expected KEY=VALUE")
        value = parse_value(text)
        if not isinstance(value, bool | int | float | str):
            raise RequestError(f"--template {setting!r}: the value must be true, false, a number or text")
        values[key] = value
    return values


def _saved_key(log_file: Path, key: str) -> Path:
    """The file beside the log that now holds the key, readable by its owner only."""
    path = log_file.with_suffix(".key")
    path.unlink(missing_ok=True)
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        file.write(key)
    return path


def _end_on_signals() -> None:
    """Make SIGTERM and SIGINT unwind the stack, so that what is open closes in order."""

    def on_signal(number: int, _frame: FrameType | None) -> None:
        sys.exit(0 if number == signal.SIGTERM else ExitCode.INTERRUPTED)

    signal.signal(signal.SIGTERM, on_signal)
    signal.signal(signal.SIGINT, on_signal)


def _progress(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


if __name__ == "__main__":
    main()
