"""The commands of kubectl tidb, as far as they need no cluster: words, tables, files, refusals, rights, completion."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from hooks.doctor import command, completion, gaps, output
from hooks.doctor.diagnose import diagnose
from hooks.doctor.disks import rows
from hooks.doctor.disks_command import complaints
from hooks.doctor.disks_command import render as render_disks
from hooks.doctor.job import render
from hooks.doctor.observe import ReleaseError, choose
from hooks.doctor.snapshot import Gap, Snapshot, SnapshotError, load, prune, redact, save
from hooks.doctor.status import render as render_status
from hooks.doctor.status import status
from hooks.engine import Exit
from schema import names
from tests.unit.doctor import worlds as w


@pytest.fixture(autouse=True)
def _no_cluster(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Neither this machine's kubeconfig nor a pod's account."""
    monkeypatch.setenv("KUBECONFIG", str(tmp_path / "none"))
    monkeypatch.delenv("KUBERNETES_SERVICE_HOST", raising=False)


# --- words ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("words", [["--help"], *([name, "--help"] for name in command.COMMANDS)])
def test_every_help_has_examples_and_exit_codes(
    words: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        command.main(words)
    said = capsys.readouterr().out
    assert ended.value.code == 0
    if words[0] != "completion":
        assert "examples:" in said
        assert "exit codes: 0 well or done, 1 error" in said


def test_without_kubeconfig_one_sentence_and_a_hint(capsys: pytest.CaptureFixture[str]) -> None:
    assert command.main(["status"]) == Exit.ERROR
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err.startswith("kubectl tidb status: error: cannot tell which API server to use:")
    assert "hint: `kubectl config current-context`" in said.err
    assert "Traceback" not in said.err


def test_from_excludes_what_needs_a_cluster(capsys: pytest.CaptureFixture[str]) -> None:
    assert command.main(["doctor", "--from", "x", "--watch"]) == Exit.ERROR
    assert "leave --watch and --save out" in capsys.readouterr().err


@pytest.mark.parametrize(
    "module", ["hooks.doctor.command", "hooks"], ids=["kubectl-tidb", "python -m hooks"]
)
def test_a_reader_that_leaves_ends_it_without_a_word(module: str, tmp_path: Path) -> None:
    """As `| head` does: the pipe is closed before the first line."""
    pods = [w.pod(f"shop-tidb-{n}", "tidb", cpu="9") for n in range(400)]
    save(w.world(w.node("n1"), *pods), tmp_path / "case.json")
    words = ["doctor", "--from", str(tmp_path / "case.json"), "-o", "json"]
    if module == "hooks":
        command_line = [sys.executable, "-m", "hooks", "tidb", *words]
    else:
        call = f"import sys; from {module} import main; sys.exit(main())"
        command_line = [sys.executable, "-c", call, *words]
    read, write = os.pipe()
    os.close(read)
    done = subprocess.run(
        command_line, stdout=write, stderr=subprocess.PIPE, text=True, check=False
    )
    os.close(write)
    assert (done.returncode, done.stderr) == (Exit.DONE, "")


# --- files ---------------------------------------------------------------------------------------


def test_a_saved_snapshot_gives_the_same_diagnosis(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    gap = Gap("events", "events.k8s.io", "db", "complaints are not known", "403", forbidden=True)
    snapshot = w.world(
        w.node("n1"), w.pod("shop-tidb-0", "tidb", cpu="9"), pd=w.pd_answers(w.store(5, "x", "Down")),
        logs={"a/b": ["line"]}, gaps=(gap,),
    )  # fmt: skip
    save(snapshot, tmp_path / "case.json")
    assert diagnose(load(tmp_path / "case.json")) == diagnose(snapshot)
    assert (
        command.main(["doctor", "--from", str(tmp_path / "case.json"), "-o", "json"])
        == Exit.REFUSED
    )
    said = capsys.readouterr()
    document = json.loads(said.out)
    assert document["findings"][0]["code"] == "unschedulable-resource"
    assert document["notRead"][0]["resource"] == "events"
    assert "may not list events.events.k8s.io in namespace db" in said.err


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "is no snapshot: "),
        ("[]", "is a snapshot of format 'list', this program reads 1"),
        ('{"format": 7}', "is a snapshot of format 7, this program reads 1"),
        ('{"format": 1}', "is no whole snapshot: KeyError('taken')"),
    ],
)
def test_files_that_are_no_snapshot(text: str, message: str, tmp_path: Path) -> None:
    path = tmp_path / "case.json"
    path.write_text(text)
    with pytest.raises(SnapshotError) as refused:
        load(path)
    assert message in str(refused.value)
    with pytest.raises(SnapshotError, match="cannot read the snapshot"):
        load(tmp_path / "none.json")
    with pytest.raises(SnapshotError, match="cannot write the snapshot"):
        save(w.world(), tmp_path / "no" / "folder")


def test_secrets_are_left_out() -> None:
    pod = w.pod("shop-tidb-0", "tidb")
    pod["metadata"]["annotations"] = {
        "kubectl.kubernetes.io/last-applied-configuration": "hunter2",
        "helm-tidb.io/x": "kept",
    }
    pod["metadata"]["managedFields"] = [{"hunter2": 1}]
    pod["spec"]["containers"][0] |= {
        "env": [{"name": "PASSWORD", "value": "hunter2"}], "args": ["--password=hunter2"], "command": ["hunter2"],
    }  # fmt: skip
    pod["spec"]["volumes"] = [{"name": "s", "secret": {"secretName": "hunter2"}}]
    kept = prune(pod)
    assert "hunter2" not in json.dumps(kept)
    assert kept["metadata"]["annotations"] == {"helm-tidb.io/x": "kept"}
    assert kept["spec"]["containers"][0]["resources"] == pod["spec"]["containers"][0]["resources"]
    guest = prune(pod, guest=True)
    assert "volumes" not in guest["spec"]
    assert guest["spec"]["containers"][0]["resources"]["requests"]["cpu"] == "1"


def test_passwords_in_log_lines_are_cut_out() -> None:
    assert redact("login password=hunter2 failed") == "login password=*** failed"
    assert redact('{"token": "abc"}').count("abc") == 0


# --- which release -------------------------------------------------------------------------------


def test_which_release_is_meant() -> None:
    shop, web = w.stateful_set("tikv"), w.stateful_set("tikv", release="web")
    assert choose("", "db", [shop]) == "shop"
    assert choose("web", "db", [shop, web]) == "web"
    with pytest.raises(
        ReleaseError,
        match=r"several releases of the chart tidb: shop, web; choose one with -l RELEASE",
    ):
        choose("", "db", [shop, web])
    with pytest.raises(
        ReleaseError, match=r"no release x of the chart tidb in namespace db; there are: shop\."
    ):
        choose("x", "db", [shop])
    with pytest.raises(ReleaseError, match="namespace db has no release of the chart tidb"):
        choose("", "db", [])


def test_a_release_that_is_not_ours() -> None:
    theirs = w.stateful_set("tikv", release="basic")
    theirs["metadata"]["labels"] |= {
        "app.kubernetes.io/name": "tidb-cluster", "app.kubernetes.io/managed-by": "tidb-operator",
    }  # fmt: skip
    with pytest.raises(ReleaseError, match="StatefulSet basic-tikv is managed by tidb-operator"):
        choose("basic", "db", [theirs])


# --- rights --------------------------------------------------------------------------------------


def test_missing_rights_are_a_role_to_grant() -> None:
    import yaml

    found = (
        Gap("nodes", "", "", "no reason can be given node by node", "403"),
        Gap("statefulsets", "apps", "db", "how many pods there should be is not known", "403"),
        Gap("tidbvolumes", names.GROUP, "", "the disks can't be listed", "404", forbidden=False),
    )
    said = gaps.sentences(found)
    assert "may not list nodes in the whole cluster: no reason can be given node by node" in said
    assert (
        "could not list tidbvolumes.helm-tidb.io in the whole cluster: the disks can't be listed (404)"
        in said
    )
    cluster, _, role, binding = list(yaml.safe_load_all(gaps.roles(found, "ann")))
    assert (cluster["kind"], cluster["rules"]) == (
        "ClusterRole", [{"apiGroups": [""], "resources": ["nodes"], "verbs": ["list"]}],
    )  # fmt: skip
    assert (role["kind"], role["metadata"]["namespace"]) == ("Role", "db")
    assert binding["subjects"][0]["name"] == "ann"
    assert gaps.roles(found[2:]) == ""


def test_a_refused_call_prints_the_role_that_grants_it() -> None:
    """The words are RBAC's own, as Kubernetes 1.36 says them."""
    import yaml

    said = (
        'PATCH /apis/helm-tidb.io/v1/tidbvolumes/tv-1: 403 tidbvolumes.helm-tidb.io "tv-1" is forbidden: User "ann" '
        'cannot patch resource "tidbvolumes" in API group "helm-tidb.io" at the cluster scope'
    )
    hint, _, documents = gaps.role_for(said).partition("\n\n")
    assert hint.startswith("this right would help (kubectl apply -f -")
    role, binding = list(yaml.safe_load_all(documents))
    assert (role["kind"], role["rules"]) == (
        "ClusterRole", [{"apiGroups": ["helm-tidb.io"], "resources": ["tidbvolumes"], "verbs": ["patch"]}],
    )  # fmt: skip
    assert binding["subjects"][0]["name"] == "ann"
    here = 'User "ann" cannot list resource "cronjobs" in API group "batch" in the namespace "db"'
    role, _ = list(yaml.safe_load_all(gaps.role_for(here).partition("\n\n")[2]))
    assert (role["kind"], role["metadata"]["namespace"]) == ("Role", "db")
    assert gaps.role_for("denied by ValidatingAdmissionPolicy: replicas may not shrink") == ""


# --- screens -------------------------------------------------------------------------------------


def sound() -> Snapshot:
    return w.world(
        w.node("n1"),
        w.disk(1, "n1", phase="Bound", held="tikv-shop-tikv-0"), w.disk(2, "n1"),
        w.claim("tikv-shop-tikv-0", volume=w.volume_of(1)),
        w.stateful_set("pd", 1), w.stateful_set("tikv", 2),
        w.pod("shop-pd-0", "pd", on="n1"), w.pod("shop-tikv-0", on="n1", claim="tikv-shop-tikv-0"),
        w.last_plan("failover", waits=[{"subject": "Pod db/shop-tikv-1", "why": "away", "until": "it is back"}]),
        pd=w.pd_answers(w.store(7, "shop-tikv-0"), members=("shop-pd-0",)),
    )  # fmt: skip


def test_status_is_one_line_a_pod_also_for_those_that_are_missing() -> None:
    lines = render_status(status(sound()), "table").splitlines()
    assert lines[0] == "shop in namespace db: 1/1 pd, 1/2 tikv · not all ready: kubectl tidb doctor"
    rows_ = {line.split()[0]: line for line in lines if line.startswith("shop-")}
    assert "leader" in rows_["shop-pd-0"]
    assert "Up store 7, 12 regions, 4 led" in rows_["shop-tikv-0"]
    assert "/mnt/disks/d1 200Gi" in rows_["shop-tikv-0"]
    assert "missing" in rows_["shop-tikv-1"]
    assert "disks: 1 Available, 1 Bound" in lines
    assert "  failover waits: Pod db/shop-tikv-1: away; ends when it is back" in lines


def test_status_for_programs_is_plain_data() -> None:
    import yaml

    as_json = json.loads(render_status(status(sound()), "json"))
    assert as_json["rows"][1]["database"] == "Up store 7, 12 regions, 4 led"
    assert yaml.safe_load(render_status(status(sound()), "yaml")) == as_json


def test_a_member_whose_ping_was_not_waited_for_is_not_called_silent() -> None:
    answers = w.pd_answers(members=("shop-pd-0", "shop-pd-1"))
    del answers["/pd/api/v1/health"]
    pods = (w.pod("shop-pd-0", "pd", on="n1"), w.pod("shop-pd-1", "pd", on="n1"))
    seen = status(w.world(w.node("n1"), w.stateful_set("pd", 2), *pods, pd=answers))
    assert [row.database for row in seen.rows] == ["leader", "member"]


def test_disks_as_table_and_data() -> None:
    found = rows(w.world(w.disk(1, "n1", phase="Refused", why="dirty: x"), w.disk(2, "n2")))
    lines = render_disks(found, ["n1: root is missing"], "table").splitlines()
    assert lines[0].split() == ["NODE", "DISK", "SIZE", "PHASE", "CLAIM", "VOLUME", "WHY"]
    assert lines[1].endswith("dirty: x")
    assert lines[-2:] == ["note: n1: root is missing", "2 disks on 2 nodes: 1 Available, 1 Refused"]
    assert json.loads(render_disks(found, [], "json"))["disks"][1]["sizeBytes"] == 200 * w.GI


def test_what_agents_complain_of_is_shown() -> None:
    inventory = {
        "apiVersion": "v1", "kind": "ConfigMap", "metadata": w.meta("tidb-disks-n1", "db"),
        "data": {names.INVENTORY_KEY: json.dumps({"node": "n1", "complaints": ["minSize is '1x'"]})},
    }  # fmt: skip
    assert complaints(w.world(inventory)) == ["n1: minSize is '1x'"]


def test_the_doctors_report_reads_from_the_verdict_down() -> None:
    text = render(diagnose(w.world(w.node("n1"), w.pod("shop-tidb-0", "tidb", cpu="9"))), "table")
    lines = text.splitlines()
    assert lines[0].startswith(
        "release shop: 1 problem that a person must end; first: Pod db/shop-tidb-0: none of 1 node"
    )
    assert lines[2].startswith("1. problem: Pod db/shop-tidb-0: ")
    assert lines[3] == "     n1: cpu: asks 9, 4 free of 4"
    assert lines[4].startswith("   do: ask for less than 4 cpu")


def test_colour_repeats_what_the_word_says() -> None:
    plain = output.columns(("A", "B"), [("Failed", "x")])
    painted = output.columns(("A", "B"), [("Failed", "x")], colour=True)
    assert painted[1] == plain[1].replace("Failed", "\033[31mFailed\033[0m")


# --- completion ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ([""], ["completion", "disks", "doctor", "plan", "status", "wipe"]),
        (["d"], ["disks", "doctor"]),
        (["plan", "f"], ["failover"]),
        (["status", "-o", ""], ["json", "table", "yaml"]),
        (["doctor", "--fr"], ["--from"]),
        (["doctor", "shop"], []),
    ],
)
def test_completion(
    words: list[str], expected: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    """The last one needs a cluster, has none, and stays silent."""
    assert completion.complete(words) == Exit.DONE
    said = capsys.readouterr()
    assert said.out.split() == [*expected, ":4"]
    assert said.err == ""
