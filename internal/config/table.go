package config

// row is one setting. The rows are the single place that knows a setting's
// name, moment of effect, allowed values, check and text; its default stands in
// Default.
type row struct {
	name   string
	effect Effect

	// field returns a pointer to the setting in its section.
	field func(section any) any
	// values lists the allowed words; empty = any.
	values []string
	// check complains about a value that was decoded, "" = fine. Durations and
	// sizes are never negative, whatever check says.
	check func(value any) string
	// dsn marks connection strings, which are secret and read by readDSN.
	dsn bool
	// file marks the name of a file that must be readable.
	file bool
	// later says that this release accepts the setting and does not act on it.
	later bool

	doc string
}

// section is one table of the file.
type section struct {
	name string
	doc  string
	rows []row

	// global returns the section of a Config, nil if it belongs to a database.
	global func(*Config) any
	// database returns the section of a Database, nil if it is global.
	database func(*Database) any
}

// of adapts a typed field picker to row.field.
func of[T any](pick func(*T) any) func(any) any {
	return func(section any) any { return pick(section.(*T)) }
}

// sections returns the whole table, in the order of the documentation. Sections
// with neither global nor database hold the rows of a list's elements.
func sections() []section {
	return []section{
		{name: "listen", doc: "The door for clients.", rows: listenRows(), global: func(c *Config) any { return &c.Listen }},
		{name: "auth", doc: "Who may log in.", rows: authRows(), global: func(c *Config) any { return &c.Auth }},
		{name: "admin", doc: "The console (database `penstock` or `pgbouncer`) and the HTTP address.", rows: adminRows(), global: func(c *Config) any { return &c.Admin }},
		{name: "log", doc: "The log goes to standard error.", rows: logRows(), global: func(c *Config) any { return &c.Log }},
		{name: "pool", doc: "Defaults for every database; any key may be repeated in `databases.NAME.pool`.", rows: poolRows(), global: func(c *Config) any { return &c.Pool }},
		{name: "", doc: "One table for each name that clients may connect to; `\"*\"` serves any other name.", rows: databaseRows(), database: func(d *Database) any { return d }},
		{name: "pool", doc: "Keys of [pool] that differ for this database.", rows: poolRows(), database: func(d *Database) any { return &d.Pool }},
		{name: "routing", doc: "Reads to replicas.", rows: routingRows(), database: func(d *Database) any { return &d.Routing }},
		{name: "routing.rules", doc: "The first rule that matches decides.", rows: routingRuleRows()},
		{name: "cache", doc: "Answers from memory.", rows: cacheRows(), database: func(d *Database) any { return &d.Cache }},
		{name: "cache.rules", doc: "The first rule that matches decides; without one, what is provably safe is cached.", rows: cacheRuleRows()},
		{name: "rules.match", doc: "What a rule of routing or cache is for. Every key given must fit.", rows: matchRows()},
		{name: "slow_log", doc: "Slow statements with their plans.", rows: slowLogRows(), database: func(d *Database) any { return &d.SlowLog }},
	}
}

func listenRows() []row {
	return []row{
		{name: "address", effect: Restart, check: addresses, doc: "The host:port pairs to listen on, IPv4 and IPv6 (`[::1]:6432`). The host is a name or an IP address; `0.0.0.0` and `[::]` stand for all.", field: of(func(l *Listen) any { return &l.Address })},
		{name: "unix_socket_dir", effect: Restart, doc: "Folder for the unix socket `.s.PGSQL.PORT`; empty = none.", field: of(func(l *Listen) any { return &l.UnixSocketDir })},
		{name: "max_clients", effect: Live, check: between(1, 1_000_000), doc: "Most client connections at once.", field: of(func(l *Listen) any { return &l.MaxClients })},
		{name: "tls", effect: NewConnections, values: []string{"disable", "prefer", "require", "verify-ca", "verify-full"}, doc: "TLS towards clients. `prefer` offers it when there is a certificate, `require` refuses clients without it, `verify-ca` and `verify-full` want a client certificate signed by `tls_ca_file`.", field: of(func(l *Listen) any { return &l.TLS })},
		{name: "tls_cert_file", effect: NewConnections, file: true, doc: "Certificate shown to clients, in PEM, with its chain. Read again at each reload.", field: of(func(l *Listen) any { return &l.TLSCertFile })},
		{name: "tls_key_file", effect: NewConnections, file: true, doc: "Private key of `tls_cert_file`.", field: of(func(l *Listen) any { return &l.TLSKeyFile })},
		{name: "tls_ca_file", effect: NewConnections, file: true, doc: "Certificates that sign client certificates.", field: of(func(l *Listen) any { return &l.TLSCAFile })},
		{name: "proxy_protocol_from", effect: NewConnections, later: true, check: networks, doc: "Networks (CIDR) that may send a PROXY header of version 1 or 2.", field: of(func(l *Listen) any { return &l.ProxyProtocolFrom })},
		{name: "login_timeout", effect: NewConnections, check: positive, doc: "Time a client has to log in.", field: of(func(l *Listen) any { return &l.LoginTimeout })},
		{name: "max_logins", effect: Live, check: between(1, 1_000_000), doc: "Connections that may be in login at once; one more, and the oldest silent one gives way.", field: of(func(l *Listen) any { return &l.MaxLogins })},
	}
}

func authRows() []row {
	return []row{
		{name: "method", effect: NewConnections, values: []string{"trust", "md5", "scram-sha-256", "cert", "hba"}, doc: "How clients prove who they are. `cert` and `hba` come in a later release. If md5 or scram-sha-256 is asked for and no users are given anywhere, and every `primary` that names a user names the same user and password, clients log in with these.", field: of(func(a *Auth) any { return &a.Method })},
		{name: "users_file", effect: NewConnections, file: true, doc: "Users in PgBouncer's userlist.txt format: plain passwords, md5 or SCRAM verifiers. Read again at each reload.", field: of(func(a *Auth) any { return &a.UsersFile })},
		{name: "users", effect: NewConnections, doc: "Inline users, `name = \"secret\"`: a plain password, an md5 or a SCRAM verifier, better as `\"${VARIABLE}\"`.", field: of(func(a *Auth) any { return &a.Users })},
		{name: "hba_file", effect: NewConnections, later: true, file: true, doc: "Rules in pg_hba.conf format.", field: of(func(a *Auth) any { return &a.HBAFile })},
		{name: "query", effect: NewConnections, later: true, doc: "Statement that looks up a user's verifier on the primary.", field: of(func(a *Auth) any { return &a.Query })},
		{name: "query_user", effect: NewConnections, later: true, doc: "User that runs `query`.", field: of(func(a *Auth) any { return &a.QueryUser })},
	}
}

func adminRows() []row {
	return []row{
		{name: "users", effect: NewConnections, check: names, doc: "Users who may run every console command.", field: of(func(a *Admin) any { return &a.Users })},
		{name: "stats_users", effect: NewConnections, check: names, doc: "Users who may only SHOW and SELECT.", field: of(func(a *Admin) any { return &a.StatsUsers })},
		{name: "compat", effect: NewConnections, values: []string{"1.25"}, doc: "PgBouncer version whose columns the console imitates.", field: of(func(a *Admin) any { return &a.Compat })},
		{name: "http", effect: Restart, later: true, check: optionalAddress, doc: "host:port for metrics, health probes and dashboard; empty = off.", field: of(func(a *Admin) any { return &a.HTTP })},
	}
}

func logRows() []row {
	return []row{
		{name: "level", effect: Live, values: []string{"debug", "info", "warn", "error"}, doc: "The least important messages that are written.", field: of(func(l *Log) any { return &l.Level })},
		{name: "format", effect: Restart, values: []string{"json", "text"}, doc: "How a message is written.", field: of(func(l *Log) any { return &l.Format })},
	}
}

func poolRows() []row {
	return []row{
		{name: "mode", effect: NewConnections, values: []string{"session", "transaction", "statement"}, doc: "How long a client keeps a server connection.", field: of(func(p *Pool) any { return &p.Mode })},
		{name: "size", effect: Live, check: between(1, 100_000), doc: "Most server connections per (host, database, user).", field: of(func(p *Pool) any { return &p.Size })},
		{name: "min_size", effect: Live, check: between(0, 100_000), doc: "Server connections kept open even when idle.", field: of(func(p *Pool) any { return &p.MinSize })},
		{name: "reserve_size", effect: Live, check: between(0, 100_000), doc: "Server connections beyond `size` for clients that wait longer than `reserve_after`.", field: of(func(p *Pool) any { return &p.ReserveSize })},
		{name: "reserve_after", effect: Live, doc: "Wait after which the reserve is used.", field: of(func(p *Pool) any { return &p.ReserveAfter })},
		{name: "max_db_connections", effect: Live, check: between(0, 1_000_000), doc: "Most server connections of a database over all its users; 0 = no limit.", field: of(func(p *Pool) any { return &p.MaxDBConnections })},
		{name: "max_user_connections", effect: Live, check: between(0, 1_000_000), doc: "Most server connections of a user over all databases; 0 = no limit.", field: of(func(p *Pool) any { return &p.MaxUserConnections })},
		{name: "query_wait_timeout", effect: Live, doc: "Longest wait for a server connection; 0 = no limit.", field: of(func(p *Pool) any { return &p.QueryWaitTimeout })},
		{name: "idle_timeout", effect: Live, doc: "A server connection unused for so long is closed; 0 = never.", field: of(func(p *Pool) any { return &p.IdleTimeout })},
		{name: "lifetime", effect: Live, doc: "Age, give or take, at which a server connection is replaced; 0 = never.", field: of(func(p *Pool) any { return &p.Lifetime })},
		{name: "connect_timeout", effect: Live, doc: "Longest a server may take to let Penstock in; 0 = no limit.", field: of(func(p *Pool) any { return &p.ConnectTimeout })},
		{name: "idle_transaction_timeout", effect: Live, doc: "A session idle in a transaction for so long is ended; 0 = never.", field: of(func(p *Pool) any { return &p.IdleTransactionTimeout })},
		{name: "transaction_timeout", effect: Live, doc: "Longest a transaction may last; 0 = no limit.", field: of(func(p *Pool) any { return &p.TransactionTimeout })},
		{name: "query_timeout", effect: Live, doc: "Longest a statement may run; 0 = no limit.", field: of(func(p *Pool) any { return &p.QueryTimeout })},
		{name: "client_idle_timeout", effect: Live, doc: "A session idle outside a transaction for so long is ended; 0 = never.", field: of(func(p *Pool) any { return &p.ClientIdleTimeout })},
		{name: "cancel_wait_timeout", effect: Live, doc: "Longest a cancel request may wait for its way to the server; 0 = no limit.", field: of(func(p *Pool) any { return &p.CancelWaitTimeout })},
		{name: "prepared_statements", effect: NewConnections, check: between(0, 1_000_000), doc: "Prepared statements kept per server connection, the least recently used goes; 0 = prepared statements are passed on as they are.", field: of(func(p *Pool) any { return &p.PreparedStatements })},
	}
}
