"""Streams: events of a server, checked and passed on, and events that the client makes.

reading      what is noted of each event, without changing it
passed       a stream of batches: what one read of the socket brought is one write
sending      a stream's way to the gateway's client, and how it ends
"""
