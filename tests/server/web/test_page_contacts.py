"""The page's discussions, headings, requests, profiles and temporary chats, in a real browser."""

from __future__ import annotations

import pytest
from selenium.webdriver.common.keys import Keys
from servers.chromium import Browser
from servers.pages import Person, Server, sign_in, with_

pytestmark = pytest.mark.slow


@pytest.fixture
def cy(server: Server, ada: Person, bo: Person) -> Person:
    """In a discussion with Ada and Bo, and no friend of Ada's."""
    cy = Person(server, "Cy")
    bo.befriend(cy)
    bo.post("/page/discussions", name="Lunch", members=[ada.account, cy.account])
    return cy


def test_a_discussion_is_made_renamed_and_left(page: Browser, ada: Person, bo: Person) -> None:
    sign_in(page, ada)
    page.click("[data-opens=new-group]")
    page.type("#new-group [name=name]", "Dinner")
    page.click("#new-group .choice label", "Discussion")
    page.click("#candidates .name", "Bo")
    page.click("#new-group .primary")
    page.wait_for(".subtitle", "Discussion, 2 members")
    page.click(".show-details")
    page.type("#room [name=name]", " at eight")
    page.click("#room .primary")
    page.wait_for(".conversation h2", "Dinner at eight")
    page.click(".show-details")
    page.click("#room .leave")
    page.driver.switch_to.alert.accept()
    page.wait_until(lambda: page.texts("#contacts .name") == ["Bo"], "the discussion is gone")


def test_a_fellow_member_is_written_to_in_a_temporary_chat(
    page: Browser, ada: Person, cy: Person
) -> None:
    sign_in(page, ada)
    page.click("#contacts .name", "Lunch")
    page.click(".show-members")
    page.click(f"#member-list .chat[href='#session:{cy.account}']")
    page.wait_for(".subtitle", "temporary chat by Lunch")
    page.say("psst")
    page.wait_for(".mine:not(.pending) .text", "psst")
    assert cy.heard(f"session:{ada.account}") == [["psst"]]
    cy.say(f"session:{ada.account}", "what?")
    page.wait_for(".message:not(.mine) .text", "what?")


def test_a_friend_gets_a_mark_and_a_heading(page: Browser, ada: Person, bo: Person) -> None:
    sign_in(page, ada, with_(bo))
    page.click(".show-details")
    page.type("#friend [name=mark]", "Bobby")
    page.type("#friend [name=heading]", "Work", Keys.ENTER)
    page.wait_for(".conversation h2", "Bobby")
    page.click("[data-lists=contacts]")
    page.wait_for("#contacts .heading", "Work (1)")
    page.click(".show-details")
    assert (
        page.driver.execute_script("return document.querySelector('#friend [name=category]').value")
        == "1"
    )
    page.click("#friend .cancel")


def test_who_wants_to_be_asked_accepts_on_the_page(
    page: Browser, server: Server, ada: Person
) -> None:
    sign_in(page, ada)
    page.click("#me")
    page.wait_for("#profile [name=nick]")
    page.wait_until(lambda: page.all("#profile [name=nick]")[0].get_attribute("value"), "filled")
    page.click("#profile [name=allow] option", "With my approval")
    page.type("#profile [name=lnick]", "out to sea")
    page.click("#profile .primary")
    page.wait_for("#my-lnick", "out to sea")
    dee = Person(server, "Dee")
    assert dee.post("/page/friends", account=ada.account, text="from school") == {"asked": "Ada"}
    page.wait_for("#requests .text", "from school")
    page.click("#requests .accept")
    page.wait_for("#contacts .name", "Dee")
    page.wait_until(lambda: page.all("#requests li") == [], "the request stays")


def test_a_refused_request_is_gone(page: Browser, server: Server, ada: Person) -> None:
    ada.post("/page/profile", allow=1)
    dee = Person(server, "Dee")
    dee.post("/page/friends", account=ada.account, text="")
    sign_in(page, ada)
    page.click("#requests .refuse")
    page.wait_until(lambda: page.all("#requests li") == [], "the request stays")
    assert page.all("#contacts a") == []


def test_who_writes_is_shown_to_be_writing(page: Browser, ada: Person, bo: Person) -> None:
    sign_in(page, ada, with_(bo))
    page.wait_for(".subtitle", "QQ")
    page.wait_until(lambda: not page.all("#reconnecting")[0].is_displayed(), "live")
    bo.say(with_(ada), "hm")
    page.wait_for(".bubble", "hm")
    bo.post("/page/typing", conversation=with_(ada))
    page.wait_for(".subtitle", "is typing")
    bo.say(with_(ada), "there")
    page.wait_for(".subtitle", "QQ")


@pytest.mark.parametrize("width", [360, 1200])
def test_nothing_is_wider_than_the_window(
    page: Browser, ada: Person, cy: Person, width: int
) -> None:
    page.resize(width, 700)
    try:
        sign_in(page, ada)
        page.click("[data-lists=contacts]")
        page.click("#contacts .name", "Lunch")
        page.click(".show-details")
        page.wait_for("#room [name=mark]")
        script = "return document.documentElement.scrollWidth"
        assert page.driver.execute_script(script) == width
        dialog = "const d = document.querySelector('#room'); return d.scrollWidth - d.clientWidth"
        assert page.driver.execute_script(dialog) == 0
        page.click("#room .cancel")
    finally:
        page.resize(1200, 800)
