"""Which features an observation is made of, so that another set is refused by name."""

from collections.abc import Mapping
from typing import Any, NamedTuple


class Fingerprint(NamedTuple):
    """Which features an observation is made of."""

    digest: str  # of the parts
    parts: Mapping[str, Any]  # names, order, parameters and code version, as JSON values
