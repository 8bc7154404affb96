// Vercel's AI SDK with its provider for what is like OpenAI. Prints what it got, for test_javascript.py.
import { createOpenAICompatible } from "@ai-sdk/openai-compatible";
import { embedMany, generateText, Output, streamText, tool } from "ai";
import { z } from "zod";

const provider = createOpenAICompatible({
  name: "gateway", baseURL: `${process.argv[2]}/v1`, apiKey: "sk-of-the-client", supportsStructuredOutputs: true,
});
const model = provider("llama");
const prompt = "Say: Grüße";

const { text } = await generateText({ model, prompt });
let streamed = "";
for await (const part of streamText({ model, prompt }).textStream) streamed += part;
const weather = tool({ description: "The weather.", inputSchema: z.object({ city: z.string() }) });
const { toolCalls } = await generateText({ model, prompt, tools: { get_weather: weather }, toolChoice: "required" });
const { output } = await generateText({ model, prompt, output: Output.object({ schema: z.object({ age: z.number().int() }) }) });
const { embeddings } = await embedMany({ model: provider.textEmbeddingModel("llama"), values: ["a", "b"] });
let status = null;
try {
  await generateText({ model: provider("nobody"), prompt, maxRetries: 0 });
} catch (caught) {
  status = caught.statusCode;
}
console.log(JSON.stringify({
  text, streamed, called: { name: toolCalls[0].toolName, input: toolCalls[0].input }, age: output.age,
  vectors: embeddings.map((each) => each.length), status,
}));
