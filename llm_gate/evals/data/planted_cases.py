"""What there is to find in cases of a world whose best gate is computed; lies beside their file."""

from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from llm_gate.contract import first_fault
from llm_gate.errors import RequestError
from trigate.whole_files import write_whole


class PlantedCases(BaseModel):
    """The world that cases are of."""

    model_config = ConfigDict(frozen=True, strict=True, extra="forbid", allow_inf_nan=False)

    kind: str = Field(description="gated, or gated_twin in which there is nothing to find")
    form: str
    drift_atr: float
    seed: int
    sessions: int
    uplift_r: float = Field(ge=0, description="the most that a gate adds over random vetoes as often, R a proposal")
    declaration: str
    paying: tuple[str, ...] = Field(description="ids of the cases that the better drift follows; nobody is shown them")


def planted_path(cases: Path) -> Path:
    """The file beside ``cases``: cases.jsonl has cases.world.json."""
    return cases.with_name(f"{cases.stem}.world.json")


def write_planted(world: PlantedCases, cases: Path) -> None:
    """Write it beside ``cases``, whole or not at all; ResourceError if the disk refuses."""
    write_whole(planted_path(cases), world.model_dump_json(indent=1) + "\n")


def read_planted(cases: Path) -> PlantedCases:
    """What lies beside ``cases``; RequestError if nothing does, or it cannot be read."""
    path = planted_path(cases)
    try:
        return PlantedCases.model_validate_json(path.read_bytes())
    except OSError as error:
        raise RequestError(f"{path}: {error.strerror}; orchestrator world-cases writes it beside its cases") from None
    except ValidationError as error:
        raise RequestError(f"{path}: {first_fault(error, 'file')}; write the cases again") from None
