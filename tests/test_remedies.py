"""What ends a command through no fault of ours says what to do: a message of exit codes 3 to 7 has a remedy."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

PACKAGES = ("trigate", "rl_core", "llm_gate", "orchestrator")
FAULTS = frozenset({"DataError", "RefusedError", "ProcessNotReadyError", "ResourceError"})
NOT_TOLD = frozenset({"NoReplyError", "UnreachableError", "ReaderLeftError"})
"""Caught on the way, or said to nobody: no person reads them as the end of a command."""
SAID_OTHERWISE = {
    "rl_core/bars/choices.py": "a sentence behind a full stop",
    "rl_core/bars/rows.py": "a row of a file that grows, which is quoted and left out",
    "rl_core/evaluation/evaluate.py": "what it ends with is another fault, and that one has it",
    "rl_core/evaluation/outcomes.py": "likewise",
    "orchestrator/trader/seen_at_close.py": "likewise, in a constant",
    "rl_core/jobs/processes.py": "nothing is known but a number",
}
"""File -> why a message in it has its remedy elsewhere, or none."""
WORD = re.compile(r"[a-z]{3,}")


def parsed() -> dict[str, ast.Module]:
    files = sorted(path for package in PACKAGES for path in Path(package).rglob("*.py"))
    return {str(path): ast.parse(path.read_text(encoding="utf-8")) for path in files}


def faults_of(modules: dict[str, ast.Module]) -> frozenset[str]:
    """`FAULTS` with every class that was made of them, but for those of `NOT_TOLD`."""
    classes = [node for module in modules.values() for node in ast.walk(module) if isinstance(node, ast.ClassDef)]
    found, before = set(FAULTS), set[str]()
    while found != before:
        before = set(found)
        found |= {each.name for each in classes if {ast.unparse(base) for base in each.bases} & found} - NOT_TOLD
    return frozenset(found)


def without_remedy(path: str, module: ast.Module, faults: frozenset[str]) -> Iterator[str]:
    """Where a fault is raised with words of its own, without a semicolon before what to do or a name for it."""
    for node in ast.walk(module):
        if not (isinstance(node, ast.Raise) and isinstance(node.exc, ast.Call) and node.exc.args):
            continue
        if ast.unparse(node.exc.func) not in faults:
            continue
        message = node.exc.args[0]
        said = ast.unparse(message)
        parts = message.values if isinstance(message, ast.JoinedStr) else [message]
        literal = "".join(str(part.value) for part in parts if isinstance(part, ast.Constant))
        if WORD.search(literal) and ";" not in literal and "remedy" not in said.lower():
            yield f"{path}:{node.lineno}: {said}"


def test_every_fault_that_a_person_reads_has_a_remedy() -> None:
    modules = parsed()
    faults = faults_of(modules)
    found = [line for path, module in modules.items() for line in without_remedy(path, module, faults)]

    assert [line for line in found if line.partition(":")[0] not in SAID_OTHERWISE] == []
    assert {line.partition(":")[0] for line in found} == set(SAID_OTHERWISE)


def test_a_message_without_a_remedy_is_found() -> None:
    source = ast.parse(
        "raise DataError(f'{path}: {error}')\n"
        "raise DataError(f'{path}: is {kind} here; mend it')\n"
        "raise DataError(f'{path}: is {kind} there')\n"
        "raise ValueError('no remedy is asked of a mistake')"
    )

    assert [line.partition(": ")[0] for line in without_remedy("a.py", source, FAULTS)] == ["a.py:3"]
