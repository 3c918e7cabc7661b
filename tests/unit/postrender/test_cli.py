"""The command as users meet it: stdout, stderr, exit codes, reports."""

from __future__ import annotations

import json
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
import yaml

from hooks import engine
from postrender import cli, config
from postrender.rules.guaranteed import Guaranteed
from tests.unit.postrender.command import BAD, BARE, GOOD, HALF, ROOT, report, run
from tests.unit.postrender.release import pod


def test_exit_codes_are_the_projects() -> None:
    assert {code.name: code.value for code in cli.Exit}.items() <= {
        code.name: code.value for code in engine.Exit
    }.items()


def test_done(tmp_path: Path) -> None:
    done = run("--report", str(tmp_path / "r.json"), stdin=GOOD)
    assert (done.returncode, done.stdout, done.stderr) == (0, GOOD, "")
    body = report(tmp_path / "r.json")
    assert body["verdict"] == "unchanged"
    assert (
        body["summary"]
        == "nothing to change in 1 document; the release asks for 0 CPU and 0 memory"
    )


def test_changed(tmp_path: Path) -> None:
    done = run("--report", str(tmp_path / "r.json"), stdin=HALF)
    assert (done.returncode, done.stderr) == (0, "")
    body = report(tmp_path / "r.json")
    assert (body["verdict"], body["counts"]["changes"]) == ("changed", 2)
    assert body["summary"] == "1 document of 1 changed; the release asks for 1 CPU and 1Gi memory"
    assert body["objects"][0]["findings"][0] == {
        "rule": "guaranteed",
        "code": "fill",
        "severity": "change",
        "path": "spec.template.spec.containers[c].resources.requests.cpu",
        "message": "container 'c' named only a limit for cpu",
        "after": "1",
    }


def test_refused_leaves_comments_only(tmp_path: Path) -> None:
    done = run("--report", str(tmp_path / "r.json"), stdin=BARE)
    assert done.returncode == cli.Exit.REFUSED
    assert done.stdout.splitlines()[0] == (
        "# tidb-postrender refused: 2 refusals in 1 object; nothing was released"
    )
    assert all(line.startswith("# ") for line in done.stdout.splitlines())
    assert done.stderr.splitlines()[0] == (
        "tidb-postrender: refused: 2 refusals in 1 object; nothing was released"
    )
    assert done.stderr.splitlines()[1].startswith(
        "  - Deployment db (t/a.yaml) spec.template.spec.containers[c]"
    )
    assert report(tmp_path / "r.json")["counts"]["refusals"] == 2


def test_a_refusals_comment_cannot_be_escaped_from() -> None:
    evil = BARE.replace("name: db", 'name: "db\\nkind: Evil\\r--- x"')
    done = run(stdin=evil)
    assert done.returncode == cli.Exit.REFUSED
    assert all(line.startswith("# ") for line in done.stdout.splitlines())


def test_warnings_go_to_stderr_and_let_the_stream_through() -> None:
    done = run(stdin=HALF.replace("x:1", "x:latest"))
    assert done.returncode == 0
    assert done.stderr.startswith(
        "tidb-postrender: warning: Deployment db spec.template.spec.containers[c].image: "
    )
    assert "requests:" in done.stdout


def test_many_refusals_are_cut_on_stderr_only() -> None:
    stream = "---\n".join(pod("      - {name: c}\n", name=f"d{n}") for n in range(30))
    done = run(stdin=stream)
    assert (
        done.stderr.splitlines()[-1] == "  … and 40 more: all are in the report (--report FILE.md)"
    )
    assert len(done.stdout.splitlines()) == 61


def test_the_report_as_markdown_and_sarif(tmp_path: Path) -> None:
    run("--report", str(tmp_path / "r.md"), stdin=BARE + "---\n" + HALF)
    text = (tmp_path / "r.md").read_text()
    assert text.startswith(
        "# tidb-postrender: refused\n\nrefused: 2 refusals in 2 objects; nothing was released.\n"
    )
    assert "## 2 refusals\n" in text
    assert (
        "| Deployment db | spec.template.spec.containers[c].resources.requests.cpu | `1`: container 'c' named"
        in text
    )
    run("--report", str(tmp_path / "r.sarif"), stdin=BARE)
    log = json.loads((tmp_path / "r.sarif").read_text())
    result = log["runs"][0]["results"][0]
    assert (result["ruleId"], result["level"]) == ("guaranteed/absent", "error")
    assert result["locations"][0]["physicalLocation"]["region"] == {"startLine": 2}
    assert log["runs"][0]["tool"]["driver"]["rules"] == [
        {"id": "guaranteed/absent", "shortDescription": {"text": Guaranteed.summary}}
    ]


def test_an_error_in_markdown_and_sarif(tmp_path: Path) -> None:
    for name in ("r.md", "r.sarif"):
        assert run("--report", str(tmp_path / name), stdin=BAD).returncode == 1
    assert "document 2 (t/b.yaml), line 6" in (tmp_path / "r.md").read_text()
    result = json.loads((tmp_path / "r.sarif").read_text())["runs"][0]["results"][0]
    assert result["locations"][0]["physicalLocation"]["region"] == {"startLine": 6}


def test_a_report_that_cannot_be_written_keeps_the_stream_back(tmp_path: Path) -> None:
    target = tmp_path / "none" / "r.json"
    done = run("--report", str(target), stdin=GOOD)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == (
        f"tidb-postrender: error: the report {target} can't be written: No such file or directory;"
        " nothing was released\n"
    )


def test_a_report_needs_a_known_form() -> None:
    done = run("--report", "r.txt", stdin=GOOD)
    assert done.returncode == 2
    assert "'r.txt' has to end in .json, .md, .sarif" in done.stderr
    done = run(stdin=GOOD, TIDB_POSTRENDER_REPORT="r.txt")
    assert (done.returncode, done.stdout) == (1, "")
    assert "$TIDB_POSTRENDER_REPORT: r.txt has to end in .json, .md, .sarif" in done.stderr


def test_options_by_the_environment(tmp_path: Path) -> None:
    (tmp_path / "c.yaml").write_text(
        "apiVersion: helm-tidb.io/v1\nkind: PostRender\nrules: {labels: {labels: {team: db}}}\n"
    )
    done = run(
        stdin=GOOD, cwd=tmp_path, TIDB_POSTRENDER_CONFIG="c.yaml", TIDB_POSTRENDER_REPORT="r.json"
    )
    assert "team: db" in done.stdout
    assert report(tmp_path / "r.json")["counts"]["changes"] == 1


def test_two_configurations_are_one_too_many(tmp_path: Path) -> None:
    (tmp_path / "c.yaml").write_text("apiVersion: helm-tidb.io/v1\nkind: PostRender\n")
    function = "functionConfig: {apiVersion: helm-tidb.io/v1, kind: PostRender}\n"
    items = "items: [{apiVersion: v1, kind: X}]\n"
    stream = f"apiVersion: config.kubernetes.io/v1\nkind: ResourceList\n{function}{items}"
    done = run("--config", "c.yaml", stdin=stream, cwd=tmp_path)
    assert (done.returncode, done.stdout) == (1, "")
    assert "two configurations, c.yaml and the function's own: give one" in done.stderr


def test_check_names_file_and_line(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text(GOOD)
    (tmp_path / "b.yaml").write_text(BARE)
    done = run("check", "a.yaml", "b.yaml", cwd=tmp_path)
    assert done.returncode == cli.Exit.REFUSED
    lines = done.stdout.splitlines()
    assert lines[0].startswith(
        "refusal: b.yaml:10: Deployment db (t/a.yaml) spec.template.spec.containers[c].resources: "
    )
    assert lines[-1] == "refused: 2 refusals in 2 objects"
    assert done.stderr == ""


def test_check_of_a_list_without_items() -> None:
    done = run("check", stdin=f"apiVersion: v1\nkind: List\nitems: []\n---\n{GOOD}")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("nothing to change in 2 documents")


def test_check_of_an_anchor_that_is_given_again_names_the_objects_line() -> None:
    twice = BARE.replace("kind: Deployment", "kind: &a Deployment\nx: &a [b]\ny: *a")
    done = run("check", stdin=twice)
    assert done.returncode == cli.Exit.REFUSED
    assert done.stdout.startswith("refusal: stdin:2: Deployment db (t/a.yaml) spec.template")


def test_a_resource_list_is_checked_alone(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text(
        "apiVersion: config.kubernetes.io/v1\nkind: ResourceList\nitems: []\n"
    )
    (tmp_path / "b.yaml").write_text(BARE)
    done = run("check", "a.yaml", "b.yaml", cwd=tmp_path)
    assert (done.returncode, done.stdout) == (1, "")
    assert "b.yaml: document 1 (t/a.yaml), line 2: a ResourceList has to be the only" in done.stderr


def test_check_can_fail_on_what_would_change() -> None:
    done = run("check", stdin=HALF)
    assert (done.returncode, done.stdout) == (
        0,
        "1 document of 1 would change; the release asks for 1 CPU and 1Gi memory\n",
    )
    done = run("check", "--fail-on", "change", stdin=HALF)
    assert done.returncode == cli.Exit.REFUSED
    assert done.stdout.startswith(
        "change: stdin:9: Deployment db spec.template.spec.containers[c].resources"
    )


def test_check_of_bad_input_and_of_no_file(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text(BAD)
    done = run("check", "a.yaml", cwd=tmp_path)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith("tidb-postrender: error: a.yaml: document 2 (t/b.yaml), line 6")
    run("check", "a.yaml", "--report", "r.sarif", cwd=tmp_path)
    place = json.loads((tmp_path / "r.sarif").read_text())["runs"][0]["results"][0]["locations"][0]
    assert place["physicalLocation"]["artifactLocation"] == {"uri": "a.yaml"}
    done = run("check", "none.yaml", cwd=tmp_path)
    assert (
        done.stderr
        == "tidb-postrender: error: none.yaml: can't be read: No such file or directory\n"
    )


def test_a_wrong_configuration_is_in_the_report_too(tmp_path: Path) -> None:
    (tmp_path / "c.yaml").write_text("apiVersion: helm-tidb.io/v1\nkind: X\n")
    done = run("--config", "c.yaml", "--report", "r.json", stdin=GOOD, cwd=tmp_path)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == "tidb-postrender: error: c.yaml: kind: is 'X', has to be PostRender\n"
    assert report(tmp_path / "r.json")["error"] == {
        "message": "c.yaml: kind: is 'X', has to be PostRender"
    }


def test_a_file_with_blanks_in_its_name_is_a_uri_in_sarif(tmp_path: Path) -> None:
    (tmp_path / "a b.yaml").write_text(BARE)
    run("check", "a b.yaml", "--report", "r.sarif", cwd=tmp_path)
    place = json.loads((tmp_path / "r.sarif").read_text())["runs"][0]["results"][0]["locations"][0]
    assert place["physicalLocation"]["artifactLocation"] == {"uri": "a%20b.yaml"}


def test_check_sees_files_as_one_release(tmp_path: Path) -> None:
    for name in ("a", "b"):
        (tmp_path / f"{name}.yaml").write_text(
            f"apiVersion: v1\nkind: PersistentVolume\nmetadata: {{name: {name}}}\nspec: {{hostPath: {{path: /d}}}}\n"
        )
    done = run("check", "a.yaml", "b.yaml", cwd=tmp_path)
    assert (
        "refusal: b.yaml:1: PersistentVolume b spec.hostPath.path: /d: this is the folder of"
        in done.stdout
    )


def test_lock_writes_what_the_list_knows(tmp_path: Path) -> None:
    digest = "sha256:" + "a" * 64
    (tmp_path / "list").write_text(f"x:1 {digest}\n")
    done = run("lock", "--digests", "list", "--output", "lock.yaml", stdin=HALF, cwd=tmp_path)
    assert (done.returncode, done.stdout) == (0, "")
    assert f'"docker.io/library/x:1": "{digest}"' in (tmp_path / "lock.yaml").read_text()
    done = run("lock", stdin=HALF)
    assert (done.returncode, done.stdout) == (1, "")
    assert "no digest is known for\n  docker.io/library/x:1\n" in done.stderr
    done = run("lock", "--digests", "none", stdin=HALF, cwd=tmp_path)
    assert done.stderr == "tidb-postrender: error: none: can't be read: No such file or directory\n"
    done = run("lock", "--digests", "list", "--output", "no/lock.yaml", stdin=HALF, cwd=tmp_path)
    assert (
        done.stderr
        == "tidb-postrender: error: no/lock.yaml: can't be written: No such file or directory\n"
    )
    done = run("lock", stdin=HALF.replace("x:1", "'x y'"))
    assert "spec.template.spec.containers[c].image: 'x y' is no image reference" in done.stderr


def test_lock_reads_a_resource_list_as_well() -> None:
    image = f"x:1@sha256:{'a' * 64}"
    item = f"{{apiVersion: v1, kind: Pod, metadata: {{name: a}}, spec: {{containers: [{{image: '{image}'}}]}}}}"
    done = run(
        "lock",
        stdin=f"apiVersion: config.kubernetes.io/v1\nkind: ResourceList\nitems: [{item}]\n",
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert '"docker.io/library/x:1": "sha256:aaa' in done.stdout


def test_rules_lists_every_rule_and_parameter() -> None:
    lines = run("rules").stdout.splitlines()
    assert [line.split()[0] for line in lines if not line.startswith(" ")] == [
        rule.name for rule in config.RULES
    ]
    assert "                  localClasses: [tidb-local]" in lines


def test_helm_plugin_is_a_plugin_folder() -> None:
    folder = Path(run("helm-plugin").stdout.strip())
    assert (folder / "plugin.yaml").exists()


def test_version_is_one() -> None:
    said = run("--version").stdout
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert said in (
        f"tidb-postrender {project['version']}\n",
        "tidb-postrender of a checkout that is not installed\n",
    )
    plugin = yaml.safe_load((ROOT / "postrender" / "helm4" / "plugin.yaml").read_text())
    assert plugin["version"] == project["version"]


@pytest.mark.parametrize("command", [[], ["check"], ["lock"], ["rules"], ["helm-plugin"]])
def test_every_command_has_help(command: list[str]) -> None:
    done = run(*command, "--help")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("usage: tidb-postrender")


def test_the_package_needs_no_hooks() -> None:
    code = "import sys; sys.modules['hooks'] = None; sys.modules['kubernetes'] = None; import postrender.cli"
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=False).returncode == 0
