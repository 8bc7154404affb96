"""Trials of chat, and of what else generates text."""

from __future__ import annotations

import json
import re
import warnings
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from pydantic import BaseModel, Field
from tests.media import png_url

from scripts.versions.trial import Bed, LackingError, UnshownError, check, has, trial
from vllm_connect import BadRequestError, ContextLengthError

SERVER = "open"
CHAT, STRUCTURED, OTHER = "Chat", "Structured outputs and tools", "Other ways to generate"
CREATE = "chat.completions.create"
QUIET = {"chat_template_kwargs": {"enable_thinking": False}}
WEATHER = {
    "name": "get_weather",
    "description": "The weather in a city.",
    "parameters": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
}
TOOLS = [{"type": "function", "function": WEATHER}]
PARIS = [{"role": "user", "content": "What is the weather in Paris?"}]
ARGUMENTS = '{"city": "Paris"}'
PROMPT = "<|im_start|>user\nSay: hello<|im_end|>\n<|im_start|>assistant\n<think>\n\n</think>\n\n"


SHOWN = "{% for one in messages %}[{{ one.reasoning }}][{{ one.reasoning_content }}]{% endfor %}"


class Joke(BaseModel, extra="forbid"):
    """What the model is to answer in."""

    setup: str
    punchline: str


class Person(BaseModel):
    """What the model is to answer in, however little it says."""

    name: str = Field(max_length=8)
    age: int = Field(ge=0, le=99)


JOKES = [{"role": "user", "content": "Tell me a joke about cats."}]


def words(chunks: list[Any], field: str = "content") -> str:
    """What the deltas of a stream of chat say."""
    return "".join(getattr(choice.delta, field) or "" for chunk in chunks for choice in chunk.choices)


@trial(CHAT, "`chat.completions.create`", SERVER, CREATE)
def chat_plain(bed: Bed) -> None:
    reply = bed.ask()
    check(reply.choices[0].message.content == "hello world", "another answer")
    check(reply.choices[0].finish_reason == "stop", "another finish_reason")
    check(reply.usage.total_tokens == 32, "another usage")


@trial(CHAT, "… streamed", SERVER, CREATE)
def chat_stream(bed: Bed) -> None:
    chunks = list(bed.ask(stream=True))
    check(words(chunks) == "hello world", "another answer")
    check(chunks[-1].choices[0].finish_reason == "stop", "another finish_reason")


@trial(CHAT, "… streamed, usage in each chunk (`continuous_usage_stats`)", SERVER, CREATE)
def chat_usage(bed: Bed) -> None:
    chunks = list(
        bed.ask(stream=True, stream_options={"include_usage": True, "continuous_usage_stats": True})
    )
    check([chunk for chunk in chunks if chunk.usage] == chunks, "not in each chunk")
    check(chunks[-1].usage.total_tokens == 32, "another usage")


@trial(CHAT, "`chat.completions.stream`", SERVER, "chat.completions.stream")
def chat_stream_helper(bed: Bed) -> None:
    with bed.client.chat.completions.stream(**bed.chat({})) as events:
        check(events.get_final_completion().choices[0].message.content == "hello world", "another answer")


@trial(CHAT, "`message.reasoning`", SERVER, CREATE)
def chat_reasoning(bed: Bed) -> str | None:
    raw = bed.client.chat.completions.with_raw_response.create(**bed.chat({}))
    check(raw.parse().choices[0].message.reasoning == "I say it.", "no reasoning")
    message = json.loads(raw.content)["choices"][0]["message"]
    return None if "reasoning" in message else "the server calls it `reasoning_content`"


@trial(CHAT, "… streamed", SERVER, CREATE)
def chat_reasoning_stream(bed: Bed) -> None:
    chunks = list(bed.ask(stream=True))
    check(words(chunks, "reasoning") == "I say it.", "no reasoning")


@trial(CHAT, "… counted (`usage…reasoning_tokens`)", SERVER, CREATE)
def chat_reasoning_tokens(bed: Bed) -> None:
    details = bed.ask().usage.completion_tokens_details
    has(details is not None, "the server does not count them")
    check(details.reasoning_tokens == 6, "another count")


@trial(CHAT, "… of an earlier turn, given back", SERVER, CREATE)
def chat_reasoning_back(bed: Bed) -> None:
    first = bed.ask(messages=PARIS, tools=TOOLS).choices[0].message
    found = bed.client.tokenize(model=bed.model, messages=[*PARIS, first], chat_template=SHOWN)
    prompt = bed.client.detokenize(model=bed.model, tokens=found.tokens).prompt
    has("I call the tool." in prompt, "the chat template does not get it")


@trial(CHAT, "`thinking=True` and `False`", SERVER, CREATE)
def chat_thinking(bed: Bed) -> None:
    check(bed.ask(thinking=True).choices[0].message.reasoning == "I say it.", "no reasoning")
    message = bed.ask(thinking=False).choices[0].message
    check((message.reasoning, message.content) == (None, "hello world"), "it reasons even so")


@trial(CHAT, '`reasoning_effort="none"`', SERVER, CREATE)
def chat_effort(bed: Bed) -> None:
    try:
        message = bed.ask(reasoning_effort="none").choices[0].message
    except BadRequestError:
        raise LackingError('refused: `"low"`, `"medium"` or `"high"` alone') from None
    has(message.reasoning is None, "ignored: it reasons even so")


@trial(CHAT, "`include_reasoning=False`", SERVER, CREATE)
def chat_hidden_reasoning(bed: Bed) -> None:
    message = bed.ask(include_reasoning=False).choices[0].message
    has(message.reasoning is None, "ignored")
    check(message.content == "hello world", "another answer")


@trial(CHAT, '`max_tokens="fit"`', SERVER, CREATE)
def chat_fit(bed: Bed) -> None:
    message = bed.ask(max_tokens="fit").choices[0].message
    check(message.content == "hello world", "another answer")


@trial(CHAT, "`logprobs`, `top_logprobs`", SERVER, CREATE)
def chat_logprobs(bed: Bed) -> None:
    logprobs = bed.ask(logprobs=True, top_logprobs=2, **QUIET).choices[0].logprobs.content
    check("".join(one.token for one in logprobs) == "hello world<|im_end|>", "other tokens")
    check([len(one.top_logprobs) for one in logprobs] == [2] * len(logprobs), "not two for each token")


@trial(CHAT, "`logprob_token_ids`", SERVER, CREATE)
def chat_logprob_token_ids(bed: Bed) -> None:
    reply = bed.ask(logprobs=True, logprob_token_ids=[5, 6], return_tokens_as_token_ids=True, max_tokens=1)
    told = {one.token for one in reply.choices[0].logprobs.content[0].top_logprobs}
    has({"token_id:5", "token_id:6"} <= told, "ignored")


@trial(CHAT, "`prompt_logprobs`", SERVER, CREATE)
def chat_prompt_logprobs(bed: Bed) -> None:
    reply = bed.ask(prompt_logprobs=1)
    check(len(reply.prompt_logprobs or ()) == reply.usage.prompt_tokens, "not one for each token")


@trial(CHAT, "`return_token_ids`", SERVER, CREATE)
def chat_token_ids(bed: Bed) -> None:
    reply = bed.ask(return_token_ids=True)
    has(reply.prompt_token_ids is not None, "ignored")
    check(len(reply.choices[0].token_ids) == reply.usage.completion_tokens, "not one for each token")


@trial(CHAT, "`return_prompt_text`", SERVER, CREATE)
def chat_prompt_text(bed: Bed) -> None:
    has(bed.ask(return_prompt_text=True).prompt_text is not None, "ignored")


@trial(CHAT, "`top_k`, `min_p`, `seed`, `repetition_penalty`", SERVER, CREATE)
def chat_sampling(bed: Bed) -> None:
    params = {"temperature": 2.0, "repetition_penalty": 1.0, "seed": 1, **QUIET}
    check(bed.ask(top_k=1, **params).choices[0].message.content == "hello world", "top_k is ignored")
    check(bed.ask(min_p=1.0, **params).choices[0].message.content == "hello world", "min_p is ignored")


@trial(CHAT, "`stop`, `stop_token_ids`, `stop_reason`", SERVER, CREATE)
def chat_stop(bed: Bed) -> None:
    count = [{"role": "user", "content": "Count to 9"}]
    choice = bed.ask(messages=count, stop=["5"], **QUIET).choices[0]
    check((choice.message.content, choice.stop_reason) == ("1 2 3 4 ", "5"), "another end")
    (token,) = bed.client.tokenize(model=bed.model, prompt="5", add_special_tokens=False).tokens
    choice = bed.ask(messages=count, stop_token_ids=[token], **QUIET).choices[0]
    check((choice.message.content, choice.stop_reason) == ("1 2 3 4 ", token), "another end")


@trial(CHAT, "`bad_words`, `allowed_token_ids`, `logit_bias`", SERVER, CREATE)
def chat_words(bed: Bed) -> None:
    said = bed.ask(bad_words=["hello"], **QUIET).choices[0].message.content
    check("hello" not in said, "bad_words is ignored")
    (token,) = bed.client.tokenize(model=bed.model, prompt="hello", add_special_tokens=False).tokens
    for params in ({"allowed_token_ids": [token]}, {"logit_bias": {str(token): 100}}):
        said = bed.ask(max_tokens=2, **params, **QUIET).choices[0].message.content
        check(said == "hellohello", f"{next(iter(params))} is ignored")


@trial(CHAT, "`truncate_prompt_tokens`", SERVER, CREATE)
def chat_truncation(bed: Bed) -> None:
    long = [{"role": "user", "content": "word " * 3000 + "Say: hello"}]
    check(bed.ask(messages=long, truncate_prompt_tokens=20).usage.prompt_tokens == 20, "another length")


@trial(CHAT, "`continue_final_message`", SERVER, CREATE)
def chat_continued(bed: Bed) -> None:
    begun = [{"role": "user", "content": "Count to 5"}, {"role": "assistant", "content": "1 2"}]
    reply = bed.ask(messages=begun, continue_final_message=True, add_generation_prompt=False, **QUIET)
    check((reply.choices[0].message.content or "").startswith(" 3 4 5"), "another answer")


@trial(CHAT, "`request_id`, `X-Request-Id`", SERVER, CREATE)
def chat_request_id(bed: Bed) -> None:
    check(bed.ask(request_id="mine").id == "chatcmpl-mine", "another id")
    check(bed.ask(extra_headers={"X-Request-Id": "mine"}).id == "chatcmpl-mine", "another id")


@trial(CHAT, "a picture in a message", "vision", CREATE)
def chat_picture(bed: Bed) -> None:
    parts = [
        {"type": "image_url", "image_url": {"url": png_url((255, 0, 0))}},
        {"type": "text", "text": "What color is the image?"},
    ]
    said = bed.ask(messages=[{"role": "user", "content": parts}]).choices[0].message.content
    check(said == "The image is red.", "another answer")


@trial(CHAT, "`ContextLengthError`", SERVER, CREATE)
def chat_too_long(bed: Bed) -> None:
    for streams in (False, True):
        try:
            bed.ask(messages=[{"role": "user", "content": "word " * 3000}], stream=streams)
        except ContextLengthError:
            continue
        raise AssertionError("no such error")


@trial(CHAT, "an error within a stream", SERVER, CREATE)
def chat_error_in_stream(bed: Bed) -> None:
    try:
        list(bed.ask(stream=True, logit_bias={"99999999": 1}))
    except BadRequestError:
        return
    raise AssertionError("no error")


@trial(CHAT, "`chat.completions.batch`", SERVER, "chat.completions.batch")
def chat_batch(bed: Bed) -> None:
    conversations = [[{"role": "user", "content": f"Say: {word}"}] for word in ("hello", "goodbye")]
    reply = bed.client.chat.completions.batch(
        model=bed.model, messages=conversations, max_tokens=60, temperature=0
    )
    said = [choice.message.content for choice in reply.choices]
    check(said == ["hello", "goodbye"], "other answers")


def check_constraint(bed: Bed, pattern: str, **params: Any) -> None:
    """Check that a constraint holds, plain and streamed."""
    said = bed.ask(**params, **QUIET).choices[0].message.content
    has(re.fullmatch(pattern, said or ""), "ignored: the answer is free")
    said = words(list(bed.ask(stream=True, **params, **QUIET)))
    has(re.fullmatch(pattern, said), "ignored in a stream: the answer is free")


@trial(STRUCTURED, '`structured_outputs={"choice": …}`', SERVER, CREATE)
def structured_choice(bed: Bed) -> None:
    check_constraint(bed, "maybe", structured_outputs={"choice": ["maybe"]})


@trial(STRUCTURED, '`{"regex": …}`', SERVER, CREATE)
def structured_regex(bed: Bed) -> None:
    check_constraint(bed, r"[a-c]{3}-\d{2}", structured_outputs={"regex": r"[a-c]{3}-\d{2}"})


@trial(STRUCTURED, '`{"grammar": …}`', SERVER, CREATE)
def structured_grammar(bed: Bed) -> None:
    check_constraint(bed, "left|right", structured_outputs={"grammar": 'root ::= "left" | "right"'})


@trial(STRUCTURED, '`{"json": schema}`', SERVER, CREATE)
def structured_json(bed: Bed) -> None:
    person = r'\{\s*"name"\s*:\s*"[^"]{0,8}"\s*,\s*"age"\s*:\s*\d{1,2}\s*\}'
    check_constraint(bed, person, structured_outputs={"json": Person.model_json_schema()})


@trial(STRUCTURED, "… after the reasoning", SERVER, CREATE)
def structured_reasoning(bed: Bed) -> None:
    message = bed.ask(structured_outputs={"choice": ["maybe"]}).choices[0].message
    check((message.reasoning, message.content) == ("I say it.", "maybe"), "another answer")


@trial(STRUCTURED, "`guided_choice`, the older name", SERVER, CREATE)
def structured_guided(bed: Bed) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        check_constraint(bed, "maybe", guided_choice=["maybe"])


@trial(STRUCTURED, "`response_format`: a schema, any JSON", SERVER, CREATE)
def structured_format(bed: Bed) -> None:
    schema = {"type": "json_schema", "json_schema": {"name": "joke", "schema": Joke.model_json_schema()}}
    Joke.model_validate_json(bed.ask(messages=JOKES, response_format=schema).choices[0].message.content)
    wanted = {"response_format": {"type": "json_object"}, **QUIET}
    said = bed.ask(messages=[{"role": "user", "content": 'Say: {"a": 1}'}], **wanted)
    check(isinstance(json.loads(said.choices[0].message.content), dict), "no object")


@trial(STRUCTURED, "`chat.completions.parse`", SERVER, "chat.completions.parse")
def chat_parse(bed: Bed) -> None:
    asked = bed.chat({"messages": JOKES, "response_format": Joke})
    reply = bed.client.chat.completions.parse(**asked)
    check(isinstance(reply.choices[0].message.parsed, Joke), "not parsed")


def tool_call(bed: Bed, choice: Any, ending: str) -> str | None:
    """Call a tool, plain and streamed."""
    params = {"messages": PARIS, "tools": TOOLS, "tool_choice": choice}
    plain = bed.ask(**params).choices[0]
    (call,) = plain.message.tool_calls or (None,)
    check(call is not None and json.loads(call.function.arguments) == json.loads(ARGUMENTS), "no such call")
    with bed.client.chat.completions.stream(**bed.chat(params)) as events:
        streamed = events.get_final_completion().choices[0]
    (call,) = streamed.message.tool_calls or (None,)
    check(
        call is not None and json.loads(call.function.arguments) == json.loads(ARGUMENTS),
        "no such call in a stream",
    )
    endings = {plain.finish_reason, streamed.finish_reason}
    return None if endings == {ending} else f"`finish_reason` {', '.join(sorted(f'`{e}`' for e in endings))}"


@trial(STRUCTURED, 'a tool call, `tool_choice="auto"`', SERVER, CREATE)
def tool_auto(bed: Bed) -> str | None:
    return tool_call(bed, "auto", "tool_calls")


@trial(STRUCTURED, '… `"required"`', SERVER, CREATE)
def tool_required(bed: Bed) -> str | None:
    try:
        return tool_call(bed, "required", "tool_calls")
    except BadRequestError as error:
        if "Invalid JSON: EOF" not in str(error):
            raise
        raise UnshownError("the tiny model does not end such a call, and the server answers 400") from None


@trial(STRUCTURED, "… by name", SERVER, CREATE)
def tool_named(bed: Bed) -> str | None:
    return tool_call(bed, {"type": "function", "function": {"name": "get_weather"}}, "stop")


@trial(STRUCTURED, "… and its result, given back", SERVER, CREATE)
def tool_result(bed: Bed) -> None:
    message = bed.ask(messages=PARIS, tools=TOOLS).choices[0].message
    result = {"role": "tool", "tool_call_id": message.tool_calls[0].id, "content": "sunny"}
    reply = bed.ask(messages=[*PARIS, message, result], tools=TOOLS)
    check(reply.choices[0].message.content == "The weather in Paris is sunny.", "another answer")


COMPLETIONS = "completions.create"


@trial(OTHER, "`completions.create`", SERVER, COMPLETIONS)
def completion_plain(bed: Bed) -> None:
    reply = bed.client.completions.create(model=bed.model, prompt=PROMPT, temperature=0)
    check(reply.choices[0].text == "hello", "another answer")


@trial(OTHER, "… streamed", SERVER, COMPLETIONS)
def completion_stream(bed: Bed) -> None:
    chunks = bed.client.completions.create(model=bed.model, prompt=PROMPT, temperature=0, stream=True)
    check("".join(choice.text for chunk in chunks for choice in chunk.choices) == "hello", "another answer")


@trial(OTHER, "… of tokens, `logprobs`", SERVER, COMPLETIONS)
def completion_tokens(bed: Bed) -> None:
    tokens = bed.client.tokenize(model=bed.model, prompt=PROMPT, add_special_tokens=False).tokens
    reply = bed.client.completions.create(model=bed.model, prompt=tokens, temperature=0, logprobs=2)
    check(reply.choices[0].logprobs.tokens == ["hello", "<|im_end|>"], "other tokens")


@trial(OTHER, "… log-probabilities of a prompt (`echo=True, max_tokens=0`)", SERVER, COMPLETIONS)
def completion_echo(bed: Bed) -> None:
    reply = bed.client.completions.create(
        model=bed.model, prompt=PROMPT, temperature=0, echo=True, max_tokens=0, logprobs=0
    )
    check(reply.choices[0].text == PROMPT, "another text")
    check(
        len(reply.choices[0].logprobs.token_logprobs) == reply.usage.prompt_tokens, "not one for each token"
    )


@trial(OTHER, "… `structured_outputs`", SERVER, COMPLETIONS)
def completion_structured(bed: Bed) -> None:
    reply = bed.client.completions.create(
        model=bed.model, prompt=PROMPT, temperature=0, structured_outputs={"choice": ["maybe"]}
    )
    has(reply.choices[0].text == "maybe", "ignored: the answer is free")


def respond(bed: Bed, way: str) -> str | None:
    """Ask for a response, plain, streamed, with a tool and parsed."""
    client = bed.client.with_options(responses_api=way)
    asked = {"model": bed.model, "temperature": 0, "max_output_tokens": 200}
    check(
        client.responses.create(input="Say: hello world", **asked).output_text == "hello world", "no answer"
    )
    events = list(client.responses.create(input="Say: hello world", stream=True, **asked))
    deltas = [event.delta for event in events if event.type == "response.output_text.delta"]
    check("".join(deltas) == "hello world", "another answer in a stream")
    is_whole = events[-1].response.output_text == "hello world"
    tool = {"type": "function", **WEATHER}
    output = client.responses.create(input=PARIS, tools=[tool], **asked).output
    call = output[-1]
    check(
        call.type == "function_call" and json.loads(call.arguments) == json.loads(ARGUMENTS), "no tool call"
    )
    parsed = client.responses.parse(input="Tell me a joke about cats.", text_format=Joke, **asked)
    check(isinstance(parsed.output_parsed, Joke), "not parsed")
    note = None if is_whole else "the response at the end of a stream has no `output`"
    try:
        with client.responses.stream(input="Say: hello world", **asked) as stream:
            final = stream.get_final_response().output_text
        check(final == ("hello world" if is_whole else ""), "another answer in a stream")
    except RuntimeError as error:  # of the SDK, which keeps the books of a stream
        note = (
            f"`responses.stream` raises {error}" if note is None else f"{note}, and `.stream` raises {error}"
        )
    result = {"type": "function_call_output", "call_id": call.call_id, "output": "sunny"}
    said = client.responses.create(input=[*PARIS, *output, result], tools=[tool], **asked).output_text
    check(said == "The weather in Paris is sunny.", "another answer to a tool's result")
    return note


RESPONSES = ("responses.create", "responses.parse", "responses.stream")


@trial(OTHER, "`responses.create`, `.parse`, `.stream`, converted to chat", SERVER, *RESPONSES)
def responses_chat(bed: Bed) -> str | None:
    return respond(bed, "chat")


@trial(OTHER, "… on the server's own `/v1/responses`", SERVER, *RESPONSES)
def responses_native(bed: Bed) -> str | None:
    return respond(bed, "native")


@trial(OTHER, "`messages.create`", SERVER, "messages.create")
def messages_plain(bed: Bed) -> str | None:
    message = bed.client.messages.create(**bed.chat({}))
    check(message.text == "hello world", "another answer")
    check(message.stop_reason == "end_turn", "another stop_reason")
    return None if "thinking" in [block.type for block in message.content] else "without the reasoning"


@trial(OTHER, "… streamed, many at once", SERVER, "messages.create")
def messages_stream(bed: Bed) -> str | None:
    def say(_: int) -> str:
        events = bed.client.messages.create(stream=True, **bed.chat({}))
        return "".join(event.delta.text or "" for event in events if event.type == "content_block_delta")

    with ThreadPoolExecutor(8) as pool:
        texts = list(pool.map(say, range(64)))
    check("hello world" in texts and all("hello world".startswith(text) for text in texts), "another answer")
    return None if set(texts) == {"hello world"} else "now and then the last piece of the text is lost"


@trial(OTHER, "… with a tool", SERVER, "messages.create")
def messages_tool(bed: Bed) -> None:
    tool = {**{k: WEATHER[k] for k in ("name", "description")}, "input_schema": WEATHER["parameters"]}
    message = bed.client.messages.create(**bed.chat({"messages": PARIS, "tools": [tool]}))
    call = message.content[-1]
    check(call.type == "tool_use" and call.input == json.loads(ARGUMENTS), "no such call")


@trial(OTHER, "`messages.count_tokens`", SERVER, "messages.count_tokens")
def messages_count(bed: Bed) -> None:
    counted = bed.client.messages.count_tokens(model=bed.model, messages=PARIS)
    check(counted.input_tokens == bed.client.tokenize(model=bed.model, messages=PARIS).count, "another count")


@trial(OTHER, "`decisions.create`", SERVER, "decisions.create")
def decisions(bed: Bed) -> None:
    question = {"type": "predicate", "instructions": "Is it urgent?"}
    decided = bed.client.decisions.create(model=bed.model, input="Help!", questions=[question])
    check(0 < decided.answers[0].probability < 1, "no probability")


@trial(OTHER, "`generative_scoring.create`", SERVER, "generative_scoring.create")
def generative_scoring(bed: Bed) -> None:
    labels = [bed.client.tokenize(model=bed.model, prompt=word).tokens[0] for word in ("yes", "no")]
    scored = bed.client.generative_scoring.create(
        model=bed.model, query="Is it red? ", items=["a", "b"], label_token_ids=labels
    )
    check(all(0 < one.score < 1 for one in scored.data) and len(scored.data) == 2, "other scores")
