"""Answers: a module for each endpoint, and what they are made of.

grammar, asks                 what a request makes the simulator say
turns, generation, tokens     from a request to the tokens of its answer
constrain, schemas, regexes, ebnf      text that obeys a structured output
logprobs, vectors, usage      numbers that go with it
"""
