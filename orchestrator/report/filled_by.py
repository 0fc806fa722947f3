"""Who filled a run's orders, and what a broker refused, in words: the same on page, live page and terminal."""

from collections.abc import Mapping
from typing import Any

OWN = "the run's own engine"


def filled_by(config: Mapping[str, Any]) -> str:
    """Who filled the orders of a run with these settings: the broker by its name, or the run's own engine."""
    broker, account = config.get("broker"), sent_to(config)
    if account:
        return f"the broker of the adapter {broker}, account {account}"
    return OWN if broker is None else f"the {broker} broker"


def sent_to(config: Mapping[str, Any]) -> str:
    """The account at a broker to which the orders of a run with these settings go, "" where nothing is sent."""
    return str(config["live"]["account"]) if config.get("mode") == "live" else ""


def refused(orders: int, moves: int) -> str:
    """What the broker refused, "" where it was nothing."""
    told = [f"{orders} order{'' if orders == 1 else 's'}"] if orders else []
    told += [f"{moves} move{'' if moves == 1 else 's'} of a stop"] if moves else []
    return " and ".join(told)


def is_rejected(kind: str, payload: Mapping[str, Any]) -> bool:
    """Whether a record is a broker's word that it has not taken an order."""
    return kind == "order" and payload["status"] == "rejected"
