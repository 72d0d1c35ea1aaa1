"""What clients of WebQQ 3 and SmartQQ ask: sign in, contacts, polls, messages."""
