"""For whoever writes an integration: what more than one of them needs.

Tool calls, which agents act upon:

    ToolCalls           the pieces of a stream in, what each adds to which call out
    whole_calls         the calls of an answer that came in one piece
    read_arguments      a call's arguments, whole or not at all

Clients, which all models of the same settings share:

    ClientCache         the clients of one model
    config_arguments    what a configuration file says, as arguments of either client
    read_config         the same, to be kept by a model
    ProviderConfig      what that returns
    check_watched       its path, where it is to be followed (`watch=True`)
    read_keys           `keys=` as a caller may write it
    Balance             the type of `balance=`
    missing_server      what to say when there is none

The served model and its context, asked once:

    ServedModels        asks, in time, and remembers
    find_served         looks a model up in the list, with aliases and adapters
    Served              what there is to know

Many requests at once, of which the first error ends the others:

    gather_or_cancel    in threads
    agather_or_cancel   on the event loop
    TaskGroup           around tasks that a framework starts, which say `closes_with_group()`
    Limiter             how many tasks of a loop go on at once
    is_in_event_loop    whether one would stand still

Inputs of one request, not too many and not too large:

    batches             inputs, cut into such

Settings without their secrets:

    masked              a URL as it may be shown
    public_url          a URL as it may be saved and used again
    public_secret       a secret that is only a reference to the environment, or None
    saved_key           a `Key` as plain data

Texts that are too long for the model:

    naming_long_text    an error that names the longest one
    beginning_of        how it is quoted

How an answer ended, in words:

    describe_cut        why it is not whole
    describe_empty      why there is nothing in it

What binds an answer, in words for the model:

    schema_prompt       the text
    show_schema         the conversation with it

A field that tells the chat template whether to think, and a call that says `thinking=`:

    without_switches    `chat_template_kwargs` without the words for it

How many tokens a prompt has, whatever its template and its server say:

    counting            the attempts, one after another, and an estimate
    template_kwargs     what /tokenize is to tell the template
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
from .._keys.balancing import Balance
from .._keys.bifrost import ProviderConfig
from .._keys.key import missing_server, read_keys, saved_key
from .._keys.references import masked, public_secret, public_url
from .._keys.watching import check_watched
from .._wire.endings import describe_cut, describe_empty
from .._wire.schema_prompt import schema_prompt, show_schema
from ..resources._words import template_kwargs, without_switches
from . import counting
from .batching import batches
from .clients import ClientCache, config_arguments, read_config
from .gathering import (
    Limiter,
    TaskGroup,
    agather_or_cancel,
    closes_with_group,
    gather_or_cancel,
    is_in_event_loop,
)
from .long_texts import beginning_of, naming_long_text
from .served import Served, ServedModels, find_served

__all__ = [
    "ArgumentsError",
    "Balance",
    "ClientCache",
    "Limiter",
    "Piece",
    "ProviderConfig",
    "Served",
    "ServedModels",
    "TaskGroup",
    "ToolCall",
    "ToolCalls",
    "agather_or_cancel",
    "batches",
    "beginning_of",
    "check_watched",
    "closes_with_group",
    "config_arguments",
    "counting",
    "describe_cut",
    "describe_empty",
    "find_served",
    "gather_or_cancel",
    "is_in_event_loop",
    "masked",
    "missing_server",
    "naming_long_text",
    "new_call_id",
    "public_secret",
    "public_url",
    "read_arguments",
    "read_config",
    "read_keys",
    "saved_key",
    "schema_prompt",
    "show_schema",
    "template_kwargs",
    "whole_calls",
    "without_switches",
]
