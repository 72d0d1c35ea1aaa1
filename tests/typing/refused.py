"""Links that are none: type checkers find an error in each line that is marked so."""

from __future__ import annotations

from webqq_tornado import HTTPStream, Link, Next, Response


def a_number(response: Response) -> Link:
    return ("http://example.org/", 5)  # error


def a_text(response: Response) -> Link:
    return "http://example.org/"  # error


def texts(response: Response) -> Link:
    return ["http://example.org/"]  # error


def a_mapping(response: Response) -> Link:
    return {"http://example.org/": a_number}  # error


def four(response: Response) -> Link:
    return ("http://example.org/", a_number, 5, 6)  # error


def a_response(response: Response) -> Link:
    return response  # error


def wrong_reader(number: int) -> None:
    print(number)


stream = HTTPStream()
stream.add_request(5)  # error
stream.add_request("http://example.org/", "reader")  # error
stream.add_request("http://example.org/", wrong_reader)  # error
stream.add_request("http://example.org/", lambda response: 5)  # error
Next("http://example.org/", delay="5")  # error
Next(5)  # error
