"""The content of a message: texts, faces, pictures, mentions, replies, files and the font.

`At`, `Reply` and `Attachment` are of today's QQ, which bots reach by OneBot; WebQQ has no form for
them, so that it sends their texts.
"""

from __future__ import annotations

import base64
from dataclasses import dataclass
from typing import TypeAlias

from ..faces import FACES

__all__ = [
    "At",
    "Attachment",
    "Content",
    "Face",
    "Font",
    "GroupPicture",
    "Part",
    "Picture",
    "Reply",
    "UnknownPart",
]


@dataclass(frozen=True, slots=True)
class Font:
    """How a message looks.

    Args:
        name: Name of the font.
        size: In points.
        bold: First number of the wire's style.
        italic: Second number of the wire's style.
        underline: Third number of the wire's style.
        color: ``rrggbb`` in hex.
    """

    name: str = "宋体"
    size: int = 10
    bold: bool = False
    italic: bool = False
    underline: bool = False
    color: str = "000000"


@dataclass(frozen=True, slots=True)
class Face:
    """One of the built-in small pictures.

    Args:
        id: Its number on the wire.

    Example:
        >>> Face(14).text
        '[微笑]'
    """

    id: int

    @property
    def text(self) -> str:
        """Its name in brackets, as QQ shows it: ``[微笑]``."""
        return f"[{FACES.get(self.id, f'表情{self.id}')}]"


@dataclass(frozen=True, slots=True)
class Picture:
    """A picture from a friend (``offpic``).

    Args:
        path: ``file_path``, under which the server kept it.
        is_sent: Whether the upload succeeded.
    """

    path: str
    is_sent: bool = True

    @property
    def text(self) -> str:
        """The picture as plain text."""
        return "[图片]"


@dataclass(frozen=True, slots=True)
class GroupPicture:
    """A picture in a group (``cface``).

    Args:
        name: File name.
        file_id: Number on the server.
        key: Key to fetch it (kept as it came: spaces count).
        server: ``ip:port`` that has it.
    """

    name: str
    file_id: int = 0
    key: str = ""
    server: str = ""

    @property
    def text(self) -> str:
        """The picture as plain text."""
        return "[图片]"


@dataclass(frozen=True, slots=True)
class UnknownPart:
    """A part of a content that we have no name for.

    Args:
        kind: Its first word, or empty.
        raw: The part as JSON text, so that nothing is lost.
    """

    kind: str
    raw: str

    @property
    def text(self) -> str:
        """The part as plain text: its kind in brackets."""
        return f"[{self.kind or '?'}]"


@dataclass(frozen=True, slots=True)
class At:
    """A mention of a member in a group.

    Args:
        account: QQ number; 0 for everybody.
        name: Their name in the group, as far as the sender gave it.

    Example:
        >>> At(10001, "Ann").text, At(0).text
        ('@Ann', '@全体成员')
    """

    account: int
    name: str = ""

    @property
    def text(self) -> str:
        """The mention as plain text: the name, else the number, behind an @."""
        return f"@{self.name or self.account or '全体成员'}"


@dataclass(frozen=True, slots=True)
class Reply:
    """The message that a message answers.

    Args:
        id: Its number on the side that has it.

    Example:
        >>> Content.of(Reply(message.event.msg_id), "yes, that one")
    """

    id: int

    @property
    def text(self) -> str:
        """The reply as plain text: nothing, as QQ shows the quoted message apart."""
        return ""


#: What stands for each kind of an `Attachment`, as QQ shows it in a list of messages.
_ATTACHMENTS = {"image": "[图片]", "record": "[语音]", "video": "[视频]", "file": "[文件]"}


@dataclass(frozen=True, slots=True)
class Attachment:
    """A picture, voice message, video or file.

    Args:
        kind: ``image``, ``record`` (voice), ``video`` or ``file``.
        file: To send: ``base64://…``, ``http(s)://…`` or ``file:///…`` (on the machine of the
            side that sends it to QQ); received: its name there.
        url: Where a received one is fetched from; such URLs last for hours.
        name: For people; empty if there is none.
        size: In bytes; 0 if not known.
        extra: Further values by name, as they came.

    Example:
        >>> Content.of("look: ", Attachment("image", "https://example.org/a.png")).text
        'look: [图片]'
    """

    kind: str
    file: str = ""
    url: str = ""
    name: str = ""
    size: int = 0
    extra: tuple[tuple[str, str], ...] = ()

    @classmethod
    def of_bytes(cls, data: bytes, kind: str = "image", name: str = "") -> Attachment:
        """An attachment that carries its bytes, whatever machine the other side is on.

        A ``file:///`` path is looked for on the machine, and in the container, of the other side.

        Args:
            data: of the picture, voice message, video or file.
            kind: As above.
            name: As above.

        Example:
            >>> Attachment.of_bytes(b"GIF89a").file
            'base64://R0lGODlh'
        """
        return cls(kind, f"base64://{base64.b64encode(data).decode()}", name=name, size=len(data))

    @property
    def text(self) -> str:
        """The attachment as plain text: its kind in brackets."""
        return _ATTACHMENTS.get(self.kind, f"[{self.kind or '?'}]")


Part: TypeAlias = "str | Face | Picture | GroupPicture | At | Reply | Attachment | UnknownPart"


@dataclass(frozen=True, slots=True)
class Content:
    r"""The content of a message: texts, faces and pictures in order.

    Texts have ``\n`` line ends and no escapes. Build one with `of`, which joins neighbours.

    Args:
        parts: The parts in order; no empty and no neighbouring texts.
        font: How the whole looks.

    Example:
        >>> Content.of("good morning", Face(14)).text
        'good morning[微笑]'
    """

    parts: tuple[Part, ...] = ()
    font: Font = Font()

    @classmethod
    def of(cls, *parts: Part, font: Font | None = None) -> Content:
        """A content of these parts; texts that touch are joined, empty ones dropped.

        Args:
            parts: texts, faces and so on, in order.
            font: how the whole looks.
        """
        joined: list[Part] = []
        for part in parts:
            if isinstance(part, str) and joined and isinstance(joined[-1], str):
                joined[-1] += part
            elif part != "":
                joined.append(part)
        return cls(tuple(joined), font or Font())

    @property
    def text(self) -> str:
        """Plain text, faces as their names in brackets, pictures as ``[图片]``."""
        return "".join(part if isinstance(part, str) else part.text for part in self.parts)

    @property
    def is_unseen_picture(self) -> bool:
        """True if only a font came: a picture that the web client could not show."""
        return not self.parts
