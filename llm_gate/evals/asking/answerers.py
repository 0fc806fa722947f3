"""The engines that answer in an evaluation; a model server is started for its questions and stopped after them."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from llm_gate.engines.base import Engine
from llm_gate.engines.logistic import LogisticEngine, read_logistic
from llm_gate.engines.random import RandomEngine
from llm_gate.engines.rules import RulesEngine
from llm_gate.engines.scripted import ScriptedEngine
from llm_gate.engines.vllm import VllmEngine
from llm_gate.evals.asking.suite import ModelSpec
from llm_gate.serving.canaries import Proof
from llm_gate.serving.key import key_of
from llm_gate.serving.model_folders import model_folder, model_id
from llm_gate.serving.server import VllmServer
from llm_gate.serving.user_server import UserServer

NOWHERE = "http://127.0.0.1:9"
"""An address that nobody asks: the engine is only made for the digest of its sampling."""

Say = Callable[[str], None]


class Serving(NamedTuple):
    """Where a model server writes its log, how long it may take to be ready, and who hears of both."""

    logs: Path
    ready_deadline_s: float
    say: Say
    proof: Proof = Proof()
    """What a server that is started must answer before it is asked."""


def digest_of_model(spec: ModelSpec, say: Say) -> str:
    """The name and digest under which answers are logged, known before anything is started.

    Raises:
        RequestError: there is no such model.
    """
    if spec.engine in ("scripted", "always-approve"):
        return f"{spec.engine}: {', '.join(spec.script)}"
    if spec.engine != "vllm":
        return _engine_without_server(spec).model
    if spec.url is not None:
        return user_server(spec).engine().model
    folder = model_folder(spec.source, progress=say)
    return VllmEngine(NOWHERE, "", model_id=model_id(folder), template_kwargs=spec.chat_template_kwargs).model


def user_server(spec: ModelSpec) -> UserServer:
    """The server at the address of ``spec``; RequestError if the address or the key cannot be used."""
    assert spec.url is not None, "it names one"
    return UserServer(
        spec.url,
        key_of(spec.key_file),
        model_id=f"{spec.label}@{spec.url}",
        served=spec.served,
        template_kwargs=spec.chat_template_kwargs,
    )


@contextmanager
def answering_engine(spec: ModelSpec, serving: Serving) -> Iterator[Engine]:
    """The engine of ``spec``; a server that had to be started has ended when this returns.

    Raises:
        RequestError, ServerNotReadyError, ResourceError: the server cannot be started or does not prove itself.
    """
    if spec.engine != "vllm":
        yield _engine_without_server(spec)
    elif spec.url is not None:
        users = user_server(spec)
        users.refuse_unreachable()
        yield users.engine()
    else:
        folder = model_folder(spec.source, progress=serving.say)
        log_path = serving.logs / f"{spec.label}.vllm.log"
        with VllmServer(folder, log_path=log_path, template_kwargs=spec.chat_template_kwargs) as server:
            serving.say(f"starting {server.model_id}; its log is {log_path}")
            server.wait_ready(serving.ready_deadline_s, proof=serving.proof)
            yield server.engine()


def _engine_without_server(spec: ModelSpec) -> Engine:
    match spec.engine:
        case "random":
            return RandomEngine(seed=spec.seed, veto_rate=spec.veto_rate, shrink_rate=spec.shrink_rate)
        case "logistic":
            return LogisticEngine(read_logistic(Path(spec.source)))
        case "scripted":
            return ScriptedEngine(spec.script)
        case "always-approve":
            return ScriptedEngine(["approve"])
        case _:
            return RulesEngine()
