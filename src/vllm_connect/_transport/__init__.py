"""HTTP/1.1 of our own, nothing of vLLM in it.

http11       one message, as bytes
pool         connections, and who may use them when
exchange     one request and its response
clients      httpx's transports and clients over these
_httpx       the httpx that the installed openai SDK is built on
"""
