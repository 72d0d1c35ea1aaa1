"""The protocols of today's QQ bots, pure: texts and values in, values and texts out.

`v11` is OneBot 11. Nothing here touches a socket, loop, file or clock: the bot's side
(`webqq_tornado.client.onebot`) and the server's stand on the same tables.
"""
