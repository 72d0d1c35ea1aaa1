"""Fetch a list every night, and go on where the last night was interrupted.

python -m webqq_tornado.examples.api & python -m webqq_tornado.examples.sync prices.jsonl
"""

import sys

from webqq_tornado.flows import Sync


def main(path: str, url: str = "http://127.0.0.1:8200/prices") -> None:
    flow = Sync(url, path, spacing=0.05)
    flow.run(strict=True)  # what has failed is raised: cron and systemd see the exit code
    print(flow.items_written, "items in", flow.pages, "pages")


if __name__ == "__main__":
    main(*sys.argv[1:])
