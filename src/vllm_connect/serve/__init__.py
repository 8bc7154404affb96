"""`vllm-connect serve`: every operation of the client over HTTP, and a page to look at.

gateway      what the rooms share: the client, the configuration file, the numbers
http/        the server: connections, who may ask, errors, replies
requests/    what is asked: which route is which operation, and how a body becomes a call
streams/     what is answered in pieces, checked and passed on
config/      the configuration file: read, changed, written
page/        the page in the browser
metrics/     what is counted, for Prometheus and for the page

Thin on purpose: servers, health, failover, retries and the reading of errors are `AsyncVLLM`'s.
"""
