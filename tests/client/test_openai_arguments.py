"""What code that was written for OpenAI passes: arguments of the platform, and lists that are empty."""

from __future__ import annotations

import pickle
import warnings
from collections.abc import Callable
from typing import Any

import pytest
from tests.client.requests import MESSAGES
from tests.media import tone

from vllm_connect import VLLM, AsyncVLLM
from vllm_connect.sim import SimServer

CHAT = "chat.completions.create"
ARGUMENTS = {
    "organization": "org",
    "project": "pro",
    "webhook_secret": "w",
    "websocket_base_url": "ws://x",
    "admin_api_key": "a",
}


@pytest.mark.parametrize("name", ARGUMENTS)
async def test_arguments_of_the_platform_are_taken_with_one_warning(
    make_client: Callable[..., Any], vllm_sim: SimServer, name: str
) -> None:
    with pytest.warns(UserWarning, match=f"{name}=") as caught:
        client = make_client(vllm_sim.url, **{name: ARGUMENTS[name]})
    assert len(caught) == 1
    assert getattr(client.client, name) == ARGUMENTS[name]
    await client(CHAT, messages=MESSAGES)
    headers = vllm_sim.requests[0].headers
    assert headers.get("openai-organization") == ("org" if name == "organization" else None)
    assert headers.get("openai-project") == ("pro" if name == "project" else None)
    assert not {"w", "a"} & set(headers.values())


@pytest.mark.parametrize("cls", [VLLM, AsyncVLLM])
def test_copies_take_them_and_hand_them_on(cls: Any) -> None:
    client = cls("http://x")
    with pytest.warns(UserWarning, match="organization=, project=") as caught:
        copy = client.with_options(organization="org", project="pro")
    assert len(caught) == 1
    assert caught[0].filename == __file__
    again = copy.copy(max_retries=0)
    assert (again.organization, again.project, client.organization) == ("org", "pro", None)
    assert again.default_headers["OpenAI-Organization"] == "org"
    assert "OpenAI-Project" not in client.default_headers
    pickled = pickle.loads(pickle.dumps(copy))
    assert (pickled.organization, pickled.project, pickled.webhook_secret) == ("org", "pro", None)


@pytest.mark.parametrize("cls", [VLLM, AsyncVLLM])
def test_none_says_nothing_and_the_environment_is_not_read(cls: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_ORG_ID", "leak")
    monkeypatch.setenv("OPENAI_PROJECT_ID", "leak")
    monkeypatch.setenv("OPENAI_WEBHOOK_SECRET", "leak")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        client = cls("http://x", **dict.fromkeys(ARGUMENTS))
        assert client.copy(organization=None).organization is None
    assert [getattr(client, name) for name in ARGUMENTS] == [None] * len(ARGUMENTS)
    assert "leak" not in client.default_headers.values()


@pytest.mark.parametrize("cls", [VLLM, AsyncVLLM])
def test_a_misspelt_argument_is_still_an_error(cls: Any) -> None:
    with pytest.raises(TypeError, match="organisation"):
        cls("http://x", organisation="org")
    with pytest.raises(TypeError, match="organisation"):
        cls("http://x").copy(organisation="org")


@pytest.mark.parametrize("tools", [[], ()])
@pytest.mark.parametrize("choice", [{}, {"tool_choice": "auto"}, {"tool_choice": "none"}])
async def test_no_tools_are_not_sent(
    make_client: Callable[..., Any], vllm_sim: SimServer, tools: Any, choice: dict[str, Any]
) -> None:
    client = make_client(vllm_sim.url)
    assert (await client(CHAT, messages=MESSAGES, tools=tools, **choice)).choices
    assert await client.stream(CHAT, messages=MESSAGES, tools=tools, **choice)
    assert (await client("chat.completions.parse", messages=MESSAGES, tools=tools, **choice)).choices
    for request in vllm_sim.requests:
        assert request.json.keys().isdisjoint({"tools", "tool_choice"})
    for api in ("auto", "native"):
        own = make_client(vllm_sim.url, responses_api=api)
        assert (await own("responses.create", input="Say: hi", tools=tools, **choice)).output_text == "hi"


async def test_events_of_transcriptions_are_read_as_vllms_chunks_too(
    make_client: Callable[..., Any], vllm_sim: SimServer
) -> None:
    client = make_client(vllm_sim.url)
    events = await client.stream("audio.transcriptions.create", file=tone(300))
    texts = [event.choices[0].get("delta", {}).get("content") or "" for event in events if event.choices]
    assert "".join(texts) == events[-1].text == "".join(e.delta for e in events if e.type.endswith("delta"))
    assert events[-1].choices == []
