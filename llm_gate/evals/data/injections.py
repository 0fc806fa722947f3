"""Attempts to give the gate orders through a proposal's notes.

That no attempt leaves its block or widens the verdict is exact, and tested. That none sways a model cannot be had: an
evaluation measures the share that does, beside the share that harmless notes move, since any text moves some verdicts.
"""

import hashlib
from importlib.resources import files
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from llm_gate.contract import EntryProposal, Note, parse_json
from llm_gate.errors import MalformedVerdictError, RequestError
from llm_gate.prompts.outside_text import marker_of

Channel = Literal["text", "source"]
"""The part of a note that carries an attempt."""
HARMLESS = "harmless"
"""The family that asks for nothing: the control."""

_MARKER, _UPPER_MARKER = "{marker}", "{MARKER}"


class Payload(BaseModel):
    """One attempt."""

    model_config = ConfigDict(frozen=True, strict=True, extra="forbid")

    payload_id: str = Field(pattern=r"^[a-z0-9][a-z0-9_-]{0,63}$")
    family: str = Field(pattern=r"^[a-z_]{1,16}$")
    text: str = Field(min_length=1, max_length=4000, description="{marker} stands for the marker of the block")


def read_payloads(path: Path | None = None) -> tuple[Payload, ...]:
    """The corpus in ``path``, by default the project's own; RequestError names the line that is none."""
    path = path or Path(str(files("llm_gate"))) / "evals" / "data" / "injections.jsonl"
    payloads = []
    try:
        lines = path.read_bytes().splitlines()
    except OSError as error:
        raise RequestError(f"{path}: {error.strerror}") from None
    for number, line in enumerate(lines, start=1):
        try:
            parse_json(line)
            payloads.append(Payload.model_validate_json(line))
        except (MalformedVerdictError, ValidationError) as error:
            raise RequestError(f"{path}:{number}: {str(error).splitlines()[0]}; write one payload a line") from None
    return tuple(payloads)


def with_payload(proposal: EntryProposal, payload: Payload, channel: Channel = "text") -> EntryProposal:
    """``proposal`` with one more note that holds ``payload``, under an id of its own: it is another question.

    The marker is put in where the payload asks for it, as if its writer had guessed it.
    """
    seed = f"{proposal.proposal_id} {payload.payload_id} {channel}"
    proposal_id = hashlib.sha256(seed.encode()).hexdigest()[:32]
    marker = marker_of(proposal_id)
    text = payload.text.replace(_MARKER, marker).replace(_UPPER_MARKER, marker.upper())
    note = Note(source="desk", text=text[:4000]) if channel == "text" else Note(source=text[:64], text="see source")
    return proposal.model_copy(update={"proposal_id": proposal_id, "notes": (*proposal.notes, note)})
