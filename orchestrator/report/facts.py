"""What a run was traded under and how it was labelled: found again from its manifest."""

import hashlib
from collections import Counter
from datetime import date, datetime
from pathlib import Path
from typing import Any, NamedTuple

from llm_gate.errors import GateError
from llm_gate.review.calibrated_verdict import Calibration, read_calibration
from llm_gate.review.sameness_alarm import WINDOW
from llm_gate.review.size_line import SizeLine, read_size, size_in_words
from orchestrator.report.filled_by import filled_by, sent_to
from orchestrator.report.origin import Origin, origin_of
from orchestrator.run.folder import CALIBRATION, ENTRIES, REGIMES, SIZE, RunManifest
from orchestrator.run.telemetry import read_telemetry
from orchestrator.workers.kept_entries import KeptEntries, read_kept_entries
from rl_core.checkpoints.manifest import find_checkpoint, read_manifest
from rl_core.checkpoints.provenance import trading_of
from rl_core.exchange.instruments import instrument
from rl_core.regimes.fitted import UNFITTED, Frozen, read_model
from rl_core.trading.setup import Trading, TradingConfig, compile_trading
from trigate.errors import DataError, TrigateError


class RunFacts(NamedTuple):
    """One run's labels."""

    folder: Path
    manifest: RunManifest
    trading: Trading
    resolution: str
    doubts: tuple[str, ...]  # what could not be found again
    latency_s: dict[str, float]  # by proposal
    missed: tuple[str, ...]  # telemetry events of workers that were asked again
    refused: dict[str, int]  # messages that were dropped, by why, and strangers; of every start of the run
    regimes: Frozen | None  # what labelled the bars; None: it is lost
    origin: Origin  # of bars and policy
    entries: KeptEntries | None = None  # a trader's own; None: a policy traded, or the run's copy is lost
    calibration: Calibration | None = None  # what made the gate's verdicts; None: its own letters, or lost
    size: SizeLine | None = None  # what halved entries near the floor; None: nothing did, or lost

    @property
    def synthetic(self) -> bool:
        """Whether the bars are a generated world."""
        return bool(self.manifest.declaration)

    @property
    def by_policy(self) -> bool:
        """Whether a policy traded; else a trader's own entries did."""
        return not self.manifest.inputs.entries_digest

    @property
    def mode(self) -> str:
        """sim, paper, advisory or live."""
        return str(self.manifest.inputs.config.get("mode", "sim"))

    @property
    def by_broker(self) -> bool:
        """Whether orders were sent to a broker."""
        return self.manifest.inputs.config.get("broker") is not None

    @property
    def filled_by(self) -> str:
        """Who filled the orders, by name."""
        return filled_by(self.manifest.inputs.config)

    @property
    def sent_to(self) -> str:
        """The account at a broker to which orders went, "" where nothing was sent."""
        return sent_to(self.manifest.inputs.config)

    @property
    def size_words(self) -> str:
        """What its size line is, and what that was chosen by; "" if it had none."""
        return "" if self.size is None else size_in_words(self.size)

    @property
    def gate(self) -> dict[str, Any]:
        """The gate's settings."""
        return dict(self.manifest.inputs.config["gate"])

    @property
    def alarm_window(self) -> int:
        """So many equal verdicts in a row raise the gate's alarm."""
        return int(self.gate.get("review", {}).get("alarm_window", WINDOW))

    @property
    def started(self) -> date:
        """The day the run began, UTC."""
        return datetime.fromisoformat(self.manifest.started).date()

    @property
    def rules_stale(self) -> bool:
        """Whether the rule pack was read more than 90 days before the run."""
        return self.trading.pack.stale(self.started)

    @property
    def model(self) -> str:
        """The model behind the gate, without folders; "" if there is none."""
        return Path(self.manifest.inputs.model).name


def facts_of(folder: Path, manifest: RunManifest) -> RunFacts:
    """The facts of the run in ``folder``.

    Raises:
        ConfigError: the rule pack cannot be read.
    """
    config, doubt = _trading_config(manifest)
    trading = compile_trading(config, instrument(manifest.market))
    doubts = [doubt] if doubt else []
    digest = hashlib.sha256(trading.pack.model_dump_json().encode()).hexdigest()
    if digest != manifest.inputs.rule_pack_digest:
        doubts.append(f"the rule pack {config.rules} is no longer the one of the run; its newer reading is shown")
    if trading.contract.symbol != manifest.contract:
        doubts.append(f"the run traded {manifest.contract}, its settings now name {trading.contract.symbol}")
    regimes = _regimes(folder / REGIMES, manifest.inputs.regimes_digest)
    if regimes is None:
        doubts.append(f"the run's {REGIMES} is gone or changed; its labels stand in the journal")
    calibration = _calibration(folder / CALIBRATION, manifest.inputs.calibration_digest)
    if calibration is None and manifest.inputs.calibration_digest:
        doubts.append(f"the run's {CALIBRATION} is gone or changed; its digest stands in the journal")
    size = _size(folder / SIZE, manifest.inputs.size_digest)
    if size is None and manifest.inputs.size_digest:
        doubts.append(f"the run's {SIZE} is gone or changed; which entries it halved stands in the journal")
    entries = _entries(folder / ENTRIES, manifest.inputs.entries_digest)
    if entries is None and manifest.inputs.entries_digest:
        doubts.append(f"the run's {ENTRIES} is gone or changed; what was traded stands in the journal")
    events = read_telemetry(folder / "telemetry.jsonl")
    return RunFacts(
        folder=folder,
        manifest=manifest,
        trading=trading,
        resolution=config.resolution or "pessimistic",
        doubts=tuple(doubts),
        latency_s={str(event["proposal"]): _number(event["latency_s"]) for event in events if _reviewed(event)},
        missed=tuple(str(event["event"]) for event in events if str(event.get("event", "")).endswith("_missed")),
        refused=_refused(events),
        regimes=regimes,
        origin=origin_of(manifest),
        calibration=calibration,
        size=size,
        entries=entries,
    )


def _refused(events: list[dict[str, object]]) -> dict[str, int]:
    counts: Counter[str] = Counter()
    for event in events:
        if event.get("event") == "refused":
            counts.update({name: count for name, count in event.items() if isinstance(count, int) and name != "ts_ns"})
    return dict(+counts)


def _entries(path: Path, digest: str) -> KeptEntries | None:
    """The entries that the run kept; None if a policy traded, or the file is no longer the one of ``digest``."""
    try:
        return read_kept_entries(path, digest) if digest else None
    except DataError:
        return None


def _calibration(path: Path, digest: str) -> Calibration | None:
    """The calibration that the run kept; None if it had none, or the file is no longer the one of ``digest``."""
    if not digest:
        return None
    try:
        read = read_calibration(path)
    except GateError:
        return None
    return read.saved if read.digest == digest else None


def _size(path: Path, digest: str) -> SizeLine | None:
    """The size line that the run kept; None if it had none, or the file is no longer the one of ``digest``."""
    if not digest:
        return None
    try:
        read = read_size(path)
    except GateError:
        return None
    return read.saved if read.digest == digest else None


def _regimes(path: Path, digest: str) -> Frozen | None:
    """The regimes that the run kept; None if it had some and the file is no longer the one of ``digest``."""
    if not digest:
        return UNFITTED
    try:
        text = path.read_bytes()
    except OSError:
        return None
    if hashlib.sha256(text).hexdigest() != digest:
        return None
    return Frozen(read_model(path), digest, text.decode())


def _trading_config(manifest: RunManifest) -> tuple[TradingConfig, str]:
    """The account of the run: its own, else its checkpoint's, else the defaults with a doubt."""
    config = manifest.inputs.config
    if config.get("trading") is not None:
        return TradingConfig.model_validate(config["trading"]), ""
    try:
        return trading_of(read_manifest(find_checkpoint(Path(config["checkpoint"]))).identity), ""
    except TrigateError:
        doubt = f"the account settings were the checkpoint's, and {config['checkpoint']} is gone; defaults are assumed"
        return TradingConfig.model_validate({}), doubt


def _reviewed(event: dict[str, object]) -> bool:
    return event.get("event") == "reviewed" and "proposal" in event and "latency_s" in event


def _number(value: object) -> float:
    return float(value) if isinstance(value, int | float) else 0.0
