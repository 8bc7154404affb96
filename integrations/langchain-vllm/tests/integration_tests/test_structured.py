"""with_structured_output, by every method."""

from __future__ import annotations

import enum
import json
import re
from typing import Literal, Optional

import pytest
from langchain_core.messages import AIMessage
from langchain_core.runnables import RunnableSequence
from pydantic import BaseModel

from langchain_vllm import ChatVLLM
from langchain_vllm.errors import StructuredOutputError

ENDED = {"finish_reason": "stop"}


class Joke(BaseModel):
    setup: str
    punchline: str | None = None


class Color(enum.Enum):
    RED = "red"
    BLUE = "blue"


def test_the_schema_is_sent_as_it_is(sim, model):
    structured = model.with_structured_output(Joke)
    assert isinstance(structured.invoke("Tell me a joke about cats."), Joke)
    sent = sim.requests[-1].json["response_format"]
    assert sent == {
        "type": "json_schema",
        "json_schema": {"name": "Joke", "schema": Joke.model_json_schema()},
    }
    schema = {"title": "My joke", "type": "object", "properties": {"setup": {"type": "string"}}}
    model.with_structured_output(schema, strict=True).invoke("Tell me a joke about cats.")
    sent = sim.requests[-1].json["response_format"]["json_schema"]
    assert sent == {"name": "My_joke", "schema": schema, "strict": True}


@pytest.mark.parametrize("method", ["json_schema", "function_calling", "json_mode"])
async def test_methods(model, method):
    structured = model.with_structured_output(Joke, method=method, include_raw=True)
    ask = "Tell me a joke about cats, as JSON."
    for found in (structured.invoke(ask), await structured.ainvoke(ask)):
        assert found["parsing_error"] is None
        assert isinstance(found["parsed"], Joke)
        assert found["raw"].response_metadata["model_provider"] == "vllm"
    assert isinstance(list(model.with_structured_output(Joke, method=method).stream(ask))[-1], Joke)


@pytest.mark.parametrize(
    ("schema", "answers"),
    [
        (Literal["red", "blue"], {"red", "blue"}),
        (Literal[1, 2], {1, 2}),
        (Color, set(Color)),
        (["red", "blue"], {"red", "blue"}),
    ],
)
def test_choice(sim, model, schema, answers):
    assert model.with_structured_output(schema).invoke("Which?") in answers
    assert len(sim.requests[-1].json["structured_outputs"]["choice"]) == 2


def test_regex(sim, model):
    for structured in (
        model.with_structured_output(re.compile(r"\d{3}-\d{2}")),
        model.with_structured_output(r"\d{3}-\d{2}", method="regex"),
    ):
        assert re.fullmatch(r"\d{3}-\d{2}", structured.invoke("A number?"))
        assert sim.requests[-1].json["structured_outputs"] == {"regex": r"\d{3}-\d{2}"}


def test_grammar(sim, model):
    grammar = 'root ::= "yes" | "no"'
    assert model.with_structured_output(grammar, method="grammar").invoke("Well?") in ("yes", "no")
    assert sim.requests[-1].json["structured_outputs"] == {"grammar": grammar}


@pytest.mark.parametrize(
    ("schema", "method"),
    [(Joke, "choice"), (Joke, "regex"), (Joke, "yaml"), (None, "json_schema"), ([], "choice")],
)
def test_schemas_that_do_not_suit(model, schema, method):
    with pytest.raises(ValueError, match=r"method|schema"):
        model.with_structured_output(schema, method=method)


def test_a_cut_answer_says_so(sim):
    model = ChatVLLM(base_url=sim.url, max_tokens=3, chat_template_kwargs={"enable_thinking": False})
    with pytest.raises(StructuredOutputError, match="cut off by max_tokens") as caught:
        model.with_structured_output(Joke).invoke("Tell me a joke about cats.")
    assert caught.value.llm_output
    found = model.with_structured_output(Joke, include_raw=True).invoke("Tell me a joke about cats.")
    assert isinstance(found["parsing_error"], StructuredOutputError)
    assert found["parsed"] is None
    assert found["raw"].content


@pytest.mark.parametrize(
    ("schema", "text", "expected"),
    [
        (Joke, '{"setup": "a", "punchline": "b"}', Joke(setup="a", punchline="b")),
        (Color, "red", Color.RED),
        (re.compile("a+"), "aaa", "aaa"),
    ],
)
def test_an_answer_that_was_taken_for_reasoning(model, schema, text, expected):
    message = AIMessage("", additional_kwargs={"reasoning_content": text}, response_metadata=ENDED)
    assert read_by(model.with_structured_output(schema, reasoning_fallback=True)).invoke(message) == expected
    with pytest.raises(StructuredOutputError, match="all of it came as reasoning"):
        read_by(model.with_structured_output(schema)).invoke(message)
    said = AIMessage(text, additional_kwargs={"reasoning_content": "hm"}, response_metadata=ENDED)
    assert read_by(model.with_structured_output(schema, reasoning_fallback=True)).invoke(said) == expected


def read_by(structured):
    """What reads the model's message."""
    return structured.steps[1] if len(structured.steps) == 2 else RunnableSequence(*structured.steps[1:])


async def test_the_fallback_does_no_harm(model):
    structured = model.with_structured_output(Joke, reasoning_fallback=True)
    ask = "Tell me a joke about cats."
    assert structured.invoke(ask) == await structured.ainvoke(ask) == list(structured.stream(ask))[-1]
    assert isinstance(structured.invoke(ask), Joke)


def test_tools_beside_the_structure(sim, model):
    model.bind_tools([Joke], response_format={"type": "json_object"}).invoke("Hello")
    assert {"tools", "response_format"} <= set(sim.requests[-1].json)


QUIET = {"enable_thinking": False}


@pytest.mark.parametrize("schema", [Joke, Joke.model_json_schema()], ids=["class", "schema"])
@pytest.mark.parametrize("method", ["json_schema", "function_calling"])
async def test_a_cut_answer_says_so_when_it_was_streamed(sim, schema, method):
    model = ChatVLLM(base_url=sim.url, max_tokens=12, chat_template_kwargs=QUIET, streaming=True)
    structured = model.with_structured_output(schema, method=method)
    ask = "Tell me a joke about cats."
    with pytest.raises(StructuredOutputError, match="cut off by max_tokens"):
        structured.invoke(ask)
    with pytest.raises(StructuredOutputError, match="cut off by max_tokens"):
        await structured.ainvoke(ask)


@pytest.mark.parametrize("schema", [Joke, Joke.model_json_schema()], ids=["class", "schema"])
@pytest.mark.parametrize("method", ["json_schema", "function_calling", "json_mode"])
async def test_a_cut_stream_says_so_at_its_end(sim, schema, method):
    model = ChatVLLM(base_url=sim.url, max_tokens=12, chat_template_kwargs=QUIET)
    structured = model.with_structured_output(schema, method=method)
    with pytest.raises(StructuredOutputError, match="cut off by max_tokens"):
        list(structured.stream("Tell me a joke about cats."))
    with pytest.raises(StructuredOutputError, match="cut off by max_tokens"):
        [value async for value in structured.astream("Tell me a joke about cats.")]
    parser = read_by(structured)
    whole = '{"setup": "a", "punchline": "b"}'
    if method == "json_mode":  # texts are read as well
        assert dict(list(parser.transform(iter([whole[:9], whole[9:]])))[-1]) == json.loads(whole)


async def test_a_stream_with_the_raw_message_reports_errors(model):
    structured = model.with_structured_output(Joke, method="json_mode", include_raw=True)
    ask = 'Say: {"x": 1}'
    for pieces in (list(structured.stream(ask)), [piece async for piece in structured.astream(ask)]):
        assert len(pieces) > 2
        assert "raw" in pieces[0]
        assert pieces[-1]["parsed"] is None
        assert "setup" in str(pieces[-1]["parsing_error"])
    for found in (structured.invoke(ask), await structured.ainvoke(ask)):
        assert sorted(found) == ["parsed", "parsing_error", "raw"]
        assert "setup" in str(found["parsing_error"])
    good = list(model.with_structured_output(Joke, include_raw=True).stream("Tell me a joke about cats."))
    assert isinstance(good[-1]["parsed"], Joke)
    assert good[-1]["parsing_error"] is None


def test_reasoning_in_content_blocks(model):
    message = AIMessage([{"type": "reasoning", "reasoning": '{"setup": "a"}'}], response_metadata=ENDED)
    structured = model.with_structured_output(Joke, reasoning_fallback=True)
    assert read_by(structured).invoke(message) == Joke(setup="a")
    with pytest.raises(StructuredOutputError, match="all of it came as reasoning") as caught:
        read_by(model.with_structured_output(Joke)).invoke(message)
    assert caught.value.llm_output == '{"setup": "a"}'


def get_weather(city: str) -> str:
    """Get the weather in a city."""
    return city


def test_tools_beside_a_forced_call(sim, model):
    structured = model.with_structured_output(Joke, method="function_calling", tools=[get_weather])
    assert isinstance(structured.invoke("Tell me a joke about cats."), Joke)
    sent = sim.requests[-1].json
    assert [tool["function"]["name"] for tool in sent["tools"]] == ["Joke", "get_weather"]
    assert sent["tool_choice"]["function"]["name"] == "Joke"


@pytest.mark.parametrize("schema", [Joke, Literal["a", "b"], re.compile("a")])
def test_a_call_instead_of_an_answer(model, schema):
    structured = model.with_structured_output(schema, tools=[get_weather])
    call = {"name": "get_weather", "args": {"city": "Rome"}, "id": "c1"}
    message = AIMessage("", tool_calls=[call], response_metadata={"finish_reason": "tool_calls"})
    with pytest.raises(StructuredOutputError, match="called get_weather instead"):
        read_by(structured).invoke(message)


@pytest.mark.parametrize("method", [None, "function_calling"])
def test_a_response_format_as_schema(sim, model, method):
    wire = {"name": "joke", "schema": Joke.model_json_schema(), "strict": True}
    given = {"type": "json_schema", "json_schema": wire}
    found = model.with_structured_output(given, method=method).invoke("Tell me a joke about cats.")
    assert "setup" in found
    sent = sim.requests[-1].json
    if method is None:
        assert sent["response_format"] == given
    else:
        assert sent["tools"][0]["function"]["name"] == "joke"


@pytest.mark.parametrize("method", ["json_schema", "function_calling", "json_mode"])
@pytest.mark.parametrize("schema", [Optional[Joke], Joke | None, list[Joke], int, dict, "Joke"])  # noqa: UP045
def test_types_that_are_no_schema(model, schema, method):
    with pytest.raises(ValueError, match="TypeAdapter"):
        model.with_structured_output(schema, method=method)


@pytest.mark.parametrize(
    ("schema", "method"),
    [(Joke, "json_schema"), (Color, "choice"), (re.compile("a"), "regex")],
)
def test_traces_say_the_method(model, schema, method):
    bound = model.with_structured_output(schema).steps[0]
    assert bound.kwargs["ls_structured_output_format"]["kwargs"]["method"] == method
