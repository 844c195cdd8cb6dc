"""Where logs may be: every platform, editor and variable, as a table of its own."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from session_usage import places
from session_usage.places import Places, entries, here, stamp, subfolders

HOMES = {"linux": "/home/u", "darwin": "/Users/u", "win32": r"C:\Users\u"}


def at(platform: str, env: dict[str, str] | None = None, **more: object) -> Places:
    return Places(HOMES[platform], env or {}, platform, **more)


def vscode(platform: str, env: dict[str, str] | None = None, **more: object) -> list[str]:
    return list(at(platform, env, **more).vscode())


NAMES = [
    "Code", "Code - Insiders", "Code - Exploration", "VSCodium", "VSCodium - Insiders",
    "Code - OSS", "code-oss-dev", "Cursor", "Windsurf", "Antigravity", "Positron",
]  # fmt: skip


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize(
    ("platform", "env", "folder"),
    [
        ("linux", {}, "/home/u/.config/{}"),
        ("linux", {"XDG_CONFIG_HOME": "/cfg"}, "/cfg/{}"),
        ("linux", {"XDG_CONFIG_HOME": "cfg"}, "/home/u/.config/{}"),
        ("linux", {"XDG_CONFIG_HOME": ""}, "/home/u/.config/{}"),
        ("darwin", {}, "/Users/u/Library/Application Support/{}"),
        ("darwin", {"XDG_CONFIG_HOME": "/cfg"}, "/Users/u/Library/Application Support/{}"),
        ("win32", {}, r"C:\Users\u\AppData\Roaming\{}"),
        ("win32", {"APPDATA": r"D:\Roaming"}, r"D:\Roaming\{}"),
        ("linux", {"VSCODE_APPDATA": "/app data"}, "/app data/{}"),
        ("darwin", {"VSCODE_APPDATA": "/app data"}, "/app data/{}"),
        ("win32", {"VSCODE_APPDATA": r"E:\app"}, r"E:\app\{}"),
    ],
)
def test_desktop_editors(platform: str, env: dict[str, str], folder: str, name: str) -> None:
    assert folder.format(name) in vscode(platform, env)


def test_VSCODE_APPDATA_takes_the_place_of_the_usual_folder() -> None:
    assert not any(path.startswith("/home/u/.config") for path in vscode("linux", {
        "VSCODE_APPDATA": "/app",
    }))  # fmt: skip


@pytest.mark.parametrize(
    ("platform", "env", "folder"),
    [
        ("linux", {"VSCODE_PORTABLE": "/opt/code/data"}, "/opt/code/data/user-data"),
        ("darwin", {"VSCODE_PORTABLE": "/opt/code/data"}, "/opt/code/data/user-data"),
        ("win32", {"VSCODE_PORTABLE": r"D:\code\data"}, r"D:\code\data\user-data"),
    ],
)
def test_portable_editors(platform: str, env: dict[str, str], folder: str) -> None:
    assert vscode(platform, env)[0] == folder
    assert len(vscode(platform, env)) == len(vscode(platform)) + 1, "the others stay"


SERVERS = [
    ".vscode-server/data", ".vscode-server-insiders/data", ".vscode-server-oss/data",
    ".vscode-remote/data", ".vscode-remote", ".vscodium-server/data",
    ".vscodium-server-insiders/data", ".cursor-server/data", ".windsurf-server/data",
    ".openvscode-server/data",
]  # fmt: skip


@pytest.mark.parametrize("server", SERVERS)
@pytest.mark.parametrize("platform", HOMES)
def test_remote_servers(platform: str, server: str) -> None:
    folder = f"{HOMES[platform]}/{server}"
    assert (folder.replace("/", "\\") if platform == "win32" else folder) in vscode(platform)


@pytest.mark.parametrize(
    ("platform", "env", "folder"),
    [
        ("linux", {}, "/home/u/.local/share/code-server"),
        ("linux", {"XDG_DATA_HOME": "/data"}, "/data/code-server"),
        ("linux", {"XDG_DATA_HOME": "data"}, "/home/u/.local/share/code-server"),
        ("darwin", {}, "/Users/u/.local/share/code-server"),
    ],
)
def test_code_server(platform: str, env: dict[str, str], folder: str) -> None:
    assert folder in vscode(platform, env)


@pytest.mark.parametrize(
    "folder",
    [
        "com.visualstudio.code/config/Code",
        "com.visualstudio.code.insiders/config/Code - Insiders",
        "com.vscodium.codium/config/VSCodium",
        "com.visualstudio.code-oss/config/Code - OSS",
    ],
)
def test_flatpaks(folder: str) -> None:
    assert f"/home/u/.var/app/{folder}" in vscode("linux")
    assert not any(".var" in path for platform in ("darwin", "win32") for path in vscode(platform))


def test_WSL_reads_the_chats_that_the_window_keeps_on_Windows(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    users = {"/mnt/c/Users": ["/mnt/c/Users/Jo Doe", "/mnt/c/Users/Public"]}
    monkeypatch.setattr(places, "subfolders", lambda folder: users.get(folder, []))
    inside = vscode("linux", {"WSL_DISTRO_NAME": "Ubuntu"})
    for user in ("Jo Doe", "Public"):
        for name in ("Code", "Code - Insiders", "VSCodium"):
            assert f"/mnt/c/Users/{user}/AppData/Roaming/{name}" in inside
    assert "/home/u/.vscode-server/data" in inside
    assert not any("/mnt/c" in path for path in vscode("linux"))


@pytest.mark.parametrize(
    "name", ["/x/my data", "/x/größe", "/x/a#b", "/x/100%", "/x/%20", "/x/日本"]
)
def test_further_user_data_folders_come_first_and_as_they_are_written(name: str) -> None:
    assert vscode("linux", user_data_dirs=(name,))[0] == name


VARIABLES = st.dictionaries(
    st.sampled_from(
        ["XDG_CONFIG_HOME", "XDG_DATA_HOME", "VSCODE_PORTABLE", "VSCODE_APPDATA", "APPDATA"]
    ),
    st.sampled_from(["", "/home/u/.config", "/home/u/.local/share", "rel", "/a b", "C:\\Users\\u"]),
)


@given(
    st.sampled_from(sorted(HOMES)),
    VARIABLES,
    st.lists(st.sampled_from(["/home/u/.config/Code", "/y", r"c:\users\U\.vscode-remote"])),
)
def test_no_folder_comes_twice(platform: str, env: dict[str, str], more: list[str]) -> None:
    found = vscode(platform, env, user_data_dirs=tuple(more))
    if platform == "win32":
        found = [path.casefold() for path in found]
    assert len(found) == len(set(found))


@pytest.mark.parametrize(
    ("platform", "env", "folder"),
    [
        ("linux", {}, "/home/u/.copilot"),
        ("darwin", {}, "/Users/u/.copilot"),
        ("win32", {}, r"C:\Users\u\.copilot"),
        ("linux", {"COPILOT_HOME": "/else where"}, "/else where"),
        ("linux", {"COPILOT_HOME": ""}, "/home/u/.copilot"),
        ("linux", {"COPILOT_HOME": "~"}, "/home/u/"),
        ("linux", {"COPILOT_HOME": "~/cop"}, "/home/u/cop"),
        ("win32", {"COPILOT_HOME": r"~\cop"}, r"C:\Users\u\cop"),
        ("linux", {"COPILOT_HOME": "~cop"}, "~cop"),
    ],
)
def test_the_CLI_home(platform: str, env: dict[str, str], folder: str) -> None:
    assert at(platform, env).copilot_home() == folder


@pytest.mark.parametrize(
    ("platform", "env", "folder"),
    [
        ("linux", {}, "/home/u/.local/state/session-usage"),
        ("linux", {"XDG_STATE_HOME": "/state"}, "/state/session-usage"),
        ("linux", {"XDG_STATE_HOME": "state"}, "/home/u/.local/state/session-usage"),
        ("darwin", {}, "/Users/u/Library/Application Support/session-usage"),
        ("win32", {}, r"C:\Users\u\AppData\Local\session-usage"),
        ("win32", {"LOCALAPPDATA": r"D:\Local"}, r"D:\Local\session-usage"),
        ("linux", {"SESSION_USAGE_HOME": "/mine", "XDG_STATE_HOME": "/state"}, "/mine"),
        ("darwin", {"SESSION_USAGE_HOME": "/mine"}, "/mine"),
        ("win32", {"SESSION_USAGE_HOME": r"D:\mine"}, r"D:\mine"),
    ],
)
def test_our_own_folder(platform: str, env: dict[str, str], folder: str) -> None:
    assert at(platform, env).state() == folder


EVERYTHING = dict.fromkeys(
    (
        "COPILOT_HOME", "CLAUDE_CONFIG_DIR", "CODEX_HOME", "OPENCODE_DB", "GEMINI_CLI_HOME",
        "VSCODE_PORTABLE", "VSCODE_APPDATA", "XDG_CONFIG_HOME", "XDG_DATA_HOME",
        "XDG_STATE_HOME", "APPDATA", "WSL_DISTRO_NAME", "HOME", "USERPROFILE",
    ),
    "/of/this/user",
)  # fmt: skip


def test_another_home_ignores_the_variables_of_this_user(tmp_path: Path) -> None:
    found = here(str(tmp_path), env=EVERYTHING)
    bare = Places(str(tmp_path), {}, found.platform)
    assert found.home == str(tmp_path)
    assert not found.env
    assert list(found.vscode()) == list(bare.vscode())
    assert found.copilot_home() == bare.copilot_home()


def test_our_own_folder_is_honoured_with_another_home(tmp_path: Path) -> None:
    found = here(str(tmp_path), env={**EVERYTHING, "SESSION_USAGE_HOME": "/mine"})
    assert found.state() == "/mine"


def test_relative_folders_of_the_user_are_those_of_the_working_directory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    found = here("home", ["data/../Code"], ["logs/"], [("copilot-cli", "/x")])
    assert found.home == str(tmp_path / "home")
    assert found.user_data_dirs == (str(tmp_path / "Code"),)
    assert found.agent_log_dirs == (str(tmp_path / "logs"),)
    assert found.only("copilot-cli") == ("/x",)
    assert found.only("codex") is None


def test_home_is_that_of_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/home/someone")
    monkeypatch.setenv("USERPROFILE", "/home/someone")
    assert here().home == "/home/someone"
    assert here().env == dict(os.environ)


# ---- folders as they are


def test_folders_are_listed_by_name(tmp_path: Path) -> None:
    for name in ("b b", "a#1", "c%20", "größe"):
        (tmp_path / name).mkdir()
    (tmp_path / "a file").write_text("")
    (tmp_path / "linked").symlink_to(tmp_path / "b b")
    (tmp_path / "dangling").symlink_to(tmp_path / "nowhere")
    names = [entry.name for entry in entries(str(tmp_path))]
    assert names == sorted(names)
    assert len(names) == 7
    assert [os.path.basename(path) for path in subfolders(str(tmp_path))] == [
        "a#1", "b b", "c%20", "größe", "linked",
    ]  # fmt: skip


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no pipes have names there")
def test_pipes_are_no_logs_nor_what_is_linked_to_them(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "fifo.jsonl")
    (tmp_path / "linked.jsonl").symlink_to(tmp_path / "fifo.jsonl")
    (tmp_path / "null.jsonl").symlink_to(os.devnull)
    (tmp_path / "log.jsonl").write_text("")
    (tmp_path / "other.jsonl").symlink_to(tmp_path / "log.jsonl")
    assert [entry.name for entry in entries(str(tmp_path))] == ["log.jsonl", "other.jsonl"]


def test_missing_forbidden_and_odd_folders_are_empty(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "file"
    file.write_text("x")
    for folder in (tmp_path / "absent", file):
        assert entries(str(folder)) == []
        assert subfolders(str(folder)) == []

    def forbidden(folder: str) -> None:
        raise PermissionError(13, "Permission denied", folder)

    monkeypatch.setattr(os, "scandir", forbidden)
    assert entries(str(tmp_path)) == []
    assert subfolders(str(tmp_path)) == []


def test_the_stamp_of_a_file_that_is_gone_is_zero(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_bytes(b"12345")
    (entry,) = entries(str(tmp_path))
    assert stamp(str(file)) == stamp(entry) == (5, file.stat().st_mtime_ns)
    file.unlink()
    assert stamp(str(file)) == (0, 0)
