"""Private: what the LLM, the embedding and the reranker share.

connection      which server: the fields that all three have, and their clients
served          the name of the served model, for what is saved
content         what is in a message, as vLLM takes it
spans           one span for one call
"""
