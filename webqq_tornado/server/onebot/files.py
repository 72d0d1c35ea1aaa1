"""Actions about files: received pictures, uploads, the files of groups."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from typing import Any

from ...onebot.v11.actions import ActionError, Retcode
from ...onebot.v11.values import id_in
from ...protocol.models.content import Content
from ..sending import NotAllowed, check_may_send
from ..storage import Conversation, FileRow, RoomFileRow, segment
from ..storage.files import MAX_TOTAL, file_name
from .account import ActionFunction, OneBotAccount
from .incoming import name_in, stored_file
from .messages import _delivered, conversation_with
from .rooms import entered

__all__ = ["FUNCTIONS"]

#: GC's number of the store that files of groups are in.
_BUSID = 102
#: Bytes of a file that ``get_file`` includes in its response.
_MOST_INLINE = 10 * 1024**2


def _stored(account: OneBotAccount, name: str) -> FileRow:
    row = account.storage.files.get(account.own_file(name) or name)
    if row is None:
        raise ActionError(f"there is no file {name[:80]!r} here")
    return row


def _url(account: OneBotAccount, name: str) -> str:
    return f"{account.url}/files/{name}"


def _info(account: OneBotAccount, row: FileRow) -> dict[str, object]:
    path = account.storage.files.path(row.name)
    # A path is of use where the application runs on this machine, which file:// says.
    is_near = account.reads_files and path is not None
    return {
        "file": str(path) if is_near else _url(account, row.name),
        "url": _url(account, row.name),
        "file_name": row.name,
        "filename": row.name,
        "file_size": str(row.size),
        "size": row.size,
    }


async def _get_image(account: OneBotAccount, params: dict[str, Any]) -> object:
    return _info(account, _stored(account, params["file"]))


async def _get_file(account: OneBotAccount, params: dict[str, Any]) -> object:
    if not params["file"]:
        raise ActionError("file or file_id is missing", Retcode.BAD_REQUEST)
    row = _stored(account, _name_of_file(account, params["file"]))
    details = _info(account, row)
    path = account.storage.files.path(row.name)
    if path is not None and row.size <= _MOST_INLINE:
        details["base64"] = base64.b64encode(path.read_bytes()).decode()
    return details


def _name_of_file(account: OneBotAccount, id_: str) -> str:
    """The name in the store of a file of a group, by its id alone, as NC has it; else the same."""
    rooms = account.storage.rooms.of(account.number, "group")
    found = (account.storage.files.room_file(one.number, id_in(id_)) for one, _, _ in rooms)
    return next((row.file for row in found if row is not None), id_)


async def _download(account: OneBotAccount, params: dict[str, Any]) -> object:
    source = params["url"] or (f"base64://{params['base64']}" if params["base64"] else "")
    row = await stored_file(account, source, params["name"], headers=_headers(params["headers"]))
    return _info(account, row)


def _headers(given: object) -> Mapping[str, str]:
    """Headers of ``download_file``: texts "Name=value", or lines of them (GC docs/guild/api.md)."""
    if isinstance(given, Mapping):
        return {str(name): str(value) for name, value in given.items()}
    lines = given.splitlines() if isinstance(given, str) else given
    if not isinstance(lines, list):
        return {}
    pairs = (str(line).partition("=") for line in lines)
    return {name.strip(): value for name, _, value in pairs if name.strip()}


# --- sending ------------------------------------------------------------------------------------


async def _upload(
    account: OneBotAccount, conversation: Conversation, params: dict[str, Any], room: int = 0
) -> object:
    try:
        check_may_send(account.storage, account.number, conversation)
        row = await stored_file(account, params["file"], params["name"])
        name = file_name(params["name"] or name_in(params["file"]) or row.name)
        kept = _put_up(account, conversation, row, name, str(params.get("folder_id") or ""))
    except (NotAllowed, ValueError) as error:
        if isinstance(error, ActionError):
            raise
        raise ActionError(str(error)) from None
    number = str(kept.id) if kept else row.name
    details = {"file": row.name, "name": name, "size": row.size, "file_id": number}
    message = await _delivered(account, conversation, Content.of(segment("file", details)), room)
    file = {"id": number, "name": name, "size": row.size, "busid": _BUSID}
    url = _url(account, row.name)
    account.state.groups.uploaded(conversation, account.number, {**file, "url": url})
    return {"file_id": number, "message_id": message.id}


def _put_up(
    account: OneBotAccount, conversation: Conversation, row: FileRow, name: str, folder: str
) -> RoomFileRow | None:
    if conversation.kind != "group":
        return None
    files = account.storage.files
    return files.add_to_room(conversation.number, account.number, row, name, id_in(folder))


async def _upload_to_group(account: OneBotAccount, params: dict[str, Any]) -> object:
    room = entered(account, params["group_id"])
    return await _upload(account, Conversation(room.kind, room.number), params)


async def _upload_to_friend(account: OneBotAccount, params: dict[str, Any]) -> object:
    conversation, room = conversation_with(account, params["user_id"])
    return await _upload(account, conversation, params, room)


# --- files of groups ----------------------------------------------------------------------------


def _file_view(account: OneBotAccount, row: RoomFileRow) -> dict[str, object]:
    stored = account.storage.files.get(row.file)
    uploader = account.storage.accounts.get(row.uploader)
    size = stored.size if stored else 0
    return {
        "group_id": row.room,
        "file_id": str(row.id),
        "file_name": row.name,
        "busid": _BUSID,
        "file_size": size,
        "size": size,
        "upload_time": row.time,
        "dead_time": 0,
        "modify_time": row.time,
        "download_times": 0,
        "uploader": row.uploader,
        "uploader_name": uploader.nick if uploader else "",
    }


def _list(account: OneBotAccount, group: int, folder: int) -> dict[str, object]:
    room, files = entered(account, group), account.storage.files
    folders = []
    for one in files.folders(room.number) if not folder else ():
        creator = account.storage.accounts.get(one.creator)
        folders.append(
            {
                "group_id": room.number,
                "folder_id": str(one.id),
                "folder": str(one.id),
                "folder_name": one.name,
                "create_time": one.time,
                "creator": one.creator,
                "creator_name": creator.nick if creator else "",
                "total_file_count": len(files.room_files(room.number, one.id)),
            }
        )
    listed = [_file_view(account, row) for row in files.room_files(room.number, folder)]
    return {"files": listed, "folders": folders}


async def _root(account: OneBotAccount, params: dict[str, Any]) -> object:
    return _list(account, params["group_id"], 0)


async def _in_folder(account: OneBotAccount, params: dict[str, Any]) -> object:
    return _list(account, params["group_id"], _folder(account, params))


def _folder(account: OneBotAccount, params: dict[str, Any]) -> int:
    text = str(params["folder_id"]).removeprefix("/")
    number = id_in(text)
    if text and account.storage.files.folder(params["group_id"], number) is None:
        raise ActionError(f"the group has no folder {text[:40]!r}")
    return number


async def _space(account: OneBotAccount, params: dict[str, Any]) -> object:
    room = entered(account, params["group_id"])
    rows = account.storage.files.room_files(room.number)
    stored = [account.storage.files.get(row.file) for row in rows]
    used = sum(row.size for row in stored if row)
    return {
        "file_count": len(rows),
        "limit_count": 10_000,
        "used_space": used,
        "total_space": MAX_TOTAL,
    }


def _room_file(account: OneBotAccount, params: dict[str, Any]) -> RoomFileRow:
    room, text = entered(account, params["group_id"]), str(params["file_id"])
    row = account.storage.files.room_file(room.number, id_in(text))
    if row is None:
        raise ActionError(f"the group has no file {text[:40]!r}")
    return row


async def _room_url(account: OneBotAccount, params: dict[str, Any]) -> object:
    return {"url": _url(account, _room_file(account, params).file)}


async def _private_url(account: OneBotAccount, params: dict[str, Any]) -> object:
    return {"url": _url(account, _stored(account, params["file_id"]).name)}


async def _create_folder(account: OneBotAccount, params: dict[str, Any]) -> object:
    room = entered(account, params["group_id"])
    try:
        made = account.storage.files.add_folder(room.number, account.number, params["name"])
    except ValueError as error:
        raise ActionError(str(error)) from None
    return {"folder_id": str(made.id), "groupItem": {"folderInfo": {"folderId": str(made.id)}}}


def _check_may_change(account: OneBotAccount, group: int, owner: int) -> None:
    """Uploaders change what is theirs; who leads the group all."""
    room = entered(account, group)
    is_leader = account.state.groups.role(room, account.number) != "member"
    if owner != account.number and not is_leader:
        raise ActionError("only who put it there, and who leads the group, changes that")


async def _delete_folder(account: OneBotAccount, params: dict[str, Any]) -> object:
    number = _folder(account, params)
    folder = account.storage.files.folder(params["group_id"], number)
    if folder is None:
        raise ActionError("folder_id is missing", Retcode.BAD_REQUEST)
    _check_may_change(account, params["group_id"], folder.creator)
    account.storage.files.remove_folder(number)
    return None


async def _delete_file(account: OneBotAccount, params: dict[str, Any]) -> object:
    row = _room_file(account, params)
    _check_may_change(account, row.room, row.uploader)
    account.storage.files.remove_room_file(row.id)
    return None


async def _move_file(account: OneBotAccount, params: dict[str, Any]) -> object:
    row = _room_file(account, params)
    _check_may_change(account, row.room, row.uploader)
    folder = _folder(account, {**params, "folder_id": params["target_parent_directory"]})
    account.storage.files.change_room_file(row.id, folder=folder)
    return {"ok": True}


async def _rename_file(account: OneBotAccount, params: dict[str, Any]) -> object:
    row = _room_file(account, params)
    _check_may_change(account, row.room, row.uploader)
    if not params["new_name"].strip():
        raise ActionError("new_name is empty", Retcode.BAD_REQUEST)
    account.storage.files.change_room_file(row.id, name=params["new_name"])
    return {"ok": True}


FUNCTIONS: dict[str, ActionFunction] = {
    "get_image": _get_image,
    "get_record": _get_image,
    "get_file": _get_file,
    "download_file": _download,
    "upload_group_file": _upload_to_group,
    "upload_private_file": _upload_to_friend,
    "get_group_root_files": _root,
    "get_group_files_by_folder": _in_folder,
    "get_group_file_system_info": _space,
    "get_group_file_url": _room_url,
    "get_private_file_url": _private_url,
    "create_group_file_folder": _create_folder,
    "delete_group_folder": _delete_folder,
    "delete_group_file_folder": _delete_folder,
    "delete_group_file": _delete_file,
    "move_group_file": _move_file,
    "rename_group_file": _rename_file,
}
