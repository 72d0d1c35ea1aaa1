"""What `..bot.Bot` is made of: messages, rules, plugins, schedules, permissions."""
