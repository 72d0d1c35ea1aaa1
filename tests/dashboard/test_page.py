"""The page in a real browser, of a flow in a process of its own."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from servers.chromium import Browser
from servers.contrast import low_contrasts
from servers.processes import running

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    browser = Browser(tmp_path_factory.mktemp("profile"))
    yield browser
    browser.driver.quit()


@pytest.fixture
def url() -> Iterator[str]:
    with running("servers.shown") as facts:
        yield facts["url"]


@pytest.fixture
def page(browser: Browser, url: str) -> Iterator[Browser]:
    browser.resize(1200, 900)
    browser.open(url)
    browser.wait_for("#failures .kind", "ValueError")
    yield browser
    assert browser.complaints() == []


def test_the_page_shows_chains_hosts_readers_rates_and_failures(page: Browser):
    page.wait_for("#name", "Prices")
    page.wait_for("#states button", "sent")
    page.wait_for("#list tr", "Prices.poll")
    page.wait_for("#hosts td", "127.0.0.1")
    page.wait_for("#readers td", "Prices.poll")
    page.wait_for("#slowest td", "GET http://127.0.0.1")
    page.wait_for("#p95", "s")
    page.wait_until(lambda: page.texts("#rate") != ["0.0"], "the rate is shown")
    assert page.texts("#failed") == ["1"]


def test_what_the_flow_sends_is_text_and_without_its_secrets(page: Browser):
    page.wait_for("#failures .words", "<img src=x onerror=alert(1)>")
    source = page.driver.page_source
    assert "token=..." in source
    assert "s3cr3t" not in source


def test_the_token_leaves_the_address_and_outlives_a_reload(page: Browser):
    assert "token" not in page.driver.current_url
    page.driver.refresh()
    page.wait_for("#link", "live")


def test_without_the_token_the_page_says_where_it_is(browser: Browser, url: str):
    browser.open(f"{url.partition('#')[0]}#token=wrong")
    browser.wait_for("#notice", "Open the address that the program has printed")
    assert not browser.wait_until(lambda: browser.all("main"), "main").pop().is_displayed()


def test_chains_are_listed_by_state_reader_and_text(page: Browser):
    page.type("#filter input", "/SLOW")
    page.wait_for("#matches", "3 of 23 alive")
    page.click("#states button", "sent")
    page.click("#readers button", "Prices.poll")
    page.click("#clear", "Prices.poll ✕")
    page.wait_for("#matches", "3 of 23 alive")
    page.wait_until(lambda: set(page.texts("#list .state")) == {"sent"}, "all are sent")


def test_a_chain_has_a_timeline_and_is_paused_resumed_and_cancelled(page: Browser):
    page.click("#list button", "Prices.1")
    page.wait_for("#steps li", "GET http://127.0.0.1")
    page.click("#timeline [data-action=pause]")
    page.wait_for("#timeline-state", "paused")
    page.click("#timeline [data-action=resume]")
    page.wait_until(lambda: page.texts("#timeline-state") != ["paused"], "it goes on")
    page.click("#timeline [data-action=cancel]")
    page.wait_for("#timeline-state", "ended")
    page.click("#close")
    page.wait_for("#matches", "22 alive")


def test_the_whole_flow_is_paused_and_resumed(page: Browser):
    page.click("#flow-action", "Pause all")
    page.wait_for("#flow-action", "Resume all")
    page.click("#flow-action", "Resume all")
    page.wait_for("#flow-action", "Pause all")


def test_nothing_is_wider_than_a_phone(page: Browser):
    page.resize(360, 700)
    page.click("#list button", "Prices.1")
    page.wait_for("#steps li")
    width = page.driver.execute_script("return document.documentElement.scrollWidth")
    assert width <= 360


def test_all_texts_have_contrast_in_both_schemes(page: Browser):
    page.wait_for("#states button", "sent")
    low = low_contrasts(page, "page")
    page.click("#list button", "Prices.1")
    page.wait_for("#steps li")
    assert low + low_contrasts(page, "timeline") == []


def test_chains_in_the_journal_that_have_failed_are_shown_and_retried(page: Browser):
    page.wait_for("#journal-path", "prices.db")
    page.wait_for("#letters td", "ValueError: no price on")
    (before,) = page.texts("#failed")
    page.click("#letters td:last-child button")
    page.wait_until(lambda: page.texts("#failed") != [before], "it has failed once more")
    page.click("#retry-all")
    page.wait_for("#journal-numbers", "1 failed")
