"""The server: pygls for the life cycle, our own dispatch for everything that is ours.

pygls never answers a request whose params are missing or do not fit, sends tracebacks with
paths, and reads its input in the threads that also work. So messages are read and dispatched
here, as plain JSON: every request gets an answer, every error a code of the schemas.
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import logging
import sys
from collections.abc import Callable
from typing import Any

from lsprotocol import types
from pygls.lsp.server import LanguageServer
from pygls.protocol import LanguageServerProtocol, default_converter

from session_usage import __version__
from session_usage.errors import SessionUsageError
from session_usage.ledger import codec
from session_usage.protocol import COMMANDS, ERRORS, PROBLEM, REQUESTS, InitializationOptions
from session_usage.rpc.board import Board
from session_usage.rpc.desk import Call, Desk, Prepared, Start
from session_usage.rpc.indexer import Indexer
from session_usage.rpc.params import InvalidParams, structure

PARSE_ERROR, INVALID_REQUEST, METHOD_NOT_FOUND = -32700, -32600, -32601
INVALID_PARAMS, INTERNAL_ERROR = -32602, -32603
NOT_INITIALIZED, CANCELLED = -32002, -32800
_SWITCH_SECONDS = 0.001
"""How long a thread that works may keep the loop from answering."""
_LARGE = 1 << 18
_TIDY_SECONDS, _KEPT_SECONDS = 2.0, 60.0
"""After the last large answer: what it took goes, then what the next would be made of."""
_EXECUTE = "workspace/executeCommand"

log = logging.getLogger("session_usage.rpc")


class LedgerBusy(SessionUsageError):
    """Another process writes the ledger and did not let go of it in time."""


class Failure(Exception):
    """An error of JSON-RPC itself."""

    def __init__(self, code: int, text: str) -> None:
        super().__init__(text)
        self.code = code


class Protocol(LanguageServerProtocol):
    """pygls' protocol with plain JSON in and prepared JSON out."""

    _server: Server

    def handle_message(self, message: Any) -> None:
        """One message, whatever it is; a request is answered in any case."""
        if not isinstance(message, dict):
            self.fail(None, INVALID_REQUEST, "a message must be an object")
            return
        method, number = message.get("method"), message.get("id")
        if "method" not in message:
            if "id" in message and ("result" in message or "error" in message):
                self._answered(message)
            else:
                self.fail(_id(number), INVALID_REQUEST, "a message needs a method")
            return
        wrong = None
        if message.get("jsonrpc") != "2.0":
            wrong = 'jsonrpc must be "2.0"'
        elif not isinstance(method, str):
            wrong = "method must be a text"
        elif "id" in message and _id(number) is None:
            wrong = "id must be a number or a text"
        if wrong:
            self.fail(_id(number), INVALID_REQUEST, wrong)
        elif "id" in message:
            self._server.request(number, str(method), message.get("params"))
        else:
            self._server.notified(str(method), message.get("params"))

    def _answered(self, message: dict[str, Any]) -> None:
        """The client's answer to a request of ours."""
        future = self._request_futures.pop(message["id"], None)
        if future is not None and not future.done():
            future.set_result(message.get("result"))

    def built_in(self, number: Any, method: str, params: Any) -> None:
        """Lets pygls answer one of its own requests; raises Failure when params do not fit."""
        cls: Any = self.get_message_type(method)
        try:
            data = {"jsonrpc": "2.0", "id": number, "method": method, "params": params}
            message = self._converter.structure(data, cls)
        except Exception:
            raise Failure(INVALID_PARAMS, f"params do not fit {method}") from None
        self._handle_request(number, method, message.params)

    def answer(self, number: Any, result: Any) -> None:
        """Sends a result."""
        body = result.data if isinstance(result, Prepared) else codec.dumps(result)
        self.send(b'{"jsonrpc":"2.0","id":', codec.dumps(number), b',"result":', body, b"}")

    def fail(self, number: Any, code: int, text: str) -> None:
        """Sends an error: one line, nothing else."""
        error = {"code": code, "message": text.replace("\n", " ")[:500]}
        self.send(codec.dumps({"jsonrpc": "2.0", "id": number, "error": error}))

    def send(self, *parts: bytes) -> None:
        """Sends a message; a client that is gone is no error."""
        if self.writer is None:
            return
        if self._include_headers:
            parts = b"Content-Length: %d\r\n\r\n" % sum(map(len, parts)), *parts
        with contextlib.suppress(OSError, ValueError):
            sent = self.writer.write(b"".join(parts))
            if sent is not None and asyncio.iscoroutine(sent):
                task = asyncio.ensure_future(sent)
                task.add_done_callback(lambda done: done.cancelled() or done.exception())

    def _send_data(self, data: Any) -> None:
        # what pygls itself sends: typed objects
        self.send(codec.dumps(self._converter.unstructure(data)))


def _id(value: Any) -> int | str | None:
    return value if type(value) in (int, str) else None


class Server(LanguageServer):
    """One server for one client."""

    protocol: Protocol

    def __init__(
        self,
        start: Start,
        token: str | None = None,
        give_back: Callable[[], None] = lambda: None,
    ) -> None:
        super().__init__(
            "session-usage", __version__, protocol_cls=Protocol, converter_factory=default_converter
        )
        self.desk = Desk(start)
        self.board = Board(self)
        self.indexer = Indexer(self.desk.path, self.desk.places, self._heard)
        self.token = token
        self._give_back = give_back
        self._giving: tuple[asyncio.TimerHandle, ...] = ()
        self.initialized = False
        self.stopping = False
        self.exit_code: int | None = None
        self.finished: asyncio.Event | None = None
        self._calls: dict[Any, tuple[asyncio.Task[None], Call]] = {}
        for name in COMMANDS:  # named in the answer to initialize; answered by ``_work``
            self.command(name)(lambda *arguments: None)

    # messages

    def request(self, number: Any, method: str, params: Any) -> None:
        """A request: answered by a task of its own."""
        try:
            self._check(method)
            if method == types.INITIALIZE:
                self._initialize(number, params)
            elif method == types.SHUTDOWN:
                self.stopping = True
                self.protocol.answer(number, None)
            elif method in REQUESTS or method == _EXECUTE:
                call = Call(self._progress(params))
                task = asyncio.get_running_loop().create_task(
                    self._work(number, method, params, call)
                )
                self._calls[number] = task, call
            else:
                raise Failure(METHOD_NOT_FOUND, f"no method {method[:100]!r}")
        except Failure as failure:
            self.protocol.fail(number, failure.code, str(failure))

    def _check(self, method: str) -> None:
        if self.stopping:
            raise Failure(INVALID_REQUEST, "the server is shutting down")
        if not self.initialized and method != types.INITIALIZE:
            raise Failure(NOT_INITIALIZED, "initialize comes first")
        if self.initialized and method == types.INITIALIZE:
            raise Failure(INVALID_REQUEST, "initialize comes only once")

    async def _work(self, number: Any, method: str, params: Any, call: Call) -> None:
        try:
            handlers = _load_handlers()
            if method == _EXECUTE:
                from session_usage.rpc.commands import execute

                result = await execute(self, *_command(params), call)
            else:
                result = await handlers[method](self, structure(params, REQUESTS[method]), call)
            data = result if isinstance(result, Prepared) else Prepared(codec.dumps(result))
            self._end_progress(call)
            self.protocol.answer(number, data)
            if len(data.data) > _LARGE:
                self._tidy()
        except asyncio.CancelledError:
            call.stop()
            self._end_progress(call)
            self.protocol.fail(number, CANCELLED, "the request was cancelled")
        except Exception as error:
            self._end_progress(call)
            code, text = explained(error)
            self.protocol.fail(number, code, text)
        finally:
            self._calls.pop(number, None)

    def _tidy(self) -> None:
        """A while after the last large answer, gives the memory back that it took."""
        for timer in self._giving:
            timer.cancel()
        loop = asyncio.get_running_loop()
        self._giving = (
            loop.call_later(_TIDY_SECONDS, self._give_back),
            loop.call_later(_KEPT_SECONDS, self._let_go),
        )

    def _let_go(self) -> None:
        self.desk.let_go()
        self._give_back()

    def notified(self, method: str, params: Any) -> None:
        """A notification: what we do not know is passed over."""
        if method == types.EXIT:
            self.finish(0 if self.stopping else 1)
        elif method == types.CANCEL_REQUEST and isinstance(params, dict):
            number = params.get("id")
            found = self._calls.get(number) if _id(number) is not None else None
            if found is not None:
                found[1].stop()
                found[0].cancel()
        elif method == types.WINDOW_WORK_DONE_PROGRESS_CANCEL and isinstance(params, dict):
            for task, call in list(self._calls.values()):
                if getattr(call, "token", None) == params.get("token"):
                    call.stop()
                    task.cancel()
        elif method == types.WORKSPACE_DID_CHANGE_CONFIGURATION and self.initialized:
            from session_usage.rpc.settings import section

            sent = params.get("settings") if isinstance(params, dict) else None
            self._configure(None, section(sent))

    def _initialize(self, number: Any, params: Any) -> None:
        given = params.get("initializationOptions") if isinstance(params, dict) else None
        try:
            raw = dict(given) if isinstance(given, dict) else {}
            client_settings = raw.pop("settings", None)
            known = {name: raw[name] for name in raw if name in _OPTIONS}
            options = structure(known, InitializationOptions)
        except InvalidParams as error:
            raise Failure(
                INVALID_PARAMS, str(error).replace("params", "params.initializationOptions", 1)
            ) from None
        import hmac

        if self.token and not hmac.compare_digest(
            (options.token or "").encode(), self.token.encode()
        ):
            raise Failure(INVALID_REQUEST, "the token is missing or wrong")
        if not isinstance(params, dict):
            params = {}
        if options.workspace is None and options.folders is None:
            options = _with_folders(options, params)
        self.protocol.built_in(number, types.INITIALIZE, {"capabilities": {}, **params})
        self.initialized = True
        # the answer is out: what takes time to import comes now
        asyncio.get_running_loop().call_soon(self._start, options, client_settings)

    def _configure(self, options: InitializationOptions | None, client_settings: Any) -> None:
        self.desk.configure(options, client_settings)
        self.indexer.places = self.desk.places
        self.indexer.wish(self.desk.wishes)
        self.board.configured()

    def _start(self, options: InitializationOptions, client_settings: Any) -> None:
        """After the answer to ``initialize``: the ledger, and the child that keeps it."""
        self._configure(options, client_settings)
        problem = self.desk.open()
        if problem:
            from session_usage.rpc.watch import ledger_problem

            self.notify(PROBLEM, ledger_problem(self.desk.path, problem))
        self.indexer.path = self.desk.path
        self.desk.mend = self.indexer.check
        self.indexer.start()
        _load_handlers()
        gc.freeze()  # what was imported stays
        sys.setswitchinterval(_SWITCH_SECONDS)
        self._give_back()
        self.board.link.configure()

    def _heard(self, line: dict[str, Any]) -> None:
        """A line of the child process."""
        if "idle" in line or (line.get("writer") is False and line["complete"]):
            self.desk.ready.set()
            self._tidy()
            self.board.changed()
        if "generation" in line:
            self.board.changed(line["generation"])
            self.board.link.look()
        if "problem" in line:
            self.notify(PROBLEM, line["problem"])

    def notify(self, method: str, params: Any) -> None:
        """Sends a notification."""
        self.protocol.send(codec.dumps({"jsonrpc": "2.0", "method": method, "params": params}))

    def show(self, message: str) -> None:
        """``window/showMessage``, for clients that show nothing else."""
        self.notify(
            types.WINDOW_SHOW_MESSAGE, {"type": types.MessageType.Info.value, "message": message}
        )

    # progress

    def _progress(self, params: Any) -> Callable[[int, int], None]:
        token = params.get("workDoneToken") if isinstance(params, dict) else None
        if _id(token) is None:
            return lambda done, of: None
        loop = asyncio.get_running_loop()
        begun: list[int] = []

        def tell(value: dict[str, Any]) -> None:
            self.notify(types.PROGRESS, {"token": token, "value": value})

        def report(done: int, of: int) -> None:
            share = 100 * done // of if of else 100
            if begun and begun[-1] == share and done >= 0:
                return
            if not begun:
                tell(
                    {
                        "kind": "begin",
                        "title": "Copilot usage",
                        "cancellable": True,
                        "percentage": 0,
                    }
                )
            begun.append(share)
            if done < 0:
                tell({"kind": "end"})
            else:
                tell({"kind": "report", "percentage": share, "message": f"{done} of {of}"})

        def safe(done: int, of: int) -> None:
            loop.call_soon_threadsafe(report, done, of)

        report(0, 1)
        return safe

    def _end_progress(self, call: Call) -> None:
        call.progress(-1, 1)

    # the end

    def finish(self, code: int) -> None:
        """The client is gone or said so: end."""
        if self.exit_code is None:
            self.exit_code = code
        if self.finished is not None:
            self.finished.set()

    def close(self) -> None:
        """Ends the child and everything at work."""
        for task, call in list(self._calls.values()):
            call.stop()
            task.cancel()
        self.indexer.close()
        self.desk.close()

    async def part(self) -> None:
        """Before that: lets go of what takes part in nothing but listens."""
        self.board.tails.close()
        await self.board.link.close()


def _load_handlers() -> dict[str, Any]:
    """Imported after the answer to ``initialize``: they need everything else."""
    from session_usage.rpc import handlers, registry, upkeep  # noqa: F401

    return registry.HANDLERS


_OPTIONS = {"workspace", "folders", "storage", "userDataDirs", "token"}


def _with_folders(options: InitializationOptions, params: dict[str, Any]) -> InitializationOptions:
    """The window's folders from the standard fields of ``initialize``."""
    import attrs

    found = [
        folder["uri"]
        for folder in params.get("workspaceFolders") or ()
        if isinstance(folder, dict) and isinstance(folder.get("uri"), str)
    ]
    root = params.get("rootUri") or params.get("rootPath")
    if not found and isinstance(root, str):
        found = [root]
    return attrs.evolve(options, folders=found) if found else options


def _command(params: Any) -> tuple[str, Any]:
    """(command, its argument) of ``workspace/executeCommand``."""
    if not isinstance(params, dict) or not isinstance(params.get("command"), str):
        raise InvalidParams("params.command is missing")
    name = params["command"]
    if name not in COMMANDS:
        raise InvalidParams(f"params.command must be one of {', '.join(COMMANDS)}")
    arguments = params.get("arguments") or []
    if not isinstance(arguments, list) or len(arguments) > 1:
        raise InvalidParams("params.arguments must be a list of at most one object")
    try:
        return name, structure(arguments[0] if arguments else {}, COMMANDS[name])
    except InvalidParams as error:
        raise InvalidParams(str(error).replace("params", "params.arguments[0]", 1)) from None


def explained(error: Exception) -> tuple[int, str]:
    """(code, one line) of an error. What is not ours says nothing but its kind: its text could
    hold anything."""
    if isinstance(error, InvalidParams):
        return INVALID_PARAMS, str(error)
    if isinstance(error, Failure):
        return error.code, str(error)
    for cls in type(error).__mro__:
        if cls.__name__ in ERRORS and isinstance(error, SessionUsageError):
            return ERRORS[cls.__name__], str(error)
    trace = error.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    place = "" if trace is None else f" in {trace.tb_frame.f_code.co_name}:{trace.tb_lineno}"
    log.error("%s%s", type(error).__name__, place)
    return INTERNAL_ERROR, f"internal error ({type(error).__name__})"
