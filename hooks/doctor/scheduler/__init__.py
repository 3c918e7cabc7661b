"""What kube-scheduler would say of a pod, node by node, computed from plain objects.

The scheduler's own message counts nodes by reason and names none ("3 Insufficient memory"). To say *which* node lacks
*how much*, its filters are done again here, in its order, stopping at a node's first failing filter as it does. Source:
kube-scheduler 1.36, pkg/scheduler/framework/plugins. tests/cluster/test_scheduler_judge.py holds the two against
each other on a real control plane.

    world = World.of(objects)
    verdict = judge(pod, world)      # Verdict(nodes={"n1": (Reason(...),)}, refused="")
    verdict.message()                # "0/60 nodes are available: 3 Insufficient memory, …"

Deliberately not here: preemption (a database pod that evicts others is a decision for people), device plugins' DRA
claims, CSI volume limits and capacity, zone labels of network volumes, ReadWriteOncePod conflicts, schedulers other
than the default one.
"""

from hooks.doctor.scheduler.filters import Verdict, judge
from hooks.doctor.scheduler.model import Node, Reason
from hooks.doctor.scheduler.world import World

__all__ = ["Node", "Reason", "Verdict", "World", "judge"]
