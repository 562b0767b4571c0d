"""What the reports of all checks share: problems, notes, a table for people and JSON for programs."""

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, kw_only=True)
class CheckReport(ABC):
    """Everything a check found."""

    root: str

    @property
    def ok(self) -> bool:
        """True if nothing is wrong; notes do not count."""
        return not self.problems()

    @abstractmethod
    def problems(self) -> list[str]:
        """Return what is wrong, with the cure: first overall, then file by file."""

    @abstractmethod
    def notes(self) -> list[str]:
        """Return what may be all right but is worth knowing."""

    @abstractmethod
    def figures(self) -> list[str]:
        """Return the figures as lines of the table."""

    @abstractmethod
    def content(self) -> dict[str, Any]:
        """Return the figures as plain values for JSON."""

    def table(self) -> str:
        """Return the report for people."""
        problems = self.problems()
        lines = [*self.figures(), *(f"note: {note}" for note in self.notes())]
        lines += [f"WRONG: {problem}" for problem in problems]
        return "\n".join([*lines, f"{len(problems)} problems" if problems else "nothing wrong"])

    def to_json(self) -> dict[str, Any]:
        """Return the report for programs."""
        found = {"ok": self.ok, "problems": self.problems(), "notes": self.notes()}
        return {"root": self.root, **found, **self.content()}
