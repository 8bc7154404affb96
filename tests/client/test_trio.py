"""Every operation under trio, on which the SDK runs as well as on asyncio."""

from __future__ import annotations

from functools import reduce
from typing import Any

import pytest
import trio
from tests.client.requests import PLAIN, STREAMED

from vllm_connect import AsyncVLLM, Key
from vllm_connect.errors import APIConnectionError, VLLMError
from vllm_connect.sim import SimServer

# A stream ends with [DONE], before its body does. httpx's own generator over the body is then dropped, of
# which trio warns; with the stock SDK, too.
pytestmark = [
    pytest.mark.filterwarnings("ignore:Async generator:ResourceWarning"),
    pytest.mark.filterwarnings("ignore:Exception ignored in. <async_generator"),
]


@pytest.fixture(scope="module")
def url() -> Any:
    with SimServer() as sim:
        yield sim.url


def operation_of(client: Any, name: str) -> Any:
    return reduce(getattr, name.split("."), client)


@pytest.mark.parametrize("name", PLAIN)
def test_plain(url: str, name: str) -> None:
    async def main() -> Any:
        async with AsyncVLLM(url) as client:
            return await operation_of(client, name)(**PLAIN[name])

    assert trio.run(main) is not None


@pytest.mark.parametrize("name", STREAMED)
def test_streamed(url: str, name: str) -> None:
    async def main() -> list[Any]:
        async with AsyncVLLM(url) as client:
            return [chunk async for chunk in await operation_of(client, name)(**PLAIN[name], stream=True)]

    assert len(trio.run(main)) > 1


@pytest.mark.parametrize("count", [1, 3])
def test_models_of_all_keys(url: str, count: int) -> None:
    async def main() -> Any:
        keys = [Key(name=f"key{number}", url=url) for number in range(count)]
        keys.append(Key(name="dead", url="http://127.0.0.1:1"))
        async with AsyncVLLM(keys=keys, max_retries=0) as client:
            return await client.models.list()

    page = trio.run(main)
    assert page.data[0].key_names == [f"key{number}" for number in range(count)]
    assert [status.status for status in page.key_statuses] == ["success"] * count + ["list_models_failed"]


def test_errors(url: str) -> None:
    async def main() -> None:
        async with AsyncVLLM(url, max_retries=1) as client:
            with pytest.raises(VLLMError, match="message"):
                await client.chat.completions.create(messages=[])
        async with AsyncVLLM("http://127.0.0.1:1", max_retries=1) as client:
            with pytest.raises(APIConnectionError, match=r"127\.0\.0\.1:1"):
                await client.chat.completions.create(**PLAIN["chat.completions.create"])

    trio.run(main)


def test_one_client_in_several_runs(url: str) -> None:
    client = AsyncVLLM(url)
    for _ in range(3):
        assert trio.run(client.server.version)
    trio.run(client.close)


def test_stream_ends_with_the_scope_that_reads_it() -> None:
    async def main() -> None:
        with SimServer() as sim:
            async with AsyncVLLM(sim.url) as client:
                with trio.move_on_after(0.3) as scope:
                    stream = await client.chat.completions.create(
                        messages=[{"role": "user", "content": "x"}],
                        stream=True,
                        extra_headers={"X-Sim-Fault": "stall;seconds=30"},
                    )
                    async for _ in stream:
                        pass
                assert scope.cancelled_caught

    trio.run(main)
