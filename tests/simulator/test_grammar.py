"""What the simulator says: pure functions."""

from __future__ import annotations

import json
from typing import Any

import pytest

from vllm_connect.sim.answers.grammar import FALLBACK, HELLO, answer

from .conftest import said, tool


def functions(*tools: dict[str, Any]) -> list[dict[str, Any]]:
    return [each["function"] for each in tools]


def calls(content: str, *tools: dict[str, Any]) -> list[tuple[str, Any]]:
    return [
        (call.name, json.loads(call.arguments)) for call in answer(said(content), functions(*tools)).calls
    ]


NUMBERS = {"a": {"type": "integer"}, "b": {"type": "integer"}}
EXPRESSION = {"expression": {"type": "string"}}


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        ("Say: hello", "hello"),
        ("Say:  two spaces ", " two spaces "),
        ("Say: a\nb\n  c", "a\nb\n  c"),
        ('Say: {"a": "ü"}', '{"a": "ü"}'),
        ("Say: ", ""),
        ("Something before.\nSay: this", "this"),
        ("Think: hm\nSay: so", "so"),
        ("Context\nQuery: Say: this\nAnswer: ", "this"),
        ("Count to 4", "1 2 3 4"),
        ("Count from 1 to 2.", "1 2"),
        ("What is the capital of France?", "The capital of France is Paris."),
        ("What is the capital of Narnia?", FALLBACK),
        ("My name is Bob.", "Hello Bob!"),
        ("Tell me a joke about cats.", "Why did the cats sleep? It was tired."),
        ("Hello", HELLO),
        ("Hi there!", HELLO),
        ("What is 15 * 23?", FALLBACK),
        ("What is the weather in Paris?", FALLBACK),
        ("Call get_weather {}", FALLBACK),
        ("", FALLBACK),
    ],
)
def test_texts(content: str, expected: str) -> None:
    assert answer(said(content)).content == expected


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        ("Say: x", "I say it."),
        ("Think: First this.\nThen that.\nSay: x", "First this.\nThen that."),
        ("Count to 3", "I count."),
        ("whatever", "I answer."),
    ],
)
def test_reasoning(content: str, expected: str) -> None:
    assert answer(said(content)).reasoning == expected


def test_the_history_knows_the_name() -> None:
    history = [*said("Hello, my name is Alice."), {"role": "assistant", "content": "Hello Alice!"}]
    assert answer([*history, *said("What is my name?")]).content == "Your name is Alice."


def test_content_parts_are_read() -> None:
    assert answer(said([{"type": "text", "text": "Say: two"}])).content == "two"


def test_pictures_are_not_looked_at() -> None:
    picture = {"type": "image_url", "image_url": {"url": "data:image/png;base64,AA=="}}
    content = answer(said([{"type": "text", "text": "What colour is the image?"}, picture])).content
    assert content == "This simulator got 1 picture or sound and does not look at them."
    assert answer(said([picture, {"type": "text", "text": "Say: red"}])).content == "red"


def test_orders_to_call() -> None:
    content = 'Think: both\nCall get_weather {"city": "Rome"}\nCall add {"a": 1, "b": 2}'
    found = answer(said(content), functions(tool(), tool("add", **NUMBERS)))
    assert found.reasoning == "both"
    assert found.content is None
    assert [call.arguments for call in found.calls] == ['{"city": "Rome"}', '{"a": 1, "b": 2}']
    assert answer(said("Say: first\nCall get_weather {}"), functions(tool())).content == "first"
    assert answer(said('Call get_weather {"city": '), functions(tool())).calls[0].arguments == '{"city":'
    assert calls("Call get_weather", tool()) == [("get_weather", {})]
    assert answer(said("Call me tomorrow"), functions(tool())).calls == []


@pytest.mark.parametrize(
    ("content", "cities"),
    [
        ("What is the weather in Paris?", ["Paris"]),
        ("What's the weather like in New York today?", ["New York"]),
        ("Tell me the weather in San Francisco, CA.", ["San Francisco, CA"]),
        ("What is the weather in Paris and London?", ["Paris", "London"]),
        ("weather for Zürich", ["Zürich"]),
        ("What is the weather in Rome and what is 1 + 2?", ["Rome"]),
    ],
)
def test_weather(content: str, cities: list[str]) -> None:
    assert calls(content, tool()) == [("get_weather", {"city": city}) for city in cities]


def test_weather_knows_other_parameters() -> None:
    unit = {"type": "string", "enum": ["c", "f"]}
    strange = tool("forecast", location={"type": "string"}, unit=unit)
    strange["function"]["parameters"]["required"] = ["location", "unit"]
    assert calls("What is the weather in Oslo?", strange) == [("forecast", {"location": "Oslo", "unit": "c"})]


def test_sums() -> None:
    calculator, multiply = tool("calculator", **EXPRESSION), tool("multiply", **NUMBERS)
    assert calls("What is 15 * 23?", calculator) == [("calculator", {"expression": "15 * 23"})]
    assert calls("What is 15 × 23?", multiply) == [("multiply", {"a": 15, "b": 23})]
    operation = {"operation": {"type": "string", "enum": ["add", "multiply"]}, **NUMBERS}
    assert calls("Calculate 2 * 3", tool("calculate", **operation)) == [
        ("calculate", {"a": 2, "b": 3, "operation": "multiply"})
    ]


def test_several_questions_in_one_turn() -> None:
    content = "What's the weather in Tokyo? Also, calculate 15 * 23."
    found = answer(said(content), functions(tool(), tool("calculator", **EXPRESSION)))
    assert [call.name for call in found.calls] == ["get_weather", "calculator"]
    assert found.reasoning == "I call the tools."


def test_other_questions_for_tools() -> None:
    magic = tool("magic_function", input={"type": "integer"})
    assert calls("What is the value of magic_function(3)? Use the tool.", magic) == [
        ("magic_function", {"input": 3})
    ]
    style = tool("greeting_generator", answer_style={"type": "string"})
    assert calls("Using the tool, generate a Pirate greeting.", style) == [
        ("greeting_generator", {"answer_style": "Pirate"})
    ]
    customer = tool("unicode_customer", customer_name={"type": "string"}, description={"type": "string"})
    assert calls("Create a customer named '你好啊集团' (Hello Group) - a company", customer) == [
        ("unicode_customer", {"customer_name": "你好啊集团", "description": "a company"})
    ]
    search = tool("web_search", query={"type": "string"})
    assert calls("Search for vLLM clients.", search) == [("web_search", {"query": "vLLM clients"})]
    joke = tool("Joke", setup={"type": "string"}, punchline={"type": "string"})
    assert calls("Tell me a joke about cats.", joke)[0][1]["punchline"] == "It was tired."


def results(*pairs: tuple[str, str, str]) -> list[dict[str, Any]]:
    """A question, the calls that came of it, and their results."""
    made = [
        {"id": f"call_{i}", "type": "function", "function": {"name": name, "arguments": arguments}}
        for i, (name, arguments, _) in enumerate(pairs)
    ]
    told = [
        {"role": "tool", "tool_call_id": f"call_{i}", "content": result}
        for i, (_, _, result) in enumerate(pairs)
    ]
    return [*said("?"), {"role": "assistant", "content": None, "tool_calls": made}, *told]


def test_results() -> None:
    assert answer(results(("add", "{}", "3"))).content == "The result is 3."
    assert answer(results(("add", "{}", "3"), ("add", "{}", "4"))).content == "The results are 3 and 4."
    weather = ("get_weather", '{"city": "Rome"}', "sunny")
    assert answer(results(weather)).content == "The weather in Rome is sunny."
    assert (
        answer(results(weather, ("add", "{}", "3"))).content
        == "The weather in Rome is sunny. The result is 3."
    )
    assert answer(results(("get_weather", '{"city": ', "sunny"))).content == "The result is sunny."
