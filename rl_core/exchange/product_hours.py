"""The ordinary trading hours of each product family, in exchange time."""

from typing import Literal, NamedTuple

Family = Literal["equity", "metals", "energy", "fx", "rates", "grains"]
EXCHANGE_ZONE = "America/New_York"


class OrdinaryHours(NamedTuple):
    """One ordinary session; it opens the evening before its trade date."""

    open: str
    close: str
    pause: tuple[str, str] | None = None
    """A break inside the session."""


_GLOBEX = OrdinaryHours("18:00", "17:00")
HOURS: dict[Family, OrdinaryHours] = {
    "equity": _GLOBEX,
    "metals": _GLOBEX,
    "energy": _GLOBEX,
    "fx": _GLOBEX,
    "rates": _GLOBEX,
    # Grains trade in an evening and a day session; the trade date is that of the day session.
    "grains": OrdinaryHours("20:00", "14:20", ("08:45", "09:30")),
}


def clock_minute(clock: str) -> int:
    """Minute of the day of a time such as 08:45."""
    return int(clock[:2]) * 60 + int(clock[3:])


def ordinarily_open(family: Family, minute: int) -> bool:
    """Whether ``family`` trades at this minute of an ordinary exchange-local day."""
    hours = HOURS[family]
    pause = hours.pause is not None and clock_minute(hours.pause[0]) <= minute < clock_minute(hours.pause[1])
    return (minute >= clock_minute(hours.open) or minute < clock_minute(hours.close)) and not pause
