"""HTTP towards the gateway's own clients.

settings     what the command line decides
server       listening, stopping
connections  what a slow or hostile client may take
app          the ASGI application: who may ask, which route, what becomes of failures
guard        Host, Origin and API key
exchange     one request and its reply
errors       every failure as a status and OpenAI's error object
access_log   one line for each request
"""
