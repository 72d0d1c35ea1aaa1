"""Conversations written on the engine: WebQQ's client and bot, and flows to start from."""
