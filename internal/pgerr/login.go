package pgerr

import (
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5/pgconn"
)

// TooManyClients is FATAL 53300: listen.max_clients is reached.
func TooManyClients(limit int) *Error {
	e := newError(SeverityFatal, TooManyConnections, "sorry, too many clients already")
	e.Detail = fmt.Sprintf("Penstock accepts %s at once.", plural(limit, "client"))
	e.Hint = "Raise listen.max_clients, or close connections that are not used."
	return e
}

// UnknownDatabase is FATAL 3D000: neither a [databases] table nor a "*" one
// matches.
func UnknownDatabase(name string) *Error {
	name = Name(name)
	e := newError(SeverityFatal, InvalidCatalogName, fmt.Sprintf("database \"%s\" does not exist", name))
	e.Hint = "Penstock's configuration has no [databases] entry for this name."
	return e
}

// WrongPassword is FATAL 28P01, for wrong passwords and unknown users alike:
// whoever asks must not learn which it was. The cause (see With) tells the log.
func WrongPassword(user string) *Error {
	return newError(SeverityFatal, InvalidPassword,
		fmt.Sprintf("password authentication failed for user \"%s\"", Name(user)))
}

// NoUserName is FATAL 28000: a startup packet without user.
func NoUserName() *Error {
	return newError(SeverityFatal, InvalidAuthorization, "no PostgreSQL user name specified in startup packet")
}

// NoRule is FATAL 28000: no line of the rules lets this user come from this
// address to this database.
func NoRule(address, user, database string, encrypted bool) *Error {
	encryption := "no encryption"
	if encrypted {
		encryption = "SSL encryption"
	}
	e := newError(SeverityFatal, InvalidAuthorization, fmt.Sprintf(
		"no pg_hba.conf entry for host \"%s\", user \"%s\", database \"%s\", %s",
		Name(address), Name(user), Name(database), encryption))
	e.Hint = "The rules stand in the file that auth.hba_file names."
	return e
}

// TLSRequired is FATAL 28000: the client speaks plain text and may not.
func TLSRequired() *Error {
	e := newError(SeverityFatal, InvalidAuthorization, "connection requires TLS")
	e.Hint = "Connect with sslmode=require or stronger, or set listen.tls to \"prefer\"."
	return e
}

// LoginTimeout is FATAL 57014, PostgreSQL's answer when
// authentication_timeout runs out.
func LoginTimeout(limit time.Duration) *Error {
	e := newError(SeverityFatal, QueryCanceled, "canceling authentication due to timeout")
	e.Detail = fmt.Sprintf("The login was not complete after %s.", seconds(limit))
	e.Hint = "The limit is listen.login_timeout."
	return e
}

// NotPermitted is FATAL 42501: the user may not connect to this database
// (above all the console).
func NotPermitted(user, database string) *Error {
	e := newError(SeverityFatal, InsufficientPrivilege,
		fmt.Sprintf("permission denied for database \"%s\"", Name(database)))
	e.Detail = fmt.Sprintf("User \"%s\" is not on its list.", Name(user))
	e.Hint = "Console users are listed in admin.users and admin.stats_users."
	return e
}

// WaitTimeout is ERROR 53300: no server connection came free within
// pool.query_wait_timeout. The session stays usable.
func WaitTimeout(waited time.Duration, waiters, size int) *Error {
	e := newError(SeverityError, TooManyConnections, "timed out waiting for a server connection")
	e.Detail = fmt.Sprintf("Waited %s with %s queued for %s.",
		seconds(waited), plural(waiters, "client"), plural(size, "server connection"))
	e.Hint = "Raise pool.size, shorten transactions, or raise pool.query_wait_timeout."
	return e
}

// CannotConnect is ERROR 57P03: there is no server connection and none could
// be made; use Fatal at login. If the server itself refused, its SQLSTATE is
// kept and its message stands in Detail. A reason other than a server's is
// told in fixed words, so that no address reaches a client.
func CannotConnect(database string, attempts int, last error, retryIn time.Duration) *Error {
	e := newError(SeverityError, CannotConnectNow,
		fmt.Sprintf("cannot connect to the server of database \"%s\"", Name(database)))
	why := reason(last)
	if server := (*pgconn.PgError)(nil); errors.As(last, &server) && server != nil {
		why = server.Message
		if Code(server.Code).valid() {
			e.Code = Code(server.Code)
		}
	}
	e.Detail = plural(attempts, "attempt") + " failed"
	if why != "" {
		e.Detail += "; last error: " + why
	}
	e.Detail += "."
	if retryIn > 0 {
		e.Detail += fmt.Sprintf(" The next attempt is in %s.", seconds(retryIn))
	}
	e.Hint = "Check primary and replicas of this database in the configuration, and that the server runs."
	e.cause = last
	return e
}

// Paused is ERROR 57P03: the console paused this database and the client
// cannot wait; use Fatal at login.
func Paused(database string) *Error {
	e := newError(SeverityError, CannotConnectNow, fmt.Sprintf("database \"%s\" is paused", Name(database)))
	e.Hint = "The console command RESUME lets clients go on."
	return e
}

// Disabled is FATAL 57P03: the console disabled this database for new clients.
func Disabled(database string) *Error {
	e := newError(SeverityFatal, CannotConnectNow,
		fmt.Sprintf("database \"%s\" is not currently accepting connections", Name(database)))
	e.Hint = "The console command ENABLE admits clients again."
	return e
}

// NoPrimary is ERROR 57P03: every host of the database is a replica or down;
// use Fatal at login.
func NoPrimary(database string) *Error {
	e := newError(SeverityError, CannotConnectNow,
		fmt.Sprintf("database \"%s\" has no primary server now", Name(database)))
	e.Hint = "Writes are accepted again once a primary is found."
	return e
}

// StartingUp is FATAL 57P03: Penstock is not ready for clients yet.
func StartingUp() *Error {
	return newError(SeverityFatal, CannotConnectNow, "the database system is starting up")
}
