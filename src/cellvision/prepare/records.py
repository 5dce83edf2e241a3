"""Work records: what a verb notes in a folder so that an interrupted command can be finished.

A data folder may come from a stranger, so a record in it is not obeyed unchecked. It must match a
schema; every name in it must be relative, stay below its folder and have the form that we write;
and it must carry the signature of this user's key, which lies in the user's state folder and never
in a data folder.
"""

from __future__ import annotations

import functools
import hashlib
import hmac
import json
import os
import re
import secrets
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import Annotated, Self

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError

from cellvision import atomic_io, errors
from cellvision.locks import folder_lock
from cellvision.user_folders import state_folder

WORK_RECORD = ".prepare.jsonl"
"""What is finished in an output folder; stays there."""

NUMBER_RECORD = ".number.json"
"""A numbering in place (or its reversal) that is under way; removed at the end."""

_LARGEST_RECORD = 2**28  # bytes; 100,000 images need a tenth of it


def _relative(name: str) -> str:
    """Accept a relative POSIX path that stays below its folder on every operating system."""
    parts = name.split("/")
    if not name or "\0" in name or {"", ".", ".."} & set(parts):
        raise ValueError("not a plain relative path")
    if os.name == "nt" and ("\\" in name or any(PureWindowsPath(part).drive for part in parts)):
        raise ValueError("not a plain relative path")
    return name


RelativeName = Annotated[str, AfterValidator(_relative)]
"""A POSIX path below the folder of the record, without `.` and `..`."""

Token = Annotated[str, Field(pattern=r"^[0-9a-f]{32}$")]


class Signed(BaseModel):
    """A record with a random token and a signature over everything else in it."""

    model_config = ConfigDict(extra="forbid", strict=True)

    token: Token = Field(default_factory=lambda: secrets.token_hex(16))
    signature: str = ""

    def signed(self) -> Self:
        """Return a copy that carries this user's signature."""
        return self.model_copy(update={"signature": self._digest()})

    @property
    def is_ours(self) -> bool:
        """Whether this user wrote the record and nobody changed it."""
        return hmac.compare_digest(self.signature.encode(), self._digest().encode())

    def _digest(self) -> str:
        content = self.model_dump(mode="json", exclude={"signature"})
        text = json.dumps([type(self).__name__, content], sort_keys=True)
        return hmac.new(_user_key(), text.encode(), hashlib.sha256).hexdigest()


class WorkHead(Signed):
    """The first line of `.prepare.jsonl`: which command fills the folder."""

    version: Annotated[int, Field(ge=2, le=2)] = 2
    verb: Annotated[str, Field(pattern=r"^[a-z]{1,20}$")]
    parameters: dict[str, object]

    def same_command(self, other: WorkHead) -> bool:
        """Whether both describe the same verb with the same settings."""
        return (self.verb, self.parameters) == (other.verb, other.parameters)

    def __str__(self) -> str:
        settings = [f"{key}={value}" for key, value in self.parameters.items() if value is not None]
        return " ".join([self.verb, *settings])


class Output(BaseModel):
    """One image that a verb wrote.

    Attributes
    ----------
    file
        POSIX path relative to the output folder.
    transformation
        What was done to the source, for the manifest.
    columns
        Further columns of the manifest, known of this output only, such as the object's class.
    """

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)

    file: RelativeName
    transformation: str
    columns: dict[str, str] = {}


class WorkLine(BaseModel):
    """Another line of `.prepare.jsonl`: one finished source and its outputs."""

    model_config = ConfigDict(extra="forbid", strict=True)

    source: RelativeName
    target: RelativeName
    size: int
    mtime_ns: int
    outputs: list[Output]
    notes: list[str]

    @property
    def is_consistent(self) -> bool:
        """Whether every output is named after the target, as each verb names them."""
        stem = PurePosixPath(self.target).name
        names = [PurePosixPath(output.file).name for output in self.outputs]
        return all(name.startswith(stem) and _ENDING.fullmatch(name[len(stem) :]) for name in names)


_ENDING = re.compile(r"(?:(?:_r\d+_c\d+|_rot[-+.0-9e]+|_o\d+)\.(?:png|tif))?")


def read_text(path: Path) -> str:
    """Read a record's text.

    Raises
    ------
    cellvision.errors.FolderError
        It is a link, not a regular file, far too large, or not UTF-8.
    """
    try:
        if path.is_symlink() or not path.is_file():
            raise ValueError("it is a link or not a regular file")
        if path.stat().st_size > _LARGEST_RECORD:
            raise ValueError("it is too large")
        return path.read_text(encoding="utf-8")
    except ValueError as error:  # UnicodeDecodeError is one
        raise foreign(path, str(error)) from error


def foreign(path: Path, reason: str | ValidationError) -> errors.FolderError:
    """Build the error for a record that is not obeyed."""
    if isinstance(reason, ValidationError):
        first = reason.errors(include_input=False, include_url=False)[0]
        where = ".".join(str(part) for part in first["loc"]) or "its text"
        reason = f"{where}: {first['msg']}"
    return errors.FolderError(
        f"{path} is not a record that 'cellvision prepare' wrote here for you: {reason}",
        "Nothing was changed. If the folder comes from someone else, ask for a complete copy, or "
        "delete this file and check that no images are missing.",
    )


NOT_SIGNED = "it was written by another user or on another computer"


def below(folder: Path, name: str) -> Path:
    """Return the path of `name` in `folder`, after following links in its folders.

    Raises
    ------
    cellvision.errors.FolderError
        A link leads out of `folder`.
    """
    path = folder / name
    if not path.parent.resolve().is_relative_to(folder.resolve()):
        raise errors.FolderError(
            f"{path.parent} is a link that leads out of {folder}",
            "Replace the link by a folder, or name another folder.",
        )
    return path


@functools.cache
def _user_key() -> bytes:
    """Return this user's secret key, created when first needed."""
    path = state_folder() / "record.key"
    try:
        if not path.exists():
            with folder_lock(path, "prepare", wait=10):
                if not path.exists():
                    _create_key(path)
        key = bytes.fromhex(path.read_text(encoding="ascii").strip())
    except (OSError, ValueError, errors.CellvisionError):
        key = b""
    # Without a readable key, records are valid for this process only.
    return key if len(key) == 32 else secrets.token_bytes(32)


def _create_key(path: Path) -> None:
    with atomic_io.path(path) as temporary:
        temporary.touch(mode=0o600)
        temporary.write_text(secrets.token_hex(32) + "\n", encoding="ascii")
