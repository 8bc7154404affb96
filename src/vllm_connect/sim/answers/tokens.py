"""The simulator's tokenizer: text to ids and back, exactly, without a vocabulary file.

A token is a word or a piece of one, at most four characters of ASCII, with the space before it if
there is one. Its id *is* its spelling, read as a number to the base 96, so that nothing needs to be
looked up or remembered. Every other character is one token, numbered by its code point, and so are
the marks of the chat template.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from functools import lru_cache

SPECIALS = (
    "<|endoftext|>",
    "<|im_start|>",
    "<|im_end|>",
    "<think>",
    "</think>",
    "<tool_call>",
    "</tool_call>",
    "<|image|>",
    "<|audio|>",
)
END_OF_TURN = SPECIALS.index("<|im_end|>")
THINK = SPECIALS.index("<think>")
END_THINK = SPECIALS.index("</think>")
TOOL_CALL = SPECIALS.index("<tool_call>")
END_TOOL_CALL = SPECIALS.index("</tool_call>")
IMAGE = SPECIALS.index("<|image|>")

_ALPHABET = "\n" + "".join(map(chr, range(32, 127)))
_BASE = len(_ALPHABET)
_DIGIT = {character: digit for digit, character in enumerate(_ALPHABET)}
_LONGEST = 4

_FIRST_PIECE = 16
_FIRST_BY_LENGTH = [_FIRST_PIECE]
for _length in range(1, _LONGEST + 1):
    _FIRST_BY_LENGTH.append(_FIRST_BY_LENGTH[-1] + _BASE**_length)
_FIRST_CODE_POINT = _FIRST_BY_LENGTH[-1]

VOCABULARY_SIZE = _FIRST_CODE_POINT + 0x110000

_SPLIT = re.compile(
    "|".join(map(re.escape, SPECIALS))
    + r"| ?[A-Za-z]{1,3}(?![A-Za-z])|[A-Za-z]{1,4}| [A-Za-z]{1,3}"
    + r"| ?[0-9]{1,3}|\n{1,4}| {1,4}(?= )| ?[!-/:-@\[-`{-~]{1,3}| |."
    + r"|[^ -~]",
    re.DOTALL,
)
_SPECIAL_ID = {text: index for index, text in enumerate(SPECIALS)}


def pieces(text: str) -> list[str]:
    """Cut a text into the texts of its tokens."""
    return _SPLIT.findall(text)


@lru_cache(maxsize=65536)
def piece_id(piece: str) -> int:
    """The id of one piece that `pieces` made."""
    special = _SPECIAL_ID.get(piece)
    if special is not None:
        return special
    if len(piece) == 1 and piece not in _DIGIT:
        return _FIRST_CODE_POINT + ord(piece)
    number = 0
    for character in piece:
        number = number * _BASE + _DIGIT[character]
    return _FIRST_BY_LENGTH[len(piece) - 1] + number


def encode(text: str) -> list[int]:
    """Turn a text into token ids."""
    return [piece_id(piece) for piece in _SPLIT.findall(text)]


@lru_cache(maxsize=65536)
def token_text(token: int) -> str:
    """The text of one token; nothing for an id that means nothing, as in vLLM."""
    if 0 <= token < len(SPECIALS):
        return SPECIALS[token]
    if _FIRST_CODE_POINT <= token < VOCABULARY_SIZE:
        code_point = token - _FIRST_CODE_POINT
        return "" if 0xD800 <= code_point <= 0xDFFF else chr(code_point)
    for length in range(1, _LONGEST + 1):
        if _FIRST_BY_LENGTH[length - 1] <= token < _FIRST_BY_LENGTH[length]:
            number, characters = token - _FIRST_BY_LENGTH[length - 1], []
            for _ in range(length):
                number, digit = divmod(number, _BASE)
                characters.append(_ALPHABET[digit])
            return "".join(reversed(characters))
    return ""


def decode(tokens: Iterable[int]) -> str:
    """Turn token ids into their text."""
    return "".join(map(token_text, tokens))


def spelled(token: int) -> str:
    """A token as a vocabulary file spells it: a space as `Ġ`, a line feed as `Ċ`."""
    return token_text(token).replace(" ", "Ġ").replace("\n", "Ċ")
