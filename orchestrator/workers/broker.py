"""The broker worker: a broker behind a socket, the simulated one with a journal of its own, or an installed adapter."""

from contextlib import closing
from pathlib import Path

from orchestrator.messaging.broker import (
    BROKER_CATALOGUE,
    MOST_EXECUTIONS,
    Acknowledge,
    Bracket,
    BrokerAdapter,
    Done,
    Executions,
    ExecutionsAfter,
    HoldingsAsked,
    MarketMinute,
    MarketOver,
    OrderAsked,
    SimulatedMarket,
    StopAsked,
)
from orchestrator.messaging.catalogue import Bar
from orchestrator.messaging.wire import Received, Reply
from orchestrator.messaging.worker_end import Handlers, RunnerConnection
from orchestrator.workers.adapters import InstalledAdapter, Opening, open_adapter
from orchestrator.workers.filled_in_parts import Parts
from orchestrator.workers.processes import WorkerConfig, worker_main
from orchestrator.workers.simulated_broker import SimulatedBroker
from rl_core.exchange.instruments import instrument
from rl_core.trading.setup import TradingConfig, compile_trading
from trigate.versions import code_digest

MOVED, ITS_OWN = "moved by the bars", "its own"
"""What a worker says of its broker's market when it is ready."""


class BrokerServer:
    """Answers one message after another out of a broker that is at hand."""

    def __init__(self, broker: BrokerAdapter) -> None:
        """Serve ``broker``; where its market is simulated it is moved, a real one moves by itself."""
        self._broker = broker
        self._market = broker if isinstance(broker, SimulatedMarket) else None

    @property
    def market(self) -> str:
        """Who moves it."""
        return ITS_OWN if self._market is None else MOVED

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
        return Reply(Executions(executions=tuple(found[:MOST_EXECUTIONS])))

    def _acknowledge(self, request: Received) -> Reply:
        assert isinstance(request.message, Acknowledge)
        self._broker.acknowledge(request.message.through)
        return Reply(Done())

    def _holdings(self, request: Received) -> Reply:
        return Reply(self._broker.holdings())

    def _move(self, request: Received) -> Reply:
        assert isinstance(request.message, MarketMinute | MarketOver)
        if self._market is not None:
            self._market.move(request.message)
        return Reply(Done())

    def _trade(self, request: Received) -> Reply:
        assert isinstance(request.message, Bar)
        if self._market is not None:
            self._market.trade(request.message)
        return Reply(Done())


def run(runner: RunnerConnection, config: WorkerConfig) -> None:
    """Serve the account that ``config`` names, until Shutdown."""
    if "adapter" in config:
        _serve_adapter(runner, config)
        return
    trading = compile_trading(TradingConfig.model_validate(config["trading"]), instrument(config["market"]))
    parts, journal = Parts(*config["parts"]), Path(config["journal"])
    broker = SimulatedBroker.open(trading.venue, trading.limits.max_quantity, journal, parts)
    with closing(broker):
        runner.ready({"code": code_digest()})
        runner.serve(BrokerServer(broker).handlers)


def _serve_adapter(runner: RunnerConnection, config: WorkerConfig) -> None:
    """Serve an installed adapter; which account it trades, and whose market that is, the runner is told first."""
    adapter: InstalledAdapter = open_adapter(config["adapter"], opening_of(config))
    with closing(adapter):
        server = BrokerServer(adapter)
        runner.ready({"code": code_digest(), "account": adapter.account, "market": server.market})
        runner.serve(server.handlers)


def opening_of(config: WorkerConfig) -> Opening:
    """What the adapter that ``config`` names is opened with."""
    trading = TradingConfig.model_validate(config["trading"])
    contract = compile_trading(trading, instrument(config["market"])).contract
    return Opening(
        account=config["account"],
        market=config["market"],
        contract=contract.symbol,
        tick_size=contract.tick_size,
        folder=Path(config["folder"]),
        trading=trading,
        settings=config["settings"],
    )


if __name__ == "__main__":
    worker_main(run, BROKER_CATALOGUE)
