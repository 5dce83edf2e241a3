"""Base class of results that are stored as JSON: scores, metadata, audits and verdicts."""

from __future__ import annotations

import reprlib
from typing import Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from cellvision import errors

_LONGEST_REPR = 300
"""Records hold whole experiments and tables; a longer repr is cut."""


class ResultModel(BaseModel):
    """A frozen record that writes itself to JSON and reads itself back.

    Keys that this version does not know are kept, so that a record written by a newer version
    survives being read and written again.
    """

    __pydantic_extra__: dict[str, object] = Field(init=False)  # builtins: evaluated by subclasses

    model_config = ConfigDict(
        frozen=True,
        extra="allow",
        use_attribute_docstrings=True,
        populate_by_name=True,
        serialize_by_alias=True,
        protected_namespaces=(),
    )

    def __repr__(self) -> str:
        fields = ", ".join(f"{name}={reprlib.repr(value)}" for name, value in self)
        shown = f"{type(self).__name__}({fields})"
        return shown if len(shown) <= _LONGEST_REPR else f"{shown[: _LONGEST_REPR - 2]}…)"

    @classmethod
    def from_json(cls, text: str | bytes, source: str = "JSON") -> Self:
        """Read the record from JSON.

        Parameters
        ----------
        text
            What `to_json` returned, or the content of the file it was written to.
        source
            Name of that file, for error messages.

        Raises
        ------
        errors.FolderError
            The text is not JSON, or a key is missing or has the wrong type.
        """
        try:
            return cls.model_validate_json(text)
        except ValidationError as error:
            raise errors.FolderError(
                f"{source}: {_first_fault(error)}", "Restore the file or make it again"
            ) from None

    def to_json(self) -> str:
        """Write the record as JSON, indented, with a final line break."""
        return self.model_dump_json(indent=2) + "\n"


def _first_fault(error: ValidationError) -> str:
    fault = error.errors(include_url=False)[0]
    path = ".".join(str(part) for part in fault["loc"])
    return f"{path}: {fault['msg']}" if path else str(fault["msg"])
