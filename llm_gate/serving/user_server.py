"""A model server that the user runs: it is asked and waited for, and never started, restarted or ended by us."""

from collections.abc import Callable, Mapping

from llm_gate.engines.base import SERVED_NAME, TemplateValue
from llm_gate.engines.vllm import VllmEngine
from llm_gate.errors import EngineError, ServerNotReadyError, UnavailableError
from llm_gate.serving.canaries import Proof, probe, run_watched
from llm_gate.serving.readiness import Progress, Readiness, WarmUp, wait_until_proven

REACHED_WITHIN_S = 10.0
QUESTION_LIMIT_S = 120.0
"""For one answer of the proof: on which hardware the server runs is not known."""


class UserServer:
    """One server at an address that the user gave: on the loopback address, or by TLS with a key."""

    def __init__(
        self,
        url: str,
        key: str,
        *,
        model_id: str,
        served: str = SERVED_NAME,
        template_kwargs: Mapping[str, TemplateValue] | None = None,
    ) -> None:
        """Nothing is asked yet.

        Args:
            url: the server's root.
            key: its API key, "" for none.
            model_id: the name that journals and logs give the model.
            served: the name under which the server serves it.
            template_kwargs: what the model's chat template is told beside each chat.

        Raises:
            RequestError: the address is neither on the loopback address nor speaks TLS and has a key.
        """
        self.url, self.key, self.model_id, self.served = url, key, model_id, served
        self._template_kwargs = template_kwargs or {}
        self._ready: tuple[float, Proof] | None = None
        self.warm_up: WarmUp | None = None
        """Known once the server is ready."""
        self.engine()

    def engine(self) -> VllmEngine:
        """An engine that asks this server."""
        return VllmEngine(
            self.url,
            self.key,
            model_id=self.model_id,
            served=self.served,
            template_kwargs=self._template_kwargs,
        )

    def wait_ready(self, deadline_s: float, *, proof: Proof, check: Callable[[], None] = lambda: None) -> None:
        """Return once the server has answered everything of ``proof``.

        Raises:
            ServerNotReadyError: nobody answers for ``deadline_s``, or an answer is not the one asked for.
        """
        self._ready = (deadline_s, proof)
        try:
            readiness = Readiness(proof, deadline_s, QUESTION_LIMIT_S)
            self.warm_up = wait_until_proven(self.engine(), readiness, Progress(None), check)
        except ServerNotReadyError as error:
            raise ServerNotReadyError(f"{self.url}: {error}") from None

    def refuse_unreachable(self) -> None:
        """Raise ServerNotReadyError where nobody answers at the address; what an answer is worth is not asked here."""
        try:
            run_watched(probe(self.engine()), REACHED_WITHIN_S)
        except UnavailableError as error:
            raise ServerNotReadyError(str(error)) from None
        except (EngineError, TimeoutError):
            return

    remedy = "waiting until it is back"

    def alive(self) -> bool:
        """Always: whether it runs is not ours to see, and only an answer is proof."""
        return True

    def replace(self, check: Callable[[], None] = lambda: None) -> None:
        """Wait until whoever runs the server has brought it back.

        Raises:
            ServerNotReadyError: as for ``wait_ready``.
        """
        assert self._ready is not None, "it was ready once"
        deadline_s, proof = self._ready
        self.wait_ready(deadline_s, proof=proof, check=check)
