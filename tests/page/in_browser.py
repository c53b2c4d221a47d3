"""The page in a real Chromium: axe finds nothing, and script and style are let run.

Run by `make test-page`, which installs Chromium and axe; not part of the default suite.
"""

import os
from pathlib import Path

import pytest
from selenium import webdriver
from selenium.webdriver.common.by import By

from sexton.page import render
from tests.support.documents import audited, check

AXE = Path(os.environ["AXE"]).read_text()
FLAGS = (
    *("--headless=new", "--no-sandbox", "--disable-gpu", "--disable-quic"),
    *("--no-first-run", "--disable-background-networking", "--disable-component-update"),
    *("--disable-sync", "--disable-dev-shm-usage"),
)
WIDTHS = (360, 800, 1400)


@pytest.fixture(scope="module")
def page(tmp_path_factory):
    before = audited(1, check("default_missing"), check("model_duplicated", 1, 2))
    lost = check("orphaned_default", status="incomplete", reason="stopped after 60 s")
    found = (check("default_missing", 7), check("model_duplicated", 1), lost, check("c"))
    file = tmp_path_factory.mktemp("page") / "report.html"
    file.write_text(render([before, audited(2, *found)]))
    return file.as_uri()


@pytest.fixture(scope="module", params=["light", "dark"])
def browser(request, tmp_path_factory):
    options = webdriver.ChromeOptions()
    for flag in FLAGS:
        options.add_argument(flag)
    options.add_argument(f"--user-data-dir={tmp_path_factory.mktemp('profile')}")
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    service = webdriver.ChromeService("/usr/bin/chromedriver")
    driver = webdriver.Chrome(options, service)
    scheme = {"name": "prefers-color-scheme", "value": request.param}
    driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": [scheme]})
    yield driver
    driver.quit()


@pytest.mark.parametrize("width", WIDTHS)
def test_axe_finds_nothing(browser, page, width):
    browser.set_window_size(width, 1000)
    browser.get(page)
    for details in browser.find_elements(By.TAG_NAME, "details"):
        browser.execute_script("arguments[0].open = true", details)
    browser.execute_script(AXE)
    found = browser.execute_async_script("axe.run().then(arguments[arguments.length - 1])")
    problems = [
        (problem["id"], [node["html"][:200] for node in problem["nodes"]])
        for problem in found["violations"]
    ]
    assert problems == []
    assert len(found["passes"]) > 20


@pytest.mark.parametrize("width", WIDTHS)
def test_nothing_runs_out_of_the_page(browser, page, width):
    browser.set_window_size(width, 1000)
    browser.get(page)
    root = "document.documentElement"
    over = browser.execute_script(f"return {root}.scrollWidth - {root}.clientWidth")
    assert over <= 0


def test_the_policy_lets_its_own_style_and_script_run(browser, page):
    browser.set_window_size(1400, 1000)
    browser.get(page)
    assert [entry["message"] for entry in browser.get_log("browser")] == []
    words = browser.find_element(By.ID, "words")
    assert words.is_displayed(), "the script shows the filter"
    words.send_keys("default_missing")
    shown = [
        e for e in browser.find_elements(By.CSS_SELECTOR, "article") if e.is_displayed()
    ]
    assert len(shown) == 1
