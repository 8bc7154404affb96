"""A call's life: what to ask, how it goes, and how the answer is read.

call         what to ask of a server, and how to read the answer
attempt      how it is going: server, variant, reply, and what is worth another attempt
sending      one attempt over HTTP
inspection   an error in a 200; the beginning of a stream
redirects    which ones are followed
replay       a body whose beginning was read, for who wants it raw
streams      events in, typed chunks out; and how a stream may end
relay        events in, the same events out, for a client that checks nothing
tool_calls   pieces of tool calls in, whole calls out
failures     the exceptions of a call, which say where it failed
"""
