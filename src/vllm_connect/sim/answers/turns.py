"""One turn of a conversation: from a request to everything that was generated for it."""

from __future__ import annotations

import json
from dataclasses import dataclass

from ..http.errors import refused
from ..http.options import Options
from ..requests.chat import ChatRequest, NamedTool, check_conversation
from ..requests.prompts import check_room, fit, render
from ..requests.sampling import check_engine, check_sampling
from . import schemas
from .answer import Answer, Call, Json
from .constrain import Constraint, constraint_of
from .generation import Generation, generate
from .grammar import answer, text_of


@dataclass
class Turn:
    """A prompt and what came of it."""

    request: ChatRequest
    prompt_text: str
    prompt_tokens: list[int]
    generations: list[Generation]

    @property
    def completion_tokens(self) -> int:
        """The number of tokens of all choices together."""
        return sum(len(generation.tokens) for generation in self.generations)

    @property
    def reasoning_tokens(self) -> int:
        """The number of them that were thought."""
        return sum(generation.reasoning_tokens for generation in self.generations)


def prepare(request: ChatRequest, options: Options) -> tuple[str, list[int]]:
    """Render the prompt of a request.

    Returns:
        The prompt and its tokens.

    Raises:
        SimError: a 400: the conversation cannot be rendered, or is too long.
    """
    check_conversation(request, options)
    prompt = render(
        request.conversation,
        [tool.function.model_dump(exclude_none=True) for tool in request.tools or ()],
        quiet=options.reasoning and not thinks(request, options),
        generate=request.add_generation_prompt,
        open_ended=request.continue_final_message,
    )
    name = "max_completion_tokens" if request.max_completion_tokens is not None else "max_tokens"
    check_room(request.max_tokens, options.max_model_len, name)
    tokens = fit(
        prompt, options.max_model_len, truncate=request.truncate_prompt_tokens, side=request.truncation_side
    )
    check_sampling(request)
    return prompt, tokens


def take(request: ChatRequest, options: Options, prompt: str, prompt_tokens: list[int]) -> Turn:
    """Answer a request that was prepared.

    Raises:
        LateError: a 400 that the engine finds, when a stream has already begun.
    """
    check_engine(request, request.wanted_logprobs)
    constraint = constraint_of(request)
    said = _answer(request, constraint)
    thinking = thinks(request, options) and not (constraint and not request.include_reasoning)
    generation = generate(
        said,
        request,
        thinking=thinking,
        room=options.max_model_len - len(prompt_tokens),
        forced=isinstance(request.tool_choice, NamedTool),
    )
    return Turn(request, prompt, prompt_tokens, [generation] * request.choices)


def thinks(request: ChatRequest, options: Options) -> bool:
    """Tell whether an answer begins with reasoning."""
    told = (request.chat_template_kwargs or {}).get("enable_thinking")
    if told is None:
        told = request.reasoning_effort != "none"
    return options.reasoning and bool(told) and not request.continue_final_message


def _answer(request: ChatRequest, constraint: Constraint | None) -> Answer:
    messages = request.conversation
    before = messages[-1] if request.continue_final_message or _assistant(messages[-1]) else None
    conversation = messages[:-1] if before and len(messages) > 1 else messages
    # Where the model may choose, a constraint binds it from the first token, and no call obeys one; a call
    # that is demanded takes the constraint's place.
    functions = [] if constraint and request.tool_choice in ("auto", "none") else request.functions
    draft = answer(conversation, functions)
    text = text_of(conversation[-1])
    if request.tool_choice == "none":
        draft.plain = True  # the template shows the tools, and vLLM reads no calls
    elif functions:
        _choose_calls(draft, request, functions, text)
    if constraint and request.tool_choice == "auto" and constraint.kind != "structural_tag":
        draft.calls = []  # as in vLLM, where a constraint binds from the first token on
    if constraint and not draft.calls:
        draft.content = constraint.apply(draft, text)
    elif not functions and draft.content is None:
        draft.content = ""
    if before and request.continue_final_message and draft.content:
        begun = text_of(before)
        draft.content = draft.content.removeprefix(begun)
    return draft


def _assistant(message: Json) -> bool:
    return message.get("role") == "assistant"


def _choose_calls(draft: Answer, request: ChatRequest, functions: list[Json], text: str) -> None:
    """Make the answer call what the request wants to be called."""
    choice = request.tool_choice
    if isinstance(choice, NamedTool):
        name = choice.function.name
        function = next(function for function in functions if function["name"] == name)
        fitting = [call for call in draft.calls if call.name == name]
        draft.calls = fitting[:1] or [_made_up(function, draft)]
    elif choice == "required" and not draft.calls:
        named = [function for function in functions if function["name"] in text]
        draft.calls = [_made_up((named or functions)[0], draft)]
    if draft.calls and choice != "auto":
        draft.content = None
        draft.reasoning = draft.reasoning if draft.reasoning.startswith("I call") else "I call the tool."
    if request.parallel_tool_calls is False:
        del draft.calls[1:]


def _made_up(function: Json, draft: Answer) -> Call:
    """A call with arguments that satisfy the schema, when nothing says what they are."""
    schema = function.get("parameters") or {"type": "object", "properties": {}}
    if function.get("strict"):
        try:
            schemas.check(schema)
        except schemas.SchemaError:
            raise refused("Invalid structural tag specification.", late=True) from None
    values = dict(draft.values)
    for call in draft.calls:
        try:
            values |= json.loads(call.arguments)
        except (ValueError, TypeError):
            continue
    arguments = schemas.fill(schema, values=values)
    return Call(function["name"], json.dumps(arguments, ensure_ascii=False))
