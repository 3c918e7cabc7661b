"""From published disks to TidbVolumes and PVs, their use, and permission to clear them (issue: Disks).

model.py      what one volume's decision looks at: plain frozen values
problems.py   what each problem of a disk forbids
plan.py       the decision, pure; its docstring is the page to read first
leftovers.py  the part about other generations' PVs and deletions by hand
wiping.py     the part of the decision that can end in data being deleted
requests.py   what a node's agent is asked for, pure
builders.py   TidbVolume, PV and status as the API server wants them
world.py      the index that a running controller keeps, small enough for 24,000 volumes
apply.py      one action, with everything checked again
controller.py the loop, workqueue.py what it has to look at; scan.py the hook Job; job.py the command line
"""
