"""`VLLMRerank`: LlamaIndex's reranker on vLLM servers."""

from __future__ import annotations

import base64
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from llama_index.core.base.llms.types import ImageBlock
from llama_index.core.callbacks import CBEventType, EventPayload
from llama_index.core.instrumentation import get_dispatcher  # type: ignore[attr-defined]
from llama_index.core.instrumentation.events.rerank import ReRankEndEvent, ReRankStartEvent
from llama_index.core.postprocessor.types import BaseNodePostprocessor
from llama_index.core.schema import BaseNode, ImageNode, MetadataMode, NodeWithScore, QueryBundle
from pydantic import Field, PrivateAttr

from llama_index_vllm_connect.connection import Connection, Parameters
from llama_index_vllm_connect.content import Json, content_parts
from llama_index_vllm_connect.texts import check_text
from vllm_connect.adapters import Limiter, agather_or_cancel, gather_or_cancel, naming_long_text
from vllm_connect.types import RerankResponse

dispatcher = get_dispatcher(__name__)


class VLLMRerank(Connection, BaseNodePostprocessor):
    """Keeps the nodes that are most relevant to the query, as a model on vLLM servers judges them.

        from llama_index.postprocessor.vllm_connect import VLLMRerank

        reranker = VLLMRerank(model="bge-reranker", base_url="http://localhost:8000", top_n=3)
        index.as_query_engine(similarity_top_k=20, node_postprocessors=[reranker])

    The nodes that are given stay as they are.
    """

    model: str | None = Field(default=None, description="The model's name. Default: the server's model.")
    top_n: int = Field(default=5, gt=0, description="How many nodes to keep.")
    keep_retrieval_score: bool = Field(
        default=False, description='Note the score before in the metadata, as "retrieval_score".'
    )
    batch_size: int = Field(
        default=256, gt=0, description="Most nodes in one request; scores do not depend on the company."
    )
    num_workers: int | None = Field(
        default=None,
        gt=0,
        description="Requests at once. Default: as many as the servers do best with, found while they work.",
    )
    instruction: str | None = Field(default=None, description="For models that take one.")
    truncate_prompt_tokens: int | None = Field(
        default=None,
        description="Keep this many tokens; -1 for the model's context. Unset: too long is an error.",
    )
    additional_kwargs: Parameters = Field(
        default_factory=dict, description="Further parameters of `rerank.create`."
    )

    _limiter: Limiter = PrivateAttr(default_factory=Limiter)

    @classmethod
    def class_name(cls) -> str:
        """The id in serialised data."""
        return "VLLMConnectRerank"

    def _postprocess_nodes(
        self, nodes: list[NodeWithScore], query_bundle: QueryBundle | None = None
    ) -> list[NodeWithScore]:
        with self._reranking(nodes, query_bundle) as reranking:
            reranking.answers += gather_or_cancel(
                self._ask, reranking.requests, self.num_workers, client=self.client
            )
        return reranking.ranked

    @dispatcher.span  # as LlamaIndex does for the sync method
    async def _apostprocess_nodes(
        self, nodes: list[NodeWithScore], query_bundle: QueryBundle | None = None
    ) -> list[NodeWithScore]:
        with self._reranking(nodes, query_bundle) as reranking:
            reranking.answers += await agather_or_cancel(self._aask, reranking.requests)
        return reranking.ranked

    def _ask(self, params: Json) -> RerankResponse:
        with naming_long_text(params["documents"], "document"):
            return self.client.rerank.create(**params)

    async def _aask(self, params: Json) -> RerankResponse:
        with naming_long_text(params["documents"], "document"):
            client = self.async_client
            async with self._limiter.at_most(self.num_workers, client):
                return await client.rerank.create(**params)

    @contextmanager
    def _reranking(
        self, nodes: list[NodeWithScore], query_bundle: QueryBundle | None
    ) -> Iterator[_Reranking]:
        """A reranking, whose begin and end are told; without nodes there is none to tell of."""
        if query_bundle is None:
            raise ValueError("Missing query bundle in extra info.")
        reranking = _Reranking(self._requests(nodes, query_bundle))
        if not nodes:
            yield reranking
            return
        name = self.model or ""
        dispatcher.event(ReRankStartEvent(query=query_bundle, nodes=nodes, top_n=self.top_n, model_name=name))
        payload: Json = {
            EventPayload.NODES: nodes,
            EventPayload.MODEL_NAME: name,
            EventPayload.QUERY_STR: query_bundle.query_str,
            EventPayload.TOP_K: self.top_n,
        }
        with self.callback_manager.event(CBEventType.RERANKING, payload=payload) as event:
            yield reranking
            reranking.ranked = self._ranked(nodes, reranking.answers)
            event.on_end(payload={EventPayload.NODES: reranking.ranked})
        dispatcher.event(ReRankEndEvent(nodes=reranking.ranked))

    def _requests(self, nodes: Sequence[NodeWithScore], query: QueryBundle) -> list[Json]:
        check_text(query.query_str, "postprocess_nodes: query_str")
        texts = [_document(node.node) for node in nodes]
        batches = [texts[start : start + self.batch_size] for start in range(0, len(texts), self.batch_size)]
        return [
            {
                "query": query.query_str,
                "documents": batch,
                "model": self.model,
                "top_n": min(self.top_n, len(batch)),
                "instruction": self.instruction,
                "truncate_prompt_tokens": self.truncate_prompt_tokens,
                **self.additional_kwargs,
            }
            for batch in batches
        ]

    def _ranked(
        self, nodes: Sequence[NodeWithScore], answers: Sequence[RerankResponse]
    ) -> list[NodeWithScore]:
        """New nodes by falling relevance."""
        scored = [
            (result.relevance_score, nodes[number * self.batch_size + result.index])
            for number, answer in enumerate(answers)
            for result in answer.results
        ]
        scored.sort(key=lambda pair: -pair[0])
        return [self._scored(node, score) for score, node in scored[: self.top_n]]

    def _scored(self, node: NodeWithScore, score: float) -> NodeWithScore:
        inner = node.node
        if self.keep_retrieval_score:
            inner = inner.model_copy(update={"metadata": {**inner.metadata, "retrieval_score": node.score}})
        return NodeWithScore(node=inner, score=score)


def _document(node: BaseNode) -> str | Json:
    """A node as a document: its text, or its image if there is no text."""
    if isinstance(node, ImageNode) and (image := _image(node)):
        return {"content": content_parts(image)}
    text: str = node.get_content(metadata_mode=MetadataMode.EMBED)
    return text


def _image(node: ImageNode) -> ImageBlock | None:
    """The image to judge a node by; None for one that has a text."""
    mimetype = node.image_mimetype
    if node.get_content(metadata_mode=MetadataMode.NONE):
        return None
    if node.image:
        return ImageBlock(image=base64.b64decode(node.image), image_mimetype=mimetype)
    if node.image_path:
        return ImageBlock(path=Path(node.image_path), image_mimetype=mimetype)
    return ImageBlock(url=node.image_url, image_mimetype=mimetype) if node.image_url else None


@dataclass
class _Reranking:
    """One reranking.

    Attributes:
        requests: The arguments of its requests.
        answers: Their answers, in the same order; a shell fills them in.
        ranked: What comes of them.
    """

    requests: list[Json]
    answers: list[RerankResponse] = field(default_factory=list)
    ranked: list[NodeWithScore] = field(default_factory=list)
