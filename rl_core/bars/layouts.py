"""How vendors write a bars file: which columns hold what, how times are written, and what a stamp means."""

import re
from collections.abc import Mapping, Sequence
from typing import Literal, NamedTuple

from trigate.errors import ConfigError

Stamp = Literal["start", "end"]
TIME_COLUMNS = ("datetime", "ts_event", "timestamp")
BAR_COLUMNS = ("open", "high", "low", "close", "volume")
NEW_YORK = "America/New_York"
# The dash means UTC: interactivebrokers.github.io/tws-api/historical_bars.html writes ToUniversalTime() so.
IB_UTC = "%Y%m%d-%H:%M:%S"
UTC_BY_FORM = {IB_UTC: "UTC"}
"""Ways of writing a time that state its zone, as the vendor documents, by nothing but their form."""
COMMAS = "Export the file with commas between the columns"
OTHER_SEPARATORS = frozenset(";\t|")
"""What stands between columns where no comma does. It is not read: such programs often write 21.000 for 21,000."""
OTHER_FORM = "if a vendor's form was not recognised: rl-core data check FILE --format NAME --out DIR"
"""What to do about a file whose form cannot be told: that command leaves bars that every other one reads."""


class Layout(NamedTuple):
    """One way in which bars files are written; column names are compared in lower case."""

    name: str
    time: tuple[str, ...]
    """The columns that hold the time; several are joined by a blank."""
    renamed: Mapping[str, tuple[str, ...]] = {}
    """Our column names with the names that may stand for them, the first that is there wins."""
    header: tuple[str, ...] = ()
    """Names of the columns of a file that has no header line."""
    first_line: str = ""
    """What the first line of a file without a header looks like."""
    delimiter: str = ","
    time_formats: tuple[str, ...] = ()
    """As of ``strptime``, the first that fits the first row; none: ISO or an epoch."""
    timezone: str | None = None
    """Of times that state none, where the vendor documents it."""
    stamp: Stamp = "start"
    """Whether a bar is stamped with its start or its end, as the vendor documents."""
    summed: Mapping[str, tuple[str, ...]] = {}
    """Our column names with the columns whose sum stands for them where none of their names is there."""
    around_names: str = ""
    """What may stand around the names of columns."""
    footer: str = ""
    """How a last line begins that is no bar."""


PLAIN = Layout("plain", TIME_COLUMNS)
LAYOUTS = {
    layout.name: layout
    for layout in (
        PLAIN,
        Layout("databento", ("ts_event",)),
        Layout("tradingview", ("time",)),
        Layout(
            "ninjatrader",
            ("time",),
            header=("time", *BAR_COLUMNS),
            first_line=r"^\d{8} \d{6};",
            delimiter=";",
            time_formats=("%Y%m%d %H%M%S",),
            timezone="UTC",
            stamp="end",
        ),
        Layout(
            "sierrachart",
            ("date", "time"),
            renamed={"close": ("last", "close")},
            time_formats=("%Y/%m/%d %H:%M:%S", "%Y/%m/%d %H:%M:%S.%f", "%Y-%m-%d %H:%M:%S", "%Y-%m-%d %H:%M:%S.%f"),
        ),
        Layout(
            "motivewave",
            ("date", "time"),
            renamed={"close": ("last", "close")},
            time_formats=("%m/%d/%Y %H:%M:%S", "%m/%d/%Y %H:%M", "%Y-%m-%d %H:%M:%S"),
        ),
        # "Closing time of the bar": help.tradestation.com, ASCII 3rd party data guidelines; MultiCharts likewise.
        Layout(
            "tradestation",
            ("date", "time"),
            renamed={"volume": ("volume", "vol", "totalvolume")},
            summed={"volume": ("up", "down")},
            time_formats=(
                "%m/%d/%Y %H:%M",
                "%m/%d/%Y %H:%M:%S",
                "%m/%d/%Y %I:%M %p",
                "%m/%d/%Y %I:%M:%S %p",
                "%Y-%m-%d %H:%M:%S",
                "%Y%m%d %H%M%S",
            ),
            stamp="end",
            around_names="<>",
        ),
        Layout("ibkr", ("date",), time_formats=("%Y%m%d %H:%M:%S", IB_UTC)),
        Layout("polygon", ("window_start",), renamed={"symbol": ("ticker", "symbol")}),
        Layout(
            "firstrate",
            TIME_COLUMNS,
            header=("datetime", *BAR_COLUMNS),
            first_line=r"^\d{4}-\d\d-\d\d \d\d:\d\d:\d\d,",
            timezone=NEW_YORK,
        ),
        Layout(
            "kibot",
            ("date", "time"),
            header=("date", "time", *BAR_COLUMNS),
            first_line=r"^\d\d/\d\d/\d{4},\d\d:\d\d,",
            time_formats=("%m/%d/%Y %H:%M",),
            timezone=NEW_YORK,
        ),
        Layout(
            "barchart",
            ("time",),
            renamed={"close": ("last", "close")},
            time_formats=("%m/%d/%Y %H:%M", "%m/%d/%Y %I:%M %p", "%Y-%m-%d %H:%M"),
            footer='"Downloaded from Barchart',
        ),
    )
}
TICKS = Layout(
    "ticks",
    TIME_COLUMNS,
    renamed={
        **dict.fromkeys(BAR_COLUMNS[:4], ("price",)),
        "volume": ("size", "volume"),
    },
)
"""Trades as they come, each a bar of one price; only where somebody says that a file's rows are ticks."""
ALIASES = {"massive": "polygon", "multicharts": "tradestation", "sierra": "sierrachart", "interactivebrokers": "ibkr"}


def layout_named(name: str) -> Layout:
    """The layout called ``name``.

    Raises:
        ConfigError: there is none.
    """
    key = ALIASES.get(name.lower(), name.lower())
    if key not in LAYOUTS:
        raise ConfigError(f"unknown --format {name!r}; known: {', '.join(sorted({*LAYOUTS, *ALIASES}))}")
    return LAYOUTS[key]


def layout_of(first_line: str, names: Sequence[str]) -> Layout:
    """The layout that the first line of a text file shows.

    Args:
        first_line: as it stands.
        names: the same line read as column names, in lower case.
    """
    for layout in LAYOUTS.values():
        if layout.first_line and re.match(layout.first_line, first_line):
            return layout
    return LAYOUTS[_shown_by(set(names))]


def _shown_by(names: set[str]) -> str:
    """The layout whose own columns are among ``names``; the plain one if none is."""
    if names & set(TIME_COLUMNS):
        return "databento" if {"ts_event", "publisher_id"} <= names else "plain"
    if "window_start" in names:
        return "polygon"
    if {"date", "time", "up", "down"} <= names and "volume" not in names:
        return "tradestation"
    if {"date", "time"} <= names:
        return "sierrachart"
    if "time" in names:
        return "barchart" if "last" in names else "tradingview"
    return "ibkr" if "date" in names else "plain"
