"""R17 and B18: which project a folder belongs to."""

import subprocess

import pytest

from session_usage.projects import project_of


def _git(folder, *arguments):
    subprocess.run(
        ["git", "-c", "user.name=a", "-c", "user.email=a@example.org", *arguments],
        cwd=folder,
        check=True,
        capture_output=True,
    )


@pytest.fixture
def repository(tmp_path):
    root = tmp_path / "My Repo #1 ü"
    (root / "src" / "deep").mkdir(parents=True)
    _git(root, "init", "-q")
    (root / "a.txt").write_text("a")
    _git(root, "add", ".")
    _git(root, "commit", "-qm", "a")
    return root


def test_R17_subfolders_belong_to_their_repository(repository):
    assert project_of(str(repository / "src" / "deep")) == str(repository)
    assert project_of(str(repository)) == str(repository)


def test_B18_a_worktree_is_no_project_of_its_own(repository, tmp_path):
    worktree = tmp_path / "elsewhere" / "feature-x"
    _git(repository, "worktree", "add", "-q", str(worktree))
    assert project_of(str(worktree)) == str(repository)
    assert project_of(str(repository), str(worktree)) == str(repository)


def test_R17_a_folder_outside_any_repository_is_its_own_project(tmp_path):
    assert project_of(str(tmp_path)) == str(tmp_path)


@pytest.mark.parametrize(
    ("workspace", "root", "project"),
    [
        ("/no/such/folder", None, "/no/such/folder"),
        ("/no/such/folder/sub", "/no/such/folder", "/no/such/folder"),
        ("vscode-remote://ssh/home/a", None, "vscode-remote://ssh/home/a"),
        (None, None, None),
    ],
)
def test_R17_folders_of_another_machine_keep_their_names(workspace, root, project):
    assert project_of(workspace, root) == project


@pytest.mark.parametrize("text", ["", "gitdir: /no/such/folder\n", "nonsense\n", "\udcff"])
def test_R17_a_broken_git_file_still_marks_a_project(tmp_path, text):
    (tmp_path / ".git").write_bytes(text.encode("utf-8", "surrogateescape"))
    assert project_of(str(tmp_path / "x")) == str(tmp_path)
