package pgerr

import (
	"fmt"
	"strings"
	"time"
)

// Canceled is ERROR 57014: the client sent a CancelRequest.
func Canceled() *Error {
	return newError(SeverityError, QueryCanceled, "canceling statement due to user request")
}

// QueryTooLong is ERROR 57014: a statement ran longer than
// pool.query_timeout.
func QueryTooLong(limit time.Duration) *Error {
	e := newError(SeverityError, QueryCanceled, "canceling statement due to statement timeout")
	e.Detail = fmt.Sprintf("The limit is %s.", seconds(limit))
	e.Hint = "The limit is pool.query_timeout."
	return e
}

// IdleClient is FATAL 57P05: a client sent nothing for
// pool.client_idle_timeout.
func IdleClient(limit time.Duration) *Error {
	return limited(IdleSessionTimeout, "terminating connection due to idle-session timeout",
		limit, "pool.client_idle_timeout")
}

// IdleTransaction is FATAL 25P03: a client sent nothing inside a transaction
// for pool.idle_transaction_timeout.
func IdleTransaction(limit time.Duration) *Error {
	return limited(IdleInTransactionSessionTimeout, "terminating connection due to idle-in-transaction timeout",
		limit, "pool.idle_transaction_timeout")
}

// TransactionTooLong is FATAL 25P04: a transaction lasted longer than
// pool.transaction_timeout.
func TransactionTooLong(limit time.Duration) *Error {
	return limited(TransactionTimeout, "terminating connection due to transaction timeout",
		limit, "pool.transaction_timeout")
}

func limited(code Code, message string, limit time.Duration, setting string) *Error {
	e := newError(SeverityFatal, code, message)
	e.Detail = fmt.Sprintf("The limit is %s.", seconds(limit))
	e.Hint = "The limit is " + setting + "."
	return e
}

// Shutdown is FATAL 57P01: Penstock stops, or the console killed this client.
func Shutdown() *Error {
	return newError(SeverityFatal, AdminShutdown, "terminating connection due to administrator command")
}

// ServerLost is 08006: the server connection broke under a statement. Status
// is the last ReadyForQuery before it: after 'I' the session goes on (ERROR),
// inside a transaction ('T', 'E') it cannot (FATAL).
func ServerLost(status byte, cause error) *Error {
	e := newError(SeverityFatal, ConnectionFailure, "server closed the connection unexpectedly")
	e.Detail = "The statement may or may not have been executed."
	if status == 'I' {
		e.Severity = SeverityError
	} else {
		e.Detail = "The transaction is lost; the server rolls it back."
	}
	e.cause = cause
	return e
}

// CommitUnknown is FATAL 08007: the server connection broke while a COMMIT was
// on its way.
func CommitUnknown(cause error) *Error {
	e := newError(SeverityFatal, TransactionResolutionUnknown,
		"server closed the connection unexpectedly during COMMIT")
	e.Detail = "The transaction may or may not have been committed."
	e.Hint = "Find out whether it was committed before trying again."
	e.cause = cause
	return e
}

// ReadOnly is ERROR 25006: a write while only replicas are up. Command is the
// statement's first word or words.
func ReadOnly(command string) *Error {
	e := newError(SeverityError, ReadOnlySQLTransaction,
		fmt.Sprintf("cannot execute %s in a read-only transaction", Name(command)))
	e.Detail = "Only replicas can be reached now."
	return e
}

// NotInThisMode is ERROR 0A000: the pool mode cannot do what was asked.
func NotInThisMode(feature, mode string) *Error {
	e := newError(SeverityError, FeatureNotSupported,
		fmt.Sprintf("%s is not possible in %s pooling", Name(feature), Name(mode)))
	e.Hint = "Set pool.mode to \"session\" for this database."
	if mode == "statement" {
		e.Hint = "Set pool.mode to \"transaction\" or \"session\" for this database."
	}
	return e
}

// NotSupported is ERROR 0A000 for what Penstock cannot do in any mode.
func NotSupported(feature string) *Error {
	return newError(SeverityError, FeatureNotSupported, Name(feature)+" is not supported")
}

// UnknownStatement is ERROR 26000: the name of a prepared statement that the
// client has not made. The empty name is the unnamed statement.
func UnknownStatement(name string) *Error {
	if name == "" {
		return newError(SeverityError, InvalidSQLStatementName, "unnamed prepared statement does not exist")
	}
	return newError(SeverityError, InvalidSQLStatementName,
		fmt.Sprintf("prepared statement \"%s\" does not exist", Name(name)))
}

// DuplicateStatement is ERROR 42P05: Parse with a name that is taken.
func DuplicateStatement(name string) *Error {
	return newError(SeverityError, DuplicatePreparedStatement,
		fmt.Sprintf("prepared statement \"%s\" already exists", Name(name)))
}

// UnknownPortal is ERROR 34000: the name of a portal that is not open.
func UnknownPortal(name string) *Error {
	return newError(SeverityError, InvalidCursorName, fmt.Sprintf("portal \"%s\" does not exist", Name(name)))
}

// InFailedTransaction is ERROR 25P02: a statement after an error, before
// ROLLBACK.
func InFailedTransaction() *Error {
	return newError(SeverityError, InFailedSQLTransaction,
		"current transaction is aborted, commands ignored until end of transaction block")
}

// Syntax is ERROR 42601 from the console. Near is the word that was not
// understood, empty at the end of the input.
func Syntax(near string) *Error {
	message := "syntax error at end of input"
	if near != "" {
		message = fmt.Sprintf("syntax error at or near \"%s\"", Name(near))
	}
	e := newError(SeverityError, SyntaxError, message)
	e.Hint = "SHOW HELP lists the commands."
	return e
}

// UnknownObject is ERROR 42704 from the console: kind is "database", "client",
// "unrecognized configuration parameter" and the like.
func UnknownObject(kind, name string) *Error {
	message := fmt.Sprintf("%s \"%s\" does not exist", kind, Name(name))
	if strings.HasPrefix(kind, "unrecognized ") { // PostgreSQL's wording for settings
		message = fmt.Sprintf("%s \"%s\"", kind, Name(name))
	}
	return newError(SeverityError, UndefinedObject, message)
}

// InvalidValue is ERROR 22023: SET of a setting to what it cannot be.
func InvalidValue(setting, value string) *Error {
	return newError(SeverityError, InvalidParameterValue,
		fmt.Sprintf("invalid value for parameter \"%s\": \"%s\"", Name(setting), Name(value)))
}

// Denied is ERROR 42501: a console command that this user may not run.
func Denied(command string) *Error {
	e := newError(SeverityError, InsufficientPrivilege, "permission denied for command "+Name(command))
	e.Hint = "Users who may run commands are listed in admin.users."
	return e
}

// NotNow is ERROR 55000: a console command in a state that does not allow it,
// such as RESUME without PAUSE. The message must be a constant of the program.
func NotNow(message string) *Error {
	return newError(SeverityError, ObjectNotInPrerequisiteState, message)
}
