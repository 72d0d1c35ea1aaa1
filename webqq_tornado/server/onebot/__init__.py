"""The server as an implementation of OneBot 11: programs drive its accounts over the real wire.

Reading order: `settings` (an account's), `service` (all accounts), `account` (one: its events and
actions), `feed` (events on their way to an application, kept until it has read them), `rendering`
(what is stored, in the words of OneBot), `incoming` (the reverse), `actions` with its tables
`messages`, `people`, `rooms`, `files` and `system`; `http`, `sockets`, `sse`, `reverse` and `post`
are the transports.
"""
