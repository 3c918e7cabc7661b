"""Ask TiDB by SQL and PD for its stores, once each."""

from __future__ import annotations

import os
from dataclasses import dataclass, field

import pymysql

from hooks.check.plan import Snapshot, StoreState
from hooks.pd import Pd
from hooks.pd.errors import PdError
from hooks.pd.model import Store
from hooks.pd.model import StoreState as PdState
from hooks.pd.transport import Http, Transport

CONNECT_SECONDS = 5
PASSWORD = "SQL_PASSWORD"


@dataclass(frozen=True)
class Observer:
    sql_host: str
    sql_port: int
    user: str
    pd_url: str
    wanted_stores: int
    transport: Transport = field(default_factory=Http)

    def look(self) -> Snapshot:
        stores: tuple[Store, ...] = ()
        pd_problem = ""
        try:
            stores = Pd([self.pd_url], transport=self.transport, patience_seconds=0).stores()
        except PdError as error:
            pd_problem = str(error)
        return Snapshot(
            sql_address=f"{self.sql_host}:{self.sql_port}",
            sql_problem=self._sql_problem(),
            pd_problem=pd_problem,
            stores=tuple(
                StoreState(store.address, store.state_name)
                for store in stores
                if store.state is not PdState.TOMBSTONE
            ),
            wanted_stores=self.wanted_stores,
        )

    def _sql_problem(self) -> str:
        """Why `SELECT 1` has no answer, or ""."""
        try:
            connection = pymysql.connect(
                host=self.sql_host,
                port=self.sql_port,
                user=self.user,
                password=os.environ.get(PASSWORD, ""),
                connect_timeout=CONNECT_SECONDS,
                read_timeout=CONNECT_SECONDS,
            )
            with connection, connection.cursor() as cursor:
                cursor.execute("SELECT 1")
                row = cursor.fetchone()
        except (pymysql.MySQLError, OSError) as error:
            return f"SELECT 1 as {self.user} failed: {error}"
        return "" if row == (1,) else f"SELECT 1 as {self.user} gave {row!r}"
