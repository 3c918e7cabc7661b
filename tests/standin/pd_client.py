"""How TiKV and TiDB stand-ins ask PD: every given address in turn, until one answers for the leader."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import aiohttp

from tests.standin.answers import LEADER
from tests.standin.program import StandinError, say

CALL_SECONDS = 3.0
PAUSE = 0.2  # real seconds between two rounds over all addresses


class PdRefusedError(Exception):
    """PD refused a registration or heartbeat: pdpb's error by name, with its message."""

    def __init__(self, name: str, message: str) -> None:
        super().__init__(message)
        self.name = name


class PdUnavailableError(Exception):
    """No address answered for the leader."""


class PdClient:
    def __init__(self, addresses: str) -> None:
        self._urls = [
            url if url.startswith("http") else f"http://{url}"
            for url in (part.strip().rstrip("/") for part in addresses.split(","))
            if url
        ]
        if not self._urls:
            raise StandinError("no address of PD is given (--pd, or --path of tidb-server)")
        self._session = aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=CALL_SECONDS))

    async def close(self) -> None:
        await self._session.close()

    async def call(self, method: str, path: str, body: Any = None) -> Any:
        """One round over the addresses; raises PdRefusedError or PdUnavailableError."""
        problem = ""
        for url in list(self._urls):
            try:
                async with self._session.request(
                    method, f"{url}/standin/v1/{path}", json=body
                ) as answer:
                    text = await answer.text()
                    if answer.status == 200:
                        self._prefer(answer.headers.get(LEADER, url))
                        return json.loads(text)
                    if answer.status == 409:
                        error = json.loads(text)["error"]
                        raise PdRefusedError(error["type_name"], error["message"])
                    problem = f"{url}: {answer.status} {text.strip()}"
            except (aiohttp.ClientError, TimeoutError, OSError, ValueError) as unreachable:
                problem = f"{url}: {unreachable or 'timed out'}"
        raise PdUnavailableError(problem)

    def _prefer(self, url: str) -> None:
        """Ask the leader itself next time: a follower may be frozen, and would have to time out first."""
        self._urls = [url, *(other for other in self._urls if other != url)]

    async def insist(self, method: str, path: str, body: Any = None) -> Any:
        """Round after round until PD answers, as the real programs do at their start."""
        rounds = 0
        while True:
            try:
                return await self.call(method, path, body)
            except PdUnavailableError as problem:
                if rounds % 25 == 0:
                    say(f"[WARN] waiting for PD: {problem}")
                rounds += 1
                await asyncio.sleep(PAUSE)
