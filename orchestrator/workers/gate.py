"""The gate worker: `llm_gate.review.gate` behind a socket; a process of its own serves the model."""

import asyncio
import gc
from pathlib import Path

from llm_gate.contract import EntryProposal, EntryProposals, Reviewed, Reviews
from llm_gate.engines.base import Engine
from llm_gate.engines.logistic import LogisticEngine, read_logistic
from llm_gate.engines.rules import RulesEngine
from llm_gate.engines.vllm import VllmEngine
from llm_gate.errors import RequestError
from llm_gate.prompts.prompt_files import load_prompt
from llm_gate.review.gate import Gate, GateConfig
from orchestrator.messaging.catalogue import CATALOGUE
from orchestrator.messaging.wire import Received, Reply
from orchestrator.messaging.worker_end import RunnerConnection
from orchestrator.workers.processes import WorkerConfig, worker_main
from trigate.versions import code_digest


class GateServer:
    """Reviews proposals, each under the gate's own deadline."""

    def __init__(self, gate: Gate, loop: asyncio.Runner) -> None:
        """Review with ``gate`` on one event loop."""
        self._gate, self._loop = gate, loop

    def review(self, request: Received) -> Reply:
        """The verdict on a proposal."""
        assert isinstance(request.message, EntryProposal)
        return Reply(self._loop.run(self._gate.review(request.message)))

    def review_several(self, request: Received) -> Reply:
        """The verdict on each of several proposals, asked for at the same time."""
        assert isinstance(request.message, EntryProposals)
        reviews = self._loop.run(self._all(request.message.proposals))
        return Reply(Reviews(reviews=tuple(reviews)))

    async def _all(self, proposals: tuple[EntryProposal, ...]) -> list[Reviewed]:
        return await asyncio.gather(*(self._gate.review(proposal) for proposal in proposals))


def _engine(config: WorkerConfig) -> Engine:
    """Who decides; RequestError if the file of a regression is no longer what the run began with."""
    if config["engine"] == "logistic":
        file = read_logistic(Path(config["regression"]))
        if file.name != config["regression_name"]:
            raise RequestError(f"{config['regression']}: is no longer the regression that the run began with")
        return LogisticEngine(file)
    if config["engine"] == "vllm":
        return VllmEngine(
            config["url"],
            config["key"],
            model_id=config["model"],
            served=config["served"],
            template_kwargs=config["template"],
        )
    return RulesEngine()


def run(runner: RunnerConnection, config: WorkerConfig) -> None:
    """Serve verdicts until Shutdown."""
    engine = _engine(config)
    prompt = load_prompt(Path(config["prompt"]))
    gate = Gate(engine, prompt, GateConfig.model_validate(config["gate"]))
    if gate.calibration is not None and gate.calibration.digest != config["calibration_digest"]:
        raise RequestError(f"{config['gate']['calibration']}: is no longer the calibration that the run began with")
    if gate.size is not None and gate.size.digest != config["size_digest"]:
        raise RequestError(f"{config['gate']['size']}: is no longer the size line that the run began with")
    gc.collect()
    gc.freeze()  # what was loaded stays: a full collection would take longer than a verdict
    with asyncio.Runner() as loop:
        served = {"code": code_digest(), "prompt": prompt.digest, "engine": engine.name, "model": engine.model}
        runner.ready(served)
        server = GateServer(gate, loop)
        runner.serve({EntryProposal: server.review, EntryProposals: server.review_several})


if __name__ == "__main__":
    worker_main(run, CATALOGUE)
