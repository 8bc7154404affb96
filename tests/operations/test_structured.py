"""Chat completions that must have a certain form."""

from __future__ import annotations

import json
import re

import pytest
from pydantic import BaseModel, Field
from tests.operations.answers import MODEL, QUIET, Joke, ask, content, question, say, stream

from vllm_connect import BadRequestError


class Person(BaseModel):
    name: str = Field(max_length=8)
    age: int = Field(ge=0, le=99)


JOKE = {"type": "json_schema", "json_schema": {"name": "joke", "schema": Joke.model_json_schema()}}

CONSTRAINTS = {
    "choice": (["yes", "maybe"], "yes|maybe"),
    "regex": (r"[a-c]{3}-\d{2}", r"[a-c]{3}-\d{2}"),
    "grammar": ('root ::= "left" | "right"', "left|right"),
}
constraint = pytest.mark.parametrize("name", CONSTRAINTS)


class TestStructured:
    """Constraints that the server enforces."""

    @constraint
    async def test_text(self, chat, name):
        given, pattern = CONSTRAINTS[name]
        plain = await say(chat, "Say: hello", structured_outputs={name: given}, **QUIET)
        assert re.fullmatch(pattern, plain)
        chunks = await stream(chat, "Say: hello", structured_outputs={name: given}, **QUIET)
        assert content(chunks) == plain

    async def test_choice_decides(self, chat):
        for word in ("yes", "no"):
            said = await say(chat, "Say: hello", structured_outputs={"choice": [word]}, **QUIET)
            assert said == word

    async def test_json(self, chat):
        schema = {"json": Person.model_json_schema()}
        Person.model_validate_json(await say(chat, "Say: hello", structured_outputs=schema, **QUIET))
        chunks = await stream(chat, "Say: hello", structured_outputs=schema, **QUIET)
        Person.model_validate_json(content(chunks))

    async def test_after_the_reasoning(self, chat):
        message = (await ask(chat, "Say: hello", structured_outputs={"choice": ["maybe"]})).choices[0].message
        assert (message.reasoning, message.content) == ("I say it.", "maybe")

    async def test_through_extra_body(self, chat):
        extra = {"structured_outputs": {"choice": ["maybe"]}}
        assert await say(chat, "Say: hello", extra_body=extra, **QUIET) == "maybe"

    @constraint
    async def test_older_name(self, chat, name):
        given, pattern = CONSTRAINTS[name]
        with pytest.warns(DeprecationWarning, match="structured_outputs"):
            said = await say(chat, "Say: hello", **{f"guided_{name}": given}, **QUIET)
        assert re.fullmatch(pattern, said)

    @pytest.mark.parametrize("form", ["class", "schema"])
    async def test_older_json(self, chat, form):
        given = Person if form == "class" else Person.model_json_schema()
        with pytest.warns(DeprecationWarning, match="guided_json"):
            said = await say(chat, "Say: hello", extra_body={"guided_json": given}, **QUIET)
        Person.model_validate_json(said)

    async def test_response_format(self, chat):
        plain = await say(chat, "Tell me a joke about cats.", response_format=JOKE)
        assert Joke.model_validate_json(plain) == Joke(
            setup="Why did the cats sleep?", punchline="It was tired."
        )
        chunks = await stream(chat, "Tell me a joke about cats.", response_format=JOKE)
        assert content(chunks) == plain

    async def test_any_json(self, chat):
        params = {"response_format": {"type": "json_object"}, **QUIET}
        assert isinstance(json.loads(await say(chat, 'Say: {"a": 1}', **params)), dict)

    async def test_impossible_schema(self, chat):
        broken = {"structured_outputs": {"json": {"type": "nonsense"}}}
        with pytest.raises(BadRequestError, match="nonsense") as plain:
            await ask(chat, "Say: hello", **broken)
        assert plain.value.http_status == 400
        with pytest.raises(BadRequestError, match="nonsense") as streamed:
            await stream(chat, "Say: hello", **broken)
        assert streamed.value.http_status == 200

    async def test_two_constraints(self, chat):
        with pytest.raises(BadRequestError, match="structured"):
            await ask(chat, "Say: hello", structured_outputs={"choice": ["a"], "regex": "a"})

    async def test_class_needs_parse(self, chat):
        with pytest.raises(TypeError, match=r"chat.completions.parse\(\)"):
            await chat("chat.completions.create", **question("Hello", response_format=Joke))
        assert (await chat("models.list")).data[0].id == MODEL  # the client is none the worse for it
