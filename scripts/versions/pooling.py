"""Trials of embeddings, of ranking, and of speech."""

from __future__ import annotations

import math
from typing import Any

from tests.media import tone

from scripts.versions.trial import Bed, LackingError, check, has, trial
from vllm_connect import BadRequestError, ContextLengthError

EMBEDDING, RANKING, SPEECH = "Embeddings", "Ranking and classes", "Speech"
CREATE = "embeddings.create"
TEXTS = ["A cat sits on the mat.", "A kitten lies on the rug.", "Stock prices fell sharply today."]
QUERY = "What is the capital of France?"
DOCUMENTS = ["Bananas are yellow.", "The capital of France is Paris.", "Berlin lies in Germany."]
ORDER = [1, 2, 0]


def embed(bed: Bed, texts: Any = tuple(TEXTS), **params: Any) -> Any:
    """Ask for embeddings."""
    return bed.client.embeddings.create(model=bed.model, input=texts, **params)


def near(one: Any, other: Any, tolerance: float = 1e-4) -> bool:
    """Whether two lists of vectors are the same."""
    return all(
        math.isclose(a, b, abs_tol=tolerance)
        for left, right in zip(one, other, strict=True)
        for a, b in zip(left, right, strict=True)
    )


def vectors(reply: Any) -> list[list[float]]:
    """The vectors of a reply."""
    return [item.embedding for item in reply.data]


@trial(EMBEDDING, '`embeddings.create`, numbers as text (`"float"`)', "embed", CREATE)
def embedding_floats(bed: Bed) -> None:
    found = vectors(embed(bed, encoding_format="float"))
    check([len(vector) for vector in found] == [384] * 3, "other lengths")
    check(abs(sum(number * number for number in found[0]) - 1) < 1e-3, "not of length 1")


@trial(EMBEDDING, "… as the client asks by itself, lists and `as_numpy=True`", "embed", CREATE)
def embedding_default(bed: Bed) -> None:
    found = vectors(embed(bed, encoding_format="float"))
    check(near(vectors(embed(bed)), found), "other numbers")
    check(near(embed(bed, as_numpy=True).array.tolist(), found), "other numbers")


def embedding_in(bed: Bed, form: str) -> None:
    """Ask for vectors in a form, and compare them with those as text."""
    exact = vectors(embed(bed, encoding_format="float"))
    try:
        others = vectors(embed(bed, encoding_format=form))
    except BadRequestError:
        raise LackingError("refused") from None
    check(near(others, exact), "other numbers")


@trial(EMBEDDING, '… `"base64"`', "embed", CREATE)
def embedding_base64(bed: Bed) -> None:
    embedding_in(bed, "base64")


@trial(EMBEDDING, '… `"bytes"`', "embed", CREATE)
def embedding_bytes(bed: Bed) -> None:
    embedding_in(bed, "bytes")


@trial(EMBEDDING, '… `"bytes_only"`', "embed", CREATE)
def embedding_bytes_only(bed: Bed) -> None:
    embedding_in(bed, "bytes_only")


@trial(EMBEDDING, "… `embed_dtype`, `endianness`", "embed", CREATE)
def embedding_numbers(bed: Bed) -> None:
    found = vectors(embed(bed, encoding_format="float"))
    wire = {"encoding_format": "base64", "embed_dtype": "float16", "endianness": "big"}
    check(near(vectors(embed(bed, **wire)), found, 1e-3), "other numbers")


@trial(EMBEDDING, "… of tokens", "embed", CREATE)
def embedding_tokens(bed: Bed) -> None:
    tokens = bed.client.tokenize(model=bed.model, prompt=TEXTS[0]).tokens
    check(near(vectors(embed(bed, tokens)), vectors(embed(bed, TEXTS[0]))), "other numbers")


@trial(EMBEDDING, "… `truncate_prompt_tokens`, `-1` too; `ContextLengthError` without", "embed", CREATE)
def embedding_truncation(bed: Bed) -> None:
    long = "word " * 400
    check(embed(bed, long, truncate_prompt_tokens=5).usage.prompt_tokens == 5, "another length")
    check(embed(bed, long, truncate_prompt_tokens=-1).usage.prompt_tokens == 256, "-1: another length")
    try:
        embed(bed, long)
    except ContextLengthError:
        return
    raise AssertionError("no such error")


@trial(EMBEDDING, "… `truncation_side`", "embed", CREATE)
def embedding_side(bed: Bed) -> None:
    text = "A cat sits on the mat, stock prices fell sharply today."
    sides = [
        vectors(embed(bed, text, truncate_prompt_tokens=6, truncation_side=side))
        for side in ("left", "right")
    ]
    has(not near(sides[0], sides[1]), "ignored")


@trial(EMBEDDING, "… `use_activation=False`", "embed", CREATE)
def embedding_raw(bed: Bed) -> None:
    (raw,) = vectors(embed(bed, "hello", use_activation=False))
    has(sum(number * number for number in raw) > 2, "ignored: the vectors are normalized")


@trial(EMBEDDING, "`pooling.create`", "embed", "pooling.create")
def pooling(bed: Bed) -> str | None:
    pooled = [one.data for one in bed.client.pooling.create(model=bed.model, input=TEXTS).data]
    if isinstance(pooled[0][0], list):
        return "a vector for each token"
    check(near(pooled, vectors(embed(bed))), "other numbers than embeddings'")
    return None


@trial(EMBEDDING, '… `task="embed"`', "embed", "pooling.create")
def pooling_embed(bed: Bed) -> None:
    pooled = bed.client.pooling.create(model=bed.model, input=TEXTS, task="embed")
    check(near([one.data for one in pooled.data], vectors(embed(bed))), "other numbers than embeddings'")


def rerank(bed: Bed, documents: Any = tuple(DOCUMENTS), **params: Any) -> Any:
    """Rank the documents."""
    return bed.client.rerank.create(model=bed.model, query=QUERY, documents=list(documents), **params)


@trial(RANKING, "`rerank.create`, of a cross-encoder", "rerank", "rerank.create")
def rerank_plain(bed: Bed) -> None:
    found = rerank(bed, return_documents=True)
    check([one.index for one in found.results] == ORDER, "another order")
    check(found.results[0].relevance_score > 0.8 > 0.5 > found.results[1].relevance_score, "other scores")
    check([one.document for one in found.results] == [DOCUMENTS[i] for i in ORDER], "other documents")
    check([one.index for one in rerank(bed, top_n=1).results] == ORDER[:1], "top_n is ignored")


@trial(RANKING, "… of an embedding model", "embed", "rerank.create")
def rerank_embed(bed: Bed) -> None:
    check([one.index for one in rerank(bed).results] == ORDER, "another order")


@trial(RANKING, "… `truncate_prompt_tokens`", "rerank", "rerank.create")
def rerank_truncation(bed: Bed) -> None:
    long = [document + " word" * 600 for document in DOCUMENTS]
    check(rerank(bed, long, truncate_prompt_tokens=40).results[0].index == ORDER[0], "another order")


@trial(RANKING, "… `use_activation=False`", "rerank", "rerank.create")
def rerank_raw(bed: Bed) -> None:
    has(rerank(bed, use_activation=False).results[0].relevance_score > 1, "ignored")


@trial(RANKING, "`score.create`, of a cross-encoder", "rerank", "score.create")
def score(bed: Bed) -> None:
    found = bed.client.score.create(model=bed.model, queries=QUERY, documents=DOCUMENTS)
    check(found.data[1].score > 0.8 > 0.5 > found.data[0].score, "other scores")
    pair = bed.client.score.create(model=bed.model, text_1=QUERY, text_2=DOCUMENTS[1])
    check(math.isclose(pair.data[0].score, found.data[1].score, abs_tol=1e-4), "other scores of a pair")


@trial(RANKING, "… of an embedding model", "embed", "score.create")
def score_embed(bed: Bed) -> None:
    found = bed.client.score.create(model=bed.model, queries=QUERY, documents=DOCUMENTS)
    check(found.data[1].score > 0.8 > 0.5 > found.data[0].score, "other scores")


@trial(RANKING, "`classify.create`", "rerank", "classify.create")
def classify(bed: Bed) -> None:
    found = bed.client.classify.create(model=bed.model, input=["hello", "world"])
    check([one.num_classes for one in found.data] == [1, 1], "other classes")
    check(all(0 <= one.probs[0] <= 1 for one in found.data), "other probabilities")


@trial(RANKING, '`pooling.create`, `task="classify"`', "rerank", "pooling.create")
def pooling_classify(bed: Bed) -> None:
    pooled = bed.client.pooling.create(model=bed.model, input="hello", task="classify").data[0].data
    classes = bed.client.classify.create(model=bed.model, input="hello").data[0].probs
    check(near([pooled], [classes]), "other numbers than classify's")


HEAR, TRANSLATE = "audio.transcriptions.create", "audio.translations.create"
LOW, HIGH = " This is a low tone.", " This is a high tone."


def hear(
    bed: Bed, hertz: float = 300, seconds: float = 1.5, what: str = "transcriptions", **params: Any
) -> Any:
    """Transcribe or translate a tone."""
    return getattr(bed.client.audio, what).create(model=bed.model, file=tone(hertz, seconds), **params)


def text_of(events: Any) -> str:
    """What the events of a stream say."""
    return "".join(event.delta for event in events if event.type == "transcript.text.delta")


@trial(SPEECH, "`audio.transcriptions.create`", "whisper", HEAR)
def transcription(bed: Bed) -> None:
    check((hear(bed).text, hear(bed, 1500).text) == (LOW, HIGH), "another text")


@trial(SPEECH, "… streamed", "whisper", HEAR)
def transcription_stream(bed: Bed) -> None:
    check(text_of(hear(bed, stream=True)) == LOW, "another text")


@trial(SPEECH, '… `response_format="text"`', "whisper", HEAR)
def transcription_text(bed: Bed) -> None:
    check(hear(bed, response_format="text") == LOW, "another text")


@trial(SPEECH, '… `response_format="verbose_json"`', "whisper", HEAR)
def transcription_verbose(bed: Bed) -> None:
    found = hear(bed, response_format="verbose_json")
    check(found.text == LOW and [segment.text for segment in found.segments] == [LOW], "other segments")


@trial(SPEECH, "… of more than 30 s, streamed too", "whisper", HEAR)
def transcription_long(bed: Bed) -> None:
    check(hear(bed, seconds=40).text.split() == (LOW + LOW).split(), "another text")
    check(
        text_of(hear(bed, seconds=40, stream=True)).split() == (LOW + LOW).split(), "another text in a stream"
    )


@trial(SPEECH, "… `seed`, `top_k`, `max_completion_tokens`", "whisper", HEAR)
def transcription_parameters(bed: Bed) -> None:
    check("tone" in hear(bed, seed=1, top_k=1, prompt="A tone.", language="en").text, "another text")
    has(hear(bed, max_completion_tokens=3).text == LOW[:8], "`max_completion_tokens` is ignored")


@trial(SPEECH, "`audio.translations.create`, streamed too", "whisper", TRANSLATE)
def translation(bed: Bed) -> None:
    check(hear(bed, 1500, what="translations").text == HIGH, "another text")
    check(text_of(hear(bed, 1500, what="translations", stream=True)) == HIGH, "another text in a stream")
