"""Bytes and values, pure.

body         arguments in, JSON out
objects      JSON in, typed objects out
sse          bytes in, server-sent events out
vectors      packed embeddings in, lists or arrays out
"""
