"""HTTP/1.1 of our own, nothing of vLLM in it.

http11       one message, as bytes
connecting   a socket to a server of several addresses
connections  one socket, blocking or on an event loop
pool         who may use a connection, and which ones are kept
exchange     one request and its response
clients      httpx's transports and clients over these
run          coroutines that never suspend, so that both worlds share one code
loops        asyncio's event loops, and none
proxies      which proxy leads to a URL
unix         URLs of Unix sockets
patches      whether a mock, recorder or tracer sits in httpx
_httpx       the httpx that the installed openai SDK is built on
"""
