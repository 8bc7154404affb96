"""Bytes and values, pure.

body            arguments in, JSON out
endings         a finish_reason in, words for the caller out
objects         JSON in, typed objects out
payloads        error payloads of every shape
schema_prompt   a constraint in, words for the model out
sse             bytes in, server-sent events out
vectors         packed embeddings in, lists or arrays out
"""
