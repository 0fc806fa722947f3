"""Prompt files: TOML front matter between ``+++`` lines, then a chat of Jinja2 templates.

Each turn of the chat begins with a line ``@system``, ``@user`` or ``@assistant``; the last turn is the case. The
turns before it are fixed text, so that a server computes them once. Turns are split before the case is filled, so
no value can begin another. Text from outside goes only to a prompt that declares the field ``notes`` and says in its
system turn that this is data. A file that was used is never edited: the next version is a new file, and a verdict
records the digest of the file it came from.
"""

import hashlib
import re
import tomllib
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple, cast

from jinja2 import StrictUndefined, Template, TemplateError, nodes
from jinja2.sandbox import SandboxedEnvironment
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from llm_gate.contract import EntryProposal, Label, Mode
from llm_gate.engines.base import Role, Turn
from llm_gate.errors import PromptError
from llm_gate.prompts.facts import Facts, facts_of
from llm_gate.prompts.outside_text import NOTICE, outside_block
from trigate.shipped import found_file, found_files, shipped_root
from trigate.suggestions import meant

DEFAULT_PROMPT = "entry_review.v1"
PROMPTS = Path("prompts")
NOTES = "notes"
FIELDS = (*Facts._fields, NOTES)
"""What a prompt may show."""

_NAME = re.compile(r"[a-z0-9][a-z0-9_-]{0,63}\.v[0-9]{1,4}")
_FENCE = "+++\n"
_TURN = re.compile(r"^@(system|user|assistant)[ ]*\n", re.MULTILINE)
_BLOCK = re.compile(rf"^\{{\{{ {NOTES} \}}\}}$", re.MULTILINE)
_LARGEST_BYTES = 64 * 1024


class FrontMatter(BaseModel):
    """What a prompt file says about itself."""

    model_config = ConfigDict(frozen=True, strict=True, extra="forbid")

    purpose: str = Field(min_length=1)
    schema_: str = Field(alias="schema", pattern=r"^entry_proposal\.v1$", description="the question it renders")
    fields: list[str] = Field(min_length=1, description="the facts it uses, each one and no other")
    letters: dict[str, Label] = Field(description="one capital letter for each label")
    modes: list[Mode] = Field(["choice", "json"], min_length=1, description="ways to decode it")


class Prompt(NamedTuple):
    """A prompt that passed its checks."""

    name: str
    digest: str
    """SHA-256 of the file's bytes, in hex."""
    front: FrontMatter
    examples: tuple[Turn, ...]
    """Everything before the case, the same for each proposal."""
    case: str
    """The template of the last turn."""

    def refuse_mode(self, mode: Mode) -> None:
        """PromptError if the front matter leaves ``mode`` out."""
        if mode not in self.front.modes:
            written_for = ", ".join(self.front.modes)
            raise PromptError(f"{self.name}: mode {mode!r} is not one of its modes: {written_for}; choose one of these")

    def render(self, proposal: EntryProposal) -> tuple[Turn, ...]:
        """The chat a model reads about ``proposal``; PromptError if the template refuses its fields."""
        phrases = facts_of(proposal)._asdict()
        if NOTES in self.front.fields:
            phrases[NOTES] = outside_block(proposal)
        return self.filled(phrases)

    def filled(self, phrases: Mapping[str, str]) -> tuple[Turn, ...]:
        """The chat with these phrases as its fields."""
        return *self.examples, Turn("user", _filled(self.case, {name: phrases[name] for name in self.front.fields}))


def load_prompt(path: Path, folder: Path | None = None) -> Prompt:
    """The prompt in ``path``, or of that name as `find_prompt` looks for it, checked.

    PromptError names the file and what is wrong with it.
    """
    file = prompt_file(path, folder)
    try:
        return _parsed(file)
    except PromptError as error:
        raise PromptError(f"{path}: {error}") from None


def find_prompt(name: str, folder: Path | None = None) -> Prompt:
    """The prompt called ``name`` (``entry_review.v1``): of ``folder``, else of `prompts/` here, else of what ships."""
    if not is_prompt_name(name):
        raise PromptError(f"{name!r} is not a prompt name; expected one like {DEFAULT_PROMPT}")
    return load_prompt(Path(name), folder)


def prompt_file(path: Path, folder: Path | None = None) -> Path:
    """Where the prompt lies that is called so, looked for as `find_prompt` does; a path is taken as it is.

    PromptError if there is no such name; it says where it was looked for.
    """
    if not is_prompt_name(str(path)):
        return found_file(path)
    known = {file.stem: file for file in all_prompt_paths(folder)}
    if path.name not in known:
        own = "" if folder is None else f"{folder}, "
        places = f"looked in {own}{Path.cwd() / PROMPTS} and what ships"
        raise PromptError(f"no prompt {path.name!r}; {meant(path.name, known, dotted=False)} ({places})")
    return known[path.name]


def is_prompt_name(text: str) -> bool:
    """Whether ``text`` is a prompt's name, as ``entry_review.v1``, and not a path to a file."""
    return _NAME.fullmatch(text) is not None


def all_prompt_paths(folder: Path | None = None) -> list[Path]:
    """The prompt files of ``folder``, then of ``prompts/`` in the current folder, then those that ship.

    One of each name, sorted by name. PromptError if ``folder`` is none, or there is no prompt at all.
    """
    if folder is not None and not folder.is_dir():
        raise PromptError(f"{folder}: is no folder; name one that holds prompts like {DEFAULT_PROMPT}.md")
    paths = {path.stem: path for path in found_files(PROMPTS, "*.md")}
    paths |= {path.stem: path for path in (folder.glob("*.md") if folder is not None else ())}
    named = [paths[name] for name in sorted(paths) if _NAME.fullmatch(name)]
    if not named:
        raise PromptError(f"there is no prompt in {Path.cwd() / PROMPTS}, and none ships; the installation is broken")
    return named


def prompt_paths(folder: Path) -> list[Path]:
    """The prompt files in ``folder`` alone, sorted by name."""
    return sorted(path for path in folder.glob("*.md") if _NAME.fullmatch(path.stem))


def prompts_folder() -> Path:
    """Where the prompts lie that ship."""
    return shipped_root() / PROMPTS


def _parsed(path: Path) -> Prompt:
    if not _NAME.fullmatch(path.stem) or path.suffix != ".md":
        raise PromptError(f"the file's name must look like {DEFAULT_PROMPT}.md")
    content = _content(path)
    front, text = _split(content)
    turns = _turns(text)
    case = turns[-1].text
    _check_letters(front)
    _check_examples(turns[:-1], front)
    _check_fields(front, case)
    _check_notes(front, turns)
    return Prompt(path.stem, hashlib.sha256(content).hexdigest(), front, turns[:-1], case)


def _content(path: Path) -> bytes:
    try:
        content = path.read_bytes()
    except OSError as error:
        raise PromptError(f"cannot be read: {error.strerror}") from None
    if len(content) > _LARGEST_BYTES:
        raise PromptError(f"is larger than {_LARGEST_BYTES} bytes")
    return content


def _split(content: bytes) -> tuple[FrontMatter, str]:
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise PromptError(f"is not UTF-8 at byte {error.start}") from None
    head, fence, template = text.removeprefix(_FENCE).partition("\n" + _FENCE)
    if not text.startswith(_FENCE) or not fence:
        raise PromptError("needs front matter between two lines of +++")
    try:
        return FrontMatter.model_validate(tomllib.loads(head)), template
    except ValidationError as error:
        faults = "; ".join(f"{'.'.join(map(str, fault['loc']))}: {fault['msg']}" for fault in error.errors())
        raise PromptError(f"front matter: {faults}") from None
    except (ValueError, RecursionError) as error:  # also of numbers too long and arrays too deep to be read
        raise PromptError(f"front matter is not TOML: {error}") from None


def _turns(text: str) -> tuple[Turn, ...]:
    before, *marked = _TURN.split(text)
    roles, texts = marked[::2], marked[1::2]
    if before.strip() or not roles:
        raise PromptError("the text must begin with a line @system, @user or @assistant")
    if roles[-1] != "user":
        raise PromptError("the last turn must be the user's: it is the case")
    return tuple(Turn(cast(Role, role), turn.strip()) for role, turn in zip(roles, texts, strict=True))


def _check_examples(turns: tuple[Turn, ...], front: FrontMatter) -> None:
    for turn in turns:
        if "{{" in turn.text or "{%" in turn.text:
            raise PromptError("only the last turn may hold fields: what comes before it is fixed text")
        if turn.role == "assistant" and turn.text not in front.letters:
            raise PromptError(f"an example answers {turn.text[:20]!r}, which is none of the letters")


def _check_letters(front: FrontMatter) -> None:
    if sorted(front.letters.values()) != ["approve", "shrink", "veto"]:
        raise PromptError("letters must give approve, shrink and veto one letter each")
    if not all(len(letter) == 1 and "A" <= letter <= "Z" for letter in front.letters):
        raise PromptError("letters must be single capitals A to Z")


def _check_fields(front: FrontMatter, template: str) -> None:
    declared, used = set(front.fields), _used_fields(template)
    if len(declared) != len(front.fields):
        raise PromptError("a field is declared twice")
    if unused := sorted(declared - used):
        raise PromptError(f"declares but never uses: {', '.join(unused)}")
    if missing := sorted(used - declared):
        raise PromptError(f"uses but does not declare: {', '.join(missing)}")
    if unknown := sorted(declared - set(FIELDS)):
        raise PromptError(f"unknown fields: {', '.join(unknown)}; there are: {', '.join(FIELDS)}")
    _filled(template, dict.fromkeys(front.fields, "-"))


def _check_notes(front: FrontMatter, turns: tuple[Turn, ...]) -> None:
    if NOTES not in front.fields:
        return
    if len(_BLOCK.findall(turns[-1].text)) != 1 or turns[-1].text.count(NOTES) != 1:
        raise PromptError(f"{{{{ {NOTES} }}}} must stand once, on a line of its own")
    if turns[0].role != "system" or NOTICE not in turns[0].text:
        raise PromptError(f"shows {NOTES}, so its system turn must say: {NOTICE}")


def _used_fields(template: str) -> set[str]:
    """The names in ``{{ name }}``; PromptError for anything that computes, as it could fail, or fill the memory."""
    if "{%" in template:
        raise PromptError("template: only {{ field }} may be used, no statements")
    try:
        body = _environment().parse(template).body
    except (TemplateError, ValueError, RecursionError) as error:
        raise PromptError(f"template: {error}") from None
    shown = [part for output in body for part in output.iter_child_nodes() if not isinstance(part, nodes.TemplateData)]
    if not all(isinstance(part, nodes.Name) for part in shown):
        raise PromptError("template: only {{ field }} may be used, no expressions")
    return {part.name for part in shown if isinstance(part, nodes.Name)}


def _filled(template: str, values: Mapping[str, str]) -> str:
    try:
        return _compiled(template).render(values)
    except TemplateError as error:
        raise PromptError(f"template: {error}") from None


@lru_cache(maxsize=64)
def _compiled(template: str) -> Template:
    return _environment().from_string(template)


def _environment() -> SandboxedEnvironment:
    return SandboxedEnvironment(undefined=StrictUndefined, autoescape=False, keep_trailing_newline=False)
