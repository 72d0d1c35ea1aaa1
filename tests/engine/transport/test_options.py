"""A request's settings as libcurl's options: pure, no handle and no server."""

from __future__ import annotations

import certifi
import pycurl
import pytest

from webqq_tornado import Request
from webqq_tornado.engine.request import option_names
from webqq_tornado.engine.transport.options import BODY_LIMIT, DEFAULTS, FOLLOWS, compile_options

URL = "http://127.0.0.1/"


def _options(defaults=None, **arguments):
    return compile_options(Request(URL, **arguments), {**DEFAULTS, **(defaults or {})})


def test_every_default_is_an_option_of_a_request():
    assert set(DEFAULTS) <= set(option_names())


def test_tls_is_verified_by_default(monkeypatch):
    monkeypatch.delenv("SSL_CERT_FILE", raising=False)
    monkeypatch.delenv("SSL_CERT_DIR", raising=False)
    options = _options()
    assert (options[pycurl.SSL_VERIFYPEER], options[pycurl.SSL_VERIFYHOST]) == (1, 2)
    assert options[pycurl.CAINFO] in (certifi.where(), certifi.where().encode())


def test_a_request_comes_before_the_defaults():
    options = _options({"connect_timeout": 1.0, "max_body_size": 1}, connect_timeout=2.5)
    assert options[pycurl.CONNECTTIMEOUT_MS] == 2500
    assert options[BODY_LIMIT] == 1


@pytest.mark.parametrize(("seconds", "ms"), [(0, 0), (0.0001, 1), (0.5, 500), (120, 120_000)])
def test_a_total_timeout_is_in_milliseconds_and_0_is_none(seconds, ms):
    assert _options(request_timeout=seconds)[pycurl.TIMEOUT_MS] == ms


def test_no_limit_on_connecting_is_more_than_libcurls_default_of_300_seconds():
    assert _options(connect_timeout=0)[pycurl.CONNECTTIMEOUT_MS] > 10**9


def test_false_is_not_taken_for_left_out():
    options = _options({"follow_redirects": True, "decompress_response": True},
                       follow_redirects=False, decompress_response=False)  # fmt: skip
    assert options[FOLLOWS] is False
    assert pycurl.ENCODING not in options


def test_an_empty_proxy_is_not_taken_for_left_out():
    assert pycurl.PROXY not in _options()
    assert _options(proxy="")[pycurl.PROXY] in ("", b"")


@pytest.mark.parametrize(
    ("name", "value"), [("http_version", "1.1"), ("http_version", "2"), ("http_version", "3")]
)
def test_versions_of_http_have_a_number(name, value):
    assert isinstance(_options(**{name: value})[pycurl.HTTP_VERSION], int)


def test_compiling_is_the_same_every_time():
    arguments = {"headers": {"A": "b"}, "body": b"x", "auth_username": "me"}
    assert _options(**arguments) == _options(**arguments)


def test_a_wrong_auth_mode_is_named():
    with pytest.raises(ValueError, match="auth_mode"):
        _options(auth_username="me", auth_mode="spnego")


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("proxy", "http://me:pü@Bücher.example:80", "http://me:p%C3%BC@xn--bcher-kva.example:80"),
        ("proxy", "bücher.example:3128", "xn--bcher-kva.example:3128"),
        ("proxy", "socks5h://faß.example/", "socks5h://xn--fa-hia.example"),
        ("proxy", "http://127.0.0.1:80", "http://127.0.0.1:80"),
        ("doh_url", "https://bücher.example/q", "https://xn--bcher-kva.example/q"),
        ("no_proxy", "a.test, .bücher.example,ü[b", "a.test,xn--bcher-kva.example,ü[b"),
        ("resolve", {"Bücher.example:80": "[::1]"}, "xn--bcher-kva.example:80:[::1]:"),
    ],
)
def test_a_host_outside_ascii_has_its_idna_form_in_every_setting(name, value, said):
    options = _options(**{"proxy": "", name: value})
    assert said.encode() in _texts(options)


def _texts(options):
    values = [value if isinstance(value, list) else [value] for value in options.values()]
    return [one for value in values for one in value]


def test_hosts_without_a_proxy_may_be_written_as_other_clients_take_them():
    listed = "*.a.test, b.test\tc.test,[::1],,10.0.0.0/8"
    assert b".a.test,b.test,c.test,::1,10.0.0.0/8" in _texts(_options(proxy="", no_proxy=listed))
    assert b"*" in _texts(_options(proxy="", no_proxy="a.test *"))


@pytest.mark.parametrize("settings", [{"proxy": "http://ü b:80"}, {"doh_url": "https://[ü"}])
def test_a_host_that_is_none_is_refused_in_every_setting(settings):
    with pytest.raises(ValueError, match="URL"):
        _options(**settings)
