"""Handlers of WebQQ 3 and SmartQQ: sign in, contacts, polls, messages."""
