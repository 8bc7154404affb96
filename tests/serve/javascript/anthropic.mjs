// Anthropic's SDK on /v1/messages. Prints what it got, for test_javascript.py.
import Anthropic from "@anthropic-ai/sdk";

const client = new Anthropic({ baseURL: process.argv[2], apiKey: "sk-of-the-client", maxRetries: 0 });
const body = { model: "llama", max_tokens: 20, messages: [{ role: "user", content: "Say: hi" }] };

const message = await client.messages.create(body);
const streamed = await client.messages.stream(body).finalText();
const { input_tokens: tokens } = await client.messages.countTokens({ model: body.model, messages: body.messages });
let error = null;
try {
  await client.messages.create({ ...body, model: "nobody" });
} catch (caught) {
  error = { status: caught.status, type: caught.error?.error?.type };
}
console.log(JSON.stringify({ message: message.content.filter((each) => each.type === "text").map((each) => each.text).join(""), streamed, tokens, error }));
