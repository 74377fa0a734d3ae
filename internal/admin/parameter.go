package admin

import (
	"strings"

	"github.com/penstock/penstock/internal/pgerr"
)

// parameter is a PostgreSQL setting that drivers and tools read and set
// without asking whether anybody needs it. The console has a value for each
// and ignores SET, as PgBouncer does for the first six.
type parameter struct{ name, value string }

func parameters() []parameter {
	return []parameter{
		{"client_encoding", "UTF8"},
		{"default_transaction_isolation", "read committed"},
		{"standard_conforming_strings", "on"},
		{"datestyle", "ISO"},
		{"timezone", "GMT"},
		{"extra_float_digits", "2"},
		{"application_name", ""},
		{"search_path", `"$user", public`},
		{"bytea_output", "hex"},
		{"client_min_messages", "notice"},
		{"default_transaction_deferrable", "off"},
		{"default_transaction_read_only", "off"},
		{"geqo", "on"},
		{"idle_in_transaction_session_timeout", "0"},
		{"in_hot_standby", "off"},
		{"integer_datetimes", "on"},
		{"intervalstyle", "postgres"},
		{"is_superuser", "on"},
		{"jit", "off"},
		{"lock_timeout", "0"},
		{"max_identifier_length", "63"},
		{"role", "none"},
		{"row_security", "on"},
		{"server_encoding", "UTF8"},
		{"server_version", serverVersion},
		{"server_version_num", "12502"},
		{"statement_timeout", "0"},
		{"transaction_deferrable", "off"},
		{"transaction_isolation", "read committed"},
		{"transaction_read_only", "off"},
	}
}

// parseParameter reads the name of a parameter, also in the long spellings of
// the SQL standard.
func parseParameter(d *dictionary, tokens []token) (arguments, error) {
	name, err := "", error(nil)
	switch spelling(tokens) {
	case "transaction isolation level":
		name = "transaction_isolation"
	case "time zone":
		name = "timezone"
	default:
		var t token
		if t, err = one(tokens); err != nil {
			return arguments{}, err
		}
		name = strings.ToLower(t.text)
	}
	if _, ok := d.parameters[name]; !ok {
		return arguments{}, pgerr.UnknownObject("unrecognized configuration parameter", name)
	}
	return arguments{key: name, columns: textColumn(name)}, nil
}

// parseClientParameter reads what stands behind SET if it is about a parameter
// of the table above, or one with a dot in its name: those belong to
// extensions and applications.
func parseClientParameter(d *dictionary, tokens []token) (arguments, error) {
	scoped := tokens
	if len(tokens) > 1 && (tokens[0].is("session") || tokens[0].is("local")) && !tokens[1].is("=") && !tokens[1].is("to") {
		scoped = tokens[1:]
	}
	for _, prefix := range []string{
		"time zone ", "names ", "role ", "transaction ", "authorization ", "characteristics as transaction ",
	} {
		if strings.HasPrefix(spelling(scoped), prefix) {
			return arguments{key: strings.TrimSpace(prefix)}, nil
		}
	}
	key, _, err := assignment(scoped)
	if err != nil {
		return arguments{}, err
	}
	if _, ok := d.parameters[key]; !ok && !strings.Contains(key, ".") {
		return arguments{}, pgerr.UnknownObject("unrecognized configuration parameter", key)
	}
	return arguments{key: key}, nil
}

// spelling is tokens as text in lower case, one space between them.
func spelling(tokens []token) string {
	var b strings.Builder
	for i, t := range tokens {
		if i > 0 {
			b.WriteByte(' ')
		}
		b.WriteString(t.name())
	}
	return b.String()
}
