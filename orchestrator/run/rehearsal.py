"""The clock of a rehearsal: what time a market has whose recorded bars are played faster than they were."""

from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from llm_gate.contract import first_fault
from orchestrator.clock import Pace
from trigate.errors import ConfigError
from trigate.whole_files import write_whole

MOST_SPEED = 10_000.0


class Rehearsal(BaseModel):
    """A file that `orchestrator feed` writes beside its bars, and a run in paper mode reads at its start."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    market_ns: int = Field(gt=0, description="UTC in the market when the wall clock says wall_ns")
    wall_ns: int = Field(gt=0)
    speed: float = Field(gt=0, le=MOST_SPEED, description="seconds of the market in one of the wall clock's")
    world: str = Field("", description="JSON declaration of the synthetic market that the bars are; none: a market's")

    @property
    def pace(self) -> Pace:
        """As a clock takes it."""
        return Pace(self.market_ns, self.wall_ns, self.speed)


def write_rehearsal(path: Path, rehearsal: Rehearsal) -> None:
    """Write it to ``path``, whole or not at all.

    Raises:
        ResourceError: the disk failed.
    """
    write_whole(path, rehearsal.model_dump_json(indent=1) + "\n")


def read_rehearsal(path: Path) -> Rehearsal:
    """The rehearsal in the file ``path``.

    Raises:
        ConfigError: there is none.
    """
    try:
        return Rehearsal.model_validate_json(path.read_bytes())
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read: {error.strerror}; orchestrator feed writes a clock") from error
    except ValidationError as error:
        fault = first_fault(error, "file")
        raise ConfigError(f"{path}: is no clock: {fault}; orchestrator feed writes one beside its bars") from error
