"""A key without a URL fails before any request, whatever the operation, and says what to set."""

import pytest

from vllm_connect import VLLM, Key, MissingURLError

HELLO = [{"role": "user", "content": "Hi"}]
OPERATIONS = {
    "models.list": {},
    "chat.completions.create": {"messages": HELLO},
    "completions.create": {"prompt": "a"},
    "responses.create": {"input": "a"},
    "embeddings.create": {"input": "a"},
    "rerank.create": {"query": "a", "documents": ["a"]},
    "audio.transcriptions.create": {"file": b"a"},
}


@pytest.mark.parametrize("operation", OPERATIONS)
async def test_a_key_without_a_url_is_an_error(canned, operation):
    client = canned((200, {}), keys=[Key(name="NAME")])
    with pytest.raises(MissingURLError) as raised:
        await client(operation, **OPERATIONS[operation])
    message = "no base URL configured: set vllm_key_config.url on key 'NAME'"
    assert str(raised.value) == message
    assert raised.value.key_name == "NAME"
    assert not client.requests


@pytest.mark.filterwarnings("ignore::UserWarning")
def test_the_providers_base_url_is_none_for_a_key():
    key = {"name": "NAME", "models": ["*"], "vllm_key_config": {}}
    provider = {"keys": [key], "network_config": {"base_url": "http://must-not-be-asked"}}
    client = VLLM.from_config({"providers": {"vllm": provider}})
    with pytest.raises(MissingURLError, match=r"set vllm_key_config\.url on key 'NAME'"):
        client.models.list()
    client.close()
