"""What an evaluation asks: prompts x models x modes over cases, and what must hold; read from one TOML file."""

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Literal, Self, get_args

from pydantic import BaseModel, ConfigDict, Field, model_validator

from llm_gate.contract import Label, Mode
from llm_gate.engines.base import SERVED_NAME, TemplateValue
from llm_gate.errors import RequestError
from llm_gate.evals.asking.letter_orders import ORDERS
from llm_gate.evals.data.cases import Split
from llm_gate.evals.data.true_days import Attribute
from llm_gate.evals.scoring.promotion import PromotionCriteria
from llm_gate.prompts.prompt_files import DEFAULT_PROMPT
from trigate.toml_config import Given, read_config

BANK = "bank"
EngineName = Literal["vllm", "logistic", "rules", "random", "scripted", "always-approve"]
Task = Literal["entry", "injection", "regime"]
Share = Annotated[float, Field(ge=0, le=1)]


class _Section(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class ModelSpec(_Section):
    """One who answers: a model with its server, or a control without one."""

    name: str = Field("", pattern=r"^[A-Za-z0-9._-]{0,64}$", description="in the report; none: its source or engine")
    engine: EngineName = "vllm"
    source: str = Field("package", description="a model: package, tiny or a folder; logistic: the file of a regression")
    url: str | None = Field(None, description="a server that already runs")
    served: str = Field(SERVED_NAME, min_length=1, description="with url: the name under which it serves the model")
    key_file: Path | None = Field(None, description="with url: holds its key, chmod 600; none: VLLM_API_KEY, if set")
    chat_template_kwargs: dict[str, TemplateValue] = Field(
        default_factory=dict, description="what the model's chat template is told, e.g. enable_thinking = false"
    )
    seed: int = Field(0, description="random")
    veto_rate: Share = Field(0.25, description="random")
    shrink_rate: Share = Field(0.0, description="random")
    script: tuple[Label, ...] = Field(("approve",), min_length=1, description="scripted; the last one repeats")

    @model_validator(mode="after")
    def _shares_of_one_whole(self) -> Self:
        if self.veto_rate + self.shrink_rate > 1:
            raise ValueError("veto_rate and shrink_rate are shares of one whole: together at most 1")
        return self

    @property
    def label(self) -> str:
        """The name that logs and reports give it."""
        if self.name:
            return self.name
        return Path(self.source).name if self.engine == "vllm" else self.engine


class PassSpec(_Section):
    """One way of asking: every model and prompt over the cases, or over a sample of them."""

    task: Task = Field(
        "entry", description="judge the entry, judge it with a note that gives orders, or name the regime from numbers"
    )
    mode: Mode = "choice"
    repeats: int = Field(1, ge=1, le=20)
    orders: int = Field(1, ge=1, le=len(ORDERS), description="how many orders of the letters; 1: the prompt's own")
    sample: int | None = Field(None, ge=1, description="at most so many cases, spread over the labels; none: all")
    payloads: int = Field(32, ge=1, description="injection: so many notes, spread over their families")
    models: tuple[str, ...] = Field((), description="none: all")
    prompts: tuple[str, ...] = Field((), description="none: all")


class ProbeSpec(_Section):
    """Whether a model can name the day or the market of the recorded cases."""

    truth: Path = Field(description="written by orchestrator cases, beside the cases")
    attributes: tuple[Attribute, ...] = Field(("weekday", "month", "market"), min_length=1)
    sample: int | None = Field(None, ge=1, description="at most so many sessions, one case each; none: all")


class AssertSpec(_Section):
    """A bound that a figure must keep, wherever ``where`` matches."""

    metric: str
    where: dict[str, str] = Field(default_factory=dict)
    at_least: float | None = None
    at_most: float | None = None

    @model_validator(mode="after")
    def _bounded(self) -> Self:
        if self.at_least is None and self.at_most is None:
            raise ValueError("an assertion needs at_least or at_most")
        if unknown := sorted(self.where.keys() - {"task", "model", "prompt", "mode", "split", "group", "regime"}):
            raise ValueError(f"where knows no {', '.join(unknown)}")
        return self


class Suite(_Section):
    """One evaluation: who is asked what about which cases, and what must hold of the answers."""

    name: str = Field("gate", pattern=r"^[a-z0-9][a-z0-9_-]{0,63}$")
    prompts: tuple[str, ...] = Field((DEFAULT_PROMPT,), min_length=1)
    prompts_folder: Path | None = Field(None, description="looked in first; none: prompts/ here, then what ships")
    models: tuple[ModelSpec, ...] = Field((ModelSpec(engine="rules"),), min_length=1)
    passes: tuple[PassSpec, ...] = Field((PassSpec(),), min_length=1)
    cases: tuple[str, ...] = Field((BANK,), min_length=1, description="bank, or files of cases")
    splits: tuple[Split, ...] = Field(("held_out",), min_length=1)
    deadline_s: float = Field(60.0, gt=0, le=300, description="for one verdict; later is late")
    ready_deadline_s: float = Field(300.0, gt=0, description="for a model server to prove itself")
    concurrency: int = Field(1, ge=1, le=64)
    trials: Path = Field(Path("runs/gate_trials.jsonl"), description="every prompt and threshold tried")
    probe: ProbeSpec | None = None
    promotion: PromotionCriteria = PromotionCriteria()
    assertions: tuple[AssertSpec, ...] = ()

    @model_validator(mode="after")
    def _names_are_distinct_and_known(self) -> Self:
        names = [model.label for model in self.models]
        if len(set(names)) != len(names):
            raise ValueError(f"two models have the same name: {', '.join(names)}; give one a name")
        for pass_spec in self.passes:
            if unknown := sorted({*pass_spec.models} - {*names}) + sorted({*pass_spec.prompts} - {*self.prompts}):
                raise ValueError(f"a pass names {', '.join(unknown)}, which the suite does not have")
        # It would fail after every question has been asked.
        asserted = {spec.where["model"] for spec in self.assertions if "model" in spec.where}
        if unknown := sorted(asserted - {*names}):
            missing = ", ".join(unknown)
            raise ValueError(f"an assertion names {missing}, which the suite does not have; give assertions, too")
        return self

    def with_engine(self, engine: str) -> "Suite":
        """The same with the models of one engine only, or with that engine at its defaults.

        Raises:
            RequestError: there is no such engine.
        """
        if engine not in get_args(EngineName):
            raise RequestError(f"no engine {engine!r}; there are: {', '.join(get_args(EngineName))}")
        models = [model for model in self.models if model.engine == engine] or [
            ModelSpec.model_validate({"engine": engine})
        ]
        names = {model.label for model in models}
        passes = [
            pass_spec.model_copy(update={"models": ()})
            for pass_spec in self.passes
            if not pass_spec.models or names & {*pass_spec.models}
        ]
        kept = {"models": tuple(models), "passes": tuple(passes) or (PassSpec(),)}
        about = tuple(spec for spec in self.assertions if spec.where.get("model", next(iter(names))) in names)
        return self.model_copy(update={**kept, "assertions": about})


def read_suite(path: Path | None, settings: Sequence[str | Given] = ()) -> Suite:
    """The suite in ``path`` (none: the defaults) with ``settings``, ``key=value`` in TOML each, applied last.

    Raises:
        ConfigError: an unreadable file, an unknown key (with the nearest known one), or a value that does not fit.
    """
    return read_config(Suite, path, settings)
