"""Objects of a class: held to their schema by the server, shown to the model, read strictly."""

from __future__ import annotations

import json
from enum import Enum
from typing import Any

import pytest
from llama_index.core.agent.workflow import FunctionAgent
from llama_index.core.llms import ChatMessage
from llama_index.core.program import FunctionCallingProgram, LLMTextCompletionProgram
from llama_index.core.program.utils import FlexibleModel
from llama_index.core.prompts import ChatPromptTemplate, PromptTemplate
from llama_index.core.tools import FunctionTool
from llama_index.core.types import PydanticProgramMode
from pydantic import AliasChoices, BaseModel, Field, ValidationError, field_validator

from llama_index.llms.vllm_connect import VLLM
from llama_index.llms.vllm_connect.structured import json_format
from vllm_connect import InternalServerError
from vllm_connect.sim import SimServer


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
    assert body["messages"][1:] == [{"role": "user", "content": "What is the capital of France?"}]
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
    with pytest.raises(ValueError, match=r"(?i)raise max_tokens"):
        await ask(llm, "structured_predict", *args, llm_kwargs={"max_tokens": 6}, country="France")
    with pytest.raises(ValueError, match=r"(?i)raise max_tokens"):
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


class Order(BaseModel):
    """What somebody bought."""

    name: str = Field(description="as it stands on the card")
    items: list[str] = []


ORDER = '{"name": "Bob", "items": ["apples"]}'
CUT = '{"name": "Bob", "items": ["apples", "pea'
MODES = [PydanticProgramMode.DEFAULT, PydanticProgramMode.FUNCTION, PydanticProgramMode.LLM]


def message(text: str, mode: PydanticProgramMode) -> dict[str, Any]:
    if mode != PydanticProgramMode.FUNCTION:
        return {"content": text}
    call = {"id": "a", "type": "function", "function": {"name": "Order", "arguments": text}}
    return {"content": None, "tool_calls": [call]}


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize(
    ("text", "end", "words"),
    [
        (CUT, {"finish_reason": "length"}, "max_tokens"),
        (CUT, {"finish_reason": "stop", "stop_reason": "peas"}, "'peas'"),
        (CUT, {"finish_reason": "stop"}, "Invalid JSON"),
        (ORDER, {"finish_reason": "abort"}, "aborted"),
        (ORDER, {"finish_reason": "content_filter"}, "filter"),
        (ORDER, {"finish_reason": "repetition"}, "repeated itself"),
        (ORDER, {"finish_reason": "error"}, "failed"),
        (ORDER, {"finish_reason": "new"}, "'new'"),
        ("null", {"finish_reason": "stop"}, "Order"),
        ("[]", {"finish_reason": "stop"}, "Order"),
        ("", {"finish_reason": "stop"}, "empty"),
    ],
)
async def test_only_a_whole_object_with_a_real_end_is_one(ending, ask, mode, text, end, words):
    llm = ending(message(text, mode), pydantic_program_mode=mode, **end)
    with pytest.raises(ValueError, match=words):
        await ask(llm, "structured_predict", Order, PROMPT, country="France")
    seen: list[Any] = []
    with pytest.raises(ValueError, match=words):
        await ask.stream(llm, "stream_structured_predict", Order, PROMPT, country="France", seen=seen)
    assert not [each for each in seen if isinstance(each, Order)]


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("finish_reason", ["stop", "tool_calls"])
async def test_partial_objects_are_marked(ending, ask, mode, finish_reason):
    llm = ending(message(ORDER, mode), finish_reason, pydantic_program_mode=mode)
    order = Order(name="Bob", items=["apples"])
    assert await ask(llm, "structured_predict", Order, PROMPT, country="France") == order
    *partial, last = await ask.stream(llm, "stream_structured_predict", Order, PROMPT, country="France")
    assert last == order
    assert partial
    assert all(isinstance(each, FlexibleModel) and not isinstance(each, Order) for each in partial)
    assert (partial[-1].name, partial[-1].items) == ("Bob", ["apples"])


class Aliased(BaseModel):
    town: str = Field(alias="placeName")
    inhabitants: int = Field(validation_alias=AliasChoices("people", "count"))


async def test_partial_objects_have_the_names_of_fields(ending, ask):
    llm = ending({"content": '{"placeName": "Rome", "people": 1'}, "length")
    seen: list[Any] = []
    with pytest.raises(ValueError, match="max_tokens"):
        await ask.stream(llm, "stream_structured_predict", Aliased, PROMPT, country="Italy", seen=seen)
    assert (seen[-1].town, seen[-1].inhabitants) == ("Rome", 1)
    llm = ending({"content": '{"placeName": "Rome"'}, "length")
    with pytest.raises(ValueError, match="max_tokens"):
        await ask.stream(llm, "stream_structured_predict", Aliased, PROMPT, country="Italy", seen=seen)
    assert seen[-1].town == "Rome"  # not yet what the class would accept


async def test_only_reasoning_is_no_object(ending, ask):
    for finish_reason in ("length", "stop"):
        llm = ending({"content": None, "reasoning": "Hm."}, finish_reason)
        with pytest.raises(ValueError, match="thinking"):
            await ask(llm, "structured_predict", Order, PROMPT, country="France")
        with pytest.raises(ValueError, match="thinking"):
            await ask.stream(llm, "stream_structured_predict", Order, PROMPT, country="France")


async def test_the_model_reads_the_schema(vllm_sim, ask, sent):
    """Once, in the system message, which a prefix cache holds; the constraint stays what it was."""
    llm = VLLM(base_url=vllm_sim.url, system_prompt="Be brief.")
    await ask(llm, "structured_predict", Order, PROMPT, country="France")
    await ask.stream(llm, "stream_structured_predict", Order, PROMPT, country="France")
    for body in sent():
        assert [each["role"] for each in body["messages"]] == ["system", "user"]
        assert body["messages"][0]["content"].startswith("Be brief.\n\n")
        for words in ("as it stands on the card", "What somebody bought.", '"title":"Items"'):
            assert body["messages"][0]["content"].count(words) == 1
        assert body["response_format"]["json_schema"]["schema"] == Order.model_json_schema()


async def test_the_schema_can_be_kept_from_the_model(vllm_sim, ask, sent):
    hiding = VLLM(base_url=vllm_sim.url, show_schema=False)
    await ask(hiding, "structured_predict", Order, PROMPT, country="France")
    showing = VLLM(base_url=vllm_sim.url)
    await ask(
        showing, "structured_predict", Order, PROMPT, llm_kwargs={"show_schema": False}, country="France"
    )
    for body in sent():
        assert [each["role"] for each in body["messages"]] == ["user"]
        assert body["response_format"]


async def test_a_chat_may_show_its_own_format(llm, ask, sent):
    for extra in ({}, {"show_schema": True}):
        await ask(llm, "chat", [ChatMessage(content="Hi")], response_format=json_format(Order), **extra)
    plain, shown = sent()
    assert len(plain["messages"]) == 1
    assert "as it stands on the card" in shown["messages"][0]["content"]


async def test_mode_completion_shows_the_schema_too(vllm_sim, ask, sent):
    llm = VLLM(base_url=vllm_sim.url, mode="completion")
    with pytest.raises(ValueError, match="Order"):  # the simulator continues the text
        await ask(llm, "structured_predict", Order, PROMPT, country="France")
    with pytest.raises(ValueError, match="Order"):
        await ask.stream(llm, "stream_structured_predict", Order, PROMPT, country="France")
    for body in sent("/v1/completions"):
        assert "as it stands on the card" in body["prompt"]


async def test_an_object_is_not_asked_for_with_tools(llm, ask, vllm_sim):
    tools = {"tools": [{"type": "function", "function": {"name": "look"}}]}
    with pytest.raises(ValueError, match="as_structured_llm"):
        await ask(llm, "structured_predict", Order, PROMPT, llm_kwargs=tools, country="France")
    assert not vllm_sim.requests


FACES_OF_SCHEMAS = [
    "structured_predict",
    "astructured_predict",
    "stream_structured_predict",
    "astream_structured_predict",
    "as_structured_llm",
    "agent",
]


async def predicted(face: str, llm: VLLM) -> Any:
    """An object of a class, in each of the ways that show the model its schema."""
    if face == "as_structured_llm":
        return llm.as_structured_llm(Order).chat([ChatMessage(content="Order it.")]).raw
    if face == "agent":
        tool = FunctionTool.from_defaults(fn=lambda: "x", name="look", description="Look.")
        agent = FunctionAgent(tools=[tool], llm=llm, output_cls=Order)
        return (await agent.run("Order it.")).get_pydantic_model(Order)
    predict = getattr(llm, face)
    if face.startswith("astream"):
        return [each async for each in await predict(Order, PROMPT, country="France")][-1]
    if face.startswith("stream"):
        return list(predict(Order, PROMPT, country="France"))[-1]
    found = predict(Order, PROMPT, country="France")
    return await found if face.startswith("a") else found


@pytest.mark.parametrize("face", FACES_OF_SCHEMAS)
async def test_a_template_without_a_system_role_reads_the_schema_from_the_user(face: str) -> None:
    with SimServer(template="no_system") as server:
        assert isinstance(await predicted(face, VLLM(base_url=server.url, model="sim-chat")), Order)
        (first, *_) = [
            request.json["messages"]
            for request in server.requests
            if "response_format" in (request.json or {})
        ][-1]
        assert first["role"] == "user"
        assert "as it stands on the card" in json.dumps(first["content"])
