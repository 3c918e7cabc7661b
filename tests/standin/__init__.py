"""Stand-ins for PD, TiKV and TiDB: what tests and the demo run where the real images cannot be pulled. NOT a database.

Three programs with the real command names, flags and ports, for whoever looks through PD's HTTP API, a store's
registration, a pod's life or the SQL port. What they promise to a test:

- *Membership is real.* Each `pd-server` runs the pinned etcd as its child: quorum, joins, removals and their refusals
  are etcd's own. Everything that PD must not forget (stores, regions, configuration) lives in that etcd.
- *PD's answers are PD's.* Status, text and shape follow the captures of a real PD 8.5 (`tests/contract` compares them).
- *Rows are real.* A write is acknowledged when a majority of its region's peers has fsynced it (an ABD register); peers
  move between stores by seal, copy and commit (`operators.py`). So a test that wipes the wrong disk loses rows and
  sees it.
- *Loss is recorded for ever* (`loss.py`): GET /standin/v1/lost. Every test that destroys something asks it at the end.

Deliberately not done: SQL beyond one table of keys and values, transactions, splits and merges while running, TiFlash's
own data (a store with the label engine=tiflash registers, counts and heartbeats, and takes no peers), gRPC.

The environment variables they read, for what has no real flag: STANDIN_TIME_SCALE (see `clock.py`), STANDIN_REGIONS
(how many regions a new cluster has, default 20), STANDIN_ETCD (the etcd binary, default: on PATH, else ci.tools).
"""
