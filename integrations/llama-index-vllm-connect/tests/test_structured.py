"""Objects of a class, held to their schema by the server."""

from __future__ import annotations

from enum import Enum
from typing import Any

import pytest
from llama_index.core.llms import ChatMessage
from llama_index.core.program import FunctionCallingProgram, LLMTextCompletionProgram
from llama_index.core.prompts import ChatPromptTemplate, PromptTemplate
from llama_index.core.types import PydanticProgramMode
from pydantic import BaseModel, Field, ValidationError, field_validator

from llama_index.llms.vllm_connect import VLLM
from vllm_connect import InternalServerError


class Place(BaseModel):
    """A capital."""

    city: str
    country: str


class Mood(str, Enum):
    good = "good"
    bad = "bad"


class Nested(BaseModel):
    places: list[Place] = Field(min_length=1)
    mood: Mood
    remark: str | None = None
    number: int = Field(ge=3)


class Picky(BaseModel):
    city: str

    @field_validator("city")
    @classmethod
    def _never(cls, city: str) -> str:
        raise ValueError("no city is good enough")


class Dated(BaseModel):
    date: str

    @field_validator("date")
    @classmethod
    def _year(cls, date: str) -> str:
        return date.split("-")[1]


PROMPT = PromptTemplate("What is the capital of {country}?")
ROME = '{"city": "Rome", "country": "Italy"}'
PARIS = Place(city="Paris", country="France")


async def test_structured_predict(llm, ask, sent, events):
    assert await ask(llm, "structured_predict", Place, PROMPT, country="France") == PARIS
    (body,) = sent()
    assert body["response_format"]["type"] == "json_schema"
    assert body["response_format"]["json_schema"]["schema"] == Place.model_json_schema()
    assert body["messages"] == [{"role": "user", "content": "What is the capital of France?"}]
    assert "tools" not in body
    assert events.names("Structured") == [
        "LLMStructuredPredictStartEvent",
        "LLMStructuredPredictEndEvent",
    ]
    assert events.names("LLMChat") == ["LLMChatStartEvent", "LLMChatEndEvent"]


async def test_streamed(llm, ask, sent, events):
    objects = await ask.stream(llm, "stream_structured_predict", Place, PROMPT, country="France")
    assert objects[-1] == PARIS
    *partial, before, last = [(each.city, each.country) for each in objects]
    assert before == last  # the whole object, which is yielded once more when it is checked
    assert partial[0] == (None, None)
    assert [city for city, country in partial if country is None and city][-1] == "Paris"
    assert len(set(partial)) == len(partial) > 3
    assert sent()[0]["response_format"]["type"] == "json_schema"
    assert sent()[0]["stream"] is True
    assert len(events.names("LLMStructuredPredictStart")) == len(events.names("LLMStructuredPredictEnd")) == 1


async def test_the_system_prompt_is_kept(vllm_sim, ask, sent):
    llm = VLLM(base_url=vllm_sim.url, system_prompt="Be brief.")
    await ask(llm, "structured_predict", Place, PROMPT, country="France")
    await ask.stream(llm, "stream_structured_predict", Place, PROMPT, country="France")
    for body in sent():
        assert [message["role"] for message in body["messages"]] == ["system", "user"]


async def test_parameters_of_the_call(llm, ask, sent):
    await ask(
        llm, "structured_predict", Place, PROMPT, llm_kwargs={"top_k": 3, "tool_choice": "x"}, country="Peru"
    )
    assert sent()[0]["top_k"] == 3
    assert "tool_choice" not in sent()[0]


async def test_schemas(llm, ask):
    made = await ask(llm, "structured_predict", Nested, PromptTemplate("Say: x"))
    assert made.places
    assert made.mood is Mood.good
    assert made.number >= 3
    streamed = await ask.stream(llm, "stream_structured_predict", Nested, PromptTemplate("Say: x"))
    assert streamed[-1] == made
    text = made.model_copy(update={"remark": 'so "it" is'}).model_dump_json()
    said = await ask(
        llm, "structured_predict", Nested, ChatPromptTemplate([ChatMessage(content=f"Say: {text}")])
    )
    assert said.remark == 'so "it" is'


async def test_an_object_that_is_cut(llm, ask):
    args: Any = (Place, PROMPT)
    with pytest.raises(ValueError, match="raise max_tokens"):
        await ask(llm, "structured_predict", *args, llm_kwargs={"max_tokens": 6}, country="France")
    with pytest.raises(ValueError, match="raise max_tokens"):
        await ask.stream(
            llm, "stream_structured_predict", *args, llm_kwargs={"max_tokens": 6}, country="France"
        )


async def test_a_validator_says_no(llm, ask):
    with pytest.raises(ValidationError, match="good enough"):
        await ask(llm, "structured_predict", Picky, PROMPT, country="France")


async def test_a_validator_trips_over_half_a_value(llm, ask):
    prompt = ChatPromptTemplate([ChatMessage(content='Say: {"date": "2024-05-01"}')])
    objects = await ask.stream(llm, "stream_structured_predict", Dated, prompt)
    assert objects[-1] == Dated.model_construct(date="05")
    whole = ChatPromptTemplate([ChatMessage(content='Say: {"date": "2024"}')])
    with pytest.raises(IndexError):
        await ask.stream(llm, "stream_structured_predict", Dated, whole)


async def test_errors_are_raised(llm, ask, vllm_sim):
    vllm_sim.fail_always("500")
    with pytest.raises(InternalServerError):
        await ask(llm, "structured_predict", Place, PROMPT, country="France")
    with pytest.raises(InternalServerError):
        await ask.stream(llm, "stream_structured_predict", Place, PROMPT, country="France")


async def test_as_structured_llm(llm, ask, sent):
    structured = llm.as_structured_llm(Place)
    question = "What is the capital of France?"
    chat = await ask(structured, "chat", [ChatMessage(content=question)])
    assert chat.raw == PARIS
    completed = await ask(structured, "complete", question)
    assert completed.raw == PARIS
    streamed = await ask.stream(structured, "stream_chat", [ChatMessage(content=question)])
    assert streamed[-1].raw == PARIS
    assert all(body["response_format"]["type"] == "json_schema" for body in sent())


@pytest.mark.parametrize("mode", [PydanticProgramMode.FUNCTION, PydanticProgramMode.LLM])
async def test_other_program_modes(vllm_sim, ask, sent, mode):
    llm = VLLM(base_url=vllm_sim.url, pydantic_program_mode=mode)
    prompt = PromptTemplate(f"Query: Say: {ROME}")
    if mode == PydanticProgramMode.FUNCTION:
        prompt = PromptTemplate(f"Call Place {ROME}")
    rome = Place(city="Rome", country="Italy")
    assert await ask(llm, "structured_predict", Place, prompt) == rome
    assert (await ask.stream(llm, "stream_structured_predict", Place, prompt))[-1] == rome
    assert all("response_format" not in body for body in sent())
    assert bool(sent()[0].get("tools")) == (mode == PydanticProgramMode.FUNCTION)


@pytest.mark.parametrize(
    "mode", [PydanticProgramMode.OPENAI, PydanticProgramMode.GUIDANCE, PydanticProgramMode.LM_FORMAT_ENFORCER]
)
async def test_program_modes_for_other_models(vllm_sim, ask, mode):
    """They are LlamaIndex's, which says what they lack; they are not quietly done another way."""
    llm = VLLM(base_url=vllm_sim.url, pydantic_program_mode=mode)
    with pytest.raises((ImportError, ValueError)):
        await ask(llm, "structured_predict", Place, PROMPT, country="France")
    with pytest.raises((ImportError, ValueError)):
        await ask.stream(llm, "stream_structured_predict", Place, PROMPT, country="France")
    assert not [request for request in vllm_sim.requests if "completions" in request.path]


async def test_function_calling_program(llm, ask, sent):
    program = FunctionCallingProgram.from_defaults(Place, prompt_template_str=f"Call Place {ROME}", llm=llm)
    made = program() if ask.kind == "sync" else await program.acall()
    assert made == Place(city="Rome", country="Italy")
    assert sent()[0]["tool_choice"] == "required"


async def test_text_completion_program(llm, ask):
    program = LLMTextCompletionProgram.from_defaults(
        output_cls=Place, prompt_template_str=f"Query: Say: {ROME}", llm=llm
    )
    made = program() if ask.kind == "sync" else await program.acall()
    assert made == Place(city="Rome", country="Italy")
