"""The sidecar: ``copilotUsage/*`` over JSON-RPC for any editor.

- ``framing``: bytes to messages, whatever the bytes.
- ``server``: pygls with our own dispatch: every request is answered, errors have codes.
- ``params``: what clients send, checked against the generated classes.
- ``handlers``: one coroutine per request.
- ``status``: what a status bar shows, and who is told when it changes.
- ``indexer`` and ``watch``: the child process that reads the logs, seen from both sides.
- ``messages``, ``cards``: a session's messages from its logs; the price card from the network.

Only this package imports pygls. The server itself never reads logs or scans: it asks the
ledger, in threads of its own, while the child process keeps the ledger up to date.
"""
