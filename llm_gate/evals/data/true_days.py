"""Where recorded cases really come from: a file beside the cases, which the name-the-day probe alone reads.

JSON Lines, one case a line. No case holds any of it, so nothing that a model is shown can.
"""

from collections.abc import Iterable
from datetime import date
from pathlib import Path
from typing import Literal, NamedTuple, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from llm_gate.contract import parse_json
from llm_gate.errors import MalformedVerdictError, RequestError
from trigate.whole_files import write_whole

Attribute = Literal["year", "month", "third", "weekday", "market"]


_MONTHS = ("January", "February", "March", "April", "May", "June", "July", "August", "September", "October")


OPTIONS: dict[Attribute, tuple[str, ...]] = {
    "month": (*_MONTHS, "November", "December"),
    "third": ("days 1 to 10 of the month", "days 11 to 20 of the month", "day 21 or later of the month"),
    "weekday": ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday"),
    "market": ("ES", "NQ", "YM", "RTY", "GC", "CL"),
}


MOST_OPTIONS = 20
"""A server gives the probabilities of no more letters than this."""


class Day(NamedTuple):
    """The trading day and the market that a proposal really comes from; known to the scorer alone."""

    year: int
    month: int
    day: int
    weekday: int
    """0 is Monday; the exchange's trading days are 0 to 4."""
    market: str


def options_of(attribute: Attribute, days: Iterable[Day]) -> tuple[str, ...]:
    """What a model may choose from, years and markets as ``days`` need them.

    Raises:
        ValueError: more options than letters.
    """
    if attribute == "year":
        years = [day.year for day in days]
        options = tuple(str(year) for year in range(min(years), max(years) + 1))
    elif attribute == "market":
        known = OPTIONS["market"]
        options = (*known, *sorted({day.market for day in days} - set(known)))
    else:
        options = OPTIONS[attribute]
    if len(options) > MOST_OPTIONS:
        raise ValueError(f"{attribute}: {len(options)} options; one question tells at most {MOST_OPTIONS} apart")
    return options


def right_option(day: Day, attribute: Attribute) -> str:
    """The option that is right."""
    match attribute:
        case "year":
            return str(day.year)
        case "month":
            return OPTIONS["month"][day.month - 1]
        case "third":
            return OPTIONS["third"][min(2, (day.day - 1) // 10)]
        case "weekday":
            return OPTIONS["weekday"][day.weekday]
        case "market":
            return day.market


class TrueDay(BaseModel):
    """The trading day and the market of one case."""

    model_config = ConfigDict(frozen=True, strict=True, extra="forbid")

    case_id: str
    year: int = Field(ge=1, le=9999)
    month: int = Field(ge=1, le=12)
    day: int = Field(ge=1, le=31)
    weekday: int = Field(ge=0, le=4, description="0 is Monday")
    market: str = Field(pattern=r"^[A-Z0-9]{1,8}$")

    @model_validator(mode="after")
    def _is_a_day(self) -> Self:
        if date(self.year, self.month, self.day).weekday() != self.weekday:
            raise ValueError("the weekday is not that of the date")
        return self

    @classmethod
    def of(cls, case_id: str, day: date, market: str) -> Self:
        """The truth about one case."""
        return cls(case_id=case_id, year=day.year, month=day.month, day=day.day, weekday=day.weekday(), market=market)


def true_days_path(cases: Path) -> Path:
    """The file beside ``cases``: cases.jsonl has cases.truth.jsonl."""
    return cases.with_name(f"{cases.stem}.truth{cases.suffix}")


def write_true_days(truths: Iterable[TrueDay], path: Path) -> None:
    """Write ``truths``, whole or not at all; ResourceError if the disk refuses."""
    write_whole(path, "".join(f"{truth.model_dump_json()}\n" for truth in truths))


def read_true_days(path: Path) -> dict[str, Day]:
    """The day of each case by its id; RequestError names a line that cannot be read."""
    try:
        lines = path.read_bytes().splitlines()
    except OSError as error:
        raise RequestError(f"{path}: {error.strerror}; name the file that orchestrator cases wrote") from None
    days: dict[str, Day] = {}
    for number, line in enumerate(lines, start=1):
        try:
            parse_json(line)
            parsed = TrueDay.model_validate_json(line)
        except MalformedVerdictError as error:
            raise RequestError(f"{path}:{number}: {error}; write one JSON object a line") from None
        except ValidationError as error:
            raise RequestError(f"{path}:{number}: {error.errors()[0]['msg']}") from None
        if parsed.case_id in days:
            raise RequestError(f"{path}:{number}: case_id: {parsed.case_id!r} has a line already; remove one")
        days[parsed.case_id] = Day(parsed.year, parsed.month, parsed.day, parsed.weekday, parsed.market)
    return days
