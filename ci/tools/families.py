"""The table of what is built: a family is a Go module here, its binaries, and the files that go with them."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

from ci.tools.errors import UnknownToolError

FOLDER = Path(__file__).resolve().parent


@dataclass(frozen=True)
class Family:
    """One Go module of this folder.

    `binaries`: file in the built folder → Go package ("." is the family's own main.go).
    `links`: further names of a binary that acts by the name it is called by → that binary.
    `files`: file in the built folder → the module's files that make it, joined as YAML documents if there are several.
    `makes`: file in the built folder → what prints it: one of `binaries`, and its arguments.
    `tools`: name for `tools.path` → path in the built folder (default: all in bin/).
    `stamp`: linker's -X, with {version} (as in go.mod, "v1.36.3") and {number} ("1.36.3").
    """

    name: str
    module: str
    binaries: dict[str, str]
    stamp: str = ""
    links: dict[str, str] = field(default_factory=dict)
    files: dict[str, tuple[str, ...]] = field(default_factory=dict)
    makes: dict[str, tuple[str, ...]] = field(default_factory=dict)
    c_programs: dict[str, str] = field(default_factory=dict)
    tools: dict[str, str] = field(default_factory=dict)
    tags: str = ""
    cgo: bool = False
    cold_seconds: int = 60

    @property
    def folder(self) -> Path:
        return FOLDER / self.name

    @cached_property
    def go_mod(self) -> str:
        return (self.folder / "go.mod").read_text()

    @property
    def version(self) -> str:
        """The version of `module` that go.mod requires, such as "v1.36.3"."""
        found = re.search(rf"^(?:require)?\s+{re.escape(self.module)} (v\S+)", self.go_mod, re.M)
        if found is None:
            raise UnknownToolError(f"{self.folder / 'go.mod'} requires no {self.module}")
        return found.group(1)

    @property
    def go(self) -> tuple[int, ...]:
        """The least Go version that go.mod asks for, such as (1, 26, 6)."""
        found = re.search(r"^go ([\d.]+)$", self.go_mod, re.M)
        if found is None:
            raise UnknownToolError(f"{self.folder / 'go.mod'} names no Go version")
        return tuple(int(part) for part in found.group(1).split("."))

    @property
    def linker_flags(self) -> str:
        stamp = self.stamp.format(version=self.version, number=self.version.removeprefix("v"))
        return f"-s -w -X {stamp}" if stamp else "-s -w"

    @property
    def recipe(self) -> str:
        """All of this entry that changes what is built, as text for a cache key."""
        return repr((
            self.binaries, self.linker_flags, self.links, self.files, self.c_programs, self.tools, self.tags, self.cgo,
            *([self.makes] if self.makes else []),
        ))  # fmt: skip

    @cached_property
    def names(self) -> dict[str, str]:
        """Every name that `tools.path` knows of this family → the path in its built folder."""
        own = {name: f"bin/{name}" for name in (*self.binaries, *self.links, *self.c_programs)}
        return self.tools or own


_KUBE = (
    "kube-apiserver",
    "kube-controller-manager",
    "kube-scheduler",
    "kubelet",
    "kube-proxy",
    "kubectl",
)
_CNI = "github.com/containernetworking/plugins/plugins"
_CONTAINERD = "github.com/containerd/containerd/v2"
_ARGOCD = ("argocd", "argocd-application-controller", "argocd-repo-server")
_FLUX = "github.com/fluxcd/helm-controller/api"
_KWOK_STAGES = "kustomize/stage"

# In the order in which a cluster needs them: whoever builds all can start to work with the first ones.
FAMILIES: dict[str, Family] = {
    family.name: family
    for family in (
        Family(
            "etcd",
            "go.etcd.io/etcd/server/v3",
            {"etcd": "go.etcd.io/etcd/server/v3", "etcdctl": "go.etcd.io/etcd/etcdctl/v3"},
            cold_seconds=40,
        ),
        Family(
            "helm4",
            "helm.sh/helm/v4",
            {"helm4": "helm.sh/helm/v4/cmd/helm"},
            stamp="helm.sh/helm/v4/internal/version.version={version}",
            cold_seconds=90,
        ),
        Family(
            "kubernetes",
            "k8s.io/kubernetes",
            {"kube": "."},
            # Without it the API server calls itself v0.0.0-master, and charts' kubeVersion refuses.
            stamp="k8s.io/component-base/version.gitVersion={version}",
            links=dict.fromkeys(_KUBE, "kube"),
            c_programs={"pause": "build/pause/linux/pause.c"},
            cold_seconds=260,
        ),
        Family(
            "containerd",
            _CONTAINERD,
            {
                name: f"{_CONTAINERD}/cmd/{name}"
                for name in ("containerd", "containerd-shim-runc-v2", "ctr")
            },
            stamp=f"{_CONTAINERD}/version.Version={{version}}",
            cold_seconds=45,
        ),
        Family(
            "runc",
            "github.com/opencontainers/runc",
            {"runc": "github.com/opencontainers/runc"},
            tags="seccomp",
            cgo=True,
            cold_seconds=15,
        ),
        Family(
            "cni",
            "github.com/containernetworking/plugins",
            {
                "bridge": f"{_CNI}/main/bridge",
                "host-local": f"{_CNI}/ipam/host-local",
                "loopback": f"{_CNI}/main/loopback",
                "portmap": f"{_CNI}/meta/portmap",
            },
            stamp="github.com/containernetworking/plugins/pkg/utils/buildversion.BuildVersion={version}",
            # containerd wants the folder of all.
            tools={"cni": "bin"},
            cold_seconds=15,
        ),
        Family("coredns", "github.com/coredns/coredns", {"coredns": "."}, cold_seconds=50),
        Family(
            "kwok",
            "sigs.k8s.io/kwok",
            {"kwok": "sigs.k8s.io/kwok/cmd/kwok"},
            # The bare binary knows no stages; these make nodes and pods that are well.
            files={
                "stages.yaml": (
                    f"{_KWOK_STAGES}/node/fast/node-initialize.yaml",
                    f"{_KWOK_STAGES}/node/heartbeat-with-lease/node-heartbeat-with-lease.yaml",
                    f"{_KWOK_STAGES}/pod/fast/pod-ready.yaml",
                    f"{_KWOK_STAGES}/pod/fast/pod-complete.yaml",
                    f"{_KWOK_STAGES}/pod/fast/pod-delete.yaml",
                )
            },
            tools={"kwok": "bin/kwok", "kwok-stages": "stages.yaml"},
            cold_seconds=60,
        ),
        Family(
            "helm3",
            "helm.sh/helm/v3",
            {"helm3": "helm.sh/helm/v3/cmd/helm"},
            stamp="helm.sh/helm/v3/internal/version.version={version}",
        ),
        Family(
            "kubeconform",
            "github.com/yannh/kubeconform",
            {"kubeconform": "github.com/yannh/kubeconform/cmd/kubeconform"},
            stamp="main.version={version}",
            cold_seconds=5,
        ),
        Family(
            "helm-unittest",
            "github.com/helm-unittest/helm-unittest",
            {"untt": "github.com/helm-unittest/helm-unittest/cmd/helm-unittest"},
            # A folder for HELM_PLUGINS: it holds unittest/, with the binary beside plugin.yaml.
            tools={"helm-unittest": "plugins", "untt": "bin/untt"},
        ),
        Family(
            "kustomize",
            "sigs.k8s.io/kustomize/kustomize/v5",
            {"kustomize": "sigs.k8s.io/kustomize/kustomize/v5"},
            stamp="sigs.k8s.io/kustomize/api/provenance.version={version}",
            cold_seconds=20,
        ),
        Family(
            "argocd",
            "github.com/argoproj/argo-cd/v3",
            {"argocd": "github.com/argoproj/argo-cd/v3/cmd"},
            stamp="github.com/argoproj/argo-cd/v3/common.version={number}",
            links={name: "argocd" for name in _ARGOCD if name != "argocd"},
            # The repo server looks for the two scripts on PATH.
            files={
                "bin/git-ask-pass.sh": ("hack/git-ask-pass.sh",),
                "bin/git-verify-wrapper.sh": ("hack/git-verify-wrapper.sh",),
                "crds.yaml": (
                    "manifests/crds/application-crd.yaml",
                    "manifests/crds/applicationset-crd.yaml",
                    "manifests/crds/appproject-crd.yaml",
                ),
            },
            tools={name: f"bin/{name}" for name in _ARGOCD} | {"argocd-crds": "crds.yaml"},
            cold_seconds=240,
        ),
        Family(
            "flux",
            _FLUX,
            {"controller-gen": "sigs.k8s.io/controller-tools/cmd/controller-gen"},
            # Flux's module carries its API as Go types; its releases make the CRD of them in this way.
            makes={
                "crds.yaml": ("controller-gen", "crd", f"paths={_FLUX}/v2", "output:crd:stdout")
            },
            tools={"flux-crds": "crds.yaml"},
            cold_seconds=60,
        ),
    )
}


def family_of(name: str) -> Family:
    """The family that makes the tool, or the family of that name. Raises UnknownToolError, naming all tools."""
    for family in FAMILIES.values():
        if name == family.name or name in family.names:
            return family
    known = ", ".join(sorted({tool for family in FAMILIES.values() for tool in family.names}))
    raise UnknownToolError(f"no pinned tool is called {name!r}; there are: {known}")
