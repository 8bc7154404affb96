"""The standard integration tests of live_tests, replayed from cassettes with the network closed.

The same tests are left out as there, for the same reasons, but for the one that is about recordings.
"""

from __future__ import annotations

from typing import Any

import openai
import pytest

from tests.cassette_tests.conftest import address_of
from tests.live_tests import test_standard as live
from tests.servers import live_url

pytestmark = [pytest.mark.vcr, pytest.mark.block_network]


class Replayed(live.OfServer):
    """The server as cassettes know it, through HTTP clients that vcrpy can listen to."""

    def connection(self) -> dict[str, Any]:
        (key,) = super().connection()["keys"]
        return {
            "keys": [{**key, "url": live_url(self.server) or address_of(self.server)}],
            "http_client": openai.DefaultHttpxClient(),
            "http_async_client": openai.DefaultAsyncHttpxClient(),
        }


class TestChatVLLM(Replayed, live.TestChatVLLM):
    enable_vcr_tests = True


class TestImages(Replayed, live.TestImages):
    enable_vcr_tests = True


class TestVLLMEmbeddings(Replayed, live.TestVLLMEmbeddings):
    pass
