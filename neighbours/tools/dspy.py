"""DSPy: a `BaseLM` of eight lines around the client."""

from __future__ import annotations

from typing import Any

import dspy

from neighbours.scenario import MODEL, Subject, error_of, scenario


class LM(dspy.BaseLM):
    def __init__(self, client: Any) -> None:
        super().__init__(model=MODEL, model_type="chat", cache=False)
        self.client = client

    def forward(self, prompt: Any = None, messages: Any = None, **kwargs: Any) -> Any:
        messages = messages or [{"role": "user", "content": prompt}]
        return self.client.chat.completions.create(model=self.model, messages=messages)


@scenario("chat")
def call(subject: Subject) -> Any:
    return LM(subject.client())("Say: hello there")


@scenario("structured")
def predict(subject: Subject) -> Any:
    program = dspy.Predict("question -> answer")
    try:
        with dspy.context(lm=LM(subject.client()), adapter=dspy.JSONAdapter()):
            return program(question="Who?").answer
    except Exception as error:  # noqa: BLE001  # the simulator does not obey a prompt; both fail alike
        return type(error).__name__


@scenario("errors")
def error(subject: Subject) -> Any:
    subject.sim.fail_always("400")
    return error_of(lambda: LM(subject.client())("Say: hi"))
