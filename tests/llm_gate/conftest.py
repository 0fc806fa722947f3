"""Proposals, and a folder of model files that is made once."""

import socket
from collections.abc import Callable
from pathlib import Path

import pytest

from llm_gate.contract import EntryProposal
from tests.proposals import CONTEXT

ProposalMaker = Callable[..., EntryProposal]


@pytest.fixture(scope="session")
def make_proposal() -> ProposalMaker:
    """Makes a proposal that nothing speaks against, but for what the caller changes."""

    def make(*, proposal_id: str = "0" * 31 + "1", side: str = "buy", **context: object) -> EntryProposal:
        return EntryProposal.model_validate(
            {
                "proposal_id": proposal_id,
                "side": side,
                "quantity": 4,
                "stop_atr_milli": 1500,
                "target_atr_milli": 4500,
                "context": CONTEXT | context,
            }
        )

    return make


@pytest.fixture(scope="session")
def tiny_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tiny random model, made for this test session."""
    from llm_gate.serving.model_folders import tiny_model

    return tiny_model(tmp_path_factory.mktemp("models") / "tiny")


@pytest.fixture
def unused_port() -> int:
    """A port on the loopback address that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
