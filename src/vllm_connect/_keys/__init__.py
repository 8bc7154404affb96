"""The choice of the server that serves a request.

key          `Key`, one server, and what it resolves to when it is used
choosing     which keys may serve a request
references   "env.NAME", and what may be shown of a URL or a key
bifrost      Bifrost's configuration as keys and arguments
document     a JSON document whose mistakes are told by their place
"""
