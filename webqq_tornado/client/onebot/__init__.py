"""An account by OneBot 11: our bot is the application, NapCat and the like the implementation.

Reading order: `transport` (the vocabulary), `sockets`, `http`, `listener` (the ways to reach an
implementation), `convert` and `directory` (events and contacts as the rest of the package has
them), `duplicates`, `sending`, `catchup`, `pictures`, then `account`, which joins them, and
`check`. Facts about implementations are in `webqq_tornado.onebot.v11`, with its marks.
"""
