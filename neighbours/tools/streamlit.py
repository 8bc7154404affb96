"""Streamlit: `st.write_stream` shows the text of a stream, `AppTest` shows what a reader would see."""

from __future__ import annotations

from typing import Any

import streamlit
from streamlit.testing.v1 import AppTest

from neighbours.scenario import Subject, scenario

APP = """
import openai, streamlit as st
from vllm_connect import VLLM
messages = [{"role": "user", "content": "Think: I say it.\\nSay: hello there"}]
client = CLIENT
st.session_state.shown = SHOW
"""
STREAM = "st.write_stream(client.chat.completions.create(model='sim-chat', messages=messages, stream=True))"
WRITE = "st.write(client.chat.completions.create(model='sim-chat', messages=messages)) or 'written'"
CACHE = "st.cache_resource(lambda: client)().chat.completions.create(model='sim-chat', messages=messages).choices[0].message.content"  # noqa: E501


def shown(subject: Subject, expression: str) -> Any:
    makers = {
        "stock": f"openai.OpenAI(base_url='{subject.url}/v1', api_key='x')",
        "ours": f"VLLM('{subject.url}')",
    }
    source = APP.replace("CLIENT", makers[subject.kind]).replace("SHOW", expression)
    streamlit.cache_resource.clear()  # it would hand the first side's client to the second
    app = AppTest.from_string(source, default_timeout=60).run()
    assert not app.exception, app.exception[0].message
    return app.session_state["shown"]


@scenario("stream")
def write_stream(subject: Subject) -> Any:
    return shown(subject, STREAM)


@scenario("chat")
def write(subject: Subject) -> Any:
    return shown(subject, WRITE)


@scenario("own")
def cached_client(subject: Subject) -> Any:
    return shown(subject, CACHE)
