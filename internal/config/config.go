package config

import "time"

// Fallback is the key in [Config.Databases] that serves any other name.
const Fallback = "*"

// Config is everything a user can set, checked and complete. It is immutable
// after Load, Parse or FromDSN returned it.
type Config struct {
	// Path is the file the settings came from, "" after FromDSN.
	Path string
	// Listen is the door for clients.
	Listen Listen
	// Auth says who may log in.
	Auth Auth
	// Admin says who may use the console.
	Admin Admin
	// Log is the log's level and format.
	Log Log
	// Pool holds the defaults of every database.
	Pool Pool
	// Databases by the name clients ask for; Fallback is the key for any other.
	Databases map[string]*Database

	notices []Problem
}

// Listen is the table [listen].
type Listen struct {
	// Address holds the host:port pairs to listen on.
	Address []string
	// UnixSocketDir is the folder for the unix socket, "" = none.
	UnixSocketDir string
	// MaxClients is the highest number of client connections.
	MaxClients int
	// TLS is disable, prefer, require, verify-ca or verify-full.
	TLS string
	// TLSCertFile is the server certificate shown to clients, in PEM.
	TLSCertFile string
	// TLSKeyFile is the private key of TLSCertFile.
	TLSKeyFile string
	// TLSCAFile is what client certificates are checked against.
	TLSCAFile string
	// ProxyProtocolFrom holds the networks that may send a PROXY header.
	ProxyProtocolFrom []string
	// LoginTimeout is the time a client has to log in.
	LoginTimeout time.Duration
	// MaxLogins is how many connections may be in login at once.
	MaxLogins int
}

// Auth is the table [auth].
type Auth struct {
	// Method is trust, md5, scram-sha-256, cert or hba.
	Method string
	// UsersFile names a file in userlist.txt format.
	UsersFile string
	// Users holds inline users: name to plain password or verifier. Secret.
	Users map[string]string
	// HBAFile names a pg_hba.conf.
	HBAFile string
	// Query is the statement that looks up a user's verifier.
	Query string
	// QueryUser is the user that runs Query.
	QueryUser string
}

// Admin is the table [admin].
type Admin struct {
	// Users may run every console command.
	Users []string
	// StatsUsers may only read the console.
	StatsUsers []string
	// Compat is the PgBouncer version whose columns the console imitates.
	Compat string
	// HTTP is the address of metrics and health probes, "" = off.
	HTTP string
}

// Log is the table [log].
type Log struct {
	// Level is debug, info, warn or error.
	Level string
	// Format is json or text.
	Format string
}

// Pool is the table [pool], and databases.NAME.pool merged over it. A time of 0
// means no limit.
type Pool struct {
	// Mode is session, transaction or statement.
	Mode string
	// Size is the most server connections per host, database and user.
	Size int
	// MinSize is how many server connections are kept open.
	MinSize int
	// ReserveSize is how many more may be opened for clients that wait long.
	ReserveSize int
	// ReserveAfter is how long a client waits before the reserve is used.
	ReserveAfter time.Duration
	// MaxDBConnections limits the server connections of a database, 0 = no limit.
	MaxDBConnections int
	// MaxUserConnections limits the server connections of a user, 0 = no limit.
	MaxUserConnections int
	// QueryWaitTimeout is the longest wait for a server connection.
	QueryWaitTimeout time.Duration
	// IdleTimeout closes server connections unused for so long.
	IdleTimeout time.Duration
	// Lifetime is the age at which a server connection is replaced.
	Lifetime time.Duration
	// ConnectTimeout is the longest a server may take to log us in.
	ConnectTimeout time.Duration
	// IdleTransactionTimeout ends sessions idle in a transaction.
	IdleTransactionTimeout time.Duration
	// TransactionTimeout is the longest a transaction may last.
	TransactionTimeout time.Duration
	// QueryTimeout is the longest a statement may run.
	QueryTimeout time.Duration
	// ClientIdleTimeout ends sessions idle outside a transaction.
	ClientIdleTimeout time.Duration
	// CancelWaitTimeout is the longest a cancel request may wait.
	CancelWaitTimeout time.Duration
	// PreparedStatements is the number kept per server connection, 0 = none.
	PreparedStatements int
}

// Database is one table [databases.NAME].
type Database struct {
	// Name is what clients ask for, or Fallback.
	Name string
	// Primary is a complete keyword/value connection string: host, port,
	// sslmode and (except for Fallback) dbname are always there, the password
	// stands in it. Secret.
	Primary string
	// Replicas are complete like Primary, from which they take what they do not
	// name themselves, except host and port. Secret.
	Replicas []string
	// Weights has one entry for each of Replicas.
	Weights []int
	// Pool is [pool] with this database's own keys over it.
	Pool Pool
	// Monitor is a keyword/value list without host and port, "" = the user in
	// Primary. Secret.
	Monitor string
	// Routing is the table [databases.NAME.routing].
	Routing Routing
	// Cache is the table [databases.NAME.cache].
	Cache Cache
	// SlowLog is the table [databases.NAME.slow_log].
	SlowLog SlowLog
}

// Routing is the table [databases.NAME.routing].
type Routing struct {
	// Enabled sends reads to replicas.
	Enabled bool
	// Consistency is eventual, session or strong.
	Consistency string
	// MaxLag takes a replica out of use while it is further behind.
	MaxLag time.Duration
	// CausalWait is how long to wait for a replica to catch up.
	CausalWait time.Duration
	// TrustHints obeys hints for a replica.
	TrustHints bool
	// Shadow decides and counts, and sends everything to the primary.
	Shadow bool
	// Rules are tried in order; the first match decides.
	Rules []RoutingRule
}

// RoutingRule is one [[databases.NAME.routing.rules]].
type RoutingRule struct {
	// Match says which statements the rule is for.
	Match Match
	// Target is primary, replica or auto.
	Target string
}

// Match selects statements; an empty field matches everything.
type Match struct {
	// User is the client's user name.
	User string
	// ApplicationName is the client's application_name.
	ApplicationName string
	// Table is a table the statement reads or writes.
	Table string
	// Fingerprint is the statement's fingerprint.
	Fingerprint string
}

// Cache is the table [databases.NAME.cache].
type Cache struct {
	// Enabled answers repeated reads from memory.
	Enabled bool
	// Size is the memory for results, in bytes.
	Size int64
	// Consistency is ttl, bounded, session or linearizable.
	Consistency string
	// MaxStaleness bounds how old an answer may be.
	MaxStaleness time.Duration
	// MaxEntry is the largest result kept, in bytes.
	MaxEntry int64
	// Invalidation is auto, wal, wal-messages or fences-only.
	Invalidation string
	// Rules are tried in order; the first match decides.
	Rules []CacheRule
}

// CacheRule is one [[databases.NAME.cache.rules]].
type CacheRule struct {
	// Match says which statements the rule is for.
	Match Match
	// TTL is how long results are kept, 0 = until invalidated.
	TTL time.Duration
	// Cache says whether results are kept at all.
	Cache bool
}

// SlowLog is the table [databases.NAME.slow_log].
type SlowLog struct {
	// Threshold is the run time from which a statement is logged, 0 = off.
	Threshold time.Duration
	// Explain adds the plan.
	Explain bool
	// Sample is the share of slow statements that is logged, 0 to 1.
	Sample float64
	// Parameters is redact or log.
	Parameters string
	// PlansPerSecond bounds the EXPLAINs.
	PlansPerSecond int
	// File is where entries go, "" = the log.
	File string
}

// Notices are remarks about a valid Config that its owner should read: settings
// that this release accepts but does not act on yet, and open doors. The caller
// may not change them.
func (c *Config) Notices() []Problem { return c.notices }
