// The stock SDK, as a program would use it. Prints what it got, for test_javascript.py.
import OpenAI from "openai";

const client = new OpenAI({ baseURL: `${process.argv[2]}/v1`, apiKey: "sk-of-the-client", maxRetries: 0 });
const model = "vllm/llama";
const messages = [{ role: "user", content: "Say: Grüße" }];
const weather = {
  type: "function",
  function: { name: "get_weather", parameters: { type: "object", properties: { city: { type: "string" } }, required: ["city"] } },
};

const chat = await client.chat.completions.create({ model, messages });
let streamed = "";
let finish = null;
for await (const chunk of await client.chat.completions.create({ model, messages, stream: true })) {
  streamed += chunk.choices[0]?.delta?.content ?? "";
  finish = chunk.choices[0]?.finish_reason ?? finish;
}
const runner = client.chat.completions.stream({ model, messages, tools: [weather], tool_choice: "required" });
const called = (await runner.finalChatCompletion()).choices[0].message.tool_calls[0];
const schema = { type: "object", properties: { age: { type: "integer" } }, required: ["age"], additionalProperties: false };
const structured = await client.chat.completions.create({
  model, messages, response_format: { type: "json_schema", json_schema: { name: "person", schema, strict: true } },
});
const embedded = await client.embeddings.create({ model, input: ["a", "b"] });
const response = await client.responses.create({ model, input: "Say: hi" });
let responseText = "";
for await (const event of await client.responses.create({ model, input: "Say: hi", stream: true })) {
  if (event.type === "response.output_text.delta") responseText += event.delta;
}
const models = (await client.models.list()).data.map((each) => each.id);
const failed = async (work) => {
  try {
    await work();
    return null;
  } catch (error) {
    return { status: error.status, code: error.code, kind: error.constructor.name };
  }
};
const unknown = await failed(() => client.chat.completions.create({ model: "nobody", messages }));
const unsupported = await failed(() => client.images.generate({ model, prompt: "a cat" }));
console.log(JSON.stringify({
  chat: chat.choices[0].message.content, streamed, finish, called: called.function, age: JSON.parse(structured.choices[0].message.content).age,
  vectors: embedded.data.map((each) => each.embedding.length), response: response.output_text, responseText, models, unknown, unsupported,
}));
