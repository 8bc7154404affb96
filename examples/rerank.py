"""Documents by relevance to a query."""

from vllm_connect import VLLM

client = VLLM()
ranking = client.rerank.create(
    query="What is the capital of France?",
    documents=["Cats purr.", {"text": "Paris is the capital of France."}, "Berlin is in Germany."],
    top_n=2,
    return_documents=True,
)
for result in ranking.results:
    print(f"{result.relevance_score:.2f}", result.document)
