"""The page in a browser: the steps of the dashboard, what goes wrong on the way, and who can use it.

`make screenshots` runs this file to make the pictures of the documentation.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.serve.conftest import Running, Serve, keys_of

from vllm_connect.sim import SimServer

sync_api = pytest.importorskip(
    "playwright.sync_api", reason="Playwright drives the browser; it is in the newest environment alone"
)
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
if CHROMIUM is None and os.environ.get("CHROMIUM_REQUIRED") != "1":
    pytest.skip("no Chromium here: apt-get install chromium", allow_module_level=True)
FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
PICTURES = os.environ.get("SCREENSHOTS")


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with sync_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        yield browser
        browser.close()


@pytest.fixture
def complaints() -> list[str]:
    """What the browser complained of: errors of the script, violations of the policy."""
    return []


@pytest.fixture
def tab(browser: Any, complaints: list[str]) -> Iterator[Callable[..., Any]]:
    """Opens tabs of one browser window."""
    context = browser.new_context(viewport={"width": 1100, "height": 800})
    context.set_default_timeout(20_000)

    def open_at(url: str) -> Any:
        page = context.new_page()
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.on("console", lambda message: message.type == "error" and complaints.append(message.text))
        page.on("request", lambda request: _is_own(request.url, url) or complaints.append(request.url))
        page.goto(url)
        return page

    yield open_at
    context.close()


def _is_own(url: str, own: str) -> bool:
    return url.startswith("/".join(own.split("/")[:3]) + "/") or url.startswith("data:")


def picture(page: Any, name: str) -> None:
    if PICTURES:
        page.evaluate("document.querySelector('footer code').textContent = 'config.json'")
        page.screenshot(path=f"{PICTURES}/{name}.png", full_page=True)


def new_key(page: Any, gateway: Running) -> None:
    page.goto(f"{gateway.url}/models/providers/vllm/new")


def stored(gateway: Running) -> Any:
    return json.loads(gateway.file.path.read_text())


def test_the_steps_of_the_dashboard(
    serve: Serve, tab: Any, complaints: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PAGE_TEST_KEY", "sk-of-the-server")
    with SimServer(models=["llama", "mistral"], api_key="sk-of-the-server") as sim:
        gateway = serve(config={"client": {"kept": True}, "providers": {}})
        page = tab(gateway.url)
        # 1. Models > Model Providers; vLLM is missing: Add New Provider
        page.get_by_role("link", name="Add the first server").click()
        assert page.get_by_role("heading", name="Configured Providers").is_visible()
        page.get_by_label("Provider").select_option(label="vLLM")
        page.get_by_role("button", name="Add New Provider").click()
        # 2. Add New Model
        assert page.get_by_role("heading", name="Add New Model").is_visible()
        # 3. a name
        page.get_by_label("Name", exact=True).fill("vllm-local")
        # 4. the API key, from the environment
        page.get_by_label("API Key").fill("env.PAGE_TEST_KEY")
        # 5. URL and model name
        page.get_by_label("vLLM URL").fill(sim.url)
        page.get_by_label("Model Name").fill("llama")
        page.get_by_role("button", name="Verify").click()
        page.get_by_text("Reachable: vLLM sim").wait_for()
        assert page.get_by_role("row", name="chat completions").get_by_text("works").count() == 2
        # 6. allowed models: all, or some of what the server has
        assert page.get_by_label("All Models").is_checked()
        page.get_by_label("llama (32768 tokens)").check()
        assert page.get_by_label("Only these, one in each line").is_checked()
        assert page.get_by_label("Allowed models, one in each line").input_value() == "llama"
        picture(page, "gateway-key")
        # 7. save
        page.get_by_role("button", name="Save").click()
        assert page.get_by_role("rowheader", name="vllm-local").is_visible()
        (key,) = stored(gateway)["providers"]["vllm"]["keys"]
        assert key == {
            "name": "vllm-local", "value": "env.PAGE_TEST_KEY", "models": ["llama"], "weight": 1,
            "vllm_key_config": {"url": sim.url, "model_name": "llama"},
        }  # fmt: skip
        assert stored(gateway)["client"] == {"kept": True}
        # It acts at once.
        body = {"model": "llama", "messages": [{"role": "user", "content": "hi"}]}
        assert gateway.post("/v1/chat/completions", body).status_code == 200
        assert gateway.post("/v1/chat/completions", {**body, "model": "mistral"}).status_code == 404
        # Edit it: everything is there again.
        page.get_by_role("link", name="vllm-local").click()
        assert page.get_by_label("API Key").input_value() == "env.PAGE_TEST_KEY"
        assert page.get_by_label("Model Name").input_value() == "llama"
        page.get_by_label("All Models").check()
        page.get_by_label("Model Name").fill("")
        page.get_by_label("Weight").fill("2.5")
        page.get_by_role("button", name="Save").click()
        page.get_by_role("rowheader", name="vllm-local").wait_for()
        assert gateway.post("/v1/chat/completions", {**body, "model": "mistral"}).status_code == 200
        assert stored(gateway)["providers"]["vllm"]["keys"][0]["weight"] == 2.5
    assert not complaints


def test_a_token_is_never_shown_again(serve: Serve, sim: SimServer, tab: Any) -> None:
    config = keys_of([sim])
    config["providers"]["vllm"]["keys"][0]["value"] = "sk-nobody-may-see"
    gateway = serve(config=config)
    page = tab(f"{gateway.url}/models/providers/vllm/keys/sim0")
    for path in ("/", "/models/providers/vllm", "/models/providers/vllm/keys/sim0", "/live.json", "/metrics"):
        assert "sk-nobody" not in gateway.http.get(path).text
    assert page.get_by_label("API Key", exact=True).input_value() == ""
    page.get_by_role("button", name="Save").click()
    page.get_by_role("rowheader", name="sim0").wait_for()
    assert stored(gateway)["providers"]["vllm"]["keys"][0]["value"] == "sk-nobody-may-see"
    # It is not sent to another server than the one that it was given for.
    with SimServer() as other:
        page.get_by_role("link", name="sim0").click()
        page.get_by_label("vLLM URL").fill(other.url)
        page.get_by_role("button", name="Verify").click()
        page.get_by_text("The stored API key is for another URL").wait_for()
        page.get_by_role("button", name="Save").click()
        page.get_by_role("alert").get_by_text("The stored API key is for another URL").wait_for()
        assert not other.requests
    page.get_by_label("Remove the stored API key").check()
    page.get_by_role("button", name="Save").click()
    page.get_by_role("rowheader", name="sim0").wait_for()
    assert stored(gateway)["providers"]["vllm"]["keys"][0]["value"] == ""


def test_a_wrong_url_and_a_wrong_key(serve: Serve, tab: Any, complaints: list[str]) -> None:
    gateway = serve(config={})
    page = tab(gateway.url)
    new_key(page, gateway)
    page.get_by_label("Name", exact=True).fill("a")
    page.get_by_label("vLLM URL").fill("gpu1:8000")
    page.get_by_role("button", name="Verify").click()
    page.get_by_text("did you mean http://gpu1:8000?").wait_for()
    page.get_by_role("button", name="Save").click()
    page.get_by_role("alert").get_by_text("did you mean http://gpu1:8000?").wait_for()
    assert page.get_by_label("vLLM URL").input_value() == "gpu1:8000"
    assert stored(gateway) == {}
    page.get_by_label("vLLM URL").fill("http://127.0.0.1:9")
    page.get_by_role("button", name="Verify").click()
    page.locator("#verified .problem").wait_for()
    with SimServer(api_key="sk-right") as sim:
        page.get_by_label("vLLM URL").fill(sim.url)
        page.get_by_label("API Key").fill("sk-wrong")
        page.get_by_role("button", name="Verify").click()
        page.locator("#verified .problem").get_by_text("API key").wait_for()
        assert "sk-wrong" not in page.locator("#verified").inner_text()
    page.get_by_label("Weight").fill("heavy")
    page.get_by_role("button", name="Save").click()
    page.get_by_role("alert").get_by_text("The weight is a number").wait_for()
    assert page.get_by_label("Weight").evaluate("each => each === document.activeElement")
    assert [each for each in complaints if "422" not in each] == []


def test_two_tabs_edit_at_once(gateway: Running, sim: SimServer, tab: Any) -> None:
    url = f"{gateway.url}/models/providers/vllm/keys/sim0"
    first, second = tab(url), tab(url)
    first.get_by_label("Weight").fill("2")
    first.get_by_role("button", name="Save").click()
    first.get_by_role("rowheader", name="sim0").wait_for()
    second.get_by_label("Model Name").fill("llama")
    second.get_by_role("button", name="Save").click()
    second.get_by_role("alert").get_by_text("Somebody else has changed the configuration").wait_for()
    assert stored(gateway)["providers"]["vllm"]["keys"][0]["weight"] == 2
    assert second.get_by_label("Model Name").input_value() == "llama"
    second.get_by_label("Weight").fill("2")
    second.get_by_role("button", name="Save").click()
    second.get_by_role("rowheader", name="sim0").wait_for()
    assert stored(gateway)["providers"]["vllm"]["keys"][0]["vllm_key_config"]["model_name"] == "llama"


def test_an_edit_over_a_file_that_somebody_broke(gateway: Running, tab: Any) -> None:
    page = tab(f"{gateway.url}/models/providers/vllm/keys/sim0")
    gateway.file.path.write_text("{ not JSON")
    page.get_by_role("button", name="Save").click()
    page.locator("#said").wait_for()
    assert gateway.file.path.read_text() == "{ not JSON"
    assert page.get_by_label("Name", exact=True).input_value() == "sim0"


def test_a_key_is_deleted(gateway: Running, tab: Any) -> None:
    page = tab(f"{gateway.url}/models/providers/vllm/keys/sim0")
    page.on("dialog", lambda dialog: dialog.accept())
    page.get_by_role("button", name="Delete this key").click()
    page.get_by_text("The key sim0 is gone.").wait_for()
    assert stored(gateway)["providers"]["vllm"]["keys"] == []
    assert gateway.http.get("/v1/models").status_code == 503


def test_a_server_that_dies_while_looked_at(serve: Serve, tab: Any, complaints: list[str]) -> None:
    with SimServer(models="llama") as one, SimServer(models="llama") as two:
        gateway = serve(one, two)
        page = tab(gateway.url)
        for name in ("sim0", "sim1"):
            page.get_by_role("row", name=name).get_by_text("healthy").wait_for()
        page.locator("svg.chart").first.wait_for()
        one.stop()
        page.get_by_role("row", name="sim0").get_by_text("resting").wait_for()
        assert page.get_by_role("row", name="sim1").get_by_text("healthy").is_visible()
        page.get_by_role("status").get_by_text("sim0 is resting").wait_for(state="attached")
        two.fail_next("500", message="the GPU fell off")
        gateway.post(
            "/v1/chat/completions", {"model": "llama", "messages": [{"role": "user", "content": "a"}]}
        )
        page.get_by_text("the GPU fell off").wait_for()
        assert page.get_by_text("See the server's own log").is_visible()
        picture(page, "gateway-servers")
        page.reload()
        page.get_by_role("row", name="sim0").get_by_text("resting").wait_for()
    assert not complaints


def test_a_gateway_that_is_gone(serve: Serve, sim: SimServer, tab: Any) -> None:
    gateway = serve(sim)
    page = tab(gateway.url)
    page.get_by_text("healthy").first.wait_for()
    gateway.server.stop()
    page.get_by_role("alert").get_by_text("The gateway cannot be reached").wait_for()


def test_try_it(gateway: Running, tab: Any, complaints: list[str], sim: SimServer) -> None:
    page = tab(f"{gateway.url}/try")
    chat, rerank, embeddings = (
        page.get_by_role("region", name=name) for name in ("Chat", "Rerank", "Embeddings")
    )
    sync_api.expect(chat.get_by_label("Model")).not_to_have_value("", timeout=20_000)
    chat.get_by_label("Message").fill("Think: because\nSay: that is so")
    chat.get_by_role("button", name="Send").click()
    chat.get_by_text("that is so", exact=True).wait_for()
    assert chat.locator("[data-reasoning] pre").inner_text() == "because"
    chat.get_by_label("Message").fill("What is the capital of France?")
    chat.get_by_role("button", name="Send").click()
    chat.get_by_text("The capital of France is Paris.").wait_for()
    rerank.get_by_role("button", name="Rank").click()
    rerank.get_by_role("row").nth(3).wait_for()
    assert "Machine learning is a subset" in rerank.get_by_role("row").nth(1).inner_text()
    embeddings.get_by_role("button", name="Compare").click()
    embeddings.get_by_role("row").nth(3).wait_for()
    assert embeddings.get_by_role("cell", name="1.000").count() == 3
    for section in (chat, rerank, embeddings):
        for language in ("Python", "curl", "LangChain", "LlamaIndex"):
            section.get_by_text(language, exact=True).click()
            assert gateway.url in section.get_by_role("region", name=f"{language} code").inner_text()
            section.get_by_text(language, exact=True).click()
    python = chat.locator("[data-language=Python] pre").text_content()
    compile(python, "page", "exec")
    picture(page, "gateway-try")
    chat.get_by_text("Tools and schema").click()
    chat.get_by_label("Tools, a JSON list").fill("[")
    chat.get_by_role("button", name="Send").click()
    chat.get_by_role("alert").get_by_text("That is no JSON").wait_for()
    chat.get_by_label("Tools, a JSON list").fill('[{"type":"function","function":{"name":"look"}}]')
    chat.get_by_label("Message").fill('Call look {"at": "it"}')
    chat.get_by_role("button", name="Send").click()
    chat.get_by_text('look({"at": "it"})').wait_for()
    chat.get_by_label("Tools, a JSON list").fill("")
    sim.fail_next("unfinished", after=4)
    chat.get_by_role("button", name="Send").click()
    chat.get_by_role("alert").get_by_text("ended before it was complete").wait_for()
    assert not complaints


def test_long_lists_stay_quick(serve: Serve, tab: Any, complaints: list[str]) -> None:
    with SimServer(models=[f"team/model-{number:04}" for number in range(1000)]) as sim:
        keys = [{"name": f"key-{number:03}", "vllm_key_config": {"url": sim.url}} for number in range(100)]
        gateway = serve(config={"keys": keys})
        page = tab(gateway.url)
        page.get_by_role("row", name="key-099").wait_for()
        sync_api.expect(page.locator("#servers .healthy")).to_have_count(100, timeout=20_000)
        page.goto(f"{gateway.url}/models/providers/vllm")
        page.get_by_label("Find a key").fill("key-042")
        assert page.locator("#keys tbody tr:visible").count() == 1
        page.get_by_role("link", name="key-042").click()
        page.get_by_role("button", name="Verify").click()
        page.get_by_text("Reachable").wait_for()
        assert page.locator("#choices li").count() == 100
        assert page.get_by_text("900 more").is_visible()
        took = page.evaluate(
            """() => {
                const filter = document.querySelector("#choose-filter");
                const began = performance.now();
                for (const text of ["m", "mo", "model-09", "model-0999"]) {
                    filter.value = text;
                    filter.dispatchEvent(new Event("input"));
                    filter.getBoundingClientRect();
                }
                return performance.now() - began;
            }"""
        )
        assert page.locator("#choices li").count() == 1
        assert took < 2000, "a second's half for each letter, on a machine that does other things, too"
    assert not complaints


PAGES = ("/", "/models/providers", "/models/providers/vllm", "/models/providers/vllm/keys/sim0", "/try")


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_everybody_can_use_it(gateway: Running, browser: Any, scheme: str) -> None:
    axe = pytest.importorskip("axe_playwright_python.sync_playwright", reason="axe is beside Playwright")
    context = browser.new_context(color_scheme=scheme, viewport={"width": 1000, "height": 800})
    page = context.new_page()
    for path in PAGES:
        page.goto(gateway.url + path)
        if path == "/":
            page.get_by_text("healthy").first.wait_for()
        elif path.endswith("sim0"):
            page.get_by_role("button", name="Verify").click()
            page.get_by_text("Reachable").wait_for()
        elif path == "/try":
            page.get_by_role("button", name="Compare").click()
            page.get_by_role("cell", name="1.000").first.wait_for()
        results = axe.Axe().run(page)
        assert results.violations_count == 0, f"{path}: {results.generate_report()}"
    context.close()


def test_a_narrow_window(gateway: Running, browser: Any) -> None:
    context = browser.new_context(viewport={"width": 320, "height": 640})
    page = context.new_page()
    for path in PAGES:
        page.goto(gateway.url + path)
        assert page.evaluate("document.documentElement.scrollWidth") <= 320, path
    context.close()


def test_the_keyboard_alone(serve: Serve, sim: SimServer, tab: Any) -> None:
    gateway = serve(config={"keys": []})
    page = tab(f"{gateway.url}/models/providers/vllm/new")
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.textContent") == "Skip to content"
    page.keyboard.press("Enter")
    page.keyboard.press("Tab")  # the trail's links
    for _ in range(20):
        if page.evaluate("document.activeElement.id") == "name":
            break
        page.keyboard.press("Tab")
    page.keyboard.type("typed")
    page.keyboard.press("Tab")
    page.keyboard.press("Tab")
    page.keyboard.press("Control+A")
    page.keyboard.type(sim.url)
    page.keyboard.press("Enter")
    page.get_by_role("rowheader", name="typed").wait_for()
    assert stored(gateway)["keys"][0]["name"] == "typed"


def test_without_a_script(gateway: Running, sim: SimServer, browser: Any) -> None:
    context = browser.new_context(java_script_enabled=False)
    page = context.new_page()
    page.goto(gateway.url)
    assert page.get_by_role("row", name="sim0").get_by_text("healthy").is_visible()
    page.goto(f"{gateway.url}/models/providers/vllm/keys/sim0")
    page.get_by_label("Weight").fill("3")
    page.get_by_role("button", name="Save").click()
    assert stored(gateway)["providers"]["vllm"]["keys"][0]["weight"] == 3
    context.close()


def test_a_locked_gateway_asks_for_its_key(serve: Serve, sim: SimServer, browser: Any) -> None:
    gateway = serve(sim, settings={"api_keys": ("sk-of-the-gateway",)})
    context = browser.new_context(http_credentials={"username": "any", "password": "sk-of-the-gateway"})
    page = context.new_page()
    page.goto(gateway.url)
    page.get_by_text("healthy").first.wait_for()
    assert "sk-of-the-gateway" not in page.content()
    context.close()


def test_another_site_cannot_edit(gateway: Running) -> None:
    before = stored(gateway)
    fields = {
        "etag": gateway.file.current.etag,
        "delete": "yes",
        "name": "sim0",
        "url": "http://evil.example",
    }
    for headers in ({"Origin": "http://evil.example"}, {"Origin": "null"}, {"Sec-Fetch-Site": "cross-site"}):
        reply = gateway.http.post("/models/providers/vllm/keys/sim0", data=fields, headers=headers)
        assert reply.status_code == 403
    assert stored(gateway) == before


def test_headers_keep_others_out(gateway: Running) -> None:
    for path in (*PAGES, "/static/page.js", "/static/page.css", "/live.json"):
        headers = gateway.http.get(path).headers
        assert "default-src 'none'" in headers["content-security-policy"]
        assert "unsafe" not in headers["content-security-policy"]
        assert headers["x-content-type-options"] == "nosniff"
    for path in (
        "/static/../app.py",
        "/static/%2e%2e/app.py",
        "/static/nothing",
        "/models/providers/vllm/keys/no",
    ):
        assert gateway.http.get(path).status_code == 404


def test_what_is_typed_is_text(serve: Serve, sim: SimServer, tab: Any, complaints: list[str]) -> None:
    name = "<img src=x onerror=alert(1)>/é?#%"
    config = keys_of([sim], name=name)
    gateway = serve(config=config)
    page = tab(f"{gateway.url}/models/providers/vllm")
    page.get_by_role("link", name=name).click()
    assert page.get_by_label("Name", exact=True).input_value() == name
    page.get_by_role("button", name="Save").click()
    page.get_by_role("rowheader", name=name).wait_for()
    page.goto(gateway.url)
    page.get_by_text("healthy").first.wait_for()
    assert page.locator("img").count() == 0
    assert not complaints


def test_the_pictures_of_the_documentation_are_there() -> None:
    images = Path(__file__).parents[2] / "docs" / "images"
    for name in ("gateway-key", "gateway-servers", "gateway-try"):
        assert (images / f"{name}.png").stat().st_size > 5_000
