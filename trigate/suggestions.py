"""Which known names a mistyped or half-remembered one may have meant."""

import re
from collections.abc import Iterable
from difflib import SequenceMatcher

_MOST = 3
_CLOSE = 0.6
_SHORTEST_STEM = 3


def nearest(word: str, known: Iterable[str], *, dotted: bool = True) -> list[str]:
    """At most three of ``known``, the likeliest first; [] if nothing comes near.

    A name comes near by its letters (``stepps``: ``steps``), by its initials (``lr``: ``learning_rate``), or by the
    words in it (``fail_mode``: ``on_failure``; ``apex_50k``: ``apex_legacy#50k-pa``). Where a dot ends the name of a
    section, the last part counts, and one in the same section comes before another.
    """
    scores = {name: _likeness(_split(word, dotted), _split(name, dotted)) for name in known}
    best = max(scores.values(), default=0.0)
    near = [name for name, score in scores.items() if score >= max(_CLOSE, best - 0.2)]
    return sorted(near, key=lambda name: (-scores[name], name))[:_MOST]


def meant(word: str, known: Iterable[str], *, dotted: bool = True) -> str:
    """``did you mean 'a' or 'b'?``, or all that there is where nothing comes near."""
    names = list(known)
    near = nearest(word, names, dotted=dotted)
    if near:
        return f"did you mean {' or '.join(repr(name) for name in near)}?"
    return f"there are: {', '.join(names)}" if names else "there are none"


def _split(name: str, dotted: bool) -> tuple[str, str]:
    """The section, "" for none, and the name in it."""
    section, _, last = name.lower().rpartition(".")
    return (section, last) if dotted else ("", name.lower())


def _likeness(word: tuple[str, str], name: tuple[str, str]) -> float:
    """From 0 to 1.1."""
    (section, last), (its_section, its_last) = word, name
    words, its_words = _words(last), _words(its_last)
    likeness = SequenceMatcher(None, last, its_last).ratio()
    if len(its_words) > 1 and last == "".join(part[0] for part in its_words):
        likeness = max(likeness, 0.95)
    stems = [one for one in words if len(one) >= _SHORTEST_STEM]
    shared = sum(any(_same_stem(one, other) for other in its_words) for one in stems) / max(1, len(words))
    if shared >= 0.5:
        likeness = max(likeness, 0.55 + 0.3 * shared + 0.1 * likeness)
    return likeness + (0.1 if likeness >= _CLOSE and section == its_section else 0.0)


def _words(name: str) -> list[str]:
    return re.findall(r"[a-z0-9]+", name)


def _same_stem(one: str, other: str) -> bool:
    short, long = sorted((one, other), key=len)
    return one == other or (len(short) >= _SHORTEST_STEM and long.startswith(short))
