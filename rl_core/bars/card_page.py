"""The data card as one HTML page that needs no network: a Jinja2 template with drawings inside."""

from collections.abc import Sequence

from markupsafe import Markup

from rl_core.bars.card import DataCard
from trigate.pages.render import rendered

WIDTH, HEIGHT, LEFT, FOOT = 960.0, 150.0, 80.0, 18.0
MOST_POINTS = 1500
NAMES_UNDER = 5  # besides the first: dates in the letters of a narrow window do not meet


def page(card: DataCard) -> str:
    """The whole file."""
    sessions, profile = card.sessions, card.half_hours
    days = [session.trade_date for session in sessions]
    rolls = [_position(days, roll.at[:10]) for roll in card.rolls]
    shown = {
        "card": card,
        "thin": sorted((s for s in sessions if s.bars < s.expected), key=lambda s: s.bars / s.expected)[:25],
        "coverage": _bars(
            [100 * s.bars / s.expected for s in sessions],
            days,
            "%",
            label="share of its minutes that have a bar, session by session",
        ),
        "closes": _line([s.close for s in sessions], days, rolls, label="last close of each session, points"),
        "volatility": _bars(
            [h.return_std_bp or 0.0 for h in profile],
            [h.start for h in profile],
            "bp",
            label="volatility of each half-hour, basis points",
        ),
        "volume": _bars(
            [h.volume or 0.0 for h in profile],
            [h.start for h in profile],
            "",
            label="mean volume of each half-hour, contracts",
        ),
    }
    return rendered("rl_core.bars", "data_card.html.j2", shown, filters={"count": lambda value: f"{value:,}"})


def _position(days: Sequence[str], day: str) -> int:
    """The first session on or after ``day``."""
    return next((k for k, known in enumerate(days) if known >= day), len(days) - 1)


def _bars(values: Sequence[float], names: Sequence[str], unit: str, *, label: str) -> Markup:
    """Columns from zero, one per value; neighbours share one where there are too many."""
    group = -(-len(values) // MOST_POINTS)
    lowest = [min(values[k : k + group]) for k in range(0, len(values), group)]
    labels = list(names[::group])
    top, step = max([*lowest, 1e-9]), (WIDTH - LEFT) / len(lowest)
    drawn = [
        Markup('<rect x="{:.2f}" y="{:.2f}" width="{:.2f}" height="{:.2f}"><title>{} {:.4g} {}</title></rect>').format(
            LEFT + k * step, _y(value, 0, top), max(step * 0.9, 0.3), HEIGHT - _y(value, 0, top), name, value, unit
        )
        for k, (name, value) in enumerate(zip(labels, lowest, strict=True))
    ]
    return _framed(Markup("").join(drawn), (0, top), labels, unit, label=label)


def _line(values: Sequence[float], names: Sequence[str], marks: Sequence[int], *, label: str) -> Markup:
    """A line over the sessions, with a vertical mark at each roll."""
    low, high = min(values), max(max(values), min(values) + 1e-9)
    step = (WIDTH - LEFT) / max(1, len(values) - 1)
    path = " ".join(f"{LEFT + k * step:.2f},{_y(value, low, high):.2f}" for k, value in enumerate(values))
    rolls = Markup("").join(
        Markup('<line class="roll" x1="{0:.2f}" x2="{0:.2f}" y1="0" y2="{1}"/>').format(LEFT + k * step, HEIGHT)
        for k in marks
    )
    return _framed(rolls + Markup('<polyline points="{}"/>').format(path), (low, high), names, "", label=label)


def _y(value: float, low: float, high: float) -> float:
    return HEIGHT - (HEIGHT - 8) * (value - low) / (high - low)


def _named(count: int) -> list[int]:
    """Which of ``count`` places have their name under them: at even distances, and the last.

    Where the last would meet the one before it, that one has none.
    """
    apart = max(1, -(-(count - 1) // NAMES_UNDER))
    return [place for place in range(0, count - 1, apart) if not place or count - 1 - place >= apart] + [count - 1]


def _framed(drawn: Markup, span: tuple[float, float], names: Sequence[str], unit: str, *, label: str) -> Markup:
    """A drawing with its lowest and highest value and a few names under it; ``label`` is what it shows, to be heard."""
    shown = _named(len(names))
    step = (WIDTH - LEFT) / max(1, len(names))
    under = Markup("").join(
        Markup('<text x="{:.1f}" y="{}" text-anchor="{}">{}</text>').format(
            LEFT + (k + 0.5) * step, HEIGHT + 14, "end" if k == len(names) - 1 else "middle" if k else "start", names[k]
        )
        for k in shown
    )
    low, high = (f"{value:,.4g}" if abs(value) < 1000 else f"{value:,.0f}" for value in span)
    return Markup(
        '<div class="scroll short"><svg class="chart" viewBox="0 0 {} {}" role="img" aria-label="{}">'
        '<text x="{}" y="12" text-anchor="end">{} {}</text>'
        '<text x="{}" y="{}" text-anchor="end">{}</text>{}{}</svg></div>'
    ).format(WIDTH, HEIGHT + FOOT, label, LEFT - 6, high, unit, LEFT - 6, HEIGHT, low, drawn, under)
