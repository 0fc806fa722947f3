"""A run's figures as Prometheus reads them: text, one line a figure, each name said once with what it is."""

from collections.abc import Iterator, Mapping
from typing import Literal, NamedTuple

from orchestrator.live.follower import Follower, Outside, quantile

CONTENT_TYPE = "text/plain; version=0.0.4"


class Metric(NamedTuple):
    """One name with its values, each under its labels."""

    name: str
    kind: Literal["gauge", "counter"]
    told: str
    values: tuple[tuple[Mapping[str, str], float], ...]


def metrics_text(follower: Follower, outside: Outside) -> str:
    """Every figure, of one run and one moment."""
    return "".join(line for metric in _metrics(follower, outside) for line in _lines(metric))


def _metrics(follower: Follower, outside: Outside) -> Iterator[Metric]:
    watched, now = follower.watched, follower.watched.now
    yield _gauge("run_alive", "Whether a process plays the run", float(outside.pid is not None))
    yield _gauge("run_trading", "Whether it takes entries, by the last word of a person", now.standing == "trading")
    yield _gauge("run_ended", "Whether it has ended", now.ended)
    yield _gauge("alarms", "What a person should know of, as orchestrator status tells it", len(outside.alarms))
    yield _counter("bars_total", "Bars played", now.bars)
    yield _counter("records_total", "Records of the journal", watched.records)
    yield _counter("trades_total", "Trades closed", now.trades)
    if now.last_bar_ns is not None:
        yield _gauge("last_bar_timestamp_seconds", "Start of the last bar, UTC", now.last_bar_ns / 1e9)
    yield _gauge("position_contracts", "Contracts held, signed", now.quantity)
    if now.equity is not None and now.floor is not None:
        yield _gauge("equity_dollars", "Equity at the last close that was marked", now.equity / 100)
        yield _gauge("room_dollars", "Equity above the drawdown floor", (now.equity - now.floor) / 100)
    yield _by("gate_verdicts_total", "What the gate said", "outcome", watched.verdicts)
    yield _by("feed_notes_total", "What came from the feed besides the next bar", "code", now.feed)
    missed = {name.removesuffix("_missed"): n for name, n in follower.seen.items() if name.endswith("_missed")}
    yield _by("worker_missed_total", "Questions that a worker did not answer in time", "worker", missed)
    alive = {worker.name: 1 for worker in outside.workers}
    yield _by("worker_alive", "Workers that live", "worker", alive)._replace(kind="gauge")
    for name, what, took_s in (
        ("gate_latency_seconds", "Time to a verdict", follower.latencies_s),
        ("bar_latency_seconds", "Time from a bar to all that follows from it, on the disk", follower.bars_s),
    ):
        if took_s:
            shown = {share: quantile(took_s, float(share)) for share in ("0.5", "0.99")}
            yield _by(name, f"{what}, of the last {len(took_s)}", "quantile", shown)._replace(kind="gauge")


def _gauge(name: str, told: str, value: float) -> Metric:
    return Metric(name, "gauge", told, (({}, float(value)),))


def _counter(name: str, told: str, value: float) -> Metric:
    return Metric(name, "counter", told, (({}, float(value)),))


def _by(name: str, told: str, label: str, values: Mapping[str, float]) -> Metric:
    return Metric(name, "counter", told, tuple(({label: key}, float(n)) for key, n in sorted(values.items())))


def _lines(metric: Metric) -> Iterator[str]:
    if not metric.values:
        return
    name = f"trigate_{metric.name}"
    yield f"# HELP {name} {metric.told}.\n# TYPE {name} {metric.kind}\n"
    for labels, value in metric.values:
        within = ",".join(f'{key}="{text}"' for key, text in labels.items())
        yield f"{name}{f'{{{within}}}' if within else ''} {value:.17g}\n"
