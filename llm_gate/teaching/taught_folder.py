"""A taught model as an ordinary folder: all of the model it comes from, other rows in its output layer, and a card."""

import contextlib
import io
import shutil
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from llm_gate.contract import Count, Label, Positive, Sha256, first_fault
from llm_gate.engines.logistic import LogisticModel
from llm_gate.errors import RequestError
from llm_gate.teaching.hidden_states import Letters
from trigate.whole_files import disk_faults

CARD = "gate_card.json"
MAY_NOT = (
    "It may not be used to judge cases that it was taught on, nor any of the sessions up to last_session.",
    "It was taught one prompt, in the mode choice; with another prompt or in json its letters mean nothing.",
    "It may only shadow until llm-gate eval says PROMOTE on cases that it never saw.",
    "It knows nothing of another policy, market or bracket than those of its cases.",
)


class AdapterCard(BaseModel):
    """How the upper layers were taught, before their adapters were merged."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    layers: Positive = Field(description="from the top")
    rank: Positive
    seed: Count
    epochs: Count = Field(description="over all cases: as many as did best on the fold that stops")
    loss_stopped: float = Field(description="on the fold that stopped it, of the fit on the folds before it")


class TaughtCard(BaseModel):
    """What a folder was taught, on what, and what it may not be used for."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    form: Literal["gate_taught.v1"] = "gate_taught.v1"
    method: Literal["head", "lora"] = "head"
    adapters: AdapterCard | None = Field(None, description="of the method lora")
    source: str = Field(description="the model that was taught, and its digest")
    prompt: str
    prompt_digest: Sha256
    letters: dict[str, Label]
    cases: Positive
    sessions: Positive
    cases_digest: Sha256
    last_session: Count
    in_sample: bool = Field(description="taught on bars that the policy was trained on too")
    fold_sessions: tuple[int, ...] = Field(
        description="of each fold, in order of time; the last one stopped the fit (lora: the last but one)"
    )
    steps: Count = Field(description="of the descent; lora: passes over all cases")
    loss_before: float = Field(description="on the last fold, of the model as it was")
    loss_taught: float = Field(description="on the last fold, of the fit on the folds before it")
    loss_fitted: float = Field(description="of that fit on the folds before it")
    loss_same: float | None = Field(None, description="on the last fold, of one answer for all; None: an older card")
    apart: float | None = Field(
        None, description="standard errors by which cases of left-out folds are told apart; None: an older card"
    )
    luck: float | None = Field(
        None, description="share of dealings of the outcomes in which they are told apart as well; None: an older card"
    )
    found: bool = Field(True, description="false: left-out cases are not told apart, so it approves all")
    seconds_states: float = Field(description="to compute the hidden states that were not kept from before")
    seconds_fit: float
    may_not: tuple[str, ...] = MAY_NOT


def write_taught(
    source: Path,
    out: Path,
    letters: Letters,
    rows: npt.NDArray[np.float64],
    card: TaughtCard,
    *,
    changed: Mapping[str, Any] | None = None,
) -> None:
    """The model of ``source`` with ``rows`` [L, D] for ``letters``, written whole to ``out`` or not at all.

    ``changed`` are other weights by their names: tensors of the shape that they have.

    Embeddings that shared their matrix with the output layer are parted from it: else the letters would be read
    differently wherever a prompt holds them.

    Raises:
        RequestError: there is something at ``out`` already, or what was written does not read back as it was meant.
        ResourceError: the disk refuses.
    """
    refuse_taken(out)
    with disk_faults(out):
        out.parent.mkdir(parents=True, exist_ok=True)
        made = Path(tempfile.mkdtemp(prefix=f".{out.name}.", dir=out.parent))
        try:
            _write(source, made, letters, rows, changed or {})
            (made / CARD).write_text(card.model_dump_json(indent=1) + "\n", encoding="utf-8")
            made.chmod(0o755)
            made.rename(out)
        finally:
            shutil.rmtree(made, ignore_errors=True)


def refuse_taken(out: Path) -> None:
    """RequestError if there is something at ``out`` already."""
    if out.exists():
        raise RequestError(f"{out}: is there already; name another folder, or remove it")


def read_card(folder: Path) -> TaughtCard | None:
    """The card of a taught folder, None for a model that nobody taught; RequestError if it cannot be read."""
    path = folder / CARD
    if not path.exists():
        return None
    try:
        return TaughtCard.model_validate_json(path.read_bytes())
    except OSError as error:
        raise RequestError(f"{path}: {error.strerror}") from None
    except ValidationError as error:
        raise RequestError(f"{path}: {first_fault(error, 'file')}; teach the model again") from None


def taught_on(card: TaughtCard | LogisticModel) -> str:
    """What a gate was taught on and until when: cases tell no date, so sessions are counted from their first."""
    found = card.found if isinstance(card, TaughtCard) else card.threshold > 0
    told = "" if found else ", which told it nothing of sessions that it did not see, so it approves everything"
    inside = (
        "some on bars that the policy was trained on too" if card.in_sample else "none of the policy's training bars"
    )
    return (
        f"taught on {card.cases:,} cases of {card.sessions} sessions{told}; up to the session numbered "
        f"{card.last_session} of its cases (digest {card.cases_digest[:12]}), {inside}; only later ones can judge it"
    )


def _write(
    source: Path, made: Path, letters: Letters, rows: npt.NDArray[np.float64], changed: Mapping[str, Any]
) -> None:
    import torch

    model = _loaded(source)
    kept = model.get_input_embeddings().weight.detach().clone()
    weights = model.get_output_embeddings().weight.detach().clone()
    weights[list(letters.tokens)] = torch.from_numpy(rows.astype(np.float32))
    model.load_state_dict(dict(changed), strict=False)
    model.config.tie_word_embeddings = False
    model.get_output_embeddings().weight = torch.nn.Parameter(weights)
    with contextlib.redirect_stderr(io.StringIO()):  # its progress bars
        model.save_pretrained(made)
    for path in source.iterdir():
        if path.is_file() and path.name.startswith(("tokenizer", "special_tokens", "vocab", "merges", "chat_template")):
            shutil.copyfile(path, made / path.name)
    again = _loaded(made)
    held = again.state_dict()
    if not (
        torch.equal(again.get_input_embeddings().weight, kept)
        and torch.equal(again.get_output_embeddings().weight, weights)
        and all(torch.equal(held[name], weight) for name, weight in changed.items())
    ):
        raise RequestError(f"{source}: its layers do not read back as they were written; it cannot be taught so")


def _loaded(folder: Path) -> Any:
    import torch
    import transformers

    with contextlib.redirect_stderr(io.StringIO()):
        return transformers.AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32, local_files_only=True)
