"""Tornado's own test suites, run against `HTTPStreamClient`.

Once as Tornado runs them for a client that is configured, and once with their classes bound to
ours directly. What is left out of the latter is named with its reason: it asks for the inside of
one of Tornado's clients and not for their interface.
"""

from __future__ import annotations

import logging
import os
import re
import subprocess
import sys

import pytest
from tornado.test import curl_httpclient_test, httpclient_test, simple_httpclient_test

from webqq_tornado.httpclient import HTTPStreamClient

NAME = "webqq_tornado.httpclient.HTTPStreamClient"
#: Modules of Tornado's and how many of its tests are run at least.
SUITES = {"httpclient_test": 64, "curl_httpclient_test": 64, "simple_httpclient_test": 60}
#: For Tornado's own slow machines: its timeouts of 0.1 s, in which a request has to reach the
#: server, are 0.5 s with the one, and a test may take a minute instead of 5 s with the other.
PATIENT = {"EMULATION": "1", "ASYNC_TEST_TIMEOUT": "60"}


@pytest.mark.parametrize("module", SUITES)
def test_with_the_client_configured(module: str):
    command = [sys.executable, "-m", "tornado.test.runtests", f"--httpclient={NAME}"]
    run = subprocess.run(
        [*command, f"tornado.test.{module}"],
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
        env={**os.environ, **PATIENT},
    )
    assert run.returncode == 0, run.stderr[-3000:]
    counted = re.search(r"Ran (\d+) tests", run.stderr)
    assert counted
    assert int(counted[1]) >= SUITES[module]


def make_client(**arguments: object) -> HTTPStreamClient:
    return HTTPStreamClient(force_instance=True, **arguments)


class TestCommon(httpclient_test.HTTPClientCommonTestCase):
    decompresses_brotli = True

    def get_http_client(self):
        return make_client(defaults={"allow_ipv6": False})


class TestMaxBodySize(httpclient_test.HTTPClientMaxBodySizeTestCase):
    def get_http_client(self):
        return make_client(max_body_size=httpclient_test.MAX_BODY_SIZE, max_clients=1)


class _Simple:
    # It wants the wording of a log line.
    test_multiple_content_length_accepted = None
    # It gives the client a tornado.netutil.Resolver: libcurl resolves by itself.
    test_connect_timeout = None

    def get_app(self):
        return self.mixin_get_app()


class TestSimple(
    _Simple,
    simple_httpclient_test.AsyncHTTPTestCase,
    simple_httpclient_test.SimpleHTTPClientTestMixin,
):
    def setUp(self):
        super().setUp()
        self.http_client = self.create_client()

    def create_client(self, **arguments):
        return make_client(**arguments)


class TestSimpleOverTLS(
    _Simple,
    simple_httpclient_test.AsyncHTTPSTestCase,
    simple_httpclient_test.SimpleHTTPClientTestMixin,
):
    # Its server ends a body without length by a TCP close: over TLS that may be an attacker's.
    test_no_content_length = None

    def setUp(self):
        super().setUp()
        self.http_client = self.create_client()

    def create_client(self, **arguments):
        return make_client(defaults={"validate_cert": False}, **arguments)


class TestCurl(curl_httpclient_test.CurlHTTPClientTestCase):
    # Coroutines are no streaming callbacks there; here, as with simple_httpclient, they are.
    test_streaming_callback_not_permitted = None

    def setUp(self):
        super(curl_httpclient_test.CurlHTTPClientTestCase, self).setUp()
        self.http_client = make_client()


class TestCurlCommon(curl_httpclient_test.CurlHTTPClientCommonTestCase):
    # There the transfer goes on without what the callback lost; here, as with simple_httpclient,
    # the fetch fails.
    test_streaming_callback_exception = None

    def get_http_client(self):
        return make_client(defaults={"allow_ipv6": False})


class TestReuseOfProxyAuth(curl_httpclient_test.CurlHTTPClientReuseProxyAuthTestCase):
    def get_http_client(self):
        return make_client(defaults={"allow_ipv6": False}, max_clients=1)


class TestReuseOfCerts(curl_httpclient_test.CurlHTTPClientReuseCertsTestCase):
    def get_http_client(self):
        return make_client(defaults={"allow_ipv6": False, "validate_cert": False}, max_clients=1)


@pytest.fixture(autouse=True)
def _as_tornado_runs_them(monkeypatch):
    for name, value in PATIENT.items():
        monkeypatch.setenv(name, value)
    # Where the curl suite makes a client of its own, it makes one of ours.
    monkeypatch.setattr(curl_httpclient_test, "CurlAsyncHTTPClient", HTTPStreamClient)
    # Its test cases refuse log lines that they do not expect; its runner silences this logger.
    access_log = logging.getLogger("tornado.access")
    level = access_log.level
    access_log.setLevel(logging.CRITICAL)
    yield
    access_log.setLevel(level)
