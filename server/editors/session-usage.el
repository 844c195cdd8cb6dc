;;; session-usage.el --- The cost of this folder's session -*- lexical-binding: t; -*-

;; Emacs 28 and newer, with jsonrpc (a part of Emacs, used by eglot):
;;
;;   (load "…/session-usage.el")
;;   (session-usage-start)      ; once
;;   M-x session-usage-cost     ; a message with the session, today and this month
;;
;; `session-usage-text' is text for the mode line: (:eval session-usage-text)

(require 'jsonrpc)

(defvar session-usage-command '("session-usage" "serve")
  "Command that starts the server.")

(defvar session-usage-text ""
  "What the mode line shows.")

(defvar session-usage-functions nil
  "Functions called with each status that the server sends, a plist.")

(defvar session-usage--connection nil)

(defun session-usage--show (status)
  "Keep STATUS for the mode line."
  (let* ((session (plist-get status :session))
         (totals (and session (plist-get session :totals)))
         (nano (and totals (plist-get totals :nanoAiu))))
    (setq session-usage-text
          (cond ((null totals) "")
                ((numberp nano)
                 (format "%s%.2f cr"
                         (if (equal (plist-get totals :basis) "estimated") "~" "")
                         (/ nano 1e9)))
                (t "— cr")))
    (run-hook-with-args 'session-usage-functions status)
    (force-mode-line-update t)))

(defun session-usage--notified (_connection method params)
  "Take the notification METHOD with PARAMS."
  (pcase method
    ('copilotUsage/statusChanged (session-usage--show (plist-get params :status)))
    ('window/showMessage (message "%s" (plist-get params :message)))))

(defun session-usage-request (name &optional params)
  "Answer of the server to the request NAME with PARAMS, a plist."
  (jsonrpc-request session-usage--connection
                   (intern (concat "copilotUsage/" name)) params))

(defun session-usage-start (&optional folder)
  "Start the server for FOLDER (default: this one) and follow its session."
  (interactive)
  (let ((folder (directory-file-name (expand-file-name (or folder default-directory)))))
    (setq session-usage--connection
          (make-instance
           'jsonrpc-process-connection
           :name "session-usage"
           :notification-dispatcher #'session-usage--notified
           :process (lambda ()
                      (make-process :name "session-usage" :command session-usage-command
                                    :connection-type 'pipe :coding 'utf-8-emacs-unix
                                    :noquery t :stderr (get-buffer-create " *session-usage*")))))
    (jsonrpc-request session-usage--connection 'initialize
                     (list :processId (emacs-pid) :rootUri nil
                           :capabilities (make-hash-table)
                           :initializationOptions (list :workspace folder)))
    (jsonrpc-notify session-usage--connection 'initialized (make-hash-table))
    (session-usage--show
     (plist-get (session-usage-request "subscribe" (list :workspace folder)) :status))))

(defun session-usage-cost ()
  "Show what the session, today and this month have cost."
  (interactive)
  (jsonrpc-request session-usage--connection 'workspace/executeCommand
                   (list :command "copilotUsage.showCost" :arguments [])))

(provide 'session-usage)
;;; session-usage.el ends here
