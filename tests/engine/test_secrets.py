"""What is secret by its name, and how the rest is shown as it is."""

from __future__ import annotations

import base64
import json
import re
import time
from http.client import HTTPMessage
from urllib.parse import quote, quote_plus

import pytest
from hypothesis import given
from hypothesis import strategies as st

from webqq_tornado import (
    FilePart,
    Gather,
    Hop,
    Limits,
    Multipart,
    Next,
    Request,
    Response,
)
from webqq_tornado.engine.secrets import MASK, Masker, is_secret_name, safe_text, safe_url
from webqq_tornado.engine.transport.failures import from_curl
from webqq_tornado.engine.transport.replay import Answer

FORM, JSON = "application/x-www-form-urlencoded", "application/json"

SECRET_NAMES = [
    *("password", "passwd", "pwd", "user[password]", "PassWord", "newPassword2", "passphrase"),
    *("token", "accessToken", "id_token", "csrfmiddlewaretoken", "X-Csrf-Token", "Private-Token"),
    *("X-Access-Token", "Api-Key", "X-Api-Key", "apikey", "X-Amz-Security-Token", "X-Vault-Token"),
    *("Authorization", "Proxy-Authorization", "Authentication-Info", "X-Auth", "userAuth"),
    *(
        "secret",
        "client_secret",
        "X-Amz-Signature",
        "sig",
        "ptsigx",
        "qrsig",
        "login_sig",
        "group_sig",
    ),
    *("session", "PHPSESSID", "JSESSIONID", "sid", "connect.sid", "session_id", "psessionid"),
    *("ptwebqq", "vfwebqq", "skey", "p_skey", "pt4_ptcz", "verifycode", "code_verifier", "otp"),
    *("Cookie", "Set-Cookie", "credentials", "jwt", "SAMLResponse", "device_code", "xsrf"),
]
OPEN_NAMES = [
    *("Accept", "Content-Language", "Author", "authority", "passenger", "design", "assign"),
    *("keyword", "retcode", "webqq_type", "page", "id", "token_type", "expires_in", "max_tokens"),
    *("total_tokens", "Idempotency-Key", "country_code", "secretary", "inside", "monkey", "signal"),
    *("ETag", "Strict-Transport-Security", "compass", "token_endpoint", "tokenizer", "clientid"),
]


@pytest.mark.parametrize("name", SECRET_NAMES)
def test_a_name_of_secrets(name: str):
    assert is_secret_name(name)


@pytest.mark.parametrize("name", OPEN_NAMES)
def test_a_name_of_no_secrets(name: str):
    assert not is_secret_name(name)
    for text in (f"{name}=value", f'{{"{name}": "value"}}', f"{name}: value"):
        assert Masker().text(text) == text


# -- nothing but the secret is replaced ----------------------------------------------------------

#: Each with the secret as «...».
BODIES = {
    "numbers": ('{"amount": 12345678901234567.89, "n":1E400, "token" : "«abc»"}\n', JSON),
    "equal keys": ('{"a": 1, "a": 2, "password": "«abc»",\n "a":\t3.0}', JSON),
    "escapes": ('{"a": "\\u00e9\\/", "token": "«a\\"b\\u0041\\\\»", "b": "é"}', JSON),
    "an escaped key": ('{"p\\u0061ssword": "«abc»"}', JSON),
    "nested": ('{"a": [{"b": [1, {"secret": "«x»"}]}], "c": "d"}', JSON),
    "a list of secrets": ('{"tokens": ["«a»", "«b»"], "names": ["c"]}', JSON),
    "an object of secrets": ('{"token": {"value": "«abc»", "ttl": 60, "by": "Ann"}}', JSON),
    "control characters": ('{"text": "a\tb\0", "token": "«a\nb»"}', JSON),
    "JSON in JSON": ('{"data": "{\\"token\\": \\"«a\\/b»\\", \\"n\\": 1.0}"}', JSON),
    "a URL in JSON": ('{"url": "http:\\/\\/«me:pw»@h\\/?sig=«x»&y=1.0"}', JSON),
    "lines of JSON": ('{"token": "«a»"}\n{"n": 1.0}\n', "application/x-ndjson"),
    "half of JSON": ('{"n": 1.0, "token": "«ab', JSON),
    "called text/plain": ('{"n": 1.0, "token": "«abc»"}', "text/plain"),
    "called nothing": ('{"n": 1.0, "token": "«abc»"}', ""),
    "called a form": ('{"n": 1.0, "token": "«abc»"}', FORM),
    "JSONP": ('/**/ done({"n": 1.0, "token": "«abc»"});', "text/javascript"),
    "an event stream": ('id: 1\ndata: {"n": 1.0, "token": "«a»"}\n\n', "text/event-stream"),
    "a guard before JSON": (')]}\',\n{"n": 1.0, "token": "«a»"}', JSON),
    "single quotes": ("{'n': 1.0, 'token': '«abc»'}", "text/plain"),
    "ptuiCB": ("ptuiCB('0','0','http://h/?n=1&ptwebqq=«a*b»&s=2','0','ok', 'n');\r\n", ""),
    "a script": ('var g_login_sig=encodeURIComponent("«abc»");', "text/html"),
    "HTML": ('<input name="csrf" value="«a»"> <a href="/?a=1&amp;sid=«b1»">', "text/html"),
    "a form": ("a=1.0&a=2&password=«p;w»&flag&b=", FORM),
    "escapes in a form": ("q=%c4%E3+a%20b&pass%77ord=«%C4%E3»", FORM),
    "JSON in a form": ("r=%7B%22n%22%3A1.0%2C%22ptwebqq%22%3A%22«a%2Fb»%22%7D&clientid=5", FORM),
    "a URL in a form": ("u1=http%3A%2F%2Fh%2F%3Fn%3D1%26token%3D«a»%26m%3D2&x=1", FORM),
    "pairs called nothing": ("n=1.0&token=«abc»", ""),
    "semicolons": ("n=1;token=«abc»;m=2", "text/plain"),
    "header lines": ("Host: h\r\nX-Api-Key: «a b c»\r\n", "message/http"),
    "XML": ("<a><n>1.0</n><ns:Password type='x'>«a b»</ns:Password></a>", "text/xml"),
    "settings": ("n = 1.0\npassword = «a b»\nuser: me\n", "text/plain"),
    "numbers of one word": ("pass=«123456»&tokens=5", FORM),
    "GraphQL": ('{"query": "{login(name: \\"a\\", password: \\"«a b»\\")}"}', JSON),
    "a JWT": ("see «eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.abc-_1» there", "text/plain"),
    "credentials": ("curl -H 'X: Bearer «abc12345»' /", "text/plain"),
    "multipart": (
        '--b\r\nContent-Disposition: form-data; name="password"\r\n\r\n«a\r\nb»\r\n--b\r\n'
        'Content-Disposition: form-data; name="x"\r\n\r\n{"n": 1.0, "token": "«a»"}\r\n--b--\r\n',
        "multipart/form-data; boundary=b",
    ),
}


@pytest.mark.parametrize(("text", "kind"), BODIES.values(), ids=BODIES)
@pytest.mark.parametrize("charset", ["utf-8", "utf-16le", "gb18030"])
def test_a_secret_is_replaced_and_nothing_else(text: str, kind: str, charset: str):
    body, right = re.sub("[«»]", "", text), re.sub("«[^»]*»?", MASK, text)
    content_type = f"{kind}; charset={charset}"
    assert Masker().body(body.encode(charset), content_type).decode(charset) == right
    if charset != "gb18030":
        assert Masker().body(body.encode(charset), kind).decode(charset) == right
    if charset == "utf-8":
        assert Masker().body(right.encode(), kind).decode() == right


def test_a_number_stays_a_number():
    assert Masker().body(b'{"pin": 1234, "n": 5}', JSON) == b'{"pin": 0, "n": 5}'
    assert Masker(["1234567"]).body(b'{"n":1234567}', JSON) == b'{"n":0}'


@pytest.mark.parametrize(
    "body",
    [
        b'{"amount": 12345678901234567.89, "rate": 1.10}\n',
        b'{"a": 1, "a": 2}',
        b'{"n": NaN, "p": 1, "code": "invalid_request", "key": "color", "usage": {"tokens": 5}}',
        b'{"password_required": true, "token": null, "secret": ""}',
        b"p=2&code=DE&key=size&token=&state=done",
        bytes(range(256)) + b'"token":"abc"',
        '{"a": "誠"}'.encode("gbk"),
        b"\xef\xbb\xbf[1.0,\n 2]",
        b"",
    ],
)
@pytest.mark.parametrize("kind", ["", JSON, FORM, "text/html", "image/png"])
def test_a_body_without_secrets_stays_as_it_is(body: bytes, kind: str):
    assert Masker().body(body, kind) == body


def test_code_that_gets_a_secret_stays_as_it_is():
    code = b"var token = null;\ntoken = get_token();\nif (password == '') {}\n"
    assert Masker().body(code, "text/javascript") == code


def test_a_doubtful_name_is_one_of_a_secret_if_the_value_looks_like_it():
    text = "p=1F0C3A9E&code=4/0AX4XfWh&key=AIzaSyA1&hash=0f0f0f"
    assert Masker().text(text) == f"p={MASK}&code={MASK}&key={MASK}&hash={MASK}"


@given(st.text(max_size=40), st.sampled_from(["", JSON, FORM, "multipart/x; boundary=b"]))
def test_any_text_is_taken_and_masked_but_once(text: str, kind: str):
    masked = Masker().body(text.encode("utf-8", "replace"), kind)
    assert Masker().body(masked, kind) == masked


@given(
    st.recursive(
        st.none() | st.booleans() | st.floats() | st.text(max_size=9),
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner),
        max_leaves=9,
    ),
    st.booleans(),
)
def test_json_of_any_shape_says_the_same_but_for_its_secret(value: object, is_ascii: bool):
    text = json.dumps([value, {"token": "abc"}, value], ensure_ascii=is_ascii, indent=1)
    raw = text.encode("utf-8", "surrogatepass")
    masked = Masker().body(raw, JSON).decode("utf-8", "surrogatepass")
    if not re.search("pass|tok|s[ie]|[pk]", json.dumps(value), re.IGNORECASE):
        assert masked == text.replace('"abc"', f'"{MASK}"')
    json.loads(masked)


@pytest.mark.parametrize(
    "piece",
    [*"\"[{':=a", 'token="', "token=", "key=", '\\"', "%22token%22%3A", '{"token":', "eyJa-"],
)
def test_the_time_is_linear_in_the_size(piece: str):
    def seconds(size: int) -> float:
        body = piece.encode() * (size // len(piece))
        began = time.process_time()
        Masker().body(b'{"token":"' + body, JSON)
        return time.process_time() - began

    seconds(1000)
    assert seconds(200_000) < 20 * seconds(20_000) + 1.0


# -- headers and URLs ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "value", "shown"),
    [
        ("Authorization", "Bearer abc", f"Bearer {MASK}"),
        ("Authorization", "abc def", MASK),
        ("Proxy-Authorization", "Basic YTpi", f"Basic {MASK}"),
        ("X-Api-Key", "one two three", MASK),
        ("X-Access-Token", "abc", MASK),
        ("Ocp-Apim-Subscription-Key", "swordfish", MASK),
        ("X-Functions-Key", "swordfish", MASK),
        ("X-Cache-Key", "swordfish", "swordfish"),
        ("Authentication-Info", 'nextnonce="abc", rspauth="def"', MASK),
        ("WWW-Authenticate", 'Digest realm="x", nonce="abc"', 'Digest realm="x", nonce="abc"'),
        ("Access-Control-Allow-Credentials", "true", "true"),
        ("Cookie", "a=1; b=2;c", f"a={MASK}; b={MASK};{MASK}"),
        ("Set-Cookie", "a=b=c; Path=/; HttpOnly", f"a={MASK}; Path=/; HttpOnly"),
        ("Set-Cookie", "a=; Max-Age=0", "a=; Max-Age=0"),
        ("set-cookie", "a=1; Path=/\nb=2", f"a={MASK}; Path=/\nb={MASK}"),
        (
            "Location",
            "/cb?n=1&sid=x1#access_token=abc&n=2",
            f"/cb?n=1&sid={MASK}#access_token={MASK}&n=2",
        ),
        ("Referer", "http://me:pw@h/?n=1", f"http://{MASK}@h/?n=1"),
        ("Link", "<http://h/?token=abc&n=2>; rel=next", f"<http://h/?token={MASK}&n=2>; rel=next"),
        ("X-User", '{"n": 1.0, "token": "abc"}', f'{{"n": 1.0, "token": "{MASK}"}}'),
        ("Accept", "text/x-mine", "text/x-mine"),
    ],
)
def test_the_value_of_a_header(name: str, value: str, shown: str):
    assert Masker().header(name, value) == shown


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("http://h/?flag&q=%C4%E3&x=%c4", "http://h/?flag&q=%C4%E3&x=%c4"),
        ("http://h/?api_key=abc&page=1", f"http://h/?api_key={MASK}&page=1"),
        ("http://h/a;jsessionid=abc/b;v=1?c", f"http://h/a;jsessionid={MASK}/b;v=1?c"),
        ("//me@h/?to%6ben=abc", f"//{MASK}@h/?to%6ben={MASK}"),
        ("?a[password]=b;c&d=e", f"?a[password]={MASK}&d=e"),
    ],
)
def test_a_url_in_a_recording(url: str, shown: str):
    assert Masker().url(url) == shown


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("http://h/?q=%C4%E3&flag&key=a", "http://h/?q=%C4%E3&flag&key=..."),
        ("http://h/?a=%0Ab", "http://h/?a=%0Ab"),
        ("http://h/?r=%7B%22sid%22:%22x%22%7D", "http://h/?r=%7B%22sid%22:%22...%22%7D"),
        ("http://h/a;jsessionid=abc", "http://h/a;jsessionid=..."),
        ("http://me:pw#pw@h:1/a", "...@h:1/a"),
        ("http://me:pw/pw@h:1", "...@h:1"),
        ("http://me:pw", "http://..."),
        ("http://h:80/@a", "http://h:80/@a"),
        ("http://[::1]/@a", "http://[::1]/@a"),
    ],
)
def test_a_url_that_is_shown(url: str, shown: str):
    assert safe_url(url) == shown


def test_a_message_that_is_shown():
    text = "Unsupported proxy scheme for 'socks9://me:pw@h:1', http://h/?token=abc: see password=x"
    right = "Unsupported proxy scheme for 'socks9://h:1', http://h/?token=...: see password=..."
    assert safe_text(text.replace("abc:", "abc :")) == right.replace("...:", "... :")
    assert (
        safe_text("Could not resolve host: nope.invalid") == "Could not resolve host: nope.invalid"
    )


SECRET_URL = "http://me:pw1@h.example/?token=pw1&n=2#pw1"


@pytest.mark.parametrize(
    "shown",
    [
        Next(SECRET_URL, print, 5),
        Next(Request(SECRET_URL), errback=print),
        Gather([SECRET_URL], print),
        Hop(SECRET_URL, 302, HTTPMessage()),
        Multipart({"password": "pw1"}, {"file": FilePart(b"pw1", "name.txt")}),
        FilePart(b"pw1"),
        Answer(200, (("Set-Cookie", "a=pw1"),), b"pw1"),
        Request(SECRET_URL, headers={"Authorization": "pw1"}, body=b"pw1", proxy="http://a:pw1@b"),
        Response(Request(SECRET_URL), 200, SECRET_URL, [], b"pw1"),
        from_curl(
            5,
            f"Unsupported proxy scheme for '{SECRET_URL}'",
            method="GET",
            url=SECRET_URL,
            request=None,
        ),
    ],
    ids=lambda value: type(value).__name__,
)
def test_what_is_shown_of_values_has_no_secrets(shown: object):
    assert "pw1" not in repr(shown) + str(shown)


@pytest.mark.parametrize(
    "wrong",
    [
        {"headers": {"Authorization: Bearer pw12345678": ""}},
        {"resolve": {SECRET_URL: "127.0.0.1"}},
        {"doh_url": SECRET_URL},
        {"auth_password": "pw1\n"},
        {"headers": {"X-Token": "pw1\n"}},
    ],
)
def test_an_argument_that_is_refused_is_not_shown_with_its_secrets(wrong: dict):
    with pytest.raises(ValueError, match=r"header|resolve|doh_url|auth_pass") as refused:
        Request("http://h/", **wrong)
    assert "pw1" not in str(refused.value)


def test_hosts_that_are_refused_are_shown_without_credentials():
    with pytest.raises(ValueError, match="give the host alone") as refused:
        Limits(hosts={"me:pw1@h": Limits(clients=1)})
    assert "pw1" not in str(refused.value)


async def test_a_body_that_is_no_json_is_shown_without_secrets():
    response = Response(Request("http://h/"), 200, "http://h/", [], b"token=pw1&n=2")
    with pytest.raises(ValueError, match="n=2") as refused:
        response.json()
    assert "pw1" not in str(refused.value)


# -- secrets that are named ----------------------------------------------------------------------

NAMED = "hush/ä 1&'\"\\"


@pytest.mark.parametrize(
    "text",
    [
        NAMED,
        quote(NAMED),
        quote(NAMED, safe="").lower(),
        quote_plus(NAMED),
        quote(quote(NAMED)),
        quote(NAMED.encode("gb18030")),
        "".join(f"%{byte:02x}" for byte in NAMED.encode()),
        json.dumps(NAMED)[1:-1],
        json.dumps(NAMED, ensure_ascii=False).replace("/", "\\/")[1:-1],
        json.dumps(json.dumps(NAMED))[3:-3],
        quote(json.dumps(NAMED)[1:-1]),
        NAMED.encode().decode("latin-1"),
        "hush/&#228; 1&amp;&#x27;&quot;\\",
        base64.b64encode(f"ann:{NAMED}".encode()).decode(),
        base64.urlsafe_b64encode(f"anna:{NAMED}:x".encode()).decode(),
    ],
)
def test_a_named_secret_is_found_in_any_encoding(text: str):
    assert Masker([NAMED]).text(f"a {text} b") == f"a {MASK} b"


def test_a_value_under_a_secret_name_is_learned():
    masker = Masker()
    masker.body(b'{"token": "0123456789abcdef-+", "sid": "short1", "password": "a word"}', JSON)
    text = "c('0123456789abcdef-+', '0123456789abcdef-%2b', 'short1', 'a word')"
    pattern = masker.learned_pattern()
    assert pattern is not None
    assert pattern.sub(MASK, text) == f"c('{MASK}', '{MASK}', 'short1', 'a word')"
