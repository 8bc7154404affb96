"""For whoever writes an integration: what more than one of them needs.

Tool calls, which agents act upon:

    ToolCalls           the pieces of a stream in, what each adds to which call out
    whole_calls         the calls of an answer that came in one piece
    read_arguments      a call's arguments, whole or not at all

Settings without their secrets:

    masked              a URL as it may be shown
    public_url          a URL as it may be saved and used again
    public_secret       a secret that is only a reference to the environment, or None
    saved_key           a `Key` as plain data

How an answer ended, in words:

    describe_cut        why it is not whole
    describe_empty      why there is nothing in it

What binds an answer, in words for the model:

    schema_prompt       the text
    show_schema         the conversation with it

How many tokens a prompt has, whatever its template and its server say:

    counting            the attempts, one after another, and an estimate
"""

from .._calls.tool_calls import (
    ArgumentsError,
    Piece,
    ToolCall,
    ToolCalls,
    new_call_id,
    read_arguments,
    whole_calls,
)
from .._keys.key import saved_key
from .._keys.references import masked, public_secret, public_url
from .._wire.endings import describe_cut, describe_empty
from .._wire.schema_prompt import schema_prompt, show_schema
from . import counting

__all__ = [
    "ArgumentsError",
    "Piece",
    "ToolCall",
    "ToolCalls",
    "counting",
    "describe_cut",
    "describe_empty",
    "masked",
    "new_call_id",
    "public_secret",
    "public_url",
    "read_arguments",
    "saved_key",
    "schema_prompt",
    "show_schema",
    "whole_calls",
]
