"""Decisions: questions, and how likely each answer is. The types are the SDK's where it has them (3.57)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Literal

from openai import BaseModel
from pydantic import Field
from typing_extensions import Required, TypedDict

__all__ = ["ChoiceAnswer", "Decision", "DecisionQuestion", "PredicateAnswer", "ScoreAnswer"]

# What goes in


class PredicateQuestion(TypedDict, total=False):
    """Is it so? Answered by a probability."""

    type: Required[Literal["predicate"]]
    instructions: Required[str]
    name: str


class DecisionChoice(TypedDict, total=False):
    """One of the answers to choose from."""

    value: Required[str | bool]
    description: str


class ChoiceQuestion(TypedDict, total=False):
    """A choice, answered by the likeliest option, and the probability of each."""

    type: Required[Literal["choice"]]
    instructions: Required[str]
    choices: Required[Sequence[DecisionChoice]]
    name: str


class DecisionLevel(TypedDict, total=False):
    """One step of a scale."""

    label: Required[str]
    description: str


class ScoreQuestion(TypedDict, total=False):
    """A score, on a scale from its first level, 0, to its last; answered by the expected level."""

    type: Required[Literal["score"]]
    instructions: Required[str]
    levels: Required[Sequence[DecisionLevel]]
    name: str


DecisionQuestion = PredicateQuestion | ChoiceQuestion | ScoreQuestion

# What comes out

try:
    from openai.types.decision import AnswerAnswerResourceChoice as ChoiceAnswer
    from openai.types.decision import AnswerAnswerResourcePredicate as PredicateAnswer
    from openai.types.decision import AnswerAnswerResourceScore as ScoreAnswer
    from openai.types.decision import Decision
except ImportError:  # the SDK 2.x has none: the same, by our names

    class PredicateAnswer(BaseModel):  # type: ignore[no-redef]  # the other one is not there
        """The probability of a statement."""

        name: str | None = None
        probability: float
        type: Literal["predicate"]

    class ChoiceProbability(BaseModel):
        """The probability of one of the choices."""

        probability: float
        value: str | bool

    class ChoiceAnswer(BaseModel):  # type: ignore[no-redef]  # as above
        """The likeliest choice."""

        choice: str | bool
        confidence: float
        name: str | None = None
        probabilities: list[ChoiceProbability]
        type: Literal["choice"]

    class ScoreProbability(BaseModel):
        """The probability of one level."""

        label: str
        probability: float
        value: int

    class ScoreAnswer(BaseModel):  # type: ignore[no-redef]  # as above
        """The expected level."""

        confidence: float
        name: str | None = None
        probabilities: list[ScoreProbability]
        score: float
        type: Literal["score"]

    class InputTokensDetails(BaseModel):
        """The part of the input that the cache knew."""

        cache_write_tokens: int
        cached_tokens: int

    class OutputTokensDetails(BaseModel):
        """The part of the output that was reasoning."""

        reasoning_tokens: int

    class DecisionUsage(BaseModel):
        """Token counts of a decision."""

        input_tokens: int
        input_tokens_details: InputTokensDetails
        output_tokens: int
        output_tokens_details: OutputTokensDetails
        total_tokens: int

    class Decision(BaseModel):  # type: ignore[no-redef]  # as above
        """Answers, in the order of the questions."""

        answers: list[Annotated[PredicateAnswer | ChoiceAnswer | ScoreAnswer, Field(discriminator="type")]]
        model: str
        usage: DecisionUsage
