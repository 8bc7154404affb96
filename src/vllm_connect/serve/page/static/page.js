// What moves on the page. Without it, forms still save, and tables are as they were when the page was loaded.
"use strict";

const $ = (selector, within = document) => within.querySelector(selector);

function element(name, attributes = {}, ...children) {
  const made = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) {
    if (value === true) made.setAttribute(key, "");
    else if (value !== false && value != null) made.setAttribute(key, value);
  }
  made.append(...children.filter((child) => child != null));
  return made;
}

function rows(heads, lines) {
  const head = element("tr", {}, ...heads.map((text) => element("th", { scope: "col" }, text)));
  const body = lines.map((cells) => element("tr", {}, ...cells));
  const table = element("table", {}, element("thead", {}, head), element("tbody", {}, ...body));
  return element("div", { class: "wide", role: "region", tabindex: "0", "aria-label": heads.join(", ") }, table);
}

const cell = (text, kind = "") => element("td", { class: kind }, text ?? "–");

// Servers

function chart(values, label) {
  const known = values.filter((value) => value != null);
  if (known.length < 2) return null;
  const most = Math.max(...known, 1e-9);
  const step = 96 / Math.max(values.length - 1, 1);
  let path = "", pen = "M";
  values.forEach((value, index) => {
    if (value == null) { pen = "M"; return; }
    path += `${pen}${(index * step).toFixed(1)} ${(22 - (value / most) * 20).toFixed(1)}`;
    pen = "L";
  });
  const svg = document.createElementNS("http://www.w3.org/2000/svg", "svg");
  svg.setAttribute("viewBox", "0 0 96 24");
  svg.setAttribute("class", "chart");
  svg.setAttribute("role", "img");
  svg.setAttribute("aria-label", `${label}: now ${number(known.at(-1))}, at most ${number(most)}`);
  const line = document.createElementNS(svg.namespaceURI, "path");
  for (const [name, value] of [["d", path], ["fill", "none"], ["stroke", "currentColor"], ["stroke-width", "1.5"]]) {
    line.setAttribute(name, value);
  }
  svg.append(line);
  return svg;
}

const number = (value) => (value == null ? "–" : value >= 100 ? value.toFixed(0) : value >= 10 ? value.toFixed(1) : String(Math.round(value * 100) / 100));
const percent = (value) => (value == null ? "–" : `${(value * 100).toFixed(0)} %`);

function span(seconds) {
  if (seconds < 90) return `${Math.round(seconds)} s`;
  if (seconds < 5400) return `${Math.round(seconds / 60)} min`;
  return seconds < 129600 ? `${Math.round(seconds / 3600)} h` : `${Math.round(seconds / 86400)} d`;
}

function serverRow(server) {
  const again = server.again ? `, tried again in ${span(server.again)}` : "";
  const why = server.state === "healthy" ? null : element("span", { class: "small" }, `${server.reason}${again}`);
  const measured = (text, values, label) => element("td", { class: "number" }, text, chart(values, label));
  return element("tr", {},
    element("th", { scope: "row" }, server.name, element("span", { class: "small" }, server.url ?? "its URL refers to nothing")),
    element("td", {}, element("span", { class: `state ${server.state}` }, server.state),
      element("span", { class: "small" }, `for ${span(server.seconds)}`), why),
    cell(String(server.in_flight), "number"),
    measured(number(server.running), server.charts.running, "Running"),
    cell(number(server.waiting), "number"),
    measured(percent(server.kv_cache), server.charts.kv_cache, "KV cache"),
    cell(percent(server.hits), "number"),
    measured(number(server.tokens), server.charts.tokens, "Tokens a second"),
    measured(server.first == null ? "–" : `${number(server.first)} ms`, server.charts.first, "First token"));
}

function troubleRow(trouble) {
  const at = new Date(trouble.last * 1000).toLocaleTimeString();
  return element("tr", {},
    element("td", {}, element("strong", {}, trouble.code), element("span", { class: "small" }, `${trouble.operation}: ${trouble.message}`)),
    cell(trouble.key_name || "–"), cell(String(trouble.times), "number"), cell(at), cell(trouble.advice));
}

function watchServers(table) {
  const body = $("tbody", table), troubles = $("#troubles tbody"), problem = $("#problem"), announce = $("#announce");
  const states = new Map();
  let shown = "";
  async function look() {
    let state;
    try {
      const response = await fetch(table.dataset.live, { headers: { accept: "application/json" } });
      if (!response.ok) throw new Error(`the gateway answers ${response.status}`);
      state = await response.json();
    } catch (error) {
      problem.textContent = `The gateway cannot be reached: ${error.message}. What is shown is old.`;
      problem.hidden = false;
      return;
    }
    problem.textContent = state.problem ? `The configuration file is broken, and the last good one is in use. ${state.problem}` : "";
    problem.hidden = !state.problem;
    body.replaceChildren(...state.servers.map(serverRow));
    table.parentElement.hidden = !state.servers.length;
    const changes = state.servers.filter((server) => states.has(server.name) && states.get(server.name) !== server.state);
    if (changes.length) announce.textContent = changes.map((server) => `${server.name} is ${server.state}`).join(", ");
    state.servers.forEach((server) => states.set(server.name, server.state));
    const text = JSON.stringify(state.troubles);
    if (text !== shown) {
      shown = text;
      troubles.replaceChildren(...(state.troubles.length ? state.troubles.map(troubleRow) : [element("tr", {}, element("td", { colspan: "5" }, "None."))]));
    }
  }
  async function again() {
    if (!document.hidden) await look();
    setTimeout(again, 2000);
  }
  again();
}

// Keys

function filterRows(input) {
  const lines = [...document.getElementById(input.dataset.filters).tBodies[0].rows].map((row) => [row, row.textContent.toLowerCase()]);
  input.addEventListener("input", () => {
    const wanted = input.value.toLowerCase();
    for (const [row, text] of lines) row.hidden = !text.includes(wanted);
  });
}

const MOST_CHOICES = 100;

function chooseModels(models) {
  const list = $("#choices"), area = $("#models"), filter = $("#choose-filter"), more = $("#choices-more");
  $("#served").replaceChildren(...models.map((model) => element("option", { value: model.id })));
  $("#choose").hidden = !models.length;
  const chosen = () => area.value.split("\n").map((line) => line.trim()).filter(Boolean);
  function show() {
    const wanted = filter.value.toLowerCase();
    const found = models.filter((model) => model.id.toLowerCase().includes(wanted));
    const names = new Set(chosen());
    list.replaceChildren(...found.slice(0, MOST_CHOICES).map((model, index) => {
      const box = element("input", { type: "checkbox", id: `choice-${index}`, form: "none" });
      box.checked = names.has(model.id);
      box.addEventListener("change", () => {
        const others = chosen().filter((name) => name !== model.id);
        area.value = (box.checked ? [...others, model.id] : others).join("\n");
        $("#some").checked = true;
      });
      const context = model.max_model_len ? ` (${model.max_model_len} tokens)` : "";
      return element("li", {}, box, " ", element("label", { for: `choice-${index}` }, model.id + context));
    }));
    more.textContent = found.length > MOST_CHOICES ? `${found.length - MOST_CHOICES} more: type a part of the name` : "";
  }
  filter.oninput = show;
  area.oninput = show;
  show();
}

function verifyKey(form) {
  const button = $("#verify"), place = $("#verified");
  button.addEventListener("click", async () => {
    button.disabled = true;
    place.replaceChildren(element("p", {}, "Asking the server …"));
    try {
      const response = await fetch("/models/providers/vllm/verify", { method: "POST", body: new URLSearchParams(new FormData(form)) });
      const found = await response.json();
      if (!response.ok) throw new Error(found.error?.message ?? response.statusText);
      showVerified(place, found);
    } catch (error) {
      place.replaceChildren(element("p", { class: "problem" }, `It could not be verified: ${error.message}`));
    } finally {
      button.disabled = false;
    }
  });
}

function showVerified(place, found) {
  if (!found.reachable) {
    place.replaceChildren(element("p", { class: "problem" }, found.problem));
    return;
  }
  const version = found.version ? `vLLM ${found.version}` : "a server that tells no version";
  const names = found.models.map((model) => model.id);
  const listed = names.length > 5 ? `${names.slice(0, 5).join(", ")} and ${names.length - 5} more` : names.join(", ");
  const marks = { ok: "works", absent: "not served", failed: "fails", skipped: "not tried" };
  const said = (status) => element("td", { class: status ?? "" }, status == null ? "–" : marks[status]);
  place.replaceChildren(
    element("p", { class: "good" }, `Reachable: ${version}, ${found.latency_ms} ms. Models: ${listed || "none"}.`),
    rows(["Operation", "Plain", "Stream", "Endpoint", "Reason"], found.operations.map((each) => [
      element("th", { scope: "row" }, each.operation), said(each.plain), said(each.stream), cell(each.endpoint), cell(each.reason ?? "")])));
  chooseModels(found.models);
}

// Try it

async function problemOf(response) {
  try {
    return (await response.json()).error.message;
  } catch {
    return `the gateway answers ${response.status}`;
  }
}

async function* eventsOf(response) {
  const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
  let rest = "";
  for (;;) {
    const { done, value } = await reader.read();
    if (done) return;
    const blocks = (rest + value).split("\n\n");
    rest = blocks.pop();
    for (const block of blocks) {
      const data = block.split("\n").filter((line) => line.startsWith("data:")).map((line) => line.slice(5).trimStart()).join("\n");
      if (data && data !== "[DONE]") yield JSON.parse(data);
    }
  }
}

const lines = (text) => text.split("\n").map((line) => line.trim()).filter(Boolean);
const post = (path, body, signal) => fetch(path, { method: "POST", headers: { "content-type": "application/json" }, body: JSON.stringify(body), signal });

const TRIALS = {
  chat: {
    path: "/v1/chat/completions",
    body(fields) {
      const body = { model: fields.model, messages: [{ role: "user", content: fields.text }] };
      if (fields.tools.trim()) body.tools = JSON.parse(fields.tools);
      if (fields.schema.trim()) body.response_format = { type: "json_schema", json_schema: { name: "answer", schema: JSON.parse(fields.schema) } };
      return body;
    },
    async run(body, place, section, signal) {
      const thoughts = $("[data-reasoning]", section), thought = $("pre", thoughts);
      thoughts.hidden = true;
      thought.textContent = "";
      const response = await post(this.path, { ...body, stream: true }, signal);
      if (!response.ok) throw new Error(await problemOf(response));
      const calls = [];
      for await (const event of eventsOf(response)) {
        if (event.error) throw new Error(event.error.message);
        for (const { delta } of event.choices) {
          const reasoning = delta?.reasoning ?? delta?.reasoning_content;
          if (reasoning) {
            thoughts.hidden = false;
            thoughts.open = true;
            thought.append(reasoning);
          }
          if (delta?.content) place.append(delta.content);
          for (const piece of delta?.tool_calls ?? []) {
            const call = (calls[piece.index] ??= { name: "", arguments: "" });
            call.name += piece.function?.name ?? "";
            call.arguments += piece.function?.arguments ?? "";
          }
        }
      }
      for (const call of calls) place.append(element("pre", {}, `${call.name}(${call.arguments})`));
    },
  },
  rerank: {
    path: "/v1/rerank",
    body: (fields) => ({ model: fields.model, query: fields.query, documents: lines(fields.texts) }),
    async run(body, place, section, signal) {
      const response = await post(this.path, body, signal);
      if (!response.ok) throw new Error(await problemOf(response));
      const { results } = await response.json();
      place.append(rows(["Score", "Document"], results.map((result) => [cell(result.relevance_score.toFixed(4), "number"), cell(body.documents[result.index])])));
    },
  },
  embeddings: {
    path: "/v1/embeddings",
    body: (fields) => ({ model: fields.model, input: lines(fields.texts) }),
    async run(body, place, section, signal) {
      const response = await post(this.path, body, signal);
      if (!response.ok) throw new Error(await problemOf(response));
      const vectors = (await response.json()).data.map((each) => each.embedding);
      const dot = (a, b) => a.reduce((sum, value, index) => sum + value * b[index], 0);
      const cosine = (a, b) => dot(a, b) / Math.sqrt(dot(a, a) * dot(b, b));
      place.append(rows(["Similarity", ...body.input.map((_, index) => String(index + 1))], vectors.map((vector, index) => [
        element("th", { scope: "row" }, `${index + 1}. ${body.input[index]}`),
        ...vectors.map((other) => cell(cosine(vector, other).toFixed(3), "number"))])));
    },
  },
};

const text = (value) => JSON.stringify(value);
const base = () => location.origin;

const CODE = {
  chat: (body) => ({
    Python: `from vllm_connect import VLLM\n\nclient = VLLM(${text(base())})\nstream = client.chat.completions.create(\n    model=${text(body.model)},\n    messages=${text(body.messages)},${body.tools ? `\n    tools=${python(body.tools)},` : ""}${body.response_format ? `\n    response_format=${python(body.response_format)},` : ""}\n    stream=True,\n)\nfor chunk in stream:\n    print(chunk.choices[0].delta.content or "", end="")`,
    curl: curl("/v1/chat/completions", { ...body, stream: true }),
    LangChain: `from langchain_vllm import ChatVLLM\n\nmodel = ChatVLLM(model=${text(body.model)}, base_url=${text(base())})\nfor chunk in model.stream(${text(body.messages[0].content)}):\n    print(chunk.content, end="")`,
    LlamaIndex: `from llama_index.llms.vllm_connect import VLLM\n\nllm = VLLM(model=${text(body.model)}, base_url=${text(base())})\nfor chunk in llm.stream_complete(${text(body.messages[0].content)}):\n    print(chunk.delta, end="")`,
  }),
  rerank: (body) => ({
    Python: `from vllm_connect import VLLM\n\nclient = VLLM(${text(base())})\nranked = client.rerank.create(\n    model=${text(body.model)},\n    query=${text(body.query)},\n    documents=${text(body.documents)},\n)\nfor result in ranked.results:\n    print(result.index, result.relevance_score)`,
    curl: curl("/v1/rerank", body),
    LangChain: `from langchain_vllm import VLLMRerank\nfrom langchain_core.documents import Document\n\nreranker = VLLMRerank(model=${text(body.model)}, base_url=${text(base())})\ndocuments = [Document(each) for each in ${text(body.documents)}]\nfor document in reranker.compress_documents(documents, ${text(body.query)}):\n    print(document.metadata["relevance_score"], document.page_content)`,
    LlamaIndex: `from llama_index.core.schema import NodeWithScore, TextNode\nfrom llama_index.postprocessor.vllm_connect import VLLMRerank\n\nreranker = VLLMRerank(model=${text(body.model)}, base_url=${text(base())})\nnodes = [NodeWithScore(node=TextNode(text=each)) for each in ${text(body.documents)}]\nfor node in reranker.postprocess_nodes(nodes, query_str=${text(body.query)}):\n    print(node.score, node.text)`,
  }),
  embeddings: (body) => ({
    Python: `from vllm_connect import VLLM\n\nclient = VLLM(${text(base())})\nreply = client.embeddings.create(model=${text(body.model)}, input=${text(body.input)})\nfor item in reply.data:\n    print(item.embedding[:3])`,
    curl: curl("/v1/embeddings", body),
    LangChain: `from langchain_vllm import VLLMEmbeddings\n\nembeddings = VLLMEmbeddings(model=${text(body.model)}, base_url=${text(base())})\nfor vector in embeddings.embed_documents(${text(body.input)}):\n    print(vector[:3])`,
    LlamaIndex: `from llama_index.embeddings.vllm_connect import VLLMEmbedding\n\nembedding = VLLMEmbedding(model_name=${text(body.model)}, base_url=${text(base())})\nfor vector in embedding.get_text_embedding_batch(${text(body.input)}):\n    print(vector[:3])`,
  }),
};

function python(value) {
  if (Array.isArray(value)) return `[${value.map(python).join(", ")}]`;
  if (value && typeof value === "object") return `{${Object.entries(value).map(([name, item]) => `${text(name)}: ${python(item)}`).join(", ")}}`;
  return value === true ? "True" : value === false ? "False" : value === null ? "None" : text(value);
}

const curl = (path, body) => `curl ${base()}${path} \\\n  -H "Content-Type: application/json" \\\n  -d '${JSON.stringify(body, null, 2).replaceAll("'", "'\\''")}'`;

function showCode(place, snippets) {
  const open = new Set([...place.querySelectorAll("details[open]")].map((each) => each.dataset.language));
  place.replaceChildren(...Object.entries(snippets).map(([language, code]) => {
    const copy = element("button", { type: "button" }, "Copy");
    copy.addEventListener("click", async () => {
      await navigator.clipboard.writeText(code);
      copy.textContent = "Copied";
      setTimeout(() => { copy.textContent = "Copy"; }, 1500);
    });
    copy.setAttribute("aria-label", `Copy the ${language} code`);
    return element("details", { "data-language": language, open: open.has(language) }, element("summary", {}, language),
      element("pre", { tabindex: "0", role: "region", "aria-label": `${language} code` }, code), copy);
  }));
}

function tryIt(section) {
  const kind = section.dataset.trial, trial = TRIALS[kind], form = $("form", section), place = $("[data-answer]", section);
  const send = $("button.primary", form), stop = $("[data-stop]", form), code = $("[data-code]", section);
  const fields = () => Object.fromEntries(new FormData(form));
  function refresh() {
    try {
      showCode(code, CODE[kind](trial.body(fields())));
    } catch {
      code.replaceChildren(); // the JSON is not whole yet
    }
  }
  form.addEventListener("input", refresh);
  refresh();
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    const leaving = new AbortController();
    place.replaceChildren();
    send.disabled = true;
    if (stop) { stop.disabled = false; stop.onclick = () => leaving.abort(); }
    try {
      await trial.run(trial.body(fields()), place, section, leaving.signal);
    } catch (error) {
      const said = error.name === "AbortError" ? "Stopped." : error instanceof SyntaxError ? `That is no JSON: ${error.message}` : error.message;
      place.append(element("p", { class: "problem", role: "alert" }, said));
    } finally {
      send.disabled = false;
      if (stop) stop.disabled = true;
    }
  });
}

async function offerModels(list) {
  const response = await fetch("/v1/models");
  if (!response.ok) return;
  const { data } = await response.json();
  list.replaceChildren(...data.map((model) => element("option", { value: model.id })));
  for (const input of document.querySelectorAll("[data-trial] input[name=model]")) {
    if (!input.value && data.length) {
      input.value = data[0].id;
      input.dispatchEvent(new Event("input", { bubbles: true }));
    }
  }
}

const servers = $("#servers[data-live]");
if (servers) watchServers(servers);
document.querySelectorAll("[data-filters]").forEach(filterRows);
const keyForm = $("form#key");
if (keyForm) {
  verifyKey(keyForm);
  $("[name=delete]", keyForm)?.addEventListener("click", (event) => {
    if (!confirm("Delete this key?")) event.preventDefault();
  });
  $("[aria-invalid]", keyForm)?.focus();
}
document.querySelectorAll("[data-trial]").forEach(tryIt);
const offered = $("#models[data-offered]");
if (offered) offerModels(offered);
