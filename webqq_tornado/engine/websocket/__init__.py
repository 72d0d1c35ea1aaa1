"""WebSockets as links of chains: `ws://` and `wss://`, each message to the reader.

libcurl makes the connection and shakes hands, with all that a `Request` can say: proxies, TLS,
cookies, addresses. `websockets` has the rules of RFC 6455 and permessage-deflate, without a socket.
Only `link` and what is below it imports that: it takes 16 ms, and most programs have no WebSocket.
"""
