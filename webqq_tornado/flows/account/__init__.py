"""What `..client.Client` is made of: login, polls, contacts, what comes in and what goes out."""
