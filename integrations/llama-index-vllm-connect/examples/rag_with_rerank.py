"""Ask documents: embeddings find ten candidates, a reranker keeps the best two, an LLM answers.

VLLM_BASE_URL, VLLM_EMBED_URL and VLLM_RERANK_URL name the servers; without them a simulator answers.
"""

import os
from contextlib import ExitStack

from llama_index.core import Document, VectorStoreIndex

from llama_index.embeddings.vllm_connect import VLLMEmbedding
from llama_index.llms.vllm_connect import VLLM
from llama_index.postprocessor.vllm_connect import VLLMRerank
from vllm_connect.sim import SimServer

TEXTS = [
    "Cats purr when they are happy.",
    "Paris is the capital of France.",
    "Rome is the capital of Italy.",
    "Dogs bark at strangers.",
]

with ExitStack() as stack:
    url = os.environ.get("VLLM_BASE_URL") or stack.enter_context(SimServer()).url
    llm = VLLM(base_url=url)
    embed_model = VLLMEmbedding(base_url=os.environ.get("VLLM_EMBED_URL", url))
    reranker = VLLMRerank(base_url=os.environ.get("VLLM_RERANK_URL", url), top_n=2)

    index = VectorStoreIndex.from_documents([Document(text=text) for text in TEXTS], embed_model=embed_model)
    engine = index.as_query_engine(
        llm=llm, similarity_top_k=10, node_postprocessors=[reranker], streaming=True
    )
    answer = engine.query("What is the capital of France?")
    for piece in answer.response_gen:
        print(piece, end="", flush=True)
    print()
    for source in answer.source_nodes:
        print(f"{source.score:.3f} {source.node.get_content()}")
