"""What a run's gate is made of, read and checked before anything is started."""

import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from llm_gate.engines.base import SERVED_NAME
from llm_gate.engines.logistic import LogisticModel, read_logistic
from llm_gate.errors import or_without_a_model
from llm_gate.evals.asking.answerers import digest_of_model, user_server
from llm_gate.evals.asking.suite import ModelSpec
from llm_gate.prompts.prompt_files import Prompt, load_prompt
from llm_gate.review.calibrated_verdict import read_calibration
from llm_gate.review.size_line import AskedAs, SizeFile, read_size
from llm_gate.serving.model_folders import MADE_HERE, check_model, model_folder, model_id
from llm_gate.teaching.taught_folder import TaughtCard, read_card, taught_on
from orchestrator.run.config import GateSection

NOTHING = "0" * 64
NO_MODEL = "--gate rules or --gate off"

Say = Callable[[str], None]


class GateInputs(NamedTuple):
    """The gate's part of a run's inputs."""

    prompt_digest: str
    folder: Path | None
    """Of the model; None where no server is to be started."""
    model: str
    calibration: str = ""
    """The saved calibration, as the run keeps it; "" for none."""
    taught: str = ""
    """What the gate was taught on, in words; "" for one that nobody taught."""
    size: SizeFile | None = None
    """What halves entries near the account's floor; None: nothing does."""

    @property
    def calibration_digest(self) -> str:
        """SHA-256 in hex, "" for none."""
        return hashlib.sha256(self.calibration.encode()).hexdigest() if self.calibration else ""

    @property
    def size_digest(self) -> str:
        """SHA-256 in hex, "" for none."""
        return "" if self.size is None else self.size.digest


def check_gate(gate: GateSection) -> None:
    """Raise GateError where the prompt, its mode, a model's folder or file, or a server's address cannot be used."""
    if gate.engine == "off":
        return
    load_prompt(gate.prompt, gate.prompts).refuse_mode(gate.review.mode)
    if gate.engine == "vllm" and gate.url is not None:
        user_server(model_spec(gate))
    elif gate.engine == "vllm" and gate.model not in MADE_HERE:
        check_model(Path(gate.model))
    elif gate.engine == "logistic":
        read_logistic(Path(gate.model))


def gate_inputs(gate: GateSection, *, say: Say = lambda text: None) -> GateInputs:
    """Read the prompt and find the model.

    Raises:
        GateError: a file that cannot be used, a prompt that is not written for the mode, or a calibration or size
            line of another prompt, model or mode.
    """
    if gate.engine == "off":
        return GateInputs(NOTHING, None, "")
    prompt = load_prompt(gate.prompt, gate.prompts)
    prompt.refuse_mode(gate.review.mode)
    starts = gate.engine == "vllm" and gate.url is None
    with or_without_a_model(NO_MODEL):
        folder = model_folder(gate.model, progress=say) if starts else None
    model = "" if folder is None else model_id(folder)
    card: TaughtCard | LogisticModel | None = None if folder is None else read_card(folder)
    if gate.engine == "vllm" and gate.url is not None:
        model = user_server(model_spec(gate)).model_id
    if gate.engine == "logistic":
        regression = read_logistic(Path(gate.model))
        model, card = regression.name, regression.saved
    kept = "" if gate.review.calibration is None else _calibration(gate, prompt, say)
    found = GateInputs(prompt.digest, folder, model, kept, "" if card is None else taught_on(card))
    return found if gate.review.size is None else found._replace(size=_size(gate, found, say))


def model_spec(gate: GateSection) -> ModelSpec:
    """The gate's engine under the name that an evaluation gives it, so that its calibration is recognised."""
    return ModelSpec(
        engine="rules" if gate.engine == "off" else gate.engine,
        source=gate.model,
        url=gate.url,
        served=SERVED_NAME if gate.url is None else gate.model,
        key_file=gate.key_file,
        chat_template_kwargs=gate.chat_template_kwargs,
    )


def _size(gate: GateSection, found: GateInputs, say: Say) -> SizeFile:
    assert gate.review.size is not None, "asked for"
    read = read_size(gate.review.size)
    asked = AskedAs(
        engine=gate.engine,
        model=digest_of_model(model_spec(gate), say),
        prompt_digest=found.prompt_digest,
        mode=gate.review.mode,
        calibration=found.calibration_digest,
    )
    read.refuse_other(asked, gate.review.shrink_factor)
    return read


def _calibration(gate: GateSection, prompt: Prompt, say: Say) -> str:
    path = gate.review.calibration
    assert path is not None, "asked for"
    read = read_calibration(path)
    model = digest_of_model(model_spec(gate), say)
    read.refuse_other(prompt.digest, model, gate.review.mode)
    return read.text
