"""The configuration of a node, as the platform hands it over in the file that KRE_CONFIG names."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from kre.errors import StartError


@dataclass(frozen=True)
class Source:
    """A durable consumer that the node pulls from."""

    stream: str
    consumer: str


@dataclass(frozen=True)
class Output:
    """Where the node stores what it sends; channels nobody listens to are absent."""

    stream: str
    error: str
    channels: Mapping[str, str]
    early: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class DeadLetters:
    """Where the node puts what it could not handle."""

    stream: str
    subject: str


@dataclass(frozen=True)
class NodeConfig:
    """A node as runner-sdk/spec/protocol.md describes it."""

    version: str
    workflow: str
    node: str
    id: str
    src: str
    exitpoint: bool
    on_path: bool
    max_attempts: int
    timeout_ms: int
    sources: tuple[Source, ...]
    output: Output | None
    dead_letters: DeadLetters
    starts: str
    status: str = ""
    """Subject on which slow handlers are told; nowhere when empty."""
    inbox: str = ""
    """Prefix of the subjects on which answers are awaited; the client's own when empty."""

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> NodeConfig:
        """Read a decoded configuration; a missing key is a KeyError, unknown ones are ignored."""
        output = data.get("output")
        return cls(
            version=data["version"],
            workflow=data["workflow"],
            node=data["node"],
            id=data["id"],
            src=data["src"],
            exitpoint=data.get("exitpoint", False),
            on_path=data.get("onPath", False),
            max_attempts=data["maxAttempts"],
            timeout_ms=data["timeoutMs"],
            sources=tuple(Source(s["stream"], s["consumer"]) for s in data["sources"]),
            output=output and Output(output["stream"], output["error"], output["channels"], output.get("early") or {}),
            dead_letters=DeadLetters(data["deadLetters"]["stream"], data["deadLetters"]["subject"]),
            starts=data["starts"],
            status=data.get("status") or "",
            inbox=data.get("inbox") or "",
        )

    @classmethod
    def load(cls, path: str) -> NodeConfig:
        """Read the file; anything wrong with it is a StartError that says what."""
        try:
            data = json.loads(Path(path).read_text(encoding="utf-8"))
            return cls.from_json(data)
        except OSError as error:
            raise StartError(f"KRE_CONFIG: cannot read {path}: {error.strerror}") from error
        except KeyError as error:
            raise StartError(f"KRE_CONFIG: {path} lacks the key {error}") from error
        except (ValueError, TypeError, AttributeError) as error:
            raise StartError(f"KRE_CONFIG: {path} is not a node's configuration: {error}") from error
