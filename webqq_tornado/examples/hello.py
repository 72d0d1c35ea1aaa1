"""A plugin for the bot: a greeting, a command, a question, an event and a schedule.

Run a local QQ with it, and say "hi" to the bot::

    python -m webqq_tornado --plugin webqq_tornado.examples.hello
"""

from __future__ import annotations

from webqq_tornado.bot import Bot, Message

__all__ = ["setup"]


def setup(bot: Bot) -> None:
    """Register the handlers; the bot calls this when it loads the plugin.

    Args:
        bot: to register them with.
    """

    @bot.on_message(text=r"^hi\b")
    def greet(message: Message) -> None:
        message.reply(f"hello {message.sender}")

    @bot.command("prices", help="fetches the price list", rate="6/min")
    async def prices(message: Message) -> None:
        response = await bot.stream.fetch("http://127.0.0.1:8200/prices", timeout=10)
        items = response.json()["items"]
        message.reply(", ".join(f"{item['name']} {item['price']}" for item in items))

    @bot.command("order", help="orders a pizza", rate="3/h")
    async def order(message: Message) -> None:
        answer = await message.ask("Which one?", timeout=60)
        orders = bot.store("orders")
        orders[str(message.sender)] = answer.text
        message.reply(f"{answer.text} for {message.sender}: that makes {len(orders)}")
