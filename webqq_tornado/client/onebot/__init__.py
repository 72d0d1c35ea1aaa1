"""An account by OneBot 11: our bot is the application, NapCat and the like the implementation.

Reading order: `transport` (the vocabulary), `frames`, `sockets`, `http`, `listener`, `addresses`
(the ways to reach an implementation), `convert` and `directory` (events and contacts as the rest
of the package has them), `duplicates`, `inbox`, `sending`, `catchup`, `pictures`,
`introduction`, `heartbeats`, `requests`, then `account`, which joins them, and `check`. Facts
about implementations are in `webqq_tornado.onebot.v11`, with its marks.
"""
