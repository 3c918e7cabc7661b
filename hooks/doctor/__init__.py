"""Why is it pending? What is there, what is wrong, and what ends it (issue: the doctor).

snapshot.py   everything that is looked at, without secrets; saved and read as one file
observe.py    reading it from a cluster; gaps.py what could not be read, and the rights that would help
scheduler/    what kube-scheduler would say, node by node
diagnose.py   the findings, pure; pods.py, claims.py, containers.py, database.py, disks.py by what they look at
command.py    `kubectl tidb …`; one module a subcommand
"""
