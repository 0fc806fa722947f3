"""What the workers of a run are started with: its bars, its policy or entries, its gate, its broker."""

from pathlib import Path

from llm_gate.prompts.prompt_files import prompt_file
from orchestrator.messaging.broker import BROKER_CATALOGUE
from orchestrator.messaging.catalogue import FEED, GATE, POLICY
from orchestrator.run.config import SIMULATED
from orchestrator.run.folder import CALIBRATION, ENTRIES, JOURNAL, SIZE, RunFolder
from orchestrator.run.model_server import ModelServer
from orchestrator.run.plan import RunPlan
from orchestrator.run.worker_modules import BROKER_MODULE, FEED_MODULE, GATE_MODULE, POLICY_MODULE, worker_modules
from orchestrator.workers.broker import MOVED
from orchestrator.workers.crew import Job
from orchestrator.workers.handed_bars import HANDED
from orchestrator.workers.processes import WorkerConfig
from orchestrator.workers.remote_broker import BROKER
from trigate.versions import code_digest

NEVER_OPENS = 1_000_000  # failures in a row


def jobs_of(plan: RunPlan, folder: RunFolder, server: ModelServer | None) -> dict[str, Job]:
    """Every worker that a run needs, by name: none that hands out bars where they come as they happen."""
    jobs = {POLICY: policy_job(plan, folder)}
    if not plan.paper:
        jobs[FEED] = feed_job(folder.path / HANDED, plan.bars.instrument.symbol)
    if plan.config.gate.engine != "off":
        jobs[GATE] = gate_job(plan, folder, server)
    if plan.config.broker is not None:
        jobs[BROKER] = broker_job(plan, folder)
    assert {job.module for job in jobs.values()} == set(worker_modules(plan.config)), "other workers than were begun"
    return jobs


def feed_job(handed: Path, market: str) -> Job:
    """Whoever hands out the bars of ``market`` that were handed over in the file ``handed``."""
    return Job(FEED_MODULE, {"bars": str(handed.resolve()), "market": market}, {"code": code_digest()})


def broker_job(plan: RunPlan, folder: RunFolder) -> Job:
    """Whoever fills the orders: the simulated broker, whose own journal lies in the run's folder, or an adapter.

    An adapter has to say that it trades the account that was asked for; and where bars are recorded ones that are
    played again, that its market is simulated: no order of a rehearsal meets today's prices.
    """
    assert plan.config.trading is not None, "a run writes down the account that it resolved"
    account = plan.config.trading.model_dump(mode="json")
    config: WorkerConfig = {"trading": account, "market": plan.bars.instrument.symbol}
    if plan.config.broker != SIMULATED:
        live, rehearsed = plan.config.live, plan.config.paper.clock is not None
        assert live.account is not None, "an adapter is asked in live mode alone, which names the account"
        config |= {
            "adapter": plan.config.broker,
            "account": live.account,
            "folder": str((folder.path / BROKER).resolve()),
            "settings": live.settings,
        }
        serves = {"code": code_digest(), "account": live.account, **({"market": MOVED} if rehearsed else {})}
        return Job(BROKER_MODULE, config, serves, BROKER_CATALOGUE)
    config |= {
        "journal": str((folder.path / BROKER / JOURNAL).resolve()),
        "parts": [plan.config.broker_parts, plan.config.broker_parts_a_bar],
    }
    return Job(BROKER_MODULE, config, {"code": code_digest()}, BROKER_CATALOGUE)


def policy_job(plan: RunPlan, folder: RunFolder) -> Job:
    """Whoever decides: the checkpoint's policy, or the entries that the run keeps."""
    if plan.checkpoint is None:
        who, digest = "entries", plan.inputs.entries_digest
        config = {"entries": str((folder.path / ENTRIES).resolve()), "entries_digest": digest}
    else:
        who, digest = "checkpoint", plan.inputs.checkpoint_digest
        config = {"checkpoint": str(plan.checkpoint.resolve())}
    return Job(POLICY_MODULE, config, {"code": code_digest(), who: digest})


def gate_job(plan: RunPlan, folder: RunFolder, server: ModelServer | None) -> Job:
    """Whoever judges; ``server`` is the model server behind it, where there is one."""
    config = plan.config.gate
    review = config.review.model_dump(mode="json")
    review["calibration"] = str((folder.path / CALIBRATION).resolve()) if plan.gate.calibration else None
    review["size"] = str((folder.path / SIZE).resolve()) if plan.gate.size else None
    if not plan.paper:
        # A breaker spares a failing server and the time of a market that moves on. In sim the run itself waits for
        # the server, and an open breaker would only refuse what it asks again.
        review["breaker_failures"] = NEVER_OPENS
    gate = {
        "engine": config.engine,
        "prompt": str(prompt_file(config.prompt, config.prompts).resolve()),
        "gate": review,
        "calibration_digest": plan.inputs.calibration_digest,
        "size_digest": plan.inputs.size_digest,
        "url": "" if server is None else server.url,
        "key": "" if server is None else server.key,
        "model": "" if server is None else server.model_id,
        "served": "" if server is None else server.served,
        "template": config.chat_template_kwargs,
        "regression": str(Path(config.model).resolve()) if config.engine == "logistic" else "",
        "regression_name": plan.gate.model if config.engine == "logistic" else "",
    }
    serves = {"code": code_digest(), "prompt": plan.inputs.prompt_digest, "engine": config.engine}
    return Job(GATE_MODULE, gate, serves)
