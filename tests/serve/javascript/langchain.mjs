// LangChain.js on its OpenAI package. Prints what it got, for test_javascript.py.
import { ChatOpenAI, OpenAIEmbeddings } from "@langchain/openai";
import { tool } from "@langchain/core/tools";
import { z } from "zod";

const configuration = { baseURL: `${process.argv[2]}/v1` };
const options = { model: "llama", apiKey: "sk-of-the-client", maxRetries: 0, configuration };
const model = new ChatOpenAI(options);
const question = "Say: Grüße";

const chat = await model.invoke(question);
let streamed = "";
let usage = null;
for await (const chunk of await model.stream(question)) {
  streamed += chunk.text;
  usage = chunk.usage_metadata ?? usage;
}
const weather = tool(async ({ city }) => city, { name: "get_weather", description: "The weather.", schema: z.object({ city: z.string() }) });
const withTools = model.bindTools([weather], { tool_choice: "required" });
const called = (await withTools.invoke(question)).tool_calls[0];
let gathered = null;
for await (const chunk of await withTools.stream(question)) gathered = gathered === null ? chunk : gathered.concat(chunk);
const person = z.object({ age: z.number().int() });
const ages = {};
for (const method of ["jsonSchema", "functionCalling"]) {
  ages[method] = (await model.withStructuredOutput(person, { name: "person", method }).invoke(question)).age;
}
const responses = await new ChatOpenAI({ ...options, useResponsesApi: true }).invoke("Say: hi");
const embeddings = new OpenAIEmbeddings(options);
const vectors = [...(await embeddings.embedDocuments(["a", "b"])), await embeddings.embedQuery("c")];
let error = null;
try {
  await new ChatOpenAI({ ...options, model: "nobody" }).invoke(question);
} catch (caught) {
  error = { status: caught.status, code: caught.code };
}
console.log(JSON.stringify({
  chat: chat.text, streamed, usage, called: { name: called.name, args: called.args },
  gathered: gathered.tool_calls.map(({ name, args }) => ({ name, args })), ages, responses: responses.text,
  vectors: vectors.map((each) => each.length), error,
}));
