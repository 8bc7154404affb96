"""Types of answers that OpenAI's lack: subclasses of the SDK's types, and vLLM's own."""

from .bulk import Row
from .chat import ChatCompletion, ChatCompletionChunk, ChatCompletionMessage, Choice, ChoiceDelta, ChunkChoice
from .completion import Completion, CompletionChoice
from .decision import ChoiceAnswer, Decision, DecisionQuestion, PredicateAnswer, ScoreAnswer
from .embedding import Embedding, EmbeddingResponse, LateChunk, LateChunking
from .generate import (
    DerenderedChatChunk,
    DerenderedChunk,
    GenerateChoice,
    GenerateChunk,
    GenerateRequest,
    GenerateResponse,
)
from .messages import (
    ContentBlock,
    Message,
    MessageParam,
    MessageStreamEvent,
    MessageTokens,
    MessageUsage,
    TextBlock,
    ThinkingBlock,
    ToolUseBlock,
)
from .metrics import Sample, ServerMetrics
from .model import AsyncModelPage, KeyStatus, Model, ModelPage
from .rerank import RerankResponse, RerankResult
from .scoring import Classification, ClassificationResponse, Pooling, PoolingResponse, Score, ScoreResponse
from .servers import ServerStatus
from .tokens import DetokenizeResponse, TokenizeResponse
from .usage import CompletionUsage, PromptTokensDetails

__all__ = [
    "AsyncModelPage",
    "ChatCompletion",
    "ChatCompletionChunk",
    "ChatCompletionMessage",
    "Choice",
    "ChoiceAnswer",
    "ChoiceDelta",
    "ChunkChoice",
    "Classification",
    "ClassificationResponse",
    "Completion",
    "CompletionChoice",
    "CompletionUsage",
    "ContentBlock",
    "Decision",
    "DecisionQuestion",
    "DerenderedChatChunk",
    "DerenderedChunk",
    "DetokenizeResponse",
    "Embedding",
    "EmbeddingResponse",
    "GenerateChoice",
    "GenerateChunk",
    "GenerateRequest",
    "GenerateResponse",
    "KeyStatus",
    "LateChunk",
    "LateChunking",
    "Message",
    "MessageParam",
    "MessageStreamEvent",
    "MessageTokens",
    "MessageUsage",
    "Model",
    "ModelPage",
    "Pooling",
    "PoolingResponse",
    "PredicateAnswer",
    "PromptTokensDetails",
    "RerankResponse",
    "RerankResult",
    "Row",
    "Sample",
    "Score",
    "ScoreAnswer",
    "ScoreResponse",
    "ServerMetrics",
    "ServerStatus",
    "TextBlock",
    "ThinkingBlock",
    "TokenizeResponse",
    "ToolUseBlock",
]
