"""libcurl on the IOLoop: what is sent and received, and nothing of chains.

In reading order: `curl` (one turn of the loop), `lane` (one CurlMulti), `transfer` (one request),
`options` (its settings), `callbacks` with `download` and `upload` (its bodies), `poller` (the
sockets).
"""
