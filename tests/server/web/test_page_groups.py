"""The page's menus of a group, and its settings for bots, in a real browser."""

from __future__ import annotations

import urllib.error

import pytest
from selenium.webdriver.support.ui import Select
from servers.chromium import Browser
from servers.pages import Person, sign_in

pytestmark = pytest.mark.slow


@pytest.fixture
def group(ada: Person, bo: Person) -> str:
    """Ada's, with Bo in it."""
    made = ada.post("/page/groups", name="Hikers", members=[bo.account])
    return str(made["conversation"]["id"])


def choose(page: Browser, words: str) -> None:
    """Choose from the menu of the only other member."""
    page.click(".show-members")
    (menu,) = [each for each in page.all("#member-list select") if each.is_displayed()]
    Select(menu).select_by_visible_text(words)


def change(page: Browser, words: str) -> None:
    """Choose, and wait until it is done."""
    choose(page, words)
    page.wait_gone("#members")


def members(page: Browser, words: str, part: str = ".number") -> None:
    """Wait until the list of members holds some words, and close it."""
    page.click(".show-members")
    page.wait_for(f"#member-list {part}", words)
    page.click("#members .cancel")


def test_an_owner_bans_promotes_and_removes(
    page: Browser, ada: Person, bo: Person, group: str
) -> None:
    sign_in(page, ada, group)
    change(page, "Ban for 30 minutes")
    members(page, "banned")
    with pytest.raises(urllib.error.HTTPError):
        bo.say(group, "let me in")
    change(page, "Lift the ban")
    members(page, "Ban for 30 minutes", "option")
    bo.say(group, "thanks")
    page.wait_for(".message", "thanks")
    change(page, "Make administrator")
    members(page, "administrator")
    choose(page, "Remove from the group")
    page.driver.switch_to.alert.accept()
    page.wait_for(".subtitle", "1 member")


def test_a_menu_stays_when_the_list_is_told_nothing_new(
    page: Browser, ada: Person, bo: Person, group: str
) -> None:
    sign_in(page, ada, group)
    page.click(".show-members")
    menu = page.wait_for("#member-list select")
    ada.post("/page/room", conversation=group, name="Climbers")
    page.wait_for("#contacts .name", "Climbers")
    assert "Poke" in menu.text
    page.click("#members .cancel")


def test_names_are_read_beside_menus_on_a_phone(
    page: Browser, ada: Person, bo: Person, group: str
) -> None:
    ada.post("/page/room", conversation=group, member=bo.account, title="Guide")
    ada.post("/page/room", conversation=group, admin=bo.account, is_admin=True)
    sign_in(page, ada, group)
    page.resize(390, 780)
    page.click(".show-members")
    names = page.all("#member-list .name")
    assert min(each.size["width"] for each in names) > 100
    page.click("#members .cancel")
    page.resize(1200, 800)


def test_a_plain_member_may_only_poke(page: Browser, ada: Person, bo: Person, group: str) -> None:
    sign_in(page, bo, group)
    page.click(".show-members")
    menus = [each for each in page.all("#member-list select") if each.is_displayed()]
    assert [each.text for each in Select(menus[0]).options] == ["…", "Poke"]
    Select(menus[0]).select_by_visible_text("Poke")
    page.wait_gone("#members")
    ada.post("/page/room", conversation=group, silence=True)
    page.say("hello?")
    page.wait_for(".reason", "administrators")


def test_bots_are_let_in_and_a_wrong_address_is_named(page: Browser, bo: Person) -> None:
    sign_in(page, bo)
    open_bots(page)
    page.click("#bots .check", "Allow bots")
    page.click("#bots .make-token")
    page.type("#bots [name=reverse]", "http://127.0.0.1/")
    page.click("#bots .primary")
    page.wait_for("#bots [role=alert]", "ws or wss")
    page.wait_for("#bots [name=reverse]").clear()
    page.click("#bots .primary")
    page.wait_gone("#bots")
    open_bots(page)
    page.wait_for("#bots .address", f"/onebot/{bo.account}/")
    assert page.wait_for("#bots [name=is_on]").is_selected()


def open_bots(page: Browser) -> None:
    page.click("[data-opens=profile]")
    page.click("[data-opens=bots]")
