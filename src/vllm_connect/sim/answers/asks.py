"""Questions that become tool calls, when a tool is there that fits.

    What is the weather in CITY?                    a tool about weather
    What is 15 * 23?                                a calculator, or a tool named after the operation
    What is the value of NAME(3)? Use the tool.     the tool NAME
    Using the tool, generate a Pirate greeting.     a tool with a style
    Create a customer named 'X' (Y) - Z             a tool with a customer_name
    Search for X                                    a tool that searches
    Tell me a joke about X.                         a tool with a setup and a punchline

One message can ask for several.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from typing import Any

from .answer import Answer, Call, Json
from .schemas import fill

_WEATHER = re.compile(r"\bweather\b.*?\b(?:in|for) (.+)", re.IGNORECASE | re.DOTALL)
_CITY_ENDS = re.compile(
    r"[?!\n;]|\.(?:\s|$)|,? (?:and|also) (?:what|calculate|how|then|also|tell|compute)\b.*"
    r"|\b(?:today|right now|now|tomorrow|please|using|with|use)\b",
    re.IGNORECASE,
)
_SUM = re.compile(r"(-?\d+(?:\.\d+)?)\s*([-+*/×÷x])\s*(-?\d+(?:\.\d+)?)")
_OPERATIONS = {
    "+": ("add", "sum", "plus"),
    "-": ("subtract", "minus", "difference"),
    "*": ("multiply", "multiplier", "times", "product"),
    "/": ("divide", "division", "quotient"),
}
_SPELLING = {"×": "*", "x": "*", "÷": "/"}
_STYLE = re.compile(r"\bgenerate an? (\w+) greeting", re.IGNORECASE)
_CUSTOMER = re.compile(r"\bcustomer named '([^']*)'(?: \([^)]*\))?(?: - (.*))?")
_SEARCH = re.compile(r"\bsearch (?:the web )?for (.+?)[.?!]?$", re.IGNORECASE | re.MULTILINE)
_JOKE = re.compile(r"\bjoke about (?:an? )?([\w-]+)", re.IGNORECASE)


def calls_for(text: str, tools: Sequence[Json]) -> Answer | None:
    """The calls that a question asks for.

    Args:
        text: what the user says.
        tools: the functions that may be called.

    Returns:
        An answer made of calls, or `None` if no tool fits.
    """
    calls = _weather(text, tools) + _sums(text, tools)
    for ask in (_functions, _style, _customer, _search, _joke):
        calls = calls or ask(text, tools)
    if not calls:
        return None
    kinds = {call.name for call in calls}
    return Answer(None, "I call the tools." if len(kinds) > 1 else "I call the tool.", calls)


def parameters(tool: Json) -> Json:
    """The properties of a tool's arguments, by name."""
    schema = tool.get("parameters")
    properties = schema.get("properties") if isinstance(schema, dict) else None
    return properties if isinstance(properties, dict) else {}


def _call(tool: Json, **known: Any) -> Call:
    """A call with the known arguments, and with made-up ones for what else is required."""
    schema = tool.get("parameters") or {}
    arguments = dict(known)
    for name in schema.get("required") or ():
        if name not in arguments and name in parameters(tool):
            arguments[name] = fill(parameters(tool)[name], root=schema, name=name)
    return Call(tool["name"], json.dumps(arguments, ensure_ascii=False))


def _about(tools: Sequence[Json], *words: str) -> Json | None:
    """The first tool with one of these words in its name, or else in its description."""
    for key in ("name", "description"):
        for tool in tools:
            if any(word in str(tool.get(key) or "").lower() for word in words):
                return tool
    return None


def _weather(text: str, tools: Sequence[Json]) -> list[Call]:
    match, tool = _WEATHER.search(text), _about(tools, "weather", "forecast")
    if match is None or tool is None:
        return []
    places = _CITY_ENDS.split(match.group(1))[0]
    cities = [city.strip(" ,.'\"`") for city in re.split(r",? and (?:in |for )?", places)]
    key = _first(tool, "city", "location", "place", "city_name") or next(iter(parameters(tool)), "city")
    return [_call(tool, **{key: city}) for city in cities if city]


def _first(tool: Json, *names: str) -> str | None:
    return next((name for name in names if name in parameters(tool)), None)


def _sums(text: str, tools: Sequence[Json]) -> list[Call]:
    calls = []
    for left, sign, right in _SUM.findall(text):
        operator = _SPELLING.get(sign, sign)
        words = _OPERATIONS[operator]
        tool = _about(tools, *words, "calc", "arithmetic", "math")
        if tool is None:
            continue
        properties = parameters(tool)
        numbers = [name for name in properties if properties[name].get("type") in ("integer", "number")]
        expression = _first(tool, "expression", "expr", "formula", "equation")
        if len(numbers) >= 2 and expression is None:
            known: Json = {numbers[0]: _number(left), numbers[1]: _number(right)}
            if operation := _first(tool, "operation", "operator", "op"):
                known[operation] = _spelling(properties[operation], operator, words)
            calls.append(_call(tool, **known))
        elif properties:
            calls.append(_call(tool, **{expression or next(iter(properties)): f"{left} {operator} {right}"}))
    return calls


def _number(text: str) -> int | float:
    return float(text) if "." in text else int(text)


def _spelling(schema: Json, operator: str, words: Sequence[str]) -> str:
    """Return the name by which a tool wants an operation to be called."""
    allowed: list[str] = schema.get("enum") or [words[0]]
    return next((name for name in allowed if name == operator or name in words), allowed[0])


def _functions(text: str, tools: Sequence[Json]) -> list[Call]:
    by_name = {tool["name"]: tool for tool in tools}
    calls = []
    for name, inside in re.findall(r"([\w.-]+)\(([^()]*)\)", text):
        if name in by_name:
            values = [_value(value.strip()) for value in inside.split(",")] if inside.strip() else []
            calls.append(_call(by_name[name], **dict(zip(parameters(by_name[name]), values, strict=False))))
    return calls


def _value(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        return text.strip("'")


def _style(text: str, tools: Sequence[Json]) -> list[Call]:
    match = _STYLE.search(text)
    tool = next((tool for tool in tools if any("style" in name for name in parameters(tool))), None)
    if match is None or tool is None:
        return []
    key = next(name for name in parameters(tool) if "style" in name)
    return [_call(tool, **{key: match.group(1)})]


def _customer(text: str, tools: Sequence[Json]) -> list[Call]:
    match = _CUSTOMER.search(text)
    tool = next((tool for tool in tools if "customer_name" in parameters(tool)), None)
    if match is None or tool is None:
        return []
    known = {"customer_name": match.group(1)}
    if match.group(2) and "description" in parameters(tool):
        known["description"] = match.group(2)
    return [_call(tool, **known)]


def _search(text: str, tools: Sequence[Json]) -> list[Call]:
    match, tool = _SEARCH.search(text), _about(tools, "search")
    if match is None or tool is None or not parameters(tool):
        return []
    key = _first(tool, "query", "q") or next(iter(parameters(tool)))
    return [_call(tool, **{key: match.group(1)})]


def joke(text: str) -> Json | None:
    """The only joke that the simulator knows, about what the text wants one about."""
    match = _JOKE.search(text)
    return match and {"setup": f"Why did the {match.group(1)} sleep?", "punchline": "It was tired."}


def _joke(text: str, tools: Sequence[Json]) -> list[Call]:
    tool = next((tool for tool in tools if {"setup", "punchline"} <= parameters(tool).keys()), None)
    told = joke(text)
    return [_call(tool, **told)] if tool and told else []
