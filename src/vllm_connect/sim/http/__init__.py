"""The way of a request into the simulator, and of its answer out of it.

app          the routes        server     the application on a port of its own
front        what sees a request first: the recorder and the faults
recorder     the requests that came     options    what a server is like
replies      JSON, events and errors    errors     vLLM's words for them
wire         the socket under a request
"""
