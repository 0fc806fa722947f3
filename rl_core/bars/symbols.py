"""Symbols in a bars file: which contract an outright is, and what is a spread."""

import re
from typing import NamedTuple

MONTH_CODES = "FGHJKMNQUVXZ"
OUTRIGHT = re.compile(rf"^([A-Z0-9]{{1,3}})([{MONTH_CODES}])(\d{{1,2}})$")
# NinjaTrader names contracts by month and year: "NQ 03-24" is no spread.
_MONTH_AND_YEAR = re.compile(r"^[A-Z0-9]+ \d\d-\d\d$")
_USER_DEFINED = re.compile(r"^UD:|:(BF|CF|DF|BS|IC|PK|CS) ")


class Outright(NamedTuple):
    """One expiry of a product."""

    root: str
    month: int
    digits: str
    """Of the year, one or two."""


def outright(symbol: str) -> Outright | None:
    """The parts of a symbol such as NQH5; None for a symbol of another form."""
    matched = OUTRIGHT.match(symbol.upper())
    if matched is None:
        return None
    return Outright(matched.group(1), MONTH_CODES.index(matched.group(2)) + 1, matched.group(3))


def is_spread(symbol: str) -> bool:
    """Whether a symbol names more than one contract: NQH4-NQM4, a butterfly or a user-defined spread.

    Its price is a difference, so it is never a price of the market, even where it looks like one.
    """
    text = symbol.strip().upper()
    return ("-" in text and not _MONTH_AND_YEAR.match(text)) or bool(_USER_DEFINED.search(text))


def is_contract_of(name: str, root: str) -> bool:
    """Whether ``name`` is one contract of ``root`` or its continuous series: ESH4, ESH24, ESH2024, ES1."""
    return bool(re.match(rf"^{root}([{MONTH_CODES}](\d{{1,2}}|\d{{4}})|[1-9])$", name))


def is_of(symbol: str, root: str) -> bool:
    """Whether ``symbol`` is a contract of ``root``: NQH5, NQH2025, NQ, NQ.c.0, NQ1!, /NQ, @NQ or NQ 03-24."""
    text = symbol.strip().upper().rpartition(":")[2].lstrip("/@#$")
    known = outright(text)
    if known is not None and known.root == root:
        return True
    rest = text.removeprefix(root)
    other = re.match(r"^[A-Z]", rest) and not re.match(rf"^[{MONTH_CODES}]\d{{4}}$", rest)
    return text.startswith(root) and not other
