"""The report in a real browser: it opens by itself, draws, sorts, hovers and opens designs."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from made_runs import EVIL, made_run

from gas.exports.rows import design_rows
from gas.report.html import write_report
from gas.run import Run

BROWSER, DRIVER = shutil.which("chromium"), shutil.which("chromedriver")
FLAGS = "--headless=new --no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking"
FLAGS += " --disable-component-update --disable-sync --window-size=1400,2200"
POINTS = "#figure-front .scatterlayer .trace"

pytestmark = [
    pytest.mark.slow,  # a browser takes seconds to start
    pytest.mark.skipif(not (BROWSER and DRIVER), reason="no chromium with its chromedriver on this machine"),
]


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    return made_run(tmp_path_factory.mktemp("made"), 60, probes=60, measured=4)


@pytest.fixture(scope="module")
def browser(run: Run, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """A browser without a network that has opened the report."""
    from selenium import webdriver
    from selenium.webdriver.chrome.service import Service
    from selenium.webdriver.support.ui import WebDriverWait

    options = webdriver.ChromeOptions()
    options.binary_location = BROWSER
    for flag in (*FLAGS.split(), f"--user-data-dir={tmp_path_factory.mktemp('browser')}"):
        options.add_argument(flag)
    driver = webdriver.Chrome(options=options, service=Service(DRIVER))
    try:
        driver.execute_cdp_cmd("Network.enable", {})
        offline = {"offline": True, "latency": 0, "downloadThroughput": 0, "uploadThroughput": 0}
        driver.execute_cdp_cmd("Network.emulateNetworkConditions", offline)
        driver.get(write_report(run).as_uri())
        WebDriverWait(driver, 60).until(lambda d: d.execute_script("return document.body.dataset.drawn") == "yes")
        yield driver
    finally:
        driver.quit()


def js(browser: Any, script: str, *arguments: object) -> Any:
    return browser.execute_script(script, *arguments)


def drawn(browser: Any, role: str) -> dict[str, Any]:
    """The trace of a role, as plotly has it now."""
    script = """const t = document.getElementById('figure-front').data.find((t) => t.meta === arguments[0]);
        const color = t.marker && t.marker.color;
        return {x: Array.from(t.x), y: Array.from(t.y), ids: t.ids || [], color: color, type: t.type}"""
    return js(browser, script, role)


def choose(browser: Any, menu: str, value: str) -> None:
    script = """const s = document.getElementById(arguments[0]); s.value = arguments[1];
        s.dispatchEvent(new Event('change'));"""
    js(browser, script, menu, value)


def column(browser: Any, heading: str) -> list[str]:
    """What stands in a column of the front's table, from top to bottom."""
    script = """const t = document.querySelector('table.front');
        const at = Array.from(t.tHead.rows[0].cells).findIndex((c) => c.textContent.trim() === arguments[0]);
        return Array.from(t.tBodies[0].rows, (r) => r.cells[at].dataset.value)"""
    return js(browser, script, heading)


def press(browser: Any, heading: str) -> None:
    script = """Array.from(document.querySelectorAll('table.front th button'))
        .find((b) => b.textContent.trim() === arguments[0]).click()"""
    js(browser, script, heading)


def test_it_opens_without_errors_and_without_asking_anybody_for_anything(browser: Any) -> None:
    assert [line for line in browser.get_log("browser") if line["level"] == "SEVERE"] == []
    asked = js(browser, "return performance.getEntriesByType('resource').map((e) => e.name)")
    assert [url for url in asked if not url.startswith(("data:", "blob:"))] == []


def test_what_comes_from_a_run_is_text(browser: Any) -> None:
    assert browser.title == f"made {EVIL}: report of run"
    assert js(browser, "return document.querySelector('h1').textContent") == f"made {EVIL}"
    assert EVIL in js(browser, "return document.querySelector('#failures').textContent")
    assert js(browser, "return document.querySelectorAll('script').length") == 3


def test_it_draws_as_many_points_as_the_front_has(browser: Any, run: Run) -> None:
    front = run.front()
    points = js(
        browser, f"return Array.from(document.querySelectorAll('{POINTS}'), (t) => t.querySelectorAll('.point').length)"
    )
    assert len(front) in points
    ok = (run.frame()["status"] == "ok").sum()
    assert ok - len(front) in points
    assert js(browser, "return document.querySelectorAll('table.front tbody tr').length") == len(front)
    for name in ("volume", "importance", "latency", "waste"):
        assert js(browser, f"return document.querySelectorAll('#figure-{name} svg').length") > 0, name
    assert js(browser, "return document.querySelectorAll('#figure-parallel canvas').length") > 0
    shown = js(browser, "return Array.from(document.querySelectorAll('svg.diagram rect title'), (t) => t.textContent)")
    assert sum("stages[" in text and "blocks" in text for text in shown) == sum(run.choice()[0].depths)


def test_a_heading_sorts_numbers_as_numbers_and_what_is_not_known_last(browser: Any, run: Run) -> None:
    for heading, key in (("macs", "macs"), ("latency (ms)", "latency_ms")):
        known = sorted(run.front()[key].dropna().astype(float).tolist())
        unknown = [""] * (len(run.front()) - len(known))
        press(browser, heading)
        up = column(browser, heading)
        assert up == [*map(repr, known), *unknown]
        press(browser, heading)
        assert column(browser, heading) == [*map(repr, reversed(known)), *unknown]
    assert unknown  # or the test shows nothing


def test_the_pointer_shows_a_design(browser: Any, run: Run) -> None:
    from selenium.webdriver.common.action_chains import ActionChains
    from selenium.webdriver.support.ui import WebDriverWait

    script = """const box = document.getElementById('figure-front');
        const at = box.data.findIndex((t) => t.meta === 'front');
        const trace = box.calcdata[at][0].trace, l = box._fullLayout;
        box.scrollIntoView({behavior: 'instant', block: 'center'});
        const b = box.getBoundingClientRect();
        const x = b.left + l.xaxis._offset + l.xaxis.d2p(trace.x[3]);
        return [trace.ids[3], x, b.top + l.yaxis._offset + l.yaxis.d2p(trace.y[3])]"""
    id, x, y = js(browser, script)
    actions = ActionChains(browser)
    actions.w3c_actions.pointer_action.move_to_location(round(x) - 3, round(y) - 3)
    actions.w3c_actions.pointer_action.move_to_location(round(x), round(y))
    actions.perform()
    labels = "document.querySelectorAll('#figure-front .hoverlayer .hovertext')"
    words = f"return Array.from({labels}, (t) => t.textContent).join(' ')"
    shown = WebDriverWait(browser, 10).until(lambda d: d.execute_script(words))
    assert id in shown
    assert "dims" in shown
    actions = ActionChains(browser)
    actions.w3c_actions.pointer_action.click()
    actions.perform()
    WebDriverWait(browser, 10).until(lambda d: not d.execute_script("return document.getElementById('panel').hidden"))
    assert js(browser, "return document.getElementById('panel-title').textContent") == id
    js(browser, "document.getElementById('close').click()")


def test_a_row_opens_the_design_block_by_block(browser: Any, run: Run) -> None:
    row = run.front().iloc[-1]
    js(browser, "document.querySelector(`tr[data-id='${arguments[0]}']`).click()", row["id"])
    assert js(browser, "return document.getElementById('panel').hidden") is False
    rows = js(browser, "return Array.from(document.querySelectorAll('#panel-blocks tbody tr'), (r) => r.textContent)")
    assert len(rows) == len(design_rows(run.architecture(row["id"])))
    assert "conv_embed" in rows[0]
    assert "classifier" in rows[-1]
    js(browser, "document.dispatchEvent(new KeyboardEvent('keydown', {key: 'Escape'}))")
    assert js(browser, "return document.getElementById('panel').hidden") is True


def test_the_menus_put_other_metrics_on_the_axes(browser: Any, run: Run) -> None:
    front = run.front().set_index("id")
    choose(browser, "axis-x", "params")
    trace = drawn(browser, "front")
    assert trace["x"] == front.loc[trace["ids"], "params"].astype(float).tolist()
    assert "params" in js(browser, "return document.querySelector('#figure-front .xtitle').textContent")
    choose(browser, "axis-c", "latency_ms_predicted")
    assert drawn(browser, "front")["color"] == front.loc[trace["ids"], "latency_ms_predicted"].tolist()
    choose(browser, "axis-how", "depth")
    assert drawn(browser, "front")["type"] == "scatter3d"
    for menu, value in (("axis-how", "color"), ("axis-c", ""), ("axis-x", "macs")):
        choose(browser, menu, value)
    trace = drawn(browser, "front")
    assert trace["x"] == front.loc[trace["ids"], "macs"].astype(float).tolist()
    assert [line for line in browser.get_log("browser") if line["level"] == "SEVERE"] == []


def test_without_webgl_the_third_metric_is_a_colour_and_that_is_said(browser: Any) -> None:
    script = """window.kept = HTMLCanvasElement.prototype.getContext;
        HTMLCanvasElement.prototype.getContext = function (kind) {
            return kind.startsWith('webgl') ? null : kept.apply(this, arguments) }"""
    js(browser, script)
    try:
        choose(browser, "axis-c", "params")
        assert js(browser, "return document.getElementById('no-depth').hidden")
        choose(browser, "axis-how", "depth")
        assert not js(browser, "return document.getElementById('no-depth').hidden")
        assert drawn(browser, "front")["type"] == "scatter"
        assert len(drawn(browser, "front")["color"]) > 1
    finally:
        js(browser, "HTMLCanvasElement.prototype.getContext = window.kept")
        choose(browser, "axis-how", "color")
        choose(browser, "axis-c", "")
    assert js(browser, "return document.getElementById('no-depth').hidden")


def test_the_page_and_the_notebook_draw_the_same_steps(browser: Any, run: Run) -> None:
    """The front of two axes is worked out in the page and in Python, by different means."""
    for x in ("params", "macs"):
        choose(browser, "axis-x", x)
        page = drawn(browser, "steps")
        (trace,) = [t for t in run.plot_front(x=x).data if t.meta == "steps"]
        assert (page["x"], page["y"]) == (list(trace.x), list(trace.y))


@pytest.mark.parametrize("mode", ["light", "dark"])
def test_it_is_readable_by_day_and_by_night(browser: Any, mode: str, tmp_path: Path) -> None:
    import io

    import numpy as np
    from PIL import Image

    features = [{"name": "prefers-color-scheme", "value": mode}]
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": features})
    picture = np.asarray(Image.open(io.BytesIO(browser.get_screenshot_as_png())).convert("L"))
    assert (np.median(picture) > 200) == (mode == "light")
    assert picture.std() > 5
    assert js(browser, "return document.documentElement.scrollWidth <= window.innerWidth")
