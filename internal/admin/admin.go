package admin

import (
	"context"
	"io"
	"log/slog"

	"github.com/jackc/pgx/v5/pgproto3"

	"github.com/penstock/penstock/internal/stats"
)

// Version is what SHOW VERSION answers, to the byte: monitors take it apart.
// Penstock's own version is in SHOW PENSTOCK.
const Version = "PgBouncer 1.25.2"

// serverVersion is the server_version a client is told at login.
const serverVersion = "1.25.2/bouncer"

// Identity is who is at the console and what for.
type Identity struct {
	User     string
	Database string // the pseudo-database's name; "pgbouncer" if empty
	Admin    bool   // may run commands; otherwise only SHOW and what drivers need
}

// Source gives the rows of SHOW and EXPLAIN ROUTE. Name is in lower case and one
// of columns.go; the table's own Columns are not looked at, so leave them empty.
// An error reaches the client through pgerr.From.
type Source interface {
	Table(name string) (stats.Table, error)
	// ExplainRoute says where a text would run, in the columns of routeColumns.
	// An empty db means the only one that is routed.
	ExplainRoute(db, text string) (stats.Table, error)
}

// Controller does what the commands say. An empty db means all databases. The
// errors reach the client through pgerr.From, so for an unknown database return
// pgerr.UnknownObject, for a wrong moment pgerr.NotNow; unlike other errors,
// the one of Reload is shown with its text.
//
// A method with a context blocks until its work is done; the context ends when
// the client cancels the command or the session ends.
type Controller interface {
	Pause(ctx context.Context, db string) error
	Resume(db string) error
	Reload(ctx context.Context) (report string, err error)
	Kill(db string) error
	KillClient(id int64) error
	Disable(db string) error
	Enable(db string) error
	Reconnect(db string) error
	Suspend(ctx context.Context) error
	Shutdown(mode ShutdownMode) error
	WaitClose(ctx context.Context, db string) error
	// SwitchOver returns when nothing runs on the primary of db any more.
	SwitchOver(ctx context.Context, db string) error
	Set(key, value string) error
}

// ShutdownMode is what SHUTDOWN waits for.
type ShutdownMode int

// The modes of SHUTDOWN.
const (
	ShutdownImmediate ShutdownMode = iota
	ShutdownWaitForServers
	ShutdownWaitForClients
)

// String is the mode as SHUTDOWN's argument spells it.
func (m ShutdownMode) String() string {
	switch m {
	case ShutdownWaitForServers:
		return "WAIT_FOR_SERVERS"
	case ShutdownWaitForClients:
		return "WAIT_FOR_CLIENTS"
	case ShutdownImmediate:
	}
	return ""
}

// Console is the console of one Penstock. It is immutable and any goroutine
// may use it.
type Console struct {
	source     Source
	controller Controller
	log        *slog.Logger
	dictionary *dictionary
}

// New makes a console.
func New(source Source, control Controller, log *slog.Logger) *Console {
	return &Console{source: source, controller: control, log: log, dictionary: newDictionary()}
}

// AppendGreeting appends the ParameterStatus frames of a console's login to dst
// and returns the longer slice. AuthenticationOk before it and BackendKeyData
// and ReadyForQuery behind it are the caller's.
func (c *Console) AppendGreeting(dst []byte) []byte {
	for _, p := range greeting() {
		dst, _ = p.Encode(dst) // fails on frames of 1 GB only
	}
	return dst
}

// greeting is what PgBouncer reports at login and, so that no driver misses
// one, what else PostgreSQL always reports.
func greeting() []pgproto3.ParameterStatus {
	return []pgproto3.ParameterStatus{
		{Name: "server_version", Value: serverVersion},
		{Name: "client_encoding", Value: "UTF8"},
		{Name: "server_encoding", Value: "UTF8"},
		{Name: "DateStyle", Value: "ISO"},
		{Name: "TimeZone", Value: "GMT"},
		{Name: "standard_conforming_strings", Value: "on"},
		{Name: "is_superuser", Value: "on"},
		{Name: "integer_datetimes", Value: "on"},
		{Name: "application_name", Value: ""},
	}
}

// Serve answers one client until it says Terminate, its stream ends or ctx is
// done between two messages; then it returns nil or what ended it. The client
// has logged in and been sent ReadyForQuery. When a broken frame ends the
// session, the client has been told why. Serve does not close rw; to wake it
// from a read, close the connection.
func (c *Console) Serve(ctx context.Context, rw io.ReadWriter, id Identity) error {
	return c.Session(rw, id).Run(ctx)
}
