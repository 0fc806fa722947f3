"""The commands llm-gate prompts: list, show, compare and check prompt files."""

import difflib
import json
import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from llm_gate.contract import EntryProposal, parse_message
from llm_gate.errors import MalformedVerdictError, PromptError, RequestError
from llm_gate.prompts.blindness import giveaways_in_file
from llm_gate.prompts.prompt_files import Prompt, all_prompt_paths, find_prompt, load_prompt

prompts_app = typer.Typer(no_args_is_help=True, help="List, show, compare and check prompt files.")

AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON object.")]
PROMPTS_HELP = "Your own prompts; then prompts/ here, then those that ship."
PromptsFolder = Annotated[Path | None, typer.Option("--prompts", help=PROMPTS_HELP)]


def read_proposal(path: Path) -> EntryProposal:
    """The proposal in ``path``, or on standard input for ``-``; RequestError if there is none."""
    try:
        data = sys.stdin.buffer.read() if str(path) == "-" else path.read_bytes()
        return parse_message(EntryProposal, data)
    except OSError as error:
        raise RequestError(f"{path}: {error.strerror}") from None
    except MalformedVerdictError as error:
        raise RequestError(f"{path}: {error}") from None


@prompts_app.command("list")
def list_prompts(folder: PromptsFolder = None, as_json: AsJson = False) -> None:
    """Name, digest and purpose of each prompt."""
    prompts = [load_prompt(path) for path in all_prompt_paths(folder)]
    if as_json:
        _say(json.dumps([_row(prompt) for prompt in prompts]))
        return
    for prompt in prompts:
        _say(f"{prompt.name}  {prompt.digest[:12]}  {prompt.front.purpose}")


@prompts_app.command("show")
def show_prompt(
    name: str,
    proposal: Annotated[Path | None, typer.Option(help="Fill in this proposal.")] = None,
    folder: PromptsFolder = None,
) -> None:
    """The turns of a prompt, filled in if a proposal is given."""
    prompt = find_prompt(name, folder)
    case = prompt.case if proposal is None else prompt.render(read_proposal(proposal))[-1].text
    for turn in prompt.examples:
        _say(f"@{turn.role}\n{turn.text}")
    _say(f"@user\n{case}")


@prompts_app.command("diff")
def diff_prompts(old: str, new: str, folder: PromptsFolder = None) -> None:
    """What the front matter of two prompts says differently, then the unified diff of their files."""
    before, after = (find_prompt(name, folder) for name in (old, new))
    for line in (*_front_differences(before, after), *_file_differences(old, new, folder)):
        _say(line)


@prompts_app.command("lint")
def lint_prompts(
    paths: Annotated[list[Path] | None, typer.Argument(help="By default all that there are.")] = None,
    model: Annotated[str | None, typer.Option(help="Must fit the context of: 'package', 'tiny', a folder.")] = None,
    context: Annotated[int | None, typer.Option(min=1, help="Tokens; by default what our server allows.")] = None,
    folder: PromptsFolder = None,
) -> None:
    """Check prompt files, that they are blind, and with --model that they fit; a fault ends with exit code 2."""
    chosen = paths or all_prompt_paths(folder)
    for path in chosen:
        prompt = load_prompt(path)
        if words := giveaways_in_file(path):
            raise PromptError(f"{path}: {'; '.join(map(str, words))}: the model must not know day or market")
        _say(f"ok {prompt.name} {prompt.digest}")
    if model is not None:
        _check_lengths([load_prompt(path) for path in chosen], model, context)


def _check_lengths(prompts: list[Prompt], model: str, context: int | None) -> None:
    from llm_gate.prompts.length import Tokens, check_length
    from llm_gate.serving.model_folders import longest_text, model_folder
    from llm_gate.serving.server import MAX_MODEL_LEN

    folder = model_folder(model, progress=lambda text: typer.echo(text, err=True))
    allowed = min(context or MAX_MODEL_LEN, longest_text(folder))
    tokens = Tokens(folder)
    for prompt in prompts:
        for length in check_length(prompt, tokens, allowed):
            _say(f"fits {prompt.name} {length.mode}: {length.tokens} + {length.answer} of {length.context} tokens")


def _row(prompt: Prompt) -> dict[str, Any]:
    front = prompt.front.model_dump(by_alias=True)
    return {"name": prompt.name, "digest": prompt.digest, "examples": len(prompt.examples) // 2, **front}


def _front_differences(before: Prompt, after: Prompt) -> list[str]:
    old, new = (prompt.front.model_dump(by_alias=True) for prompt in (before, after))
    return [f"{key}: {_change(old[key], new[key])}" for key in old if old[key] != new[key]]


def _change(old: object, new: object) -> str:
    if isinstance(old, list) and isinstance(new, list) and set(old) != set(new):
        gone, added = [name for name in old if name not in new], [name for name in new if name not in old]
        return " ".join([*(f"-{name}" for name in gone), *(f"+{name}" for name in added)])
    return f"{old} -> {new}"


def _file_differences(old: str, new: str, folder: Path | None) -> list[str]:
    paths = {path.stem: path for path in all_prompt_paths(folder)}
    before, after = (paths[name].read_text(encoding="utf-8").splitlines() for name in (old, new))
    return list(difflib.unified_diff(before, after, fromfile=f"{old}.md", tofile=f"{new}.md", lineterm=""))


def _say(text: str) -> None:
    typer.echo(text)
