"""What a verdict needs, from one file: configs/verdict.toml, or the copy of it in a user's own folder."""

from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field

from trigate.shipped import found_file
from trigate.toml_config import read_toml, validated

CRITERIA = Path("configs/verdict.toml")


class _Criteria(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    def changed(self, table: str) -> tuple[str, ...]:
        """What differs from what `bench/verdict.py` calibrated, for whoever reads the verdict."""
        usual = type(self)()
        return tuple(
            f"{table}.{name} = {value:g}, not the calibrated {getattr(usual, name):g}"
            for name, value in self
            if value != getattr(usual, name)
        )


class PolicyCriteria(_Criteria):
    """The table `policy`: of a policy, a rule or own entries."""

    min_sessions: int = Field(60, gt=0, description="with trades")
    min_trades: int = Field(100, gt=0)
    more_than_r: float = Field(0.0, ge=0, description="R a trade: the whole interval above it is PASS")
    most_without_verdict: float = Field(
        0.03,
        ge=0,
        le=1,
        description="share of proposals; a gate silent on more was not the gate that is judged",
    )
    sure: float = Field(0.95, gt=0, lt=1, description="chance of being better than the luckiest of all tries")


class GateCriteria(_Criteria):
    """The table `gate`: of whole paths with a gate beside those of others."""

    min_sessions: int = Field(60, gt=0)
    most_without_verdict: float = Field(0.03, ge=0, le=1, description="share of the proposals")
    sure: float = Field(0.95, gt=0, lt=1, description="share of the random reruns that it has to beat")


class ManagementCriteria(_Criteria):
    """The table `management`: of a policy's management beside the same entries with fixed brackets."""

    min_sessions: int = Field(60, gt=0, description="with trades")
    min_trades: int = Field(100, gt=0)
    more_than_r: float = Field(0.0, description="R a session: the whole interval above it is PASS, below it FAIL")
    level: float = Field(0.95, gt=0, lt=1, description="of the interval")


class VerdictCriteria(BaseModel):
    """The file of criteria; a table that is left out is the calibrated one."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    policy: PolicyCriteria = PolicyCriteria()
    gate: GateCriteria = GateCriteria()
    management: ManagementCriteria = ManagementCriteria()


def read_criteria(path: Path = CRITERIA) -> VerdictCriteria:
    """The criteria in the file.

    Raises:
        ConfigError: no such file, not TOML, or a key or value is wrong; all are listed.
    """
    return validated(VerdictCriteria, read_toml(found_file(path)), str(path))
