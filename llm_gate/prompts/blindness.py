"""Finds words from which the day or the market could be read, in a prompt, a case or a note.

A model that can tell the day may remember what came next, and then scores say nothing about judgement. The lists hold
what is common in futures trading and are not complete: the probe in `day_probe` measures what is left.
"""

import re
import unicodedata
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

LARGEST_PLAIN_NUMBER = 999
"""Numbers above this one look like a price or a year. No phrase of a usual proposal holds one."""
_LEAST_QUOTE = 20

_MONTHS = "january|february|april|june|july|august|september|october|november|december"
_SHORT_MONTHS = "Jan|Feb|Mar|Apr|Jun|Jul|Aug|Sep|Sept|Oct|Nov|Dec"
_DAYS = "(?:mon|tues|wednes|thurs|fri|satur|sun)day"
_SHORT_DAYS = "Mon|Tue|Tues|Wed|Thu|Thur|Thurs|Fri|Sat|Sun"
ROOTS = (
    *("ES", "NQ", "YM", "RTY", "NKD", "GC", "SI", "HG", "PL", "CL", "NG", "QG", "RB", "HO"),
    *("6E", "6B", "6J", "6A", "6C", "ZB", "ZN", "ZF", "ZT", "ZC", "ZS", "ZW"),
    *("MES", "MNQ", "MYM", "M2K", "MGC", "SIL", "MHG", "MCL", "MNG", "M6E", "M6B", "MJY", "M6A", "MCD"),
    *("BTC", "ETH", "FDAX", "FESX", "VX"),
)
"""Root symbols: every contract that can be traded here, and some that cannot."""
_ROOTS = "|".join(ROOTS)
_MARKETS = (
    r"nasdaq|s\s?&\s?p|spx|spy|qqq|ndx|djia|dow jones|the dow|russell|dax|nikkei|stoxx|ftse|vix|e-?minis?|us500|us100|"
    r"gold|silver|copper|crude|wti|brent|oil|natural gas|bitcoin|ether|treasur(?:y|ies)|eurusd|"
    r"cme|globex|cbot|comex|nymex|nyse|eurex|cboe|chicago|wall street"
)
_HOLIDAYS = (
    r"holidays?|half[ -]day|early close|christmas|xmas|thanksgiving|easter|good friday|new year'?s?|juneteenth|"
    r"independence day|labou?r day|memorial day|presidents'? day|mlk|martin luther king|veterans day|columbus day|"
    r"boxing day|black friday|santa"
)
_EVENTS = (
    r"fomc|federal reserve|the fed|fed (?:day|meeting|minutes)|ecb|boj|opec|cpi|ppi|pce|nfp|non-?farm|payrolls?|gdp|"
    r"ism|pmi|jobless|jobs report|retail sales|rate (?:decision|cut|hike)|powell|yellen|bernanke|lagarde|jackson hole|"
    r"opex|(?:triple|quad(?:ruple)?) witching|elections?|brexit|covid|pandemic|lehman|flash crash|tariffs?|earnings|"
    r"stimulus|shutdown|invasion|debt ceiling"
)

_KINDS: tuple[tuple[str, re.Pattern[str]], ...] = (
    ("a date", re.compile(r"(?<!\d)(?:\d{4}[-/.]\d{1,2}[-/.]\d{1,2}|\d{1,2}[-/.]\d{1,2}[-/.](?:\d{4}|\d{2}))(?!\d)")),
    ("a year", re.compile(r"(?<![\d.,])(?:19|20)\d\d(?![\d,]|\.\d)|\B'\d\d\b")),
    ("a month", re.compile(rf"\b(?:{_MONTHS})\b", re.IGNORECASE)),
    ("a month", re.compile(rf"\b(?:{_SHORT_MONTHS})\b|\bM(?:arch|AY|ARCH)\b")),
    ("a month", re.compile(r"\bMay (?=\d)|(?<=\d )May\b|(?<=\bin )May\b|(?<=\b(?:of|st) )May\b|(?<=\bth )May\b")),
    ("a season", re.compile(r"\b(?:winter|summer|autumn)\b", re.IGNORECASE)),
    ("a weekday", re.compile(rf"\b(?:{_DAYS}s?)\b|\bweekend\b", re.IGNORECASE)),
    ("a weekday", re.compile(rf"\b(?:{_SHORT_DAYS})\b|\b(?:MON|TUE|WED|THU|FRI)\b")),
    ("a quarter or week", re.compile(r"\bQ[1-4]\b|\bweek \d+\b|\bH[12] (?=\d)")),
    ("a time of day", re.compile(r"\b\d{1,2}:\d{2}\b|\b\d{1,2}(?:\.\d\d)? ?[ap]\.?m\b|\b(?:E[SD]T|C[SD]T|UTC|GMT)\b")),
    ("a contract", re.compile(rf"\b(?:{_ROOTS}) ?[FGHJKMNQUVXZ]\d{{1,4}}\b|\b[A-Z]{{1,3}}[FGHJKMNQUVXZ]\d{{1,2}}\b")),
    ("a symbol", re.compile(rf"(?<![\w-])[/@$]?(?:{_ROOTS})(?![\w-])")),
    ("a symbol", re.compile(r"\b(?:mnq|mes|mym|m2k|mgc|mcl|mhg|mng|mjy|m6[abe]|mcd|nkd|nq|rty)\b", re.IGNORECASE)),
    ("a market", re.compile(rf"\b(?:{_MARKETS})\b", re.IGNORECASE)),
    ("a holiday", re.compile(rf"\b(?:{_HOLIDAYS})\b", re.IGNORECASE)),
    ("an event", re.compile(rf"\b(?:{_EVENTS})\b", re.IGNORECASE)),
    ("a contract", re.compile(rf"\b(?:{_ROOTS}) ?@?\d+", re.IGNORECASE)),
    ("a price", re.compile(r"(?<![a-z\d.])\d+(?:(?:[ ,'_]\d{3})+|\d*)(?:\.\d+)?", re.IGNORECASE)),
)


class Giveaway(NamedTuple):
    """One word that says too much, and where it stands."""

    line: int
    word: str
    kind: str

    def __str__(self) -> str:
        """As a person reads it."""
        return f"line {self.line}: {self.word!r} is {self.kind}"


def giveaways(text: str) -> list[Giveaway]:
    """Every word of ``text`` from which the day or the market could be read, in the order of the text."""
    return [giveaway for number, line in enumerate(text.split("\n"), start=1) for giveaway in _in_line(number, line)]


def giveaways_in_file(path: Path) -> list[Giveaway]:
    """The same of a file, front matter included; bytes that are not UTF-8 are passed over."""
    return giveaways(path.read_text(encoding="utf-8", errors="replace"))


def _in_line(number: int, line: str) -> Iterator[Giveaway]:
    plain = _plain(line)
    spans_taken: list[tuple[int, int]] = []
    giveaways: list[tuple[int, Giveaway]] = []
    for kind, pattern in _KINDS:
        for match in pattern.finditer(plain):
            if kind == "a price" and not _like_a_price(match.group()):
                continue
            if any(match.start() < end and start < match.end() for start, end in spans_taken):
                continue
            spans_taken.append(match.span())
            giveaways.append((match.start(), Giveaway(number, match.group().strip(), kind)))
    yield from (giveaway for _, giveaway in sorted(giveaways))


def _like_a_price(number: str) -> bool:
    """Whether it is large, or has decimals like a quote's: our own phrases have one at most."""
    whole, _, decimals = re.sub(r"[ ,'_]", "", number).partition(".")
    if len(whole) > len(str(LARGEST_PLAIN_NUMBER)):
        return True
    return len(decimals) > 1 and int(whole) >= _LEAST_QUOTE


def _plain(line: str) -> str:
    """``line`` as it would be read: compatible forms composed, controls as blanks, invisible characters dropped."""
    composed = unicodedata.normalize("NFKC", re.sub(r"\s|[\x00-\x1f\x7f-\x9f]", " ", line))
    return "".join(character for character in composed if unicodedata.category(character) not in ("Cf", "Cn"))
