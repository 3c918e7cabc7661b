"""Lines of fields, by the paths that findings have."""

from __future__ import annotations

import pytest

from postrender.locate import lines_of
from postrender.stream import split

STREAM = """# nothing
---
kind: A
---
apiVersion: apps/v1
kind: StatefulSet
metadata: {name: db}
spec:
  template:
    spec:
      containers:
        - image: x
          name: first
        - {name: second, image: y}
        - resources:
            limits:
              cpu: y
  volumeClaimTemplates:
    - metadata:
        name: data
      spec: {}
"""


@pytest.mark.parametrize(
    ("path", "text"),
    [
        ("", "apiVersion: apps/v1"),
        ("kind", "kind: StatefulSet"),
        ("metadata.name", "metadata: {name: db}"),
        ("spec.template.spec.containers[first].image", "        - image: x"),
        ("spec.template.spec.containers[first].name", "          name: first"),
        ("spec.template.spec.containers[second].image", "        - {name: second, image: y}"),
        ("spec.template.spec.containers[2].resources.limits.cpu", "              cpu: y"),
        ("spec.template.spec.containers[2].resources.requests.cpu", "        - resources:"),
        ("spec.template.spec.containers[gone].image", "      containers:"),
        ("spec.volumeClaimTemplates[data].spec.storageClassName", "      spec: {}"),
        ("metadata.labels.app.kubernetes.io/name", "metadata: {name: db}"),
    ],
)
def test_a_path_has_the_line_of_its_last_step_that_is_there(path: str, text: str) -> None:
    chunk = list(split(STREAM))[-1]
    (line,) = lines_of(chunk, [path])
    assert STREAM.splitlines()[line - 1] == text
