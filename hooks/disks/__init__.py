"""The disk agent: what disks this node has, and folders for volumes on them (DaemonSet, one ConfigMap a node).

The contract with the volume controller is schema/inventory.schema.yaml and schema/requests.schema.yaml.
"""
