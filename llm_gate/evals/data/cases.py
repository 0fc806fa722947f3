"""Cases to judge a gate by: the hand-labelled scenario bank, and recorded proposals with what they earned.

A file of cases is JSON Lines, one case a line, UTF-8, read strictly: nothing is repaired and nothing skipped.
"""

import hashlib
from collections.abc import Iterable, Iterator
from importlib.resources import files
from pathlib import Path
from typing import Literal, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from llm_gate.contract import Count, EntryProposal, Figure, Label, first_fault, parse_json
from llm_gate.errors import MalformedVerdictError, RequestError
from trigate.whole_files import write_whole

_LARGEST_BYTES = 256 * 1024 * 1024


class Case(BaseModel):
    """One proposal and what is known about it."""

    model_config = ConfigDict(frozen=True, strict=True, extra="forbid", allow_inf_nan=False)

    case_id: str = Field(pattern=r"^[a-z0-9][a-z0-9_-]{0,63}$")
    source: Literal["bank", "recorded"]
    split: Literal["tune", "held_out"]
    proposal: EntryProposal
    label: Label | None = Field(None, description="what a practised trader would say; recorded cases have none")
    why: str = Field("", max_length=280, description="the label's justification in plain words")
    outside_rules: bool = Field(False, description="the label rests on facts the three-line rule does not read")
    outcome_r_milli: Figure | None = Field(None, description="result alone to its end at full size, thousandths of R")
    session: Count | None = Field(None, description="opaque number of the session, in order of time; no model sees it")
    in_sample: bool | None = Field(
        None,
        exclude_if=lambda value: value is None,  # so that a case without it keeps its digest
        description="recorded: its bar is one that the policy, or its phase 1, was trained on; none: not known",
    )

    @property
    def regime(self) -> str:
        """The causal regime at the proposal, e.g. ``up/calm``."""
        return self.proposal.context.regime

    @model_validator(mode="after")
    def _what_its_source_knows(self) -> Self:
        if self.source == "bank" and (self.label is None or not self.why):
            raise ValueError("a bank case needs a label and why")
        if self.source == "bank" and {self.outcome_r_milli, self.session, self.in_sample} != {None}:
            raise ValueError("a bank case was never traded: it has no outcome and no session")
        if self.source == "recorded" and (self.label is not None or self.why or self.outside_rules):
            raise ValueError("a recorded case has an outcome, not a label")
        if self.source == "recorded" and (self.outcome_r_milli is None or self.session is None):
            raise ValueError("a recorded case needs outcome_r_milli and session")
        return self


def bank_path() -> Path:
    """The project's own scenario bank."""
    return Path(str(files("llm_gate"))) / "evals" / "data" / "bank.jsonl"


def read_cases(path: Path) -> tuple[Case, ...]:
    """The cases in ``path``, in the order of the file.

    Raises:
        RequestError: naming file, line, field and remedy, for anything but whole cases with distinct ids.
    """
    lines: dict[str, int] = {}
    cases = []
    for number, line in _lines(path):
        case = _parsed(line, f"{path}:{number}")
        if case.case_id in lines:
            first = lines[case.case_id]
            raise RequestError(f"{path}:{number}: case_id: {case.case_id!r} is that of line {first}; rename one")
        lines[case.case_id] = number
        cases.append(case)
    if not cases:
        raise RequestError(f"{path}: holds no case; write one JSON object a line")
    return tuple(cases)


def write_cases(cases: Iterable[Case], path: Path) -> None:
    """Write ``cases`` to ``path``, whole or not at all; ResourceError if the disk refuses."""
    write_whole(path, b"".join(_line(case) for case in cases))


def digest_of(cases: Iterable[Case]) -> str:
    """SHA-256 in hex of the cases as ``write_cases`` writes them, whatever the spacing of their file."""
    digest = hashlib.sha256()
    for case in cases:
        digest.update(_line(case))
    return digest.hexdigest()


def _lines(path: Path) -> Iterator[tuple[int, bytes]]:
    try:
        if path.stat().st_size > _LARGEST_BYTES:
            raise RequestError(f"{path}: is larger than {_LARGEST_BYTES} bytes; split it")
        with path.open("rb") as file:
            yield from enumerate(file, start=1)
    except OSError as error:
        raise RequestError(f"{path}: {error.strerror}; name a file of cases") from None


def _parsed(line: bytes, where: str) -> Case:
    try:
        parse_json(line)
        return Case.model_validate_json(line)
    except MalformedVerdictError as error:
        raise RequestError(f"{where}: {error}; write one JSON object a line, no line empty") from None
    except ValidationError as error:
        raise RequestError(f"{where}: {first_fault(error, 'case')}; correct the field") from None


def _line(case: Case) -> bytes:
    return case.model_dump_json().encode() + b"\n"


Split = Literal["tune", "held_out"]
