"""A real browser: Debian's ``chromium`` and ``chromium-driver``, headless."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from selenium.common.exceptions import StaleElementReferenceException
from selenium.webdriver import Chrome, ChromeOptions, ChromeService
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.remote.webelement import WebElement
from selenium.webdriver.support.wait import WebDriverWait

DEADLINE = 60.0
FLAGS = (
    "--headless=new --no-sandbox --disable-gpu --disable-quic --no-first-run "
    "--disable-background-networking --disable-component-update --disable-sync"
)


class Browser:
    """One Chromium with a profile of its own."""

    def __init__(self, profile: Path) -> None:
        options = ChromeOptions()
        options.binary_location = _debian("chromium", "chromium")
        for flag in [*FLAGS.split(), f"--user-data-dir={profile}", "--window-size=1200,800"]:
            options.add_argument(flag)
        options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
        service = ChromeService(_debian("chromedriver", "chromium-driver"))
        self.driver = Chrome(options=options, service=service)

    def open(self, url: str) -> None:
        """Open an address as somebody who was never here."""
        self.driver.execute_cdp_cmd("Network.clearBrowserCookies", {})
        self.driver.execute_script("try { localStorage.clear() } catch {}")
        self.driver.get("about:blank")  # an address that differs in its #part alone loads nothing
        self.driver.get(url)

    def sign_in(self, link: str, nick: str, conversation: str = "") -> None:
        """Open a sign-in link, and the conversation."""
        self.open(f"{link}#{conversation}")
        self.wait_for("#my-nick", nick)

    def all(self, selector: str) -> list[WebElement]:
        return self.driver.find_elements(By.CSS_SELECTOR, selector)

    def texts(self, selector: str) -> list[str]:
        return [element.text for element in self.all(selector)]

    def wait_until(self, holds: Callable[[], Any], why: str) -> Any:
        wait = WebDriverWait(
            self.driver,
            DEADLINE,
            poll_frequency=0.05,
            ignored_exceptions=[StaleElementReferenceException],
        )
        return wait.until(lambda _driver: holds(), why)

    def wait_for(self, selector: str, text: str = "") -> WebElement:
        """The first visible element that matches and holds the text, as soon as there is one."""

        def found() -> WebElement | None:
            shown = (each for each in self.all(selector) if each.is_displayed())
            return next((each for each in shown if text in each.text), None)

        element = self.wait_until(found, f"{selector} with {text!r}; there is {self._seen()}")
        assert isinstance(element, WebElement)
        return element

    def wait_gone(self, selector: str) -> None:
        def is_gone() -> bool:
            return not any(each.is_displayed() for each in self.all(selector))

        self.wait_until(is_gone, f"{selector} stays")

    def click(self, selector: str, text: str = "") -> None:
        self._act(lambda: self.wait_for(selector, text).click(), f"no click on {selector}")

    def type(self, selector: str, *keys: str) -> None:
        self._act(lambda: self.wait_for(selector).send_keys(*keys), f"no typing into {selector}")

    def _act(self, action: Callable[[], None], why: str) -> None:
        """Act, once more where the page has drawn the element anew in between."""

        def done() -> bool:
            action()
            return True

        self.wait_until(done, why)

    def say(self, text: str) -> None:
        self.type("textarea", text, Keys.ENTER)

    def complaints(self) -> list[str]:
        """What the console says against the page itself; failed requests are in the tests' plan."""
        entries: list[dict[str, Any]] = self.driver.get_log("browser")  # type: ignore[no-untyped-call]
        return [
            entry["message"]
            for entry in entries
            if entry["source"] != "network" and "WebSocket connection" not in entry["message"]
        ]

    def resize(self, width: int, height: int) -> None:
        metrics = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": False}
        self.driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)

    @contextmanager
    def offline(self) -> Iterator[None]:
        usual = {"latency": 0, "throughput": -1}
        self.driver.set_network_conditions(offline=True, **usual)
        try:
            yield
        finally:
            self.driver.set_network_conditions(offline=False, **usual)

    def _seen(self) -> str:
        return " | ".join(self.texts("body"))


def _debian(program: str, package: str) -> str:
    path = shutil.which(program)
    if path is None:
        pytest.fail(f"{program} is missing: apt-get install {package}")
    return path
