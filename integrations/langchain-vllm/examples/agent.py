"""An agent with a tool, a structured answer, and a memory that summarises itself in time.

python examples/agent.py http://localhost:8000 llama
"""

import sys

from langchain.agents import create_agent
from langchain.agents.middleware import SummarizationMiddleware
from langchain_core.messages import AIMessage, HumanMessage
from pydantic import BaseModel

from langchain_vllm import ChatVLLM
from langchain_vllm.middleware import InvalidToolCallMiddleware


class Joke(BaseModel):
    setup: str
    punchline: str


def get_weather(city: str) -> str:
    """Get the weather in a city."""
    return "sunny"


def with_tools(model: ChatVLLM) -> str:
    # If the model's arguments cannot be read, it is told so, and may try again.
    agent = create_agent(model, tools=[get_weather], middleware=[InvalidToolCallMiddleware()])
    result = agent.invoke({"messages": [HumanMessage("What is the weather in Paris?")]})
    return result["messages"][-1].text


def structured(model: ChatVLLM) -> Joke:
    # The profile says that vLLM can do it by itself, so no tool is made of the schema.
    agent = create_agent(model, tools=[], response_format=Joke)
    return agent.invoke({"messages": [HumanMessage("Tell me a joke about cats.")]})["structured_response"]


def summarising(model: ChatVLLM) -> list[str]:
    context = model.refresh_profile()["max_input_tokens"]  # asks the server
    middleware = SummarizationMiddleware(
        model,
        trigger=("fraction", 0.5),
        keep=("messages", 1),
        token_counter=model.get_num_tokens_from_messages,  # asks the server; in event loops, it estimates
        trim_tokens_to_summarize=context // 4,
    )
    agent = create_agent(model, tools=[], middleware=[middleware])
    words = "word " * (context // 100)
    turns = [(HumanMessage(f"Say: {words}"), AIMessage(words)) for _ in range(40)]
    history = [message for turn in turns for message in turn] + [HumanMessage("Say: hello")]
    return [message.text for message in agent.invoke({"messages": history})["messages"]]


def main(url: str, name: str | None = None) -> None:
    model = ChatVLLM(model=name, base_url=url, temperature=0)
    print("tools:       ", with_tools(model))
    print("structured:  ", structured(model))
    print("summarising: ", [text[:60] for text in summarising(model)])


if __name__ == "__main__":
    main(*sys.argv[1:])
