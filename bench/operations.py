"""Launch-like operations of a compiled program: what an accelerator would have to start one by one.

Every instruction that computes counts one, a fusion one in all: on a GPU that is a kernel or a copy. Of what a CPU's
compiler made it is a proxy, as that one fuses otherwise. A loop counts what its body does as often as it turns, a
condition its dearest branch. Instructions that only name or reshape values count nothing.
"""

import re
from typing import NamedTuple

FREE = {
    "parameter",
    "constant",
    "tuple",
    "get-tuple-element",
    "bitcast",
    "after-all",
    "partition-id",
    "replica-id",
    "opt-barrier",
}
"""Instructions that start nothing."""

_COMPUTATION = re.compile(r"^(ENTRY )?%?([\w.\-]+) (?:\([^\n]*\) -> [^\n]*)?\{$", re.MULTILINE)
_INSTRUCTION = re.compile(r"^\s+(?:ROOT )?%?[\w.\-]+ = .*? ([a-z][a-z0-9\-]*)\(", re.MULTILINE)
_BODY, _CONDITION = re.compile(r"body=%?([\w.\-]+)"), re.compile(r"condition=%?([\w.\-]+)")
_TURNS = re.compile(r'"known_trip_count":\{"n":"(\d+)"\}')
_CALLED = re.compile(r"to_apply=%?([\w.\-]+)")
_BRANCHES = re.compile(r"branch_computations=\{([^}]*)\}|true_computation=%?([\w.\-]+), false_computation=%?([\w.\-]+)")


class Loop(NamedTuple):
    """A loop of the entry computation."""

    turns: int
    a_turn: int
    """Operations of one turn."""


class Operations(NamedTuple):
    """Of one call of a program."""

    total: int
    loops: tuple[Loop, ...]
    """Those that the program itself runs, the dearest first; loops inside them are counted in their turns."""
    conditions: int
    """Met in one call: an accelerator's host may have to decide each."""


class _Cost(NamedTuple):
    operations: int
    conditions: int


def operations_of(text: str) -> Operations:
    """Of an optimised program, as XLA prints it (``jax.stages.Compiled.as_text``); ValueError if it is none."""
    return _Program(text).operations()


class _Program:
    """Its computations by name, and what each costs."""

    def __init__(self, text: str) -> None:
        """ValueError if it has no entry computation."""
        self._lines: dict[str, list[str]] = {}
        self._known: dict[str, _Cost] = {}
        entry = ""
        for head, following in _parts(text):
            self._lines[head[1]] = following
            entry = head[1] if head[0] else entry
        if not entry:
            raise ValueError("no ENTRY computation in this text")
        self._entry = entry

    def operations(self) -> Operations:
        """Of the whole program."""
        loops = []
        for line in self._lines[self._entry]:
            if _kind(line) == "while":
                turns, cost = _turns(line), self._turn(line)
                loops.append(Loop(turns, cost.operations))
        whole = self._cost(self._entry)
        loops.sort(key=lambda loop: -loop.turns * loop.a_turn)
        return Operations(whole.operations, tuple(loops), whole.conditions)

    def _cost(self, name: str) -> _Cost:
        if name not in self._known:
            each = [self._of_line(line) for line in self._lines[name]]
            self._known[name] = _Cost(sum(cost.operations for cost in each), sum(cost.conditions for cost in each))
        return self._known[name]

    def _of_line(self, line: str) -> _Cost:
        kind = _kind(line)
        if kind is None or kind in FREE:
            return _Cost(0, 0)
        if kind == "while":
            turn, turns = self._turn(line), _turns(line)
            return _Cost(turn.operations * turns, turn.conditions * turns)
        if kind == "conditional":
            return self._dearest(line)
        if kind == "call":
            return self._cost(_CALLED.search(line)[1])  # type: ignore[index]
        return _Cost(1, 0)

    def _turn(self, line: str) -> _Cost:
        body, test = self._cost(_BODY.search(line)[1]), self._cost(_CONDITION.search(line)[1])  # type: ignore[index]
        return _Cost(body.operations + test.operations, body.conditions + test.conditions)

    def _dearest(self, line: str) -> _Cost:
        found = _BRANCHES.search(line)
        assert found is not None, line
        names = found[1].split(",") if found[1] else [found[2], found[3]]
        branches = [self._cost(name.strip().lstrip("%")) for name in names]
        return _Cost(max(each.operations for each in branches), 1 + max(each.conditions for each in branches))


def _parts(text: str) -> list[tuple[tuple[bool, str], list[str]]]:
    heads = list(_COMPUTATION.finditer(text))
    ends = [*(head.start() for head in heads), len(text)][1:]
    lines = [text[head.end() : end].splitlines() for head, end in zip(heads, ends, strict=False)]
    return [((bool(head[1]), head[2]), following) for head, following in zip(heads, lines, strict=True)]


def _kind(line: str) -> str | None:
    found = _INSTRUCTION.match(line)
    return None if found is None else found[1]


def _turns(line: str) -> int:
    """How often a loop turns; 1 where the compiler cannot tell."""
    found = _TURNS.search(line)
    return 1 if found is None else int(found[1])
