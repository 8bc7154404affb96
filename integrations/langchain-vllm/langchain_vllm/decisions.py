"""`VLLMDecisions`: typed questions, answered by probabilities, as a LangChain decision model."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from langchain_core.messages import BaseMessage
from vllm_connect.types import ChoiceAnswer, Decision, PredicateAnswer

from .server import CONFIG, Server
from .wire import Json

try:
    from langchain_core.decisions import BaseDecisionModel, ClassifierResponse, Question, State
except ImportError as error:
    raise ImportError("VLLMDecisions needs langchain-core >= 1.8, which has decision models") from error


class VLLMDecisions(Server, BaseDecisionModel):
    """Answers to typed questions, read from the probabilities of a model on a vLLM server.

    Instantiate:
        ```python
        from langchain_vllm import VLLMDecisions

        decisions = VLLMDecisions(model="llama", base_url="http://localhost:8000")
        ```

    Ask:
        ```python
        from langchain_core.decisions import Choice, Noul

        response = decisions.invoke(
            {
                "state": "Stripe fails whenever I connect my account.",
                "questions": {
                    "urgent": Noul(instructions="Is it urgent?"),
                    "team": Choice(instructions="Whose is it?", criteria={"billing": None, "sales": None}),
                },
            }
        )
        response.nouls["urgent"].noul, response.choices["team"].choice
        ```

    Servers of vLLM 0.32 and later decide themselves; of any other chat model each answer is read from the
    first token of a chat. States and questions are texts: images and questions for a `Box` are refused.
    """

    model_config = CONFIG

    @property
    def _provider(self) -> str:
        return "vllm"

    def _classify(self, state: State, questions: dict[str, Question]) -> ClassifierResponse:
        asked = _parameters(state, questions)
        return _response(questions, self._client().decisions.create(model=self.model, **asked))

    async def _aclassify(self, state: State, questions: dict[str, Question]) -> ClassifierResponse:
        asked = _parameters(state, questions)
        return _response(questions, await self._async_client().decisions.create(model=self.model, **asked))


def _parameters(state: State, questions: Mapping[str, Question]) -> Json:
    """The parameters of the core's call."""
    return {"input": _text(state), "questions": list(map(_question, questions.values()))}


def _question(question: Any) -> Json:
    instructions = _text(question.instructions)
    if question.type == "noul":
        for outcome in ("true", "false"):
            if (criterion := question.criteria and getattr(question.criteria, outcome)) is not None:
                instructions += f"\n{outcome}: {_text(criterion)}"
        return {"type": "predicate", "instructions": instructions}
    if question.type == "choice":
        choices = [
            {"value": label, **({} if description is None else {"description": _text(description)})}
            for label, description in question.criteria.items()
        ]
        return {"type": "choice", "instructions": instructions, "choices": choices}
    if question.type == "score":
        levels = [{"label": _text(level)} for level in question.criteria]
        return {"type": "score", "instructions": instructions, "levels": levels}
    raise ValueError(f"vLLM answers no question of the type {question.type!r}")


def _text(value: object) -> str:
    """A text, or anything else as JSON; messages as they would be read out."""
    if isinstance(value, str):
        return value
    if isinstance(value, BaseMessage):
        return _turn(value)
    if isinstance(value, Sequence) and value and all(isinstance(item, BaseMessage) for item in value):
        return "\n\n".join(map(_turn, value))
    _refuse_media(value)
    return json.dumps(value, ensure_ascii=False, default=_plain)


def _plain(value: object) -> object:
    if isinstance(value, BaseMessage):
        return {"role": value.type, "content": _content(value)}
    if isinstance(value, Mapping):
        return dict(value)
    if isinstance(value, Sequence):
        return list(value)
    raise TypeError(f"a state holds texts, numbers, lists and objects, not {type(value).__name__}")


def _turn(message: BaseMessage) -> str:
    return f"{message.type}: {_content(message)}"


def _content(message: BaseMessage) -> str:
    _refuse_media(message.content)
    return str(message.text)


_MEDIA = frozenset({"image", "audio", "video", "file", "image_url", "input_audio", "video_url"})


def _refuse_media(value: object) -> None:
    if isinstance(value, Mapping):
        if value.get("type") in _MEDIA:
            raise ValueError(
                f"vLLM decides about texts alone, and there is a block of type {value['type']!r}"
            )
        value = list(value.values())
    if isinstance(value, Sequence) and not isinstance(value, str):
        for item in value:
            _refuse_media(item)


def _response(questions: Mapping[str, Any], decision: Decision) -> ClassifierResponse:
    answers = {
        name: _answer(question, answer)
        for (name, question), answer in zip(questions.items(), decision.answers, strict=True)
    }
    counts = decision.usage
    usage = {
        "input_tokens": counts.input_tokens,
        "output_tokens": counts.output_tokens,
        "total_tokens": counts.total_tokens,
        "input_token_details": {"cache_read": counts.input_tokens_details.cached_tokens},
    }
    return ClassifierResponse.model_validate({"model": decision.model, "answers": answers, "usage": usage})


def _answer(question: Any, answer: Any) -> Json:
    if isinstance(answer, PredicateAnswer):
        return {"type": "noul", "noul": min(1.0, answer.probability)}
    confidence = min(1.0, answer.confidence)
    if isinstance(answer, ChoiceAnswer):
        probabilities = {str(each.value): each.probability for each in answer.probabilities}
        return {
            "type": "choice",
            "choice": answer.choice,
            "probabilities": probabilities,
            "confidence": confidence,
        }
    return {
        "type": "score",
        "score": answer.score,
        "legend": dict(enumerate(question.criteria)),
        "probabilities": {each.value: each.probability for each in answer.probabilities},
        "confidence": confidence,
    }
