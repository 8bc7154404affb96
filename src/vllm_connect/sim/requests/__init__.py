"""Requests, and vLLM's own checks of them, in vLLM's order.

chat, responses, pooling, audio      a module for each kind of request
sampling                             the fields that all generating requests share
messages, order                      a conversation: its parts, and the order that strict templates insist on
prompts                              a conversation as the text that the model sees
"""
