"""How sure a share is."""

import math


def wilson_interval(share: float, count: float, *, level: float = 0.95) -> tuple[float, float]:
    """The interval of a ``share`` that was seen in ``count`` independent cases; it never leaves 0 to 1.

    Source: Wilson 1927, "Probable inference, the law of succession, and statistical inference", JASA 22.

    Args:
        share: 0 to 1.
        count: above 0; need not be whole where cases are worth less than one each.
        level: coverage.
    """
    from scipy.special import ndtri  # slow to load

    z = float(ndtri((1 + level) / 2))
    middle = (share + z * z / (2 * count)) / (1 + z * z / count)
    half = z / (1 + z * z / count) * math.sqrt(share * (1 - share) / count + z * z / (4 * count * count))
    return max(0.0, middle - half), min(1.0, middle + half)
