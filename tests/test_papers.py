"""What README and docs name exists: paths, links, make targets, commands with their options, decisions, folders."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest
from typer.core import TyperGroup
from typer.main import get_command

import llm_gate.cli
import orchestrator.cli
import rl_core.cli
from rl_core.exchange.instruments import INSTRUMENTS
from tests.import_graph import PACKAGES, ROOT
from tests.test_layering import FLOORS
from trigate.errors import ExitCode

PAGES = (
    "README.md",
    "CONTRIBUTING.md",
    "DECISIONS.md",
    *(f"docs/{path.name}" for path in (ROOT / "docs").glob("*.md")),
)
COMMANDS = {
    "rl-core": get_command(rl_core.cli.app),
    "llm-gate": get_command(llm_gate.cli.app),
    "orchestrator": get_command(orchestrator.cli.app),
}
ROOTS = (*PACKAGES, "tests", "docs", "configs", "prompts", "bench", "requirements")
PATH = re.compile(rf"(?<![\w/.-])(?:(?:{'|'.join(ROOTS)})/[\w./-]*|\w+(?:/\w+)+\.py\b)")
DOTTED = re.compile(rf"(?:{'|'.join(PACKAGES)})(?:\.\w+)+")
CODE = re.compile(r"```[^\n]*\n(.*?)```|``?([^`]+)``?", re.DOTALL)
LINK = re.compile(r"\]\(([^)\s]+)\)")
PAGE = re.compile(r"\b(?:docs/\w+\.md|[A-Z]{4,}\.md)")
CITATION = re.compile(r"DECISIONS(?:\.md)?,?\s+#?(\d+)")


class Folder(NamedTuple):
    """A folder of README's tree."""

    path: str
    known: bool


def code_of(text: str) -> Iterator[str]:
    """Lines of the code blocks and code spans of a page; a line that ends in a backslash goes on."""
    for block, span in CODE.findall(text):
        yield from (block or span).replace("\\\n", " ").splitlines()


def missing_paths(text: str) -> list[str]:
    """Paths from the repository's root, and dotted names, that do not exist."""
    code = list(code_of(text))
    named = {match for line in code for match in PATH.findall(line)}
    paths = [path for path in sorted(named) if "NAME" not in path and not (ROOT / path.rstrip(".")).exists()]
    return paths + [name for line in code for name in DOTTED.findall(line) if not _defined(name)]


def _defined(name: str) -> bool:
    """Whether a dotted name is a module or package, or the next word after one is in its source."""
    parts = name.split(".")
    for length in range(len(parts), 0, -1):
        place = ROOT.joinpath(*parts[:length])
        if place.is_dir():
            return length == len(parts)
        module = place.with_suffix(".py")
        if module.exists():
            return length == len(parts) or re.search(rf"\b{parts[length]}\b", module.read_text("utf-8")) is not None
    return False


def missing_imports(text: str) -> list[str]:
    """Names that an example imports from a module of ours which does not define them."""
    examples = re.findall(r"```python\n(.*?)```", text, re.DOTALL)
    imports = [
        node for example in examples for node in ast.walk(ast.parse(example)) if isinstance(node, ast.ImportFrom)
    ]
    ours = [node for node in imports if node.module and node.module.split(".")[0] in PACKAGES]
    return [
        f"{node.module}.{name.name}" for node in ours for name in node.names if not _defines(node.module, name.name)
    ]


def _defines(module: str | None, name: str) -> bool:
    path = (ROOT / str(module).replace(".", "/")).with_suffix(".py")
    return path.exists() and name in {
        each
        for node in ast.parse(path.read_text("utf-8")).body
        for each in (
            [node.name]
            if isinstance(node, ast.FunctionDef | ast.ClassDef)
            else [leaf.id for leaf in ast.walk(node) if isinstance(leaf, ast.Name) and isinstance(leaf.ctx, ast.Store)]
        )
    }


def broken_links(page: str, text: str) -> list[str]:
    """Relative links that lead nowhere, to a file or to a heading."""
    return [link for link in LINK.findall(text) if "://" not in link and not _resolves(page, link)]


def _resolves(page: str, link: str) -> bool:
    target, _, anchor = link.partition("#")
    path = ROOT / page if not target else (ROOT / page).parent / target
    if not path.exists() or not anchor:
        return path.exists()
    headings = re.findall(r"^#+ (.+)$", path.read_text("utf-8"), re.MULTILINE)
    return anchor in {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def unknown_commands(text: str) -> list[str]:
    """Commands of ours that do not exist, or that have no such option."""
    faults = []
    for line in code_of(text):
        words = re.sub(r"\s#.*|[\[\]'\",;]", " ", line).split()
        for start in (n for n, word in enumerate(words) if word.split("/")[-1] in COMMANDS):
            if start == 0 or words[start - 1] in {"--", "&&"}:
                fault = _fault_of(words[start].split("/")[-1], words[start + 1 :])
                faults += [f"{line.strip()}: {fault}"] if fault else []
    return faults


def _fault_of(program: str, words: list[str]) -> str:
    """What is wrong with one call, empty if nothing is; ``a | b`` names several commands."""
    command = COMMANDS[program]
    commands = [command]
    while isinstance(command, TyperGroup) and words and not words[0].startswith("-"):
        names = [words.pop(0)]
        while len(words) > 1 and words[0] == "|":
            names.append(words[1])
            del words[:2]
        unknown = [name for name in names if name not in command.commands]
        if unknown:
            return f"{program} has no command {unknown[0]}"
        commands = [command.commands[name] for name in names]
        command = commands[0]
    known = {option for each in commands for parameter in each.params for option in parameter.opts} | {"--help"}
    return next((f"no option {word}" for word in words if word.startswith("--") and word not in {*known, "--"}), "")


def unknown_targets(text: str) -> list[str]:
    """Targets of make that the Makefile does not have."""
    makefile = (ROOT / "Makefile").read_text("utf-8")
    targets = set(re.findall(r"^([a-z]+):", makefile, re.MULTILINE))
    return [name for line in code_of(text) for name in re.findall(r"\bmake ([a-z]+)", line) if name not in targets]


def sources_and_pages() -> list[Path]:
    """Everything of ours that cites a page: code, tests, settings and the pages themselves."""
    files = [ROOT / page for page in PAGES]
    for folder in (*PACKAGES, "tests", "bench", "configs"):
        files += [path for path in (ROOT / folder).rglob("*") if path.suffix in {".py", ".toml"}]
    return [path for path in files if path.name != Path(__file__).name]


def decisions() -> set[str]:
    """The numbers of DECISIONS.md."""
    return set(re.findall(r"^## (\d+)\.", (ROOT / "DECISIONS.md").read_text("utf-8"), re.MULTILINE))


def folders_of_the_tree() -> set[str]:
    """The folders that README's tree names."""
    tree = (ROOT / "README.md").read_text("utf-8").partition("## Tree")[2].split("```")[1]
    found, top = set(), ""
    for line in tree.strip().splitlines():
        names = re.findall(r"(?:^|\s{2})([a-z_]+/)", line)
        top = names[0] if not line.startswith(" ") else top
        found |= {(top if line.startswith(" ") else "") + name for name in names}
    return found


@pytest.mark.parametrize("page", PAGES)
def test_what_a_page_names_exists(page: str) -> None:
    text = (ROOT / page).read_text("utf-8")

    assert missing_paths(text) == []
    assert missing_imports(text) == []
    assert broken_links(page, text) == []
    assert unknown_targets(text) == []
    assert unknown_commands(text) == []


def test_every_folder_is_in_the_readmes_tree() -> None:
    named = folders_of_the_tree()
    there = {
        f"{package}/{folder.name}/" for package in PACKAGES for folder in (ROOT / package).iterdir() if _holds(folder)
    }

    assert there - named == set()
    assert {folder for folder in named if not (ROOT / folder).is_dir()} == set()


def _holds(folder: Path) -> bool:
    return (folder / "__init__.py").exists()


def test_what_code_cites_is_written() -> None:
    """Pages by their path, and decisions by their number, which have no gap."""
    texts = {path: path.read_text("utf-8") for path in sources_and_pages()}

    cited = {(path.name, page) for path, text in texts.items() for page in PAGE.findall(text)}
    numbers = {(path.name, number) for path, text in texts.items() for number in CITATION.findall(text)}

    assert {(name, page) for name, page in cited if not (ROOT / page).exists()} == set()
    assert {(name, number) for name, number in numbers if number not in decisions()} == set()
    assert sorted(map(int, decisions())) == list(range(1, len(decisions()) + 1))


def test_pictures_are_small_and_shown() -> None:
    pictures = [*(ROOT / "docs").glob("*.png")]
    texts = " ".join((ROOT / page).read_text("utf-8") for page in PAGES)

    assert {path.name: path.stat().st_size for path in pictures if path.stat().st_size > 150_000} == {}
    assert pictures and [path.name for path in pictures if f"{path.name})" not in texts] == []


def test_every_line_of_the_timing_contract_has_a_test() -> None:
    page = (ROOT / "docs/timing.md").read_text("utf-8").partition("## The nine lines")[2].partition("\n## ")[0]
    tests = (ROOT / "tests/rl_core/test_timing_contract.py").read_text("utf-8")

    lines = re.findall(r"^(\d+)\. ", page, re.MULTILINE)

    assert lines == [str(number) for number in range(1, 10)]
    assert [line for line in lines if f"def test_line_{line}_" not in tests] == []


def test_the_page_of_commands_knows_every_exit_code() -> None:
    page = (ROOT / "docs/commands.md").read_text("utf-8").partition("## Exit codes")[2].partition("\n## ")[0]

    told = {
        int(code) for code in re.findall(r"^\| (\d+) \||Code\s+(\d+)\s+is", page, re.MULTILINE) for code in code if code
    }

    assert told == {0, *ExitCode}


def test_the_page_of_data_knows_every_contract() -> None:
    page = (ROOT / "docs/data.md").read_text("utf-8").partition("## Contracts")[2].partition("\n\nA tick of")[0]
    rows = dict(re.findall(r"^\| (\w+) \| (.+) \|$", page, re.MULTILINE))

    families: dict[str, set[str]] = {}
    for contract in INSTRUMENTS.values():
        families.setdefault(contract.calendar, set()).add(contract.symbol)

    told = {family: set(re.findall(r"\b[A-Z0-9]{2,3}\b", row)) for family, row in rows.items() if family != "family"}
    assert told == families


def test_the_drawn_floors_are_those_of_the_layering() -> None:
    """Each package's column, from the top down."""
    page = (ROOT / "docs/architecture.md").read_text("utf-8").partition("## Folders")[2].split("```")[1]
    drawn = [set(re.findall(r"[a-z_/]+", line)) for line in page.splitlines()]

    for package in PACKAGES:
        floors = [{f.partition("/")[2] for f in floor.split()} for floor in FLOORS if floor.startswith(f"{package}/")]
        places = [next(n for n, words in enumerate(drawn) if floor <= words) for floor in floors]
        assert places == sorted(places, reverse=True), package


@pytest.mark.parametrize(
    ("found", "fault"),
    [
        (missing_paths("see `rl_core/bars/gone.py`"), ["rl_core/bars/gone.py"]),
        (missing_paths("see `bars/read.py`"), ["bars/read.py"]),
        (missing_paths("```\nrl_core.bars.read.no_such_name\n```"), ["rl_core.bars.read.no_such_name"]),
        (missing_imports("```python\nfrom rl_core.envs.env import EnvParams, make_market\n```"), 1),
        (broken_links("docs/data.md", "[x](gone.md) [y](timing.md#gone) [z](timing.md#entries)"), 2),
        (unknown_targets("`make sims` and `make sim`"), ["sims"]),
        (unknown_commands("`rl-core trian --phase 1`"), 1),
        (unknown_commands("`rl-core train --faze 1`"), 1),
        (unknown_commands("```\nllm-gate prompts lint [FILE...] [--model tiny]\n```"), []),
    ],
)
def test_a_planted_fault_is_found(found: list[str], fault: list[str] | int) -> None:
    assert (len(found) if isinstance(fault, int) else found) == fault
