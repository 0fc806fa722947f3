"""The broker worker: the simulated broker behind a socket, with a journal of its own that outlives its process."""

from pathlib import Path

from orchestrator.messaging.broker import (
    BROKER_CATALOGUE,
    MOST_EXECUTIONS,
    Acknowledge,
    Bracket,
    Done,
    Executions,
    ExecutionsAfter,
    HoldingsAsked,
    MarketMinute,
    MarketOver,
    OrderAsked,
    StopAsked,
)
from orchestrator.messaging.catalogue import Bar
from orchestrator.messaging.wire import Received, Reply
from orchestrator.messaging.worker_end import Handlers, RunnerConnection
from orchestrator.workers.filled_in_parts import Parts
from orchestrator.workers.processes import WorkerConfig, worker_main
from orchestrator.workers.simulated_broker import SimulatedBroker
from rl_core.exchange.instruments import instrument
from rl_core.trading.setup import TradingConfig, compile_trading
from trigate.versions import code_digest


class BrokerServer:
    """Answers one message after another out of a broker that is at hand."""

    def __init__(self, broker: SimulatedBroker) -> None:
        """Serve ``broker``."""
        self._broker = broker

    @property
    def handlers(self) -> Handlers:
        """What each message is answered by."""
        return {
            Bracket: self._submit,
            OrderAsked: self._order,
            StopAsked: self._stop,
            ExecutionsAfter: self._executions,
            Acknowledge: self._acknowledge,
            HoldingsAsked: self._holdings,
            Bar: self._trade,
            MarketMinute: self._move,
            MarketOver: self._move,
        }

    def _submit(self, request: Received) -> Reply:
        assert isinstance(request.message, Bracket)
        return Reply(self._broker.submit(request.message))

    def _order(self, request: Received) -> Reply:
        asked = request.message
        assert isinstance(asked, OrderAsked)
        answers = {"state": self._broker.state, "cancel": self._broker.cancel, "flatten": self._broker.flatten}
        return Reply(answers[asked.wanted](asked.order_id))

    def _stop(self, request: Received) -> Reply:
        asked = request.message
        assert isinstance(asked, StopAsked)
        return Reply(self._broker.move_stop(asked.order_id, asked.revision, asked.stop))

    def _executions(self, request: Received) -> Reply:
        assert isinstance(request.message, ExecutionsAfter)
        found = self._broker.executions(request.message.after)
        return Reply(Executions(executions=found[:MOST_EXECUTIONS]))

    def _acknowledge(self, request: Received) -> Reply:
        assert isinstance(request.message, Acknowledge)
        self._broker.acknowledge(request.message.through)
        return Reply(Done())

    def _holdings(self, request: Received) -> Reply:
        return Reply(self._broker.holdings())

    def _move(self, request: Received) -> Reply:
        assert isinstance(request.message, MarketMinute | MarketOver)
        self._broker.move(request.message)
        return Reply(Done())

    def _trade(self, request: Received) -> Reply:
        assert isinstance(request.message, Bar)
        self._broker.trade(request.message)
        return Reply(Done())


def run(runner: RunnerConnection, config: WorkerConfig) -> None:
    """Serve the account whose journal ``config`` names, until Shutdown."""
    trading = compile_trading(TradingConfig.model_validate(config["trading"]), instrument(config["market"]))
    parts, journal = Parts(*config["parts"]), Path(config["journal"])
    broker = SimulatedBroker.open(trading.venue, trading.limits.max_quantity, journal, parts)
    runner.ready({"code": code_digest()})
    try:
        runner.serve(BrokerServer(broker).handlers)
    finally:
        broker.close()


if __name__ == "__main__":
    worker_main(run, BROKER_CATALOGUE)
