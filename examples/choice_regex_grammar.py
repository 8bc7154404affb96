"""Answers that are one of a few words, match a pattern, or obey a grammar."""

from vllm_connect import VLLM

client = VLLM()
for constraint in (
    {"choice": ["yes", "no"]},
    {"regex": "[A-Z]{3}"},
    {"grammar": 'root ::= "red" | "green"'},
):
    answer = client.chat.completions.create(
        messages=[{"role": "user", "content": "Is the sky blue?"}],
        structured_outputs=constraint,
        chat_template_kwargs={"enable_thinking": False},
    )
    print(next(iter(constraint)), answer.choices[0].message.content)
