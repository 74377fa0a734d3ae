package admin

import (
	"slices"

	"github.com/penstock/penstock/internal/stats"
)

// access is who may see a table or run a command. The zero value is the
// strictest, so that a row that forgets to say it gives nothing away.
type access int

const (
	adminsOnly access = iota
	everyone
)

// table is one SHOW.
type table struct {
	name    string
	access  access
	about   string
	columns []stats.Column
}

// Columns are the columns of SHOW name, in their order; nil if there is no
// such table. Name is in lower case. The slice is the caller's.
func Columns(name string) []stats.Column {
	for _, t := range tables() {
		if t.name == name {
			return t.columns
		}
	}
	return nil
}

// tables is every SHOW that answers with rows. Down to version the columns are
// those of PgBouncer 1.25.2 (src/admin.c, src/stats.c) and frozen, because
// monitors count them: whatever is new gets a table of its own.
func tables() []table {
	return slices.Concat(statsTables(), poolTables(), socketTables(), configTables(), ownTables())
}

func statsTables() []table {
	database := columns(stats.Text, "database")
	return []table{
		{
			"stats", everyone, "counters since the start and averages over the last minute, per database; times in microseconds",
			slices.Concat(database,
				columns(stats.Numeric, "total_server_assignment_count", "total_xact_count", "total_query_count",
					"total_received", "total_sent", "total_xact_time", "total_query_time", "total_wait_time",
					"total_client_parse_count", "total_server_parse_count", "total_bind_count"),
				columns(stats.Numeric, "avg_server_assignment_count", "avg_xact_count", "avg_query_count",
					"avg_recv", "avg_sent", "avg_xact_time", "avg_query_time", "avg_wait_time",
					"avg_client_parse_count", "avg_server_parse_count", "avg_bind_count")),
		},
		{
			"stats_totals", everyone, "the counters alone",
			append(database, columns(stats.Numeric, "server_assignment_count", "xact_count", "query_count",
				"bytes_received", "bytes_sent", "xact_time", "query_time", "wait_time",
				"client_parse_count", "server_parse_count", "bind_count")...),
		},
		{
			"stats_averages", everyone, "the averages alone",
			append(database, columns(stats.Numeric, "server_assignment_count", "xact_count", "query_count",
				"bytes_received", "bytes_sent", "xact_time", "query_time", "wait_time",
				"avg_client_parse_count", "avg_server_parse_count", "avg_bind_count")...),
		},
		{
			"totals", everyone, "counters and averages over all databases",
			append(columns(stats.Text, "name"), columns(stats.Numeric, "value")...),
		},
	}
}

func poolTables() []table {
	return []table{
		{
			"pools", everyone, "a pool is the server connections of one database and user",
			slices.Concat(
				columns(stats.Text, "database", "user"),
				columns(stats.Int4, "cl_active", "cl_waiting", "cl_active_cancel_req", "cl_waiting_cancel_req",
					"sv_active", "sv_active_cancel", "sv_being_canceled", "sv_idle", "sv_used", "sv_tested",
					"sv_login", "maxwait", "maxwait_us"),
				columns(stats.Text, "pool_mode", "load_balance_hosts")),
		},
		{
			"databases", everyone, "configured databases, their limits and how many connections they have",
			slices.Concat(
				columns(stats.Text, "name", "host"),
				columns(stats.Int4, "port"),
				columns(stats.Text, "database", "force_user"),
				columns(stats.Int4, "pool_size", "min_pool_size", "reserve_pool_size", "server_lifetime"),
				columns(stats.Text, "pool_mode", "load_balance_hosts"),
				columns(stats.Int4, "max_connections", "current_connections", "max_client_connections",
					"current_client_connections", "paused", "disabled")),
		},
		{
			"users", everyone, "users, their limits and how many connections they have",
			slices.Concat(
				columns(stats.Text, "name", "pool_size", "reserve_pool_size", "pool_mode"),
				columns(stats.Int4, "max_user_connections", "current_connections",
					"max_user_client_connections", "current_client_connections")),
		},
		{
			"lists", everyone, "how many there are of everything",
			append(columns(stats.Text, "list"), columns(stats.Int4, "items")...),
		},
		{
			"peers", everyone, "other PgBouncers to pass cancel requests to; always empty in Penstock",
			slices.Concat(columns(stats.Int4, "peer_id"), columns(stats.Text, "host"),
				columns(stats.Int4, "port", "pool_size")),
		},
		{
			"peer_pools", everyone, "pools of these peers; always empty in Penstock",
			columns(stats.Int4, "peer_id", "cl_active_cancel_req", "cl_waiting_cancel_req",
				"sv_active_cancel", "sv_login"),
		},
	}
}

func socketTables() []table {
	socket := slices.Concat(
		columns(stats.Text, "type", "user", "database", "replication", "state", "addr"),
		columns(stats.Int4, "port"),
		columns(stats.Text, "local_addr"),
		columns(stats.Int4, "local_port"),
		columns(stats.Text, "connect_time", "request_time"),
		columns(stats.Int4, "wait", "wait_us", "close_needed"),
		columns(stats.Text, "ptr", "link"),
		columns(stats.Int4, "remote_pid"),
		columns(stats.Text, "tls", "application_name"),
		columns(stats.Int4, "prepared_statements", "id"))
	detailed := slices.Concat(socket, columns(stats.Int4, "recv_pos", "pkt_pos", "pkt_remain",
		"send_pos", "send_remain", "pkt_avail", "send_avail"))
	return []table{
		{"clients", everyone, "client connections", socket},
		{"servers", everyone, "server connections", slices.Clone(socket)},
		{"sockets", everyone, "client and server connections with their buffers", detailed},
		{"active_sockets", everyone, "those of them with bytes in their buffers", slices.Clone(detailed)},
		{
			// Cancel keys are shown here, so this is not for everyone.
			"fds", adminsOnly, "file descriptors of connections",
			slices.Concat(
				columns(stats.Int4, "fd"),
				columns(stats.Text, "task", "user", "database", "addr"),
				columns(stats.Int4, "port"),
				columns(stats.Int8, "cancel"),
				columns(stats.Int4, "link"),
				columns(stats.Text, "client_encoding", "std_strings", "datestyle", "timezone", "password"),
				columns(stats.Bytea, "scram_client_key", "scram_server_key")),
		},
	}
}

func configTables() []table {
	return []table{
		{"config", everyone, "settings", columns(stats.Text, "key", "value", "default", "changeable")},
		{"state", everyone, "active, paused or suspended", columns(stats.Text, "key", "value")},
		{
			"mem", everyone, "memory by purpose",
			append(columns(stats.Text, "name"), columns(stats.Int4, "size", "used", "free", "memtotal")...),
		},
		{
			"dns_hosts", everyone, "host names and their addresses",
			slices.Concat(columns(stats.Text, "hostname"), columns(stats.Int8, "ttl"), columns(stats.Text, "addrs")),
		},
		{
			"dns_zones", everyone, "DNS zones; always empty in Penstock",
			slices.Concat(columns(stats.Text, "zonename"), columns(stats.Int8, "serial"), columns(stats.Int4, "count")),
		},
		{"version", everyone, "the version of PgBouncer whose console this is: `" + Version + "`", columns(stats.Text, "version")},
	}
}

// ownTables are Penstock's own, which PgBouncer does not have.
func ownTables() []table {
	return []table{
		{"penstock", everyone, "Penstock's version and how it was built", columns(stats.Text, "key", "value")},
		{
			"pins", everyone, "sessions that keep their server connection past the transaction, and why",
			slices.Concat(
				columns(stats.Int8, "id"),
				columns(stats.Text, "database", "user", "addr", "reason", "since"),
				columns(stats.Int4, "server_pid")),
		},
		{
			"hosts", everyone, "the hosts of databases with replicas, once their first client has come: what each is, how far it is behind " +
				"(NULL: unknown), and what is under way there; alarm and state are of the whole database",
			slices.Concat(
				columns(stats.Text, "database", "host", "role"),
				columns(stats.Bool, "up", "ejected"),
				columns(stats.Int4, "weight"),
				columns(stats.Int8, "timeline"),
				columns(stats.Text, "lsn"),
				columns(stats.Int8, "lag_us", "lag_bytes"),
				columns(stats.Int4, "in_flight"),
				columns(stats.Int8, "latency_us"),
				columns(stats.Text, "alarm", "state")),
		},
		{
			"routes", everyone, "how many statements went to the primary and to replicas, by reason; those that were run again are healed-*",
			append(columns(stats.Text, "database", "reason"), columns(stats.Int8, "primary", "replica")...),
		},
	}
}

// routeColumns are those of EXPLAIN ROUTE.
func routeColumns() []stats.Column {
	return columns(stats.Text, "target", "reason", "hazard", "name", "fingerprint", "candidates")
}

// columns makes columns of one type.
func columns(t stats.Type, names ...string) []stats.Column {
	out := make([]stats.Column, 0, len(names))
	for _, name := range names {
		out = append(out, stats.Column{Name: name, Type: t})
	}
	return out
}
