"""A small grammar of requests that the simulator obeys to the letter.

    Say: TEXT                              TEXT
    Think: A / Say: B                      reasoning A, content B
    Call NAME {json}                       a tool call (one or several lines; after Think or Say, too)
    a tool message R                       The result is R.
    Count to N                             1 2 3 … N
    What is the capital of X?              The capital of X is Y.
    My name is X. … What is my name?       Your name is X.
    Tell me a joke about X.                Why did the X sleep? It was tired.
    Hello                                  Hello! I am a tiny test model.
    anything else                          I am a tiny test model and do not know that.

Questions that a given tool can answer become calls: see `asks`. The same conversation always gets
the same answer.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from typing import Any

from .answer import Answer, Call, Json
from .asks import calls_for, joke

FALLBACK = "I am a tiny test model and do not know that."
HELLO = "Hello! I am a tiny test model."
STORY = (
    "Once upon a time there was a small model. It said what it was told to say, one word after the other, "
    "and everybody was happy."
)
HAIKU = "A small model sings\none word after another\nuntil the test ends"

_CAPITALS = {
    "Australia": "Canberra",
    "Austria": "Vienna",
    "Belgium": "Brussels",
    "Canada": "Ottawa",
    "Chile": "Santiago",
    "China": "Beijing",
    "Cuba": "Havana",
    "Denmark": "Copenhagen",
    "Egypt": "Cairo",
    "England": "London",
    "Finland": "Helsinki",
    "France": "Paris",
    "Germany": "Berlin",
    "Greece": "Athens",
    "Hungary": "Budapest",
    "India": "Delhi",
    "Ireland": "Dublin",
    "Italy": "Rome",
    "Japan": "Tokyo",
    "Kenya": "Nairobi",
    "Netherlands": "Amsterdam",
    "Norway": "Oslo",
    "Peru": "Lima",
    "Poland": "Warsaw",
    "Portugal": "Lisbon",
    "Russia": "Moscow",
    "Spain": "Madrid",
    "Sweden": "Stockholm",
    "Switzerland": "Bern",
    "Turkey": "Ankara",
}

_SAY = re.compile(r"(?:^|\n)(Query: )?Say:[ \n]?(.*)", re.DOTALL)
_THINK = re.compile(r"(?:^|\n)Think: (.*?)(?=\nSay:|\nCall |$)", re.DOTALL)
_CALL = re.compile(r"Call ([\w.:-]+)(?:\s+(\S.*))?$")
_COUNT = re.compile(r"\bcount (?:from 1 )?to (\d{1,5})\b", re.IGNORECASE)
_CAPITAL = re.compile(r"\bcapital of (\w+)", re.IGNORECASE)
_MY_NAME = re.compile(r"\b(?:my name is|i am|call me) (?!a\b|the\b|not\b)([^\W\d_]\w*)", re.IGNORECASE)
_ASKS_NAME = re.compile(r"(?:what(?:'s| is) my name|do you remember my name|who am i)\b", re.IGNORECASE)
_GREETING = re.compile(
    r"(?:hello|hi|hey|good (?:morning|day|evening)|how are you|who are you|ping|test)\b", re.IGNORECASE
)


def answer(messages: Sequence[Json], tools: Sequence[Json] = ()) -> Answer:
    """Say what the grammar wants to be said.

    Args:
        messages: the conversation, as in a chat completions request.
        tools: the functions that may be called, each with `name` and perhaps `parameters`.

    Returns:
        The answer; its reasoning is only to be shown when thinking is on.
    """
    last = messages[-1] if messages else {}
    if last.get("role") in ("tool", "function"):
        return _results(messages)
    text = text_of(last)
    return _obey(text, tools) or (calls_for(text, tools) if tools else None) or _recall(text, messages)


def text_of(message: Json) -> str:
    """The text of a message, whether it is a string or a list of parts."""
    content = message.get("content")
    if isinstance(content, list):
        parts = [part if isinstance(part, str) else part.get("text", "") for part in content]
        return "\n".join(part for part in parts if isinstance(part, str) and part)
    return content if isinstance(content, str) else ""


def media_count(messages: Sequence[Json]) -> int:
    """Return the number of images, videos and sounds in a conversation."""
    parts = [part for message in messages for part in _parts(message)]
    return sum(part.get("type", "image_url") not in _TEXT_TYPES for part in parts)


_TEXT_TYPES = ("text", "input_text", "output_text", "refusal", "thinking")


def _parts(message: Json) -> list[Json]:
    content = message.get("content")
    return [part for part in content if isinstance(part, dict)] if isinstance(content, list) else []


def _obey(text: str, tools: Sequence[Json]) -> Answer | None:
    """The answer to `Say:`, `Think:` and `Call` lines."""
    lines = text.rstrip().split("\n")
    calls: list[Call] = []
    if tools:
        while lines and (call := _call(lines[-1], tools)):
            calls.insert(0, call)
            lines.pop()
    before = "\n".join(lines) if calls else text
    say, think = _SAY.search(before), _THINK.search(text)
    if say is None and not calls:
        return None
    content = None
    if say is not None:
        content = say.group(2)
        if say.group(1):  # a retrieval prompt: "Query: Say: …" and then "Answer:"
            content = content.split("\n")[0].strip()
    reasoning = think.group(1) if think else "I call the tool." if calls else "I say it."
    return Answer(content, reasoning, calls)


def _call(line: str, tools: Sequence[Json]) -> Call | None:
    match = _CALL.match(line.strip())
    if match is None:
        return None
    name, arguments = match.group(1), match.group(2)
    is_tool = name in [tool["name"] for tool in tools]
    if not is_tool and not (arguments or "").startswith("{"):
        return None
    return Call(name, arguments or "{}")


def _results(messages: Sequence[Json]) -> Answer:
    """The answer to the tool messages at the end of a conversation."""
    start = len(messages)
    while start and messages[start - 1].get("role") in ("tool", "function"):
        start -= 1
    results = messages[start:]
    calls = (messages[start - 1].get("tool_calls") or []) if start else []
    cities = {call.get("id"): city for call in calls if (city := _city(call.get("function") or {}))}
    sentences = []
    for result in results:
        city = cities.get(result.get("tool_call_id"))
        what = f"The weather in {city}" if city else "The result"
        sentences.append(f"{what} is {text_of(result)}.")
    several = len(results) > 1
    content = " ".join(sentences)
    if several and not cities:
        content = "The results are " + " and ".join(map(text_of, results)) + "."
    return Answer(content, "I tell the results." if several else "I tell the result.")


def _city(function: Json) -> str | None:
    """The place that a call to a weather tool asked for."""
    if "weather" not in str(function.get("name", "")).lower():
        return None
    try:
        arguments: Any = json.loads(function.get("arguments") or "{}")
    except ValueError:
        return None
    if not isinstance(arguments, dict):
        return None
    return next((value for value in arguments.values() if isinstance(value, str)), None)


def _recall(text: str, messages: Sequence[Json]) -> Answer:
    """The answer to what is no order: the few things that the simulator knows."""
    if match := _COUNT.search(text):
        return Answer(" ".join(map(str, range(1, int(match.group(1)) + 1))), "I count.")
    if match := _CAPITAL.search(text):
        country = match.group(1).title()
        if country in _CAPITALS:
            city = _CAPITALS[country]
            return Answer(
                f"The capital of {country} is {city}.",
                values={"capital": city, "city": city, "country": country},
            )
    if _ASKS_NAME.search(text):
        for message in reversed(messages[:-1]):
            if message.get("role") == "user" and (match := _MY_NAME.search(text_of(message))):
                return Answer(f"Your name is {match.group(1)}.", values={"name": match.group(1)})
    if told := joke(text):
        wants_json = re.search(r"\bjson\b", text, re.IGNORECASE)
        return Answer(json.dumps(told) if wants_json else " ".join(told.values()), values=told)
    if match := _MY_NAME.search(text):
        return Answer(f"Hello {match.group(1)}!", values={"name": match.group(1)})
    lowered = text.lower()
    if "haiku" in lowered:
        return Answer(HAIKU)
    if re.search(r"\bstory\b", lowered):
        return Answer(STORY)
    if media := media_count(messages):
        seen = "1 picture or sound" if media == 1 else f"{media} pictures or sounds"
        return Answer(f"This simulator got {seen} and does not look at them.")
    if _GREETING.match(text.strip()):
        return Answer(HELLO)
    return Answer(FALLBACK)
