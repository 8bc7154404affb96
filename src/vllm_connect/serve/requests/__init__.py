"""Requests: which route is which operation, and how a body becomes a call.

routes       method and path -> operation
bodies       JSON and forms, read strictly
headers      which headers go on to a server; the conversation that they name
passing      operations whose bodies pass through: chat, completions, messages
typed        operations that go through the client's own methods
listing      the models of every key
"""
