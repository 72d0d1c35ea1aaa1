"""How fast it is, beside others, in one run: `python -m tests.bench`.

Not part of the tests. `scenarios` says what is compared and what we promise, `peers` how each
client does the same work, `nginx` and `holder` what they talk to, `report` what comes of it.
"""
