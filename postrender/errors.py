"""What can go wrong, by remedy: repair the stream, repair the configuration, or read the refusals.

A refusal by a rule is no error of this tree: it is data (findings.py) and ends with another exit code.
"""

from __future__ import annotations


class PostrenderError(Exception):
    """Root of this package's errors: the text is a whole message for the user."""


class StreamError(PostrenderError):
    """The input can't be read as a stream of Kubernetes manifests.

    `document` counts from 1, `line` and `column` too and count in the whole input; 0 means "not known". `input_name` is
    set by whoever reads several inputs.
    """

    input_name = ""

    def __init__(
        self,
        problem: str,
        *,
        document: int = 0,
        line: int = 0,
        column: int = 0,
        excerpt: str = "",
        remedy: str = "",
        source: str = "",
    ) -> None:
        super().__init__(problem)
        self.problem = problem
        self.document = document
        self.line = line
        self.column = column
        self.excerpt = excerpt
        self.remedy = remedy
        self.source = source

    def __str__(self) -> str:
        where = []
        if self.document:
            where.append(f"document {self.document}" + (f" ({self.source})" if self.source else ""))
        if self.line:
            where.append(f"line {self.line}")
        if self.column:
            where.append(f"column {self.column}")
        parts = [self.input_name, ", ".join(where), self.problem]
        message = ": ".join(part for part in parts if part)
        if self.excerpt:
            start = max(0, self.column - 60)  # keep the place in sight in a line of a megabyte
            shown = self.excerpt[start : start + 100]
            message += f"\n{self.line:>6} | {shown}"
            if self.column:
                pad = "".join("\t" if c == "\t" else " " for c in shown[: self.column - 1 - start])
                message += f"\n       | {pad}^"
        if self.remedy:
            message += f"\n{self.remedy}"
        return message


class ConfigError(PostrenderError):
    """The configuration, a lock file or a list of images can't be used."""


class OutputError(PostrenderError):
    """The report or the stream could not be written."""
