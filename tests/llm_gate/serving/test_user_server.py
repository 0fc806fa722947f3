"""A server of the user's own is ready once it has answered what a run will ask; its words reach the user."""

from pathlib import Path
from typing import Any

import pytest

from llm_gate.errors import RequestError, ServerNotReadyError
from llm_gate.prompts.prompt_files import DEFAULT_PROMPT, find_prompt
from llm_gate.review.gate import GateConfig
from llm_gate.review.rehearsal import proof_for, proof_in_modes
from llm_gate.serving.key import KEY_VARIABLE, key_of
from llm_gate.serving.user_server import UserServer
from tests.llm_gate.completions import letter_completion
from tests.llm_gate.serving.stub_http import good, served, without_system_role

PROMPT = find_prompt(DEFAULT_PROMPT)
PROOF = proof_for(PROMPT, GateConfig())


def own_server(url: str, **changed: Any) -> UserServer:
    return UserServer(url, "key", model_id="own@here", **changed)


def test_a_good_server_is_ready_after_the_probe_the_canary_and_the_prompt() -> None:
    asked: list[dict[str, Any]] = []

    def noted(request_id: str, body: dict[str, Any]) -> tuple[int, dict[str, Any]]:
        asked.append(body)
        return good(request_id, body)

    with served(noted) as url:
        server = own_server(url)
        server.wait_ready(10.0, proof=PROOF)

    assert server.warm_up is not None and server.warm_up.calls == 3
    cases = [body["messages"][-1]["content"] for body in asked[2:]]
    assert len(cases) == 2, "a short and a long case of the prompt"
    assert len(cases[1]) > len(cases[0]) and "cannot be halved" not in cases[0]
    assert all(body["messages"][0]["content"] == PROMPT.examples[0].text for body in asked[2:])


def test_a_template_that_refuses_the_prompt_is_not_ready_and_says_why() -> None:
    with served(without_system_role) as url, pytest.raises(ServerNotReadyError) as caught:
        own_server(url).wait_ready(10.0, proof=PROOF)

    text = str(caught.value)
    assert caught.value.exit_code == 5
    assert "prompt entry_review.v1 in choice" in text and "status 400: System role not supported" in text
    assert "\x1b" not in text and "\n" not in text
    assert 200 < text.count("y") <= 300, "capped"


def test_a_reply_that_the_gate_would_refuse_is_not_ready() -> None:
    """The probe and the canary are answered; what the prompt gets is a letter that is not the likeliest."""

    def wavering(request_id: str, asked: dict[str, Any]) -> tuple[int, dict[str, Any]]:
        if len(asked["messages"]) == 1:
            return good(request_id, asked)
        return 200, letter_completion(request_id, "B")

    with served(wavering) as url, pytest.raises(ServerNotReadyError, match="although 'A' is likelier"):
        own_server(url).wait_ready(10.0, proof=PROOF)


def test_a_refusal_that_will_not_pass_ends_the_wait_at_once() -> None:
    def locked(request_id: str, asked: dict[str, Any]) -> tuple[int, dict[str, Any]]:
        return 401, {"error": "Unauthorized"}

    with served(locked) as url, pytest.raises(ServerNotReadyError, match="status 401: Unauthorized"):
        own_server(url).wait_ready(60.0, proof=PROOF)


def test_a_server_that_stays_busy_is_given_up_with_its_last_words() -> None:
    def busy(request_id: str, asked: dict[str, Any]) -> tuple[int, dict[str, Any]]:
        return 503, {"message": "loading the weights"}

    with served(busy) as url, pytest.raises(ServerNotReadyError) as caught:
        own_server(url).wait_ready(1.0, proof=PROOF)

    assert "no sign of progress for 1 s; last: " in str(caught.value)
    assert str(caught.value).endswith("status 503: loading the weights")


def test_both_modes_of_a_prompt_are_rehearsed() -> None:
    proof = proof_in_modes(PROMPT, ("choice", "json"))

    with served(good) as url:
        server = own_server(url)
        server.wait_ready(10.0, proof=proof)

    assert [one.name for one in proof.rehearsals] == [
        "prompt entry_review.v1 in choice",
        "prompt entry_review.v1 in json",
    ]
    assert server.warm_up is not None and server.warm_up.calls == 5


def test_the_template_is_told_what_the_settings_say_and_the_model_is_another_by_it() -> None:
    asked: list[dict[str, Any]] = []

    def noted(request_id: str, body: dict[str, Any]) -> tuple[int, dict[str, Any]]:
        asked.append(body)
        return good(request_id, body)

    with served(noted) as url:
        told = own_server(url, template_kwargs={"enable_thinking": False})
        told.wait_ready(10.0, proof=PROOF)
        untold = own_server(url)

    assert all(body["chat_template_kwargs"] == {"enable_thinking": False} for body in asked)
    assert told.engine().model != untold.engine().model


def test_the_name_it_serves_the_model_under_is_asked_for_and_answered() -> None:
    def named(request_id: str, asked: dict[str, Any]) -> tuple[int, dict[str, Any]]:
        return 200, letter_completion(request_id, model=asked["model"])

    with served(named) as url:
        own_server(url, served="Qwen/Qwen3-8B").wait_ready(10.0, proof=PROOF)
        with pytest.raises(RequestError):
            own_server("http://192.0.2.1:8000")


def test_the_key_comes_from_a_private_file_or_the_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "key"
    path.write_text("secret\n")
    path.chmod(0o600)
    monkeypatch.setenv(KEY_VARIABLE, "other")

    assert (key_of(path), key_of(None)) == ("secret", "other")

    path.chmod(0o640)
    with pytest.raises(RequestError, match="chmod 600"):
        key_of(path)
    path.chmod(0o600)
    path.write_text("two words")
    with pytest.raises(RequestError, match="holds no key"):
        key_of(path)
    with pytest.raises(RequestError, match="No such file"):
        key_of(tmp_path / "none")
