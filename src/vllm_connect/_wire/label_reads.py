"""Decisions as vLLM makes them: each option of a question gets a letter, and how likely the letters are as
the first token of an answer is the answer.

vLLM 0.33 does so behind /v1/decisions, 0.32 behind /v1/systemone; of any other server the same is read by one
chat for each question. The prompts are vLLM's own, to the letter, so the answers are the same.
"""

from __future__ import annotations

import json
import math
import string
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from .decoding import JsonObject

LETTERS = string.ascii_uppercase
_ADVICE = "Answer with the letter of one option only."


class LabelRead(NamedTuple):
    """A reading of one question: the probability of each option among them, and that of all together."""

    probabilities: list[float]
    mass: float


def options_of(question: Mapping[str, Any]) -> dict[str, str | None]:
    """The options of a question, with what describes them.

    Raises:
        ValueError: it is no question, or has too few options, too many, or one twice.
    """
    kind = question.get("type")
    if kind == "predicate":
        names: list[tuple[str, object]] = [("false", None), ("true", None)]
    elif kind == "choice":
        names = [
            (json.dumps(choice["value"], ensure_ascii=False), choice.get("description"))
            for choice in question["choices"]
        ]
    elif kind == "score":
        names = [(level["label"], level.get("description")) for level in question["levels"]]
    else:
        raise ValueError(f"a question is a predicate, a choice or a score, not {kind!r}")
    options = {name: str(description) if description else None for name, description in names}
    if len(options) != len(names):
        raise ValueError(f"two options of a question have one name: {question.get('instructions')!r}")
    if not 2 <= len(options) <= len(LETTERS):
        raise ValueError(f"a question has 2 to {len(LETTERS)} options on this server, not {len(options)}")
    return options


def text_of(input: object) -> str:
    """The text that the questions are about: a text, or users' messages of texts.

    Raises:
        ValueError: it has something else in it.
    """
    if isinstance(input, str):
        return input
    if not isinstance(input, Iterable):
        raise ValueError("input is a text, or a list of messages")
    return "\n\n".join(_message_text(message) for message in input)


def _message_text(message: Mapping[str, Any]) -> str:
    if message.get("role") != "user":
        raise ValueError(f"input may hold messages of users alone, not of {message.get('role')!r}")
    content = message.get("content")
    if isinstance(content, str):
        return content
    parts = list(content or ())
    if any(part.get("type") != "input_text" for part in parts):
        raise ValueError("input may hold texts alone")
    return "\n".join(part["text"] for part in parts)


def prompt_of(text: str, question: Mapping[str, Any]) -> str:
    """Return the prompt of a question."""
    lines = [f"Question: {question['instructions']}"] if question.get("instructions") else []
    for letter, (name, description) in zip(LETTERS, options_of(question).items(), strict=False):
        lines.append(f"{letter}: {name} - {description}" if description else f"{letter}: {name}")
    return text + "\n\n" + "\n".join([*lines, _ADVICE])


def read_letters(logprobs: Sequence[float]) -> LabelRead:
    """Read the log-probabilities of the letters, in the order of the options."""
    top = max(logprobs)
    weights = [math.exp(value - top) for value in logprobs]
    total = sum(weights)
    return LabelRead([weight / total for weight in weights], sum(map(math.exp, logprobs)))


def answer_of(question: Mapping[str, Any], read: LabelRead) -> JsonObject:
    """The answer to a question."""
    probabilities = read.probabilities
    answer: JsonObject = {"type": question["type"], "name": question.get("name")}
    if question["type"] == "predicate":
        return {**answer, "probability": probabilities[1]}
    top = max(range(len(probabilities)), key=probabilities.__getitem__)
    answer["confidence"] = probabilities[top] * read.mass
    if question["type"] == "choice":
        values = [choice["value"] for choice in question["choices"]]
        answer["choice"] = values[top]
        answer["probabilities"] = [
            {"value": value, "probability": each} for value, each in zip(values, probabilities, strict=True)
        ]
        return answer
    answer["score"] = sum(number * each for number, each in enumerate(probabilities))
    answer["probabilities"] = [
        {"value": number, "label": level["label"], "probability": each}
        for number, (level, each) in enumerate(zip(question["levels"], probabilities, strict=True))
    ]
    return answer


def structured_request(body: Mapping[str, Any]) -> JsonObject:
    """The request of a decision as /v1/systemone wants it."""
    questions = {
        str(number): {
            "type": "choice",
            "instructions": question.get("instructions", ""),
            "criteria": options_of(question),
        }
        for number, question in enumerate(body["questions"])
    }
    request = {"state": text_of(body["input"]), "questions": questions}
    return {**request, "cache_salt": body["cache_salt"]} if "cache_salt" in body else request


def structured_reads(payload: Mapping[str, Any], questions: Sequence[Mapping[str, Any]]) -> list[LabelRead]:
    """Return what /v1/systemone read of each question.

    Raises:
        KeyError: an answer is missing.
    """
    reads = []
    for number, question in enumerate(questions):
        found = payload["answers"][str(number)]["probabilities"]
        mass = payload["diagnostics"][str(number)]["label_mass"]
        reads.append(LabelRead([float(found[name]) for name in options_of(question)], float(mass)))
    return reads


def usage_of(input_tokens: int, output_tokens: int, cached_tokens: int = 0) -> JsonObject:
    """Token counts in OpenAI's shape."""
    return {
        "input_tokens": input_tokens,
        "input_tokens_details": {"cached_tokens": cached_tokens, "cache_write_tokens": 0},
        "output_tokens": output_tokens,
        "output_tokens_details": {"reasoning_tokens": 0},
        "total_tokens": input_tokens + output_tokens,
    }
