"""Texts as rows of one numpy array, and how near they are. Needs vllm-connect[numpy]."""

from vllm_connect import VLLM

client = VLLM()
texts = ["A cat sleeps.", "The cat is asleep.", "Stocks fell today."]
vectors = client.embeddings.create(input=texts, as_numpy=True).array
print(vectors.shape)
print((vectors @ vectors.T).round(2))
