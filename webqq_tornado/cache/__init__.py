"""A cache of responses, by the rules of RFC 9111: what may be used again is not asked for again.

    HTTPStream(cache="cache.sqlite")
    HTTPStream(cache=HTTPCache("cache.sqlite", max_size=2**30))

It is a private cache, as a browser's: fresh responses are answered without the network, stale ones
are confirmed by the server (`If-None-Match`, a 304), `Vary` is heeded, and what says `no-store` is
not kept. The rules are those of hishel (``pip install 'webqq_tornado[cache]'``); what is kept, and
how, is decided here:

- Responses belong to the session that has asked, and to its credentials: a stream's sessions are
  users of their own, and none sees what another one was sent.
- The file, readable by its owner alone, has status, headers and body as they came, but no cookies
  (`Set-Cookie` is taken once, when it comes). URLs, credentials and the headers that `Vary` names
  are in it as keyed digests, not as text.
- Streams, sinks, WebSockets, ranges and requests with conditions of their own pass by it.

Limits of hosts and sessions hold for what comes from the cache, too: it takes its turn.
"""

from .httpcache import CacheError, HTTPCache

__all__ = ["CacheError", "HTTPCache"]
