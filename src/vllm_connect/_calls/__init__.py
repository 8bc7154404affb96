"""A call's life: what to ask, how it goes, and how the answer is read.

call         what to ask of a server, and how to read the answer
failures     the exceptions of a call, which say where it failed
inspection   an error in a 200; the first event of a stream
streams      events in, typed chunks out; and how a stream may end
"""
