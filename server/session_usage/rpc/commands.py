"""The commands of ``workspace/executeCommand``, for editors that know nothing else."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from session_usage import protocol as p
from session_usage.rpc import status
from session_usage.rpc.desk import Call
from session_usage.rpc.registry import FIRST_ANSWER
from session_usage.rpc.upkeep import doctor

if TYPE_CHECKING:
    from session_usage.rpc.server import Server


async def execute(server: Server, command: str, params: p.ExecuteParams, call: Call) -> Any:
    """The commands of ``workspace/executeCommand``; each also shows its message."""
    await server.desk.settled(FIRST_ANSWER)
    if command.endswith(".doctor"):
        found = await doctor(server, p.DoctorParams(), call)
        message = _doctor_line(found)
    else:
        asked = p.GetStatusParams(
            workspace=params.workspace, folders=params.folders, storage=params.storage,
            session=params.session,
        )  # fmt: skip
        found = await server.board.compose(asked, call)
        message = status.line(found)
        if command.endswith(".analyzeCurrentSession"):
            message = _session_text(found["session"])
    server.show(message)
    return {"message": message}


def _doctor_line(found: dict[str, Any]) -> str:
    parts = [f"{len(found['problems'])} problems"]
    for row in found["agents"]:
        parts += [f"{row['label']}: {switch['setting']} is off" for switch in row["off"]]
        parts += row["drift"]
    return "; ".join(parts)


def _session_text(session: dict[str, Any] | None) -> str:
    if session is None:
        return "No session in this folder yet"
    lines = [f"{status.named(session)}: {status.amount(session['totals'])}"]
    lines += [
        f"{row['model']}: {status.amount(row)}, {row['requests']} requests"
        for row in session["models"]
    ]
    return "\n".join(lines)
