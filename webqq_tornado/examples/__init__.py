"""Programs to read and to run; each says in its first lines how.

`webqq_tornado.examples.api` is the service that the others talk to; start it first::

    python -m webqq_tornado.examples.api
"""
