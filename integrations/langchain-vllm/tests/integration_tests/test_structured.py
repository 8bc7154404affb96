"""with_structured_output, by every method."""

from __future__ import annotations

import enum
import re
from typing import Literal

import pytest
from langchain_core.messages import AIMessage
from langchain_core.runnables import RunnableSequence
from pydantic import BaseModel

from langchain_vllm import ChatVLLM
from langchain_vllm.errors import StructuredOutputError


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
    message = AIMessage("", additional_kwargs={"reasoning_content": text})
    assert read_by(model.with_structured_output(schema, reasoning_fallback=True)).invoke(message) == expected
    with pytest.raises(StructuredOutputError, match="all of it is reasoning"):
        read_by(model.with_structured_output(schema)).invoke(message)
    said = AIMessage(text, additional_kwargs={"reasoning_content": "hm"})
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
