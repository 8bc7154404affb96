"""The numbers in a server's metrics, as several versions of vLLM spell them."""

from __future__ import annotations

import pytest

from vllm_connect.types import ServerMetrics

NEW = """\
# HELP vllm:num_requests_running Number of requests in model execution batches.
# TYPE vllm:num_requests_running gauge
vllm:num_requests_running{engine="0",model_name="m"} 3.0
vllm:num_requests_running{engine="1",model_name="m"} 1.0
vllm:num_requests_waiting{engine="0",model_name="m"} 2.0
vllm:kv_cache_usage_perc{engine="0",model_name="m"} 0.25
vllm:kv_cache_usage_perc{engine="1",model_name="m"} 0.5
vllm:prefix_cache_queries_total{engine="0",model_name="m"} 200.0
vllm:prefix_cache_hits_total{engine="0",model_name="m"} 50.0
vllm:prompt_tokens_total{engine="0",model_name="m"} 1e+03
vllm:generation_tokens_total{engine="0",model_name="m"} 70.0
vllm:num_preemptions_total{engine="0",model_name="m"} 0.0
vllm:time_to_first_token_seconds_sum{engine="0",model_name="m"} 6.0
vllm:time_to_first_token_seconds_count{engine="0",model_name="m"} 4.0
vllm:time_to_first_token_seconds_bucket{engine="0",le="+Inf",model_name="m"} 4.0
odd{text="a \\"quoted\\" \\\\ and\\nbroken, {word}"} NaN
process_open_fds 42.0
"""
OLD = """\
vllm:gpu_cache_usage_perc{model_name="m"} 0.125
vllm:gpu_prefix_cache_queries{model_name="m"} 8.0
vllm:gpu_prefix_cache_hits{model_name="m"} 2.0
"""


def test_numbers() -> None:
    metrics = ServerMetrics(NEW)
    assert (metrics.running, metrics.waiting, metrics.kv_cache_usage) == (4, 2, 0.5)
    assert (metrics.prefix_cache_queries, metrics.prefix_cache_hits) == (200, 50)
    assert metrics.prefix_cache_hit_rate == 0.25
    assert (metrics.prompt_tokens, metrics.generation_tokens, metrics.preemptions) == (1000, 70, 0)
    assert metrics.time_to_first_token == 1.5
    assert metrics.total("vllm:num_requests_running", engine="1") == 1


def test_names_of_older_versions() -> None:
    metrics = ServerMetrics(OLD)
    assert (metrics.kv_cache_usage, metrics.prefix_cache_hit_rate) == (0.125, 0.25)


@pytest.mark.parametrize("text", ["", "# nothing\n", "garbage"])
def test_what_is_not_told_is_none(text: str) -> None:
    metrics = ServerMetrics(text)
    assert metrics.samples == []
    assert metrics.running is metrics.kv_cache_usage is metrics.prefix_cache_hit_rate is None
    assert metrics.time_to_first_token is None


def test_labels_and_plain_samples() -> None:
    samples = {sample.name: sample for sample in ServerMetrics(NEW).samples}
    assert samples["odd"].labels == {"text": 'a "quoted" \\ and\nbroken, {word}'}
    assert samples["odd"].value != samples["odd"].value
    assert samples["process_open_fds"] == ("process_open_fds", {}, 42.0)


def test_it_is_the_text() -> None:
    metrics = ServerMetrics(NEW)
    assert metrics == NEW
    assert isinstance(metrics, str)
