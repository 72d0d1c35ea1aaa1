"""The page in a real browser, against the real server in a process of its own.

Needs Debian's ``chromium`` and ``chromium-driver``. Everything stays on loopback.
"""

from __future__ import annotations

import http.cookiejar
import io
import json
import urllib.request
from collections.abc import Iterator

import pytest
import zxingcpp
from PIL import Image
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from servers.chromium import DEADLINE, Browser
from servers.contrast import low_contrasts
from servers.pages import Person, Server, sign_in, with_

from webqq_tornado.protocol.hashes import hash33

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def browsers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[Browser]]:
    browsers = [Browser(tmp_path_factory.mktemp("profile")) for _ in range(2)]
    yield browsers
    for browser in browsers:
        browser.driver.quit()


@pytest.fixture
def page(browsers: list[Browser]) -> Iterator[Browser]:
    yield browsers[0]
    assert browsers[0].complaints() == []


@pytest.fixture
def other_page(browsers: list[Browser]) -> Iterator[Browser]:
    yield browsers[1]
    assert browsers[1].complaints() == []


def test_a_sign_in_link_opens_the_page_as_that_account(page: Browser, ada: Person) -> None:
    page.open(ada.server.sign_in_link(ada.account))
    page.wait_for("#my-nick", "Ada")
    page.wait_for(".my-number", str(ada.account))


# -- clients that show a QR code ----------------------------------------------------------------


class QRClient:
    """A program that shows a QR code."""

    def __init__(self, server: Server) -> None:
        self.server = server
        self.jar = http.cookiejar.CookieJar()
        self.opener = urllib.request.build_opener(urllib.request.HTTPCookieProcessor(self.jar))
        self.picture = self._get("/ptqrshow?appid=501004106&t=0.1")

    @property
    def number(self) -> str:
        """What stands below the code."""
        return str(Image.open(io.BytesIO(self.picture)).text["Number"])

    @property
    def state(self) -> str:
        (qrsig,) = [cookie.value for cookie in self.jar if cookie.name == "qrsig"]
        return self._get(f"/ptqrlogin?ptqrtoken={hash33(qrsig or '')}&action=0-0-1").decode()

    def _get(self, path: str) -> bytes:
        reply: bytes
        with self.opener.open(self.server.url + path, timeout=DEADLINE) as answer:
            reply = answer.read()
        return reply


def test_a_client_that_shows_a_qr_code_is_let_in_on_the_page(page: Browser, ada: Person) -> None:
    sign_in(page, ada)
    client = QRClient(ada.server)
    page.click("[data-opens=qr-sign-in]")
    page.wait_for("#waiting-clients .address", "127.0.0.1")
    page.wait_for("#waiting-clients .code", client.number)
    page.click("#waiting-clients .confirm")
    page.wait_for("#notice-text", "signed in as Ada")
    assert "'登录成功！', 'Ada');" in client.state


def test_a_client_that_shows_a_qr_code_is_announced_and_named(
    page: Browser, ada: Person, bo: Person
) -> None:
    sign_in(page, ada)
    page.wait_until(lambda: bo.sees(ada) == "online", "the page is live")
    QRClient(ada.server)
    page.click(".has-waiting[data-opens=qr-sign-in]")
    page.wait_for("#waiting-clients .name", "Python-urllib")
    page.wait_for("#waiting-clients .left", "2:")
    page.wait_gone(".has-waiting")


def test_a_code_that_is_shown_while_the_list_is_open_appears_in_it(
    page: Browser, ada: Person, bo: Person
) -> None:
    sign_in(page, ada)
    page.wait_until(lambda: bo.sees(ada) == "online", "the page is live")
    page.click("[data-opens=qr-sign-in]")
    page.wait_for("#qr-sign-in h2")
    before = len(page.all("#waiting-clients li"))
    QRClient(ada.server)
    page.wait_until(lambda: len(page.all("#waiting-clients li")) > before, "another row")
    page.click("#qr-sign-in .cancel")


def test_a_client_can_be_refused(page: Browser, ada: Person) -> None:
    sign_in(page, ada)
    client = QRClient(ada.server)
    page.click("[data-opens=qr-sign-in]")
    page.click("#waiting-clients .refuse")
    page.wait_for("#notice-text", "refused")
    assert client.state.startswith("ptuiCB('65'")


def test_the_address_in_a_qr_code_asks_once_one_has_signed_in(page: Browser, ada: Person) -> None:
    client = QRClient(ada.server)
    address = address_in(client.picture)
    page.open(address)
    page.type("#sign-in [name=account]", str(ada.account))
    page.type("#sign-in [name=password]", ada.password, Keys.ENTER)
    page.wait_for("#waiting-clients .address", "127.0.0.1")
    assert client.state.startswith("ptuiCB('67'")
    page.click("#waiting-clients .confirm")
    page.wait_for("#notice-text", "signed in as Ada")


def test_a_qr_code_that_is_over_says_so(page: Browser, ada: Person) -> None:
    sign_in(page, ada)
    page.driver.get(f"{ada.server.url}/?qr=over")
    page.wait_for("#qr-sign-in [role=alert]", "expired")
    page.click("#qr-sign-in .cancel")


def address_in(picture: bytes) -> str:
    found = zxingcpp.read_barcodes(Image.open(io.BytesIO(picture)))
    return found[0].text


def test_a_used_sign_in_link_says_so(page: Browser, ada: Person) -> None:
    link = ada.server.sign_in_link(ada.account)
    page.open(link)
    page.wait_for("#my-nick", "Ada")
    page.open(link)
    page.wait_for("#notice", "already used")
    page.wait_for("#sign-in")


def test_a_wrong_password_says_so(page: Browser, ada: Person) -> None:
    page.open(ada.server.url)
    page.type("#sign-in [name=account]", str(ada.account))
    page.type("#sign-in [name=password]", "wrong", Keys.ENTER)
    page.wait_for("#sign-in [role=alert]", "password")
    assert not page.driver.find_element(By.ID, "app").is_displayed()


def test_number_and_password_sign_in(page: Browser, ada: Person) -> None:
    page.open(ada.server.url)
    page.type("#sign-in [name=account]", str(ada.account))
    page.type("#sign-in [name=password]", ada.password, Keys.ENTER)
    page.wait_for("#my-nick", "Ada")


def test_signing_out_leaves_nothing_on_display(page: Browser, ada: Person, bo: Person) -> None:
    bo.say(with_(ada), "secret")
    sign_in(page, ada, with_(bo))
    page.wait_for(".bubble", "secret")
    page.click("#sign-out")
    page.wait_for("#sign-in")
    assert page.all(".bubble") == []
    assert page.all("#contacts a") == []


def test_a_message_reaches_the_other_page_live(
    page: Browser, other_page: Browser, ada: Person, bo: Person
) -> None:
    sign_in(page, ada, with_(bo))
    sign_in(other_page, bo, with_(ada))
    page.say("Hello Bo")
    page.wait_for(".mine:not(.pending) .text", "Hello Bo")
    other_page.wait_for(".message:not(.mine) .text", "Hello Bo")
    other_page.say("Hello Ada")
    page.wait_for(".message:not(.mine) .text", "Hello Ada")
    assert page.texts(".text") == ["Hello Bo", "Hello Ada"]


def test_shift_enter_begins_a_new_line(page: Browser, ada: Person, bo: Person) -> None:
    sign_in(page, ada, with_(bo))
    page.type("textarea", "one", Keys.SHIFT, Keys.ENTER, Keys.NULL, "two", Keys.ENTER)
    page.wait_for(".mine:not(.pending) .text", "one\ntwo")
    assert bo.heard(with_(ada)) == [["one\ntwo"]]


def test_unread_messages_are_counted_until_the_conversation_is_opened(
    page: Browser, ada: Person, bo: Person
) -> None:
    sign_in(page, ada)
    page.wait_for("#contacts .name", "Bo")
    for text in ("one", "two"):
        bo.say(with_(ada), text)
    page.wait_for(".badge", "2")
    page.wait_for(".preview", "two")
    page.click("#contacts a")
    page.wait_for(".bubble", "two")
    page.wait_gone(".badge")


def test_what_was_read_is_not_unread_after_a_reload(page: Browser, ada: Person, bo: Person) -> None:
    bo.say(with_(ada), "one")
    sign_in(page, ada, with_(bo))
    page.wait_for(".bubble", "one")
    page.wait_until(lambda: _unread(ada) == 0, "the server counts it still")
    page.driver.get(ada.server.url)
    page.wait_for(".preview", "one")
    page.wait_gone(".badge")


def _unread(person: Person) -> int:
    with person.opener.open(f"{person.server.url}/page/state", timeout=DEADLINE) as reply:
        return sum(conversation["unread"] for conversation in json.load(reply)["conversations"])


def test_markup_is_shown_as_text(page: Browser, server: Server, ada: Person) -> None:
    markup = '<img src=x onerror="document.title=1"><b>bold</b> &amp;'
    mallory = Person(server, "<i>Mal</i>")
    mallory.befriend(ada)
    mallory.say(with_(ada), markup)
    sign_in(page, ada, with_(mallory))
    assert page.wait_for(".text").text == markup
    page.wait_for("#contacts .name", "<i>Mal</i>")
    assert page.all(".bubble img, .bubble b, #contacts i") == []


def test_only_web_addresses_become_links(page: Browser, ada: Person, bo: Person) -> None:
    bo.say(with_(ada), "see https://example.org/a?b=1, not javascript:alert(1)")
    sign_in(page, ada, with_(bo))
    page.wait_for(".text", "javascript:alert(1)")
    links = [link.get_attribute("href") for link in page.all(".text a")]
    assert links == ["https://example.org/a?b=1"]


def test_a_picked_face_is_sent_as_a_face(page: Browser, ada: Person, bo: Person) -> None:
    sign_in(page, ada, with_(bo))
    page.type("textarea", "hi ")
    page.click(".toggle-faces")
    page.click(".picker button[aria-label=微笑]")
    page.type("textarea", "!", Keys.ENTER)
    page.wait_for(".mine:not(.pending) .face", "🙂")
    assert bo.heard(with_(ada)) == [["hi ", ["face", 14], "!"]]


def test_a_face_without_an_emoji_is_named(page: Browser, ada: Person, bo: Person) -> None:
    bo.say(with_(ada), ["face", 133])
    sign_in(page, ada, with_(bo))
    page.wait_for(".face.chip", "[左太极]")


def test_a_text_beyond_the_limit_is_not_sent(page: Browser, ada: Person, bo: Person) -> None:
    sign_in(page, ada, with_(bo))
    page.type("textarea", "x" * 721, Keys.ENTER)
    page.wait_for(".counter.over", "1 bytes too long")
    assert bo.heard(with_(ada)) == []


def test_older_messages_come_on_scroll_up(page: Browser, ada: Person, bo: Person) -> None:
    for number in range(60):
        bo.say(with_(ada), f"number {number}")
    sign_in(page, ada, with_(bo))
    page.wait_for(".bubble", "number 59")
    assert len(page.all(".bubble")) == 50
    page.driver.execute_script("document.querySelector('.log').scrollTop = 0")
    page.wait_until(lambda: len(page.all(".bubble")) == 60, "the older ten do not come")
    assert page.texts(".text") == [f"number {number}" for number in range(60)]


def test_a_new_message_does_not_pull_the_reader_away_from_older_ones(
    page: Browser, ada: Person, bo: Person
) -> None:
    for number in range(30):
        bo.say(with_(ada), f"number {number}")
    sign_in(page, ada, with_(bo))
    page.wait_for(".bubble", "number 29")
    page.driver.execute_script("document.querySelector('.log').scrollTop = 200")
    bo.say(with_(ada), "the newest")
    page.click(".newest")
    page.wait_gone(".newest")
    assert page.driver.execute_script("return document.querySelector('.log').scrollTop") > 200


def say_offline(page: Browser, *texts: str) -> None:
    """Write what does not reach the server; the way there is open again afterwards."""
    page.wait_for("textarea")
    with page.offline():
        for text in texts:
            page.say(text)
        page.wait_for(".failed .state", "Not sent yet")


def test_a_message_that_was_not_sent_is_retried(page: Browser, ada: Person, bo: Person) -> None:
    sign_in(page, ada, with_(bo))
    say_offline(page, "from the tunnel")
    page.click(".failed .retry")
    page.wait_for(".mine:not(.pending) .text", "from the tunnel")
    assert bo.heard(with_(ada)) == [["from the tunnel"]]


def test_what_is_written_after_a_message_that_was_not_sent_follows_it(
    page: Browser, ada: Person, bo: Person
) -> None:
    sign_in(page, ada, with_(bo))
    say_offline(page, "from the tunnel")
    page.say("out of the tunnel")
    page.wait_for(".mine:not(.pending) .text", "out of the tunnel")
    assert bo.heard(with_(ada)) == [["from the tunnel"], ["out of the tunnel"]]


def test_signing_out_gives_up_what_was_not_sent(page: Browser, ada: Person, bo: Person) -> None:
    sign_in(page, ada, with_(bo))
    say_offline(page, "from the tunnel")
    page.click("#sign-out")
    page.wait_for("#sign-in")
    sign_in(page, ada, with_(bo))
    page.wait_for("textarea")
    page.say("on second thoughts")
    page.wait_for(".mine:not(.pending) .text", "on second thoughts")
    assert bo.heard(with_(ada)) == [["on second thoughts"]]


def test_what_was_not_sent_outlives_a_reload(page: Browser, ada: Person, bo: Person) -> None:
    sign_in(page, ada, with_(bo))
    say_offline(page, "from the tunnel", "still there")
    page.driver.refresh()
    page.wait_for(".mine:not(.pending) .text", "still there")
    page.driver.refresh()
    page.wait_for(".mine:not(.pending) .text", "still there")
    assert bo.heard(with_(ada)) == [["from the tunnel"], ["still there"]]


def test_what_was_not_sent_is_nobody_elses(page: Browser, ada: Person, bo: Person) -> None:
    sign_in(page, ada, with_(bo))
    say_offline(page, "from the tunnel")
    sign_in(page, bo, with_(ada))
    page.wait_for("textarea")
    page.say("hello")
    page.wait_for(".mine:not(.pending) .text", "hello")
    assert page.texts(".mine .text") == ["hello"]
    sign_in(page, ada, with_(bo))
    page.wait_for(".mine:not(.pending) .text", "from the tunnel")
    assert bo.heard(with_(ada)) == [["hello"], ["from the tunnel"]]


def test_a_restarted_server_is_found_again(
    page: Browser, server: Server, ada: Person, bo: Person
) -> None:
    sign_in(page, ada, with_(bo))
    page.wait_for("textarea")
    with server.away():
        page.wait_for("#reconnecting", "Reconnecting")
        page.say("written meanwhile")
        page.wait_for(".failed .text", "written meanwhile")
    page.wait_gone("#reconnecting")
    page.wait_for(".mine:not(.pending) .text", "written meanwhile")
    bo.say(with_(ada), "welcome back")
    page.wait_for(".message:not(.mine) .text", "welcome back")
    assert bo.heard(with_(ada)) == [["written meanwhile"], ["welcome back"]]


def test_whoever_registers_learns_their_number_and_adds_a_friend(
    page: Browser, other_page: Browser, ada: Person
) -> None:
    sign_in(other_page, ada)
    page.open(ada.server.url)
    page.click("[data-shows=register]")
    page.type("#register [name=nick]", "Cleo")
    page.type("#register [name=password]", "long enough", Keys.ENTER)
    page.wait_for("#notice", page.wait_for("aside .my-number").text)
    page.click("#notice-close")
    page.wait_gone("#notice")
    page.click("[data-opens=add-friend]")
    page.type("#add-friend input", str(ada.account), Keys.ENTER)
    page.wait_for(".conversation h2", "Ada")
    other_page.wait_for("#contacts .name", "Cleo")


def test_an_unknown_friend_says_so(page: Browser, ada: Person) -> None:
    sign_in(page, ada)
    page.click("[data-opens=add-friend]")
    page.type("#add-friend input", "999999999", Keys.ENTER)
    page.wait_for("#add-friend [role=alert]")
    page.click("#add-friend .cancel")
    page.wait_gone("#add-friend")


def test_a_new_group_reaches_its_members(
    page: Browser, other_page: Browser, ada: Person, bo: Person
) -> None:
    sign_in(other_page, bo)
    sign_in(page, ada)
    page.click("[data-opens=new-group]")
    page.type("#new-group [name=name]", "Hikers")
    page.click("#candidates .name", "Bo")
    page.click("#new-group .primary")
    page.wait_for(".conversation h2", "Hikers")
    page.say("Saturday?")
    other_page.click("#contacts .name", "Hikers")
    other_page.wait_for(".in-group .author", "Ada")
    other_page.click(".show-members")
    other_page.wait_until(
        lambda: sorted(other_page.texts("#member-list .name")) == ["Ada", "Bo"], "the two members"
    )


def test_the_search_box_narrows_the_list(page: Browser, server: Server, ada: Person) -> None:
    for nick in ("Dmitri", "Dora", "Egon"):
        Person(server, nick).befriend(ada)
    sign_in(page, ada)
    page.wait_for("#contacts .name", "Egon")
    page.type("#search", "d")
    page.wait_until(lambda: page.texts("#contacts .name") == ["Dmitri", "Dora"], "two are left")


def test_the_page_has_a_heading_and_its_profile_is_called_what_it_shows(
    page: Browser, ada: Person
) -> None:
    sign_in(page, ada)
    page.wait_for("h1", "WebQQ")
    assert page.wait_for("#me").accessible_name == f"Ada QQ {ada.account}"


def test_labels_that_stand_side_by_side_are_in_line(page: Browser, ada: Person) -> None:
    sign_in(page, ada)
    page.click("#me")
    page.wait_for("#profile .pair")
    for pair in page.all("#profile .pair"):
        assert len({label.location["y"] for label in pair.find_elements(By.TAG_NAME, "label")}) == 1
    page.click("#profile .cancel")


def test_a_narrow_window_shows_one_pane_at_a_time(page: Browser, ada: Person, bo: Person) -> None:
    page.resize(360, 640)
    try:
        sign_in(page, ada)
        page.click("#contacts .name", "Bo")
        page.wait_for("textarea")
        page.wait_gone("aside")
        page.click(".back")
        page.wait_for("aside")
        page.wait_gone("#thread")
        assert page.driver.execute_script("return document.documentElement.scrollWidth") == 360
    finally:
        page.resize(1200, 800)


def test_a_password_is_changed_and_the_page_stays_signed_in(page: Browser, ada: Person) -> None:
    sign_in(page, ada)
    page.click("#me")
    page.click("#profile [data-opens=security]")
    page.type("#password-form [name=current]", ada.password)
    page.type("#password-form [name=changed]", "another horse")
    page.type("#password-form [name=again]", "another house", Keys.ENTER)
    page.wait_for("#password-form [role=alert]", "are not the same")
    again = page.wait_for("#password-form [name=again]")
    again.clear()
    again.send_keys("another horse", Keys.ENTER)
    page.wait_for("#notice-text", "Your password is changed")
    page.driver.refresh()
    page.wait_for("#my-nick", "Ada")


def test_a_wrong_current_password_says_so(page: Browser, ada: Person) -> None:
    sign_in(page, ada)
    page.click("#me")
    page.click("#profile [data-opens=security]")
    page.type("#password-form [name=current]", "not it")
    page.type("#password-form [name=changed]", "another horse")
    page.type("#password-form [name=again]", "another horse", Keys.ENTER)
    page.wait_for("#password-form [role=alert]", "The current password is wrong")
    page.click("#security .cancel")
    page.complaints()  # the browser notes the 403


def test_signing_out_everywhere_reaches_the_other_browser(
    page: Browser, other_page: Browser, ada: Person
) -> None:
    sign_in(page, ada)
    sign_in(other_page, ada)
    page.click("#me")
    page.click("#profile [data-opens=security]")
    page.click("#sign-out-everywhere")
    page.driver.switch_to.alert.accept()
    page.wait_for("#notice-text", "You are signed out everywhere")
    other_page.wait_for("#notice-text", "You have been signed out")
    page.driver.refresh()
    page.wait_for("#sign-in")


def test_a_second_window_is_signed_in_as_well(page: Browser, ada: Person) -> None:
    sign_in(page, ada)
    first = page.driver.current_window_handle
    page.driver.switch_to.new_window("tab")
    page.driver.get(ada.server.url)
    page.wait_for("#my-nick", "Ada")
    page.driver.close()
    page.driver.switch_to.window(first)


# -- drafts -------------------------------------------------------------------------------------


def draft(page: Browser) -> str:
    return str(page.wait_for("textarea").get_property("value"))


def kept(page: Browser) -> str:
    """All that the browser keeps of the page."""
    return str(
        page.driver.execute_script("return JSON.stringify({...localStorage, ...sessionStorage})")
    )


def open_conversation(page: Browser, person: Person) -> None:
    page.driver.execute_script("location.hash = arguments[0]", with_(person))
    page.wait_for(".conversation h2", person.nick)


def test_drafts_outlive_reload_and_switching_each_in_its_conversation(
    page: Browser, ada: Person, bo: Person
) -> None:
    cleo = Person(ada.server, "Cleo")
    cleo.befriend(ada)
    sign_in(page, ada, with_(bo))
    page.type("textarea", "for Bo")
    page.click(".toggle-faces")
    page.click(".picker button[aria-label=微笑]")
    open_conversation(page, cleo)
    assert draft(page) == ""
    page.type("textarea", "for Cleo")
    page.driver.refresh()
    page.wait_until(lambda: draft(page) == "for Cleo", "the draft is not there")
    open_conversation(page, bo)
    page.wait_until(lambda: draft(page).startswith("for Bo"), "the other is not there")
    page.type("textarea", Keys.ENTER)
    page.wait_for(".mine:not(.pending) .text", "for Bo")
    page.driver.refresh()
    page.wait_for(".mine .text", "for Bo")
    assert draft(page) == ""
    assert bo.heard(with_(ada)) == [["for Bo", ["face", 14]]]


def test_a_draft_that_was_deleted_stays_so(page: Browser, ada: Person, bo: Person) -> None:
    sign_in(page, ada, with_(bo))
    page.type("textarea", "x", Keys.BACKSPACE)
    assert "draft" not in kept(page)


def test_signing_out_leaves_no_draft(page: Browser, ada: Person, bo: Person) -> None:
    sign_in(page, ada, with_(bo))
    page.type("textarea", "on my mind")
    assert "on my mind" in kept(page)
    page.click("#sign-out")
    page.wait_for("#sign-in")
    assert "on my mind" not in kept(page)
    page.type("#sign-in [name=account]", str(ada.account))
    page.type("#sign-in [name=password]", ada.password, Keys.ENTER)
    page.wait_for("#my-nick", "Ada")
    open_conversation(page, bo)
    assert draft(page) == ""


def test_a_draft_is_nobody_elses(page: Browser, ada: Person, bo: Person) -> None:
    cleo = Person(ada.server, "Cleo")
    cleo.befriend(ada)
    cleo.befriend(bo)
    sign_in(page, ada, with_(cleo))
    page.type("textarea", "on my mind")
    page.driver.get("about:blank")
    page.driver.get(f"{bo.server.sign_in_link(bo.account)}#{with_(cleo)}")
    page.wait_for("#my-nick", "Bo")
    page.wait_for(".conversation h2", "Cleo")
    assert draft(page) == ""


def test_where_the_browser_keeps_nothing_the_page_works_on(
    page: Browser, ada: Person, bo: Person
) -> None:
    sign_in(page, ada, with_(bo))
    page.driver.execute_script("Storage.prototype.setItem = () => { throw new Error('full'); }")
    page.say("all the same")
    page.wait_for(".mine:not(.pending) .text", "all the same")


# -- search -------------------------------------------------------------------------------------


def test_the_search_box_finds_a_message_and_goes_there(
    page: Browser, ada: Person, bo: Person
) -> None:
    bo.say(with_(ada), "the quince jelly is in the cellar")
    for number in range(120):
        bo.say(with_(ada), f"chatter {number}")
    sign_in(page, ada)
    page.type("#search", "QUINCE cell")
    page.wait_for("#search-results .name", "Bo")
    page.wait_until(
        lambda: page.texts("#search-results mark") == ["quince", "cell"], "they are not marked"
    )
    page.click("#search-results a", "quince jelly")
    page.wait_until(lambda: page.driver.switch_to.active_element.text.startswith("Bo"), "no focus")
    assert "quince jelly" in page.driver.switch_to.active_element.text
    assert is_in_view(page, "quince jelly")
    assert len(page.all(".bubble")) < 60
    page.click(".newest", "Newest messages")
    page.wait_for(".bubble", "chatter 119")
    assert page.wait_for(".conversation h2").text == "Bo"


def is_in_view(page: Browser, text: str) -> bool:
    log, row = page.wait_for(".log").rect, page.wait_for(".bubble", text).rect
    return bool(log["y"] <= row["y"] and row["y"] + row["height"] <= log["y"] + log["height"])


@pytest.mark.parametrize("words", ["测试", "消", "榅桲", "МИР", "ｑｑ"])
def test_messages_are_found_in_any_script(
    page: Browser, ada: Person, bo: Person, words: str
) -> None:
    bo.say(with_(ada), "今天的测试消息：榅桲, привет мир, WebQQ")
    sign_in(page, ada)
    page.type("#search", words)
    page.wait_for("#search-results mark", {"МИР": "мир", "ｑｑ": "QQ"}.get(words, words))


def test_what_is_not_there_is_said_and_the_field_cleared_ends_the_search(
    page: Browser, ada: Person, bo: Person
) -> None:
    bo.say(with_(ada), "hello")
    sign_in(page, ada)
    page.type("#search", "zebra")
    page.wait_for("#search-results .progress", "No message")
    page.wait_for("#no-contacts", "No contact")
    page.type("#search", Keys.CONTROL, "a", Keys.NULL, Keys.BACKSPACE)
    page.wait_gone("#search-results")
    page.wait_for("#contacts .name", "Bo")


def test_more_messages_than_fit_are_shown_on_demand(page: Browser, ada: Person, bo: Person) -> None:
    for number in range(40):
        bo.say(with_(ada), f"same {number}")
    sign_in(page, ada)
    page.type("#search", "same")
    page.click("#search-results .more")
    page.wait_until(lambda: len(page.all("#search-results li")) == 40, "the others do not come")
    page.wait_gone("#search-results .more")


def test_the_arrow_keys_go_from_the_search_field_to_a_message(
    page: Browser, ada: Person, bo: Person
) -> None:
    bo.say(with_(ada), "quince")
    sign_in(page, ada)
    page.type("#search", "quince")
    page.wait_for("#search-results a")
    page.type("#search", Keys.ARROW_DOWN)
    page.driver.switch_to.active_element.send_keys(Keys.ENTER)
    page.wait_for(".message:focus .text", "quince")


def test_signing_out_leaves_nothing_that_was_found(page: Browser, ada: Person, bo: Person) -> None:
    bo.say(with_(ada), "secret")
    sign_in(page, ada)
    page.type("#search", "secret")
    page.wait_for("#search-results a")
    page.click("#sign-out")
    page.wait_for("#sign-in")
    assert page.all("#search-results a") == []
    assert page.driver.find_element(By.ID, "search").get_property("value") == ""


def test_what_comes_while_old_messages_are_read_is_counted_and_waits_at_the_end(
    page: Browser, ada: Person, bo: Person
) -> None:
    for number in range(90):
        bo.say(with_(ada), f"number {number}")
    sign_in(page, ada)
    page.type("#search", "number 7", Keys.ARROW_DOWN)
    page.driver.execute_script(
        "location.hash = arguments[0]", f"{with_(bo)}/{first_message(ada, bo)}"
    )
    page.wait_for(".message:focus .text", "number 0")
    bo.say(with_(ada), "the newest")
    page.click(".newest", "New messages")
    page.wait_for(".bubble", "the newest")
    page.wait_gone(".newest")
    texts = page.texts(".text")
    assert texts[-2:] == ["number 89", "the newest"]


def first_message(person: Person, friend: Person) -> int:
    address = f"{person.server.url}/page/messages?conversation={with_(friend)}&limit=200"
    with person.opener.open(address, timeout=DEADLINE) as reply:
        return int(json.load(reply)["messages"][0]["id"])


def test_scrolling_down_from_an_old_message_comes_to_the_end_without_a_gap(
    page: Browser, ada: Person, bo: Person
) -> None:
    for number in range(100):
        bo.say(with_(ada), f"number {number}")
    sign_in(page, ada, f"{with_(bo)}/{first_message(ada, bo)}")
    page.wait_for(".message:focus .text", "number 0")
    down = "const log = document.querySelector('.log'); log.scrollTop = log.scrollHeight"

    def is_at_end() -> bool:
        page.driver.execute_script(down)
        return page.texts(".text")[-1:] == ["number 99"]

    page.wait_until(is_at_end, "the end does not come")
    assert page.texts(".text") == [f"number {number}" for number in range(100)]


# -- long conversations -------------------------------------------------------------------------


def test_of_a_long_conversation_a_part_is_in_the_page_whatever_is_done(
    page: Browser, ada: Person, bo: Person
) -> None:
    for number in range(0, 300, 2):
        bo.say(with_(ada), f"number {number}")
        ada.say(with_(bo), f"number {number + 1}")
    sign_in(page, ada, with_(bo))
    page.wait_for(".bubble", "number 299")
    up = "document.querySelector('.log').scrollTop = 0"

    def is_at_start() -> bool:
        page.driver.execute_script(up)
        assert len(page.all(".message")) <= 200
        return page.texts(".text")[:1] == ["number 0"]

    page.wait_until(is_at_start, "the first one does not come")
    page.say("and one more")
    page.wait_for(".mine:not(.pending) .text", "and one more")
    assert is_in_view(page, "and one more")
    assert page.texts(".text")[-2:] == ["number 299", "and one more"]
    bo.say(with_(ada), "I see")
    page.wait_for(".bubble", "I see")
    assert is_in_view(page, "I see")
    assert len(page.all(".message")) <= 200


def test_scrolling_up_keeps_in_place_what_is_read(page: Browser, ada: Person, bo: Person) -> None:
    for number in range(120):
        bo.say(with_(ada), f"number {number}")
    sign_in(page, ada, with_(bo))
    page.wait_for(".bubble", "number 119")
    before = page.driver.execute_script(
        "document.querySelector('.log').scrollTop = 20;"
        "return document.querySelector('.message').getBoundingClientRect().top"
    )
    page.wait_for(".bubble", "number 20")
    top = page.driver.execute_script(
        "return [...document.querySelectorAll('.message')]"
        ".find((row) => row.innerText.includes('number 70')).getBoundingClientRect().top"
    )
    assert abs(top - before) <= 2


# -- colours ------------------------------------------------------------------------------------


def test_all_texts_and_fields_have_contrast_in_both_schemes(
    page: Browser, ada: Person, bo: Person
) -> None:
    people = [Person(ada.server, f"{number} of eight") for number in range(8)]
    for person in people:
        person.befriend(ada)
    ada.post("/page/profile", allow=1)
    Person(ada.server, "Zoe").befriend(ada)
    bo.say(with_(ada), "the quince, see https://example.org ", ["face", 133])
    ada.say(with_(bo), "the quince, see https://example.org ", ["face", 133])
    members = [bo.account, people[0].account]
    group = ada.post("/page/groups", name="Hikers", members=members)["conversation"]["id"]
    bo.say(group, "quince")
    page.open(ada.server.url)
    page.wait_for("#sign-in")
    low = low_contrasts(page, "welcome")
    sign_in(page, ada)
    page.wait_for("#requests")
    low += low_contrasts(page, "list")
    page.type("#search", "quince")
    page.wait_for("#search-results a")
    low += low_contrasts(page, "search")
    page.driver.execute_script("location.hash = arguments[0]", group)
    page.wait_for(".bubble", "quince")
    low += low_contrasts(page, "group")
    for opener, dialog in ((".show-members", "members"), (".show-details", "room")):
        page.click(opener)
        low += low_contrasts(page, dialog)
        page.click(f"#{dialog} .cancel")
    open_conversation(page, bo)
    say_offline(page, "from the tunnel")
    page.type("textarea", "x" * 721)
    page.click(".toggle-faces")
    low += low_contrasts(page, "friend")
    for dialog in ("add-friend", "new-group", "qr-sign-in", "profile"):
        page.click(f"aside [data-opens={dialog}]")
        low += low_contrasts(page, dialog)
        page.click(f"#{dialog} .cancel")
    assert "\n".join(low) == ""


def test_the_focus_is_seen_wherever_the_keyboard_goes(
    page: Browser, ada: Person, bo: Person
) -> None:
    bo.say(with_(ada), "see https://example.org")
    sign_in(page, ada, with_(bo))
    for width in (1200, 360):
        page.resize(width, 700)
        page.wait_for(".bubble a")
        seen = set()
        page.driver.execute_script("document.activeElement.blur()")
        for _ in range(30):
            page.driver.switch_to.active_element.send_keys(Keys.TAB)
            name, outline = page.driver.execute_script(FOCUS)
            assert outline, f"{name} shows no focus at {width}"
            seen.add(name)
        assert {"textarea", ".log", ".bubble a"} <= seen
    page.resize(1200, 800)


FOCUS = """
const node = document.activeElement, style = getComputedStyle(node);
const named = ['.log', '.bubble a'].find((selector) => node.matches(selector));
const hasOutline = style.outlineStyle !== 'none' && parseFloat(style.outlineWidth) >= 1;
return [named ?? node.localName, node === document.body || hasOutline];
"""


# -- pictures, answers, what is taken back, bots --------------------------------------------------


def test_a_picture_is_sent_shown_and_answered(
    page: Browser, other_page: Browser, ada: Person, bo: Person, tmp_path
) -> None:
    Image.new("RGB", (40, 20), "red").save(tmp_path / "red.png")
    sign_in(page, ada, with_(bo))
    sign_in(other_page, bo, with_(ada))
    page.driver.find_element(By.CSS_SELECTOR, "#composer input[type=file]").send_keys(
        str(tmp_path / "red.png")
    )
    page.wait_for(".attachments .name", "red.png")
    page.wait_until(
        lambda: page.driver.find_element(By.CSS_SELECTOR, "#composer .send").is_enabled(),
        "it is stored",
    )
    page.click("#composer .send")
    width = "return document.querySelector('.picture img')?.naturalWidth"
    for each in (page, other_page):
        each.wait_until(lambda each=each: each.driver.execute_script(width) == 40, "it is shown")
    other_page.driver.execute_script("document.querySelector('.actions .reply').click()")
    other_page.wait_for(".reply-preview .words", "[Picture]")
    other_page.say("nice")
    page.wait_for(".quote", "[Picture]")
    assert low_contrasts(page, "picture") == []


def test_a_message_is_taken_back_on_all_pages(
    page: Browser, other_page: Browser, ada: Person, bo: Person
) -> None:
    sign_in(page, ada, with_(bo))
    sign_in(other_page, bo, with_(ada))
    page.say("oops")
    other_page.wait_for(".message .text", "oops")
    page.wait_for(".message:not(.pending) .text", "oops")
    page.driver.execute_script(
        "[...document.querySelectorAll('.message:not(.pending) .recall')].pop().click()"
    )
    other_page.wait_for(".recalled .text", "recalled this message")
    page.wait_for(".recalled .text", "You recalled this message")


def test_bots_are_let_in_on_the_page(page: Browser, ada: Person) -> None:
    sign_in(page, ada)
    page.click("#me")
    page.click("[data-opens=bots]")
    page.wait_for("#bots .address", f"/onebot/{ada.account}/")
    page.click("#bots [name=is_on]")
    field = page.driver.find_element(By.CSS_SELECTOR, "#bots [name=token]")
    token = field.get_property("value")
    assert len(token) == 32
    page.driver.execute_script("document.querySelector('#bots [type=submit]').click()")
    page.wait_until(lambda: page.driver.execute_script("return !bots.open"), "it is saved")
    request = urllib.request.Request(
        f"{ada.server.url}/onebot/{ada.account}/get_login_info",
        headers={"Authorization": f"Bearer {token}"},
    )
    with urllib.request.urlopen(request, timeout=DEADLINE) as answer:
        assert json.load(answer)["data"]["user_id"] == ada.account
