-- Neovim 0.7 and newer: the cost of this folder's session.
--
--   local usage = dofile("…/session_usage.lua")
--   usage.start()                      -- once, e.g. on VimEnter
--   :UsageCost                         -- a message with the session, today and this month
--   require("lualine").setup({ sections = { lualine_x = { usage.status } } })

local M = { last = nil, client = nil }

--- The status as the server sent it last, as text for a status line.
function M.status()
  local session = M.last and M.last.session
  if type(session) ~= "table" then
    return ""
  end
  local totals = session.totals
  if type(totals.nanoAiu) ~= "number" then
    return "— cr"
  end
  local mark = totals.basis == "estimated" and "~" or ""
  return string.format("%s%.2f cr", mark, totals.nanoAiu / 1e9)
end

local function changed(_, params)
  M.last = params.status
  if M.on_change then
    M.on_change(params.status)
  end
  vim.cmd("redrawstatus")
end

local function send(method, params, done)
  if vim.fn.has("nvim-0.11") == 1 then
    M.client:request(method, params, done)
  else
    M.client.request(method, params, done)
  end
end

--- Asks the server; `done(error, result)` is called with the answer.
function M.request(name, params, done)
  send("copilotUsage/" .. name, params or vim.empty_dict(), done)
end

--- Starts the server for the current folder and follows its session.
--- `options.cmd` is the command (default `session-usage serve`).
function M.start(options)
  options = options or {}
  vim.lsp.handlers["copilotUsage/statusChanged"] = changed
  local folder = options.folder or vim.fn.getcwd()
  local config = {
    name = "session-usage",
    cmd = options.cmd or { "session-usage", "serve" },
    root_dir = folder,
    init_options = { workspace = folder, settings = options.settings },
    on_init = function(client)
      M.client = client -- not yet known by its id
      M.request("subscribe", { workspace = folder }, function(_, result)
        if result then
          changed(nil, result)
        end
      end)
    end,
  }
  package.loaded["session_usage"] = M
  vim.cmd("command! UsageCost lua require('session_usage').cost()")
  return vim.lsp.start_client(config)
end

--- Shows the cost as a message.
function M.cost()
  local params = { command = "copilotUsage.showCost", arguments = {} }
  send("workspace/executeCommand", params, function() end)
end

return M
