"""How alike pairs of texts are, and which class a text is of."""

from vllm_connect import VLLM

client = VLLM()
scores = client.score.create(
    queries="What is the capital of France?",
    documents=["Cats purr.", "Paris is the capital of France."],
)
print([round(score.score, 2) for score in scores.data])
for result in client.classify.create(input=["I love it.", "I hate it."]).data:
    print(result.label, [round(probability, 2) for probability in result.probs])
