"""Retrieval: embed, find, rerank, answer; three models on one or three servers.

pip install langchain-classic
python examples/rag.py http://localhost:8000 [URL of embeddings] [URL of rerank]
"""

import sys

from langchain_classic.retrievers import ContextualCompressionRetriever
from langchain_core.documents import Document
from langchain_core.output_parsers import StrOutputParser
from langchain_core.prompts import ChatPromptTemplate
from langchain_core.runnables import RunnablePassthrough
from langchain_core.vectorstores import InMemoryVectorStore

from langchain_vllm import ChatVLLM, VLLMEmbeddings, VLLMRerank

TEXTS = [
    "Cats purr when they are content.",
    "The capital of France is Paris.",
    "Berlin has many lakes.",
    "France is a country in Europe.",
]


def main(chat_url: str, embed_url: str | None = None, rerank_url: str | None = None) -> str:
    embeddings = VLLMEmbeddings(base_url=embed_url or chat_url)
    rerank = VLLMRerank(base_url=rerank_url or chat_url, top_n=2)
    store = InMemoryVectorStore.from_documents([Document(text) for text in TEXTS], embeddings)

    retriever = ContextualCompressionRetriever(
        base_retriever=store.as_retriever(search_kwargs={"k": 3}), base_compressor=rerank
    )

    def text_of(documents: list[Document]) -> str:
        return "\n".join(document.page_content for document in documents)

    prompt = ChatPromptTemplate.from_template("Context:\n{context}\n\n{question}")
    chain = (
        {"context": retriever | text_of, "question": RunnablePassthrough()}
        | prompt
        | ChatVLLM(base_url=chat_url, temperature=0)
        | StrOutputParser()
    )
    answer = chain.invoke("What is the capital of France?")
    for document in retriever.invoke("What is the capital of France?"):
        print(f"{document.metadata['relevance_score']:.3f}  {document.page_content}")
    print(answer)
    return answer


if __name__ == "__main__":
    main(*sys.argv[1:])
