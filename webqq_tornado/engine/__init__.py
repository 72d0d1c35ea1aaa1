"""Chains of HTTP requests on Tornado's IOLoop and libcurl.

Reading order, along the way of one request: `links` and `request` say what is to be sent,
`stream` accepts it, `chain` holds its state, `scheduler` and `fairqueue` choose when it goes,
`policies` decide about retries and credentials, `runner` acts on all of these (with
`dispatching`, `recovery` and `branching` for what a plain link does not need), and `transport.curl`
and `transport.lane` move the bytes, which end in a `response` for the reader.
"""
