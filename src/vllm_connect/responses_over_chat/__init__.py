"""The Responses API on top of chat completions: pure conversion, without I/O.

    request.py     keyword arguments of responses.create -> those of chat.completions.create
      parameters.py    what becomes of each parameter
      items.py         input items -> chat messages
      tools.py         tools and tool_choice
    reply.py       a chat completion -> a Response
      output.py        its output items
      logprobs.py      which tokens are the text's
    events.py      the chunks of a chat stream -> the events of a Responses stream
      writing.py       the items of a response while they are written

What chat completions cannot do is refused with `UnsupportedOperationError`, never dropped: with
`NativeOnlyError` where vLLM's own route may do it.
"""

from .events import ResponseEvents
from .parameters import NativeOnlyError
from .reply import response_from_chat
from .request import chat_request, replayable

__all__ = ["NativeOnlyError", "ResponseEvents", "chat_request", "replayable", "response_from_chat"]
