"""A saved size line: near the account's floor an approved entry is taken half as large.

`orchestrator size-gate` fits it by what attempts come to under all rules of an account, as no R a trade knows of it. It
is of one gate and of one rule pack, and can only make an entry smaller.
"""

import hashlib
from decimal import Decimal
from pathlib import Path
from typing import Literal, NamedTuple

from pydantic import BaseModel, ConfigDict, Field

from llm_gate.contract import (
    Approve,
    Count,
    EntryProposal,
    Mode,
    Positive,
    Probability,
    Resize,
    Sha256,
    Veto,
)
from llm_gate.engines.saved_file import Kind, read_saved
from llm_gate.errors import RequestError
from llm_gate.review.calibrated_verdict import SHRUNK

_KIND = Kind("size line", "orchestrator size-gate")


class _Saved(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class LineTried(_Saved):
    """What attempts came to under one line, on drawn sessions of those it was fitted on."""

    halve_under: Count = Field(description="room in thousandths of the trade's risk; 0: full size everywhere")
    passes: Probability
    sessions: float = Field(gt=0, description="that an attempt takes, on average")
    dollars: float | None = Field(None, description="an attempt, fees and payouts; none: chosen by passes alone")


class AskedAs(_Saved):
    """Whose approvals it halves: another gate lets other entries through."""

    engine: str
    model: str = Field(description="as verdicts call it, with its digest")
    prompt_digest: Sha256 | None = Field(None, description="none: the engine reads no prompt")
    mode: Mode | None = None
    calibration: str = Field("", description="SHA-256 of the calibration's file; empty: the model's own letters")


class SizeLine(_Saved):
    """A line, with what it was fitted on and by."""

    form: Literal["gate_size.v1"] = "gate_size.v1"
    gate: AskedAs
    rule_pack: str
    rule_pack_digest: Sha256
    halve_under: Count = Field(description="room in thousandths of the trade's risk; 0: full size everywhere")
    by: Literal["passes", "dollars"]
    tried: tuple[LineTried, ...] = Field(min_length=1, description="every line that was played, full size first")
    gains: tuple[float, ...] = Field(description="on each fold by what the others chose: share passing, or dollars")
    sessions: Positive = Field(description="that it was fitted on")
    last_session: Count = Field(description="of those; it may be judged on later ones")
    trials: Count = Field(description="on record when it was saved")

    def worth(self, halve_under: int) -> LineTried:
        """What attempts came to under one of the lines."""
        return next(each for each in self.tried if each.halve_under == halve_under)


class Sized(NamedTuple):
    """A verdict, and whether the line made it."""

    verdict: Approve | Resize | Veto
    halved: bool


class SizeFile(NamedTuple):
    """A size line with the text of the file that it was read from."""

    saved: SizeLine
    text: str
    """What the file holds, to the byte."""

    @property
    def digest(self) -> str:
        """SHA-256 of the file, in hex."""
        return hashlib.sha256(self.text.encode()).hexdigest()

    def sized(self, verdict: Approve | Resize | Veto, proposal: EntryProposal) -> Sized:
        """``verdict``, or half of the entry where it was approved and its account stands near its floor."""
        room = proposal.context.room_to_floor_risks_milli
        if not isinstance(verdict, Approve) or room >= self.saved.halve_under:
            return Sized(verdict, halved=False)
        reason = f"room of {room / 1000:.2f} risks to the floor, under {self.saved.halve_under / 1000:g}"
        return Sized(Resize(size_factor=SHRUNK, reason=reason), halved=True)

    def refuse_other(self, gate: AskedAs, shrink_factor: Decimal) -> None:
        """RequestError if it was fitted on the approvals of another gate, or for another size of what is shrunk."""
        fitted, used = self.saved.gate.model_dump(), gate.model_dump()
        for name, value in fitted.items():
            if value != used[name] and (value is not None or name == "engine"):
                raise RequestError(
                    f"the size line is of another {name.replace('_digest', '')}: {value or 'none'}, not "
                    f"{used[name] or 'none'}; fit one for this gate (orchestrator size-gate)"
                )
        if shrink_factor != SHRUNK:
            raise RequestError(f"a size line was fitted where shrinking is to {SHRUNK}, and shrink_factor differs")

    def refuse_other_pack(self, name: str, digest: str) -> None:
        """RequestError if it was fitted under another rule pack, or another reading of it."""
        if digest != self.saved.rule_pack_digest:
            raise RequestError(
                f"the size line was fitted under the rules of {self.saved.rule_pack} as they were read then, and this "
                f"run trades under {name}; fit one for it (orchestrator size-gate)"
            )


def read_size(path: Path) -> SizeFile:
    """The size line in ``path``, as `orchestrator size-gate` saves it; RequestError if it cannot be used."""
    saved, content = read_saved(path, SizeLine, _KIND)
    return SizeFile(saved, content.decode("utf-8"))


def size_in_words(line: SizeLine) -> str:
    """Where it halves, and what it was chosen by."""
    full = line.worth(0)
    if not line.halve_under:
        return f"full size everywhere: of {len(line.tried) - 1} lines none was worth more on left-out sessions"
    chosen = line.worth(line.halve_under)
    dollars = ""
    if chosen.dollars is not None and full.dollars is not None:
        dollars = f", and an attempt is worth {chosen.dollars:+,.0f} dollars instead of {full.dollars:+,.0f}"
    return (
        f"approved entries are halved under {line.halve_under / 1000:g} risks of room to the floor: of attempts on "
        f"drawn sessions of those it was fitted on {100 * chosen.passes:.1f} % pass instead of "
        f"{100 * full.passes:.1f} %{dollars}; chosen by {line.by} of {len(line.tried) - 1} lines under "
        f"{line.rule_pack}, {line.trials} trials on record"
    )
