"""The command llm-gate: serve a model, check a server, look after prompts, judge one proposal."""

import asyncio
import json
import os
import signal
import sys
import time
from pathlib import Path
from types import FrameType
from typing import Annotated

import structlog
import typer

from llm_gate.contract import EntryProposal, GateFailed, parse_message
from llm_gate.engines.base import Engine
from llm_gate.engines.rules import RulesEngine
from llm_gate.errors import GateError, MalformedVerdictError, NotReadyError, RequestError
from llm_gate.gate import Gate, GateConfig
from llm_gate.prompts import DEFAULT_PROMPT, find_prompt, load_prompt, prompt_paths, prompts_folder

KEY_VARIABLE = "VLLM_API_KEY"

_INTERRUPTED = 130

app = typer.Typer(no_args_is_help=True, add_completion=False, help=__doc__)
prompts_app = typer.Typer(no_args_is_help=True, help="List, show and check prompt files.")
app.add_typer(prompts_app, name="prompts")

AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON object.")]
Model = Annotated[str, typer.Option(help="A model folder, 'package' (SmolLM2) or 'tiny' (random weights).")]


def main() -> None:
    """Run the command; an error this package names is one line on stderr and an exit code."""
    # Standard output belongs to results.
    structlog.configure(logger_factory=structlog.PrintLoggerFactory(sys.stderr))
    try:
        app()
    except GateError as error:
        print(f"llm-gate: {error}", file=sys.stderr)
        sys.exit(error.exit_code)


@app.command()
def serve(
    model: Model = "package",
    port: Annotated[int | None, typer.Option(min=1, max=65535, help="By default a free one.")] = None,
    log_file: Annotated[Path, typer.Option(help="Where the server writes.")] = Path("vllm.log"),
    deadline: Annotated[float, typer.Option(help="Seconds to wait until the server is ready.")] = 180.0,
) -> None:
    """Start a model server on the loopback address, prove it, and keep it until interrupted."""
    from llm_gate.models import model_folder
    from llm_gate.server import VllmServer

    key = os.environ.get(KEY_VARIABLE)
    folder = model_folder(model, progress=_progress)
    _end_on_signals()
    with VllmServer(folder, log_path=log_file, port=port, key=key) as server:
        _progress(f"starting {server.model_id} on {server.url}; its log is {log_file}")
        server.wait_ready(deadline)
        if key is None:
            _progress(f"clients need the key: export {KEY_VARIABLE}=$(cat {_saved_key(log_file, server.key)})")
        print(f"ready {server.url}", flush=True)
        while server.alive():
            time.sleep(0.5)
        raise NotReadyError(f"the model server ended; see {log_file}")


@app.command()
def check(
    url: Annotated[str, typer.Argument(help="The server's root, e.g. http://127.0.0.1:8000")],
    deadline: Annotated[float, typer.Option(help="Seconds for the answer.")] = 60.0,
) -> None:
    """Ask a running server for prose and see that it answers with one letter all the same."""
    from llm_gate.engines.vllm import VllmEngine
    from llm_gate.server import prove

    engine = VllmEngine(url, os.environ.get(KEY_VARIABLE, ""))
    try:
        asyncio.run(asyncio.wait_for(prove(engine), deadline))
    except TimeoutError:
        raise NotReadyError(f"{url}: no answer within {deadline:g} s") from None
    print(f"ok {url} keeps to its letters")


@app.command()
def model(name: Annotated[str, typer.Argument(help="'package', 'tiny' or a folder.")] = "package") -> None:
    """Prepare a model and print its folder."""
    from llm_gate.models import model_folder

    print(model_folder(name, progress=_progress))


@app.command()
def review(
    proposal: Annotated[Path, typer.Argument(help="A proposal in JSON, or - for standard input.")],
    engine: Annotated[str, typer.Option(help="rules or vllm")] = "rules",
    url: Annotated[str | None, typer.Option(help="The server's root, for vllm.")] = None,
    prompt: Annotated[str, typer.Option(help="A prompt's name.")] = DEFAULT_PROMPT,
    deadline: Annotated[float, typer.Option(min=0.001, max=300.0, help="Seconds in all.")] = 10.0,
) -> None:
    """Judge one proposal and print the reply as JSON; exit code 5 if there is no verdict."""
    question = _read_proposal(proposal)
    gate = Gate(_engine(engine, url), find_prompt(prompt), GateConfig(deadline_s=deadline))
    reviewed = asyncio.run(gate.review(question))
    print(reviewed.model_dump_json())
    if isinstance(reviewed.outcome, GateFailed):
        raise NotReadyError(f"no verdict: {reviewed.outcome.cause}")


@prompts_app.command("list")
def list_prompts(as_json: AsJson = False) -> None:
    """Name, digest and purpose of each prompt."""
    prompts = [load_prompt(path) for path in prompt_paths(prompts_folder())]
    if as_json:
        rows = [{"name": p.name, "digest": p.digest, "purpose": p.front.purpose} for p in prompts]
        print(json.dumps(rows))
        return
    for p in prompts:
        print(f"{p.name}  {p.digest[:12]}  {p.front.purpose}")


@prompts_app.command("show")
def show_prompt(
    name: str, proposal: Annotated[Path | None, typer.Option(help="Fill in this proposal.")] = None
) -> None:
    """The turns of a prompt, filled in if a proposal is given."""
    prompt = find_prompt(name)
    case = prompt.case if proposal is None else prompt.render(_read_proposal(proposal))[-1].text
    for turn in prompt.examples:
        print(f"@{turn.role}\n{turn.text}")
    print(f"@user\n{case}")


@prompts_app.command("lint")
def lint_prompts(
    paths: Annotated[list[Path] | None, typer.Argument(help="By default all of the project's.")] = None,
) -> None:
    """Check prompt files; the first fault ends with exit code 2."""
    for path in paths or prompt_paths(prompts_folder()):
        prompt = load_prompt(path)
        print(f"ok {prompt.name} {prompt.digest}")


def _engine(name: str, url: str | None) -> Engine:
    if name == "rules":
        return RulesEngine()
    if name != "vllm":
        raise RequestError(f"no engine {name!r}; there are: rules, vllm")
    if url is None:
        raise RequestError("--engine vllm needs --url")
    from llm_gate.engines.vllm import VllmEngine

    return VllmEngine(url, os.environ.get(KEY_VARIABLE, ""))


def _read_proposal(path: Path) -> EntryProposal:
    try:
        data = sys.stdin.buffer.read() if str(path) == "-" else path.read_bytes()
        return parse_message(EntryProposal, data)
    except OSError as error:
        raise RequestError(f"{path}: {error.strerror}") from None
    except MalformedVerdictError as error:
        raise RequestError(f"{path}: {error}") from None


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
        sys.exit(0 if number == signal.SIGTERM else _INTERRUPTED)

    signal.signal(signal.SIGTERM, on_signal)
    signal.signal(signal.SIGINT, on_signal)


def _progress(text: str) -> None:
    print(text, file=sys.stderr, flush=True)
