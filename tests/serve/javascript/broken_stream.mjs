// LangChain.js on a stream that breaks. Prints what it got, for test_javascript.py.
import { ChatOpenAI } from "@langchain/openai";

const configuration = { baseURL: `${process.argv[2]}/v1` };
const model = new ChatOpenAI({ model: "llama", apiKey: "sk-of-the-client", maxRetries: 0, configuration });
let began = false;
let ended = "clean";
try {
  for await (const _ of await model.stream("Hello")) began = true;
} catch (error) {
  ended = error.code ?? error.message;
}
console.log(JSON.stringify({ began, ended }));
