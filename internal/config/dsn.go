package config

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
)

// redacted stands where a secret was.
const redacted = "****"

// keyword is one word that a connection string may hold.
type keyword struct {
	name   string
	secret bool
	file   bool // The value names a file that must be readable.
	values []string
	number [2]int // The lowest and highest value; both 0 = no number.
}

// keywords lists what a connection string may hold, in the order in which
// Penstock writes it. These are libpq's words as far as pgconn acts on them.
func keywords() []keyword {
	return []keyword{
		{name: "host"},
		{name: "port", number: [2]int{1, 65535}},
		{name: "dbname"},
		{name: "user"},
		{name: "password", secret: true},
		{name: "password_file", file: true},
		{name: "sslmode", values: []string{"disable", "allow", "prefer", "require", "verify-ca", "verify-full"}},
		{name: "sslnegotiation", values: []string{"postgres", "direct"}},
		{name: "sslrootcert", file: true},
		{name: "sslcert", file: true},
		{name: "sslkey", file: true},
		{name: "sslpassword", secret: true},
		{name: "sslcertmode", values: []string{"disable", "allow", "require"}},
		{name: "sslsni", values: []string{"0", "1"}},
		{name: "channel_binding", values: []string{"disable", "prefer", "require"}},
		{name: "require_auth"},
		{name: "min_protocol_version", values: []string{"3.0", "3.2", "latest"}},
		{name: "max_protocol_version", values: []string{"3.0", "3.2", "latest"}},
		{name: "target_session_attrs", values: []string{"any", "read-write", "read-only", "primary", "standby", "prefer-standby"}},
		{name: "connect_timeout", number: [2]int{0, 86400}},
		{name: "application_name"},
		{name: "client_encoding"},
		{name: "options"},
		{name: "weight", number: [2]int{1, 1000}},
	}
}

func keywordNames() []string {
	var names []string
	for _, k := range keywords() {
		names = append(names, k.name)
	}
	return names
}

// dsn is a connection string taken apart: keyword to value.
type dsn map[string]string

// parseDSN takes apart a keyword/value string or a postgres:// URL and replaces
// ${NAME} in its values. An error never holds a part of text: even what looks
// like a keyword may be the rest of a password that lacks its quotes.
func parseDSN(text string, env func(string) string) (dsn, []error) {
	text = strings.TrimSpace(text)
	if env != nil && strings.HasPrefix(text, "${") && strings.IndexByte(text, '}') == len(text)-1 {
		whole, err := expandEnv(text, env)
		if err != nil {
			return nil, []error{err}
		}
		text, env = strings.TrimSpace(whole), nil
	}
	if text == "" {
		return nil, []error{errors.New("the connection string is empty")}
	}
	if strings.IndexByte(text, 0) >= 0 {
		return nil, []error{errors.New("the connection string holds a NUL byte")}
	}
	var d dsn
	var errs []error
	if rest, ok := cutScheme(text); ok {
		d, errs = parseURL(rest)
	} else {
		d, errs = parseKeywordValue(text)
	}
	for _, k := range keywords() {
		value, ok := d[k.name]
		if !ok {
			continue
		}
		expanded, err := expandEnv(value, env)
		if err == nil {
			err = k.check(expanded)
		}
		if err != nil {
			errs = append(errs, fmt.Errorf("%s: %w", k.name, err))
		}
		d[k.name] = expanded
	}
	return d, append(errs, d.checkPairs()...)
}

// check tells whether value suits k, without quoting it.
func (k keyword) check(value string) error {
	if strings.IndexByte(value, 0) >= 0 {
		return errors.New("holds a NUL byte")
	}
	if k.number[1] > 0 {
		n, err := strconv.Atoi(value)
		if err != nil || n < k.number[0] || n > k.number[1] {
			return fmt.Errorf("must be a number from %d to %d", k.number[0], k.number[1])
		}
	}
	if len(k.values) > 0 && !slices.Contains(k.values, value) {
		return fmt.Errorf("must be one of %s", strings.Join(k.values, ", "))
	}
	return nil
}

// checkPairs looks at keywords that depend on each other.
func (d dsn) checkPairs() []error {
	var errs []error
	if d["password"] != "" && d["password_file"] != "" {
		errs = append(errs, errors.New("password and password_file are both given, keep one"))
	}
	if (d["sslcert"] == "") != (d["sslkey"] == "") {
		errs = append(errs, errors.New("sslcert and sslkey belong together, one is missing"))
	}
	if strings.Contains(d["host"], ",") {
		errs = append(errs, errors.New("host: one host per connection string, others belong in replicas"))
	}
	return errs
}

// set notes a value; a keyword that is unknown or comes twice is an error, an
// empty value counts as none.
func (d dsn) set(name, value string) error {
	if !slices.Contains(keywordNames(), name) {
		return errUnknownKeyword(name)
	}
	if _, twice := d[name]; twice {
		return fmt.Errorf("%s is given twice", name)
	}
	if value != "" {
		d[name] = value
	}
	return nil
}

// errUnknownKeyword names what was probably meant, but not the word itself.
func errUnknownKeyword(word string) error {
	switch word {
	case "database":
		return errors.New(`unknown keyword, did you mean "dbname"?`)
	case "hostaddr", "service", "servicefile", "passfile", "keepalives", "keepalives_idle", "keepalives_interval",
		"keepalives_count", "tcp_user_timeout", "gssencmode", "krbsrvname", "gsslib", "sslcrl", "sslcrldir",
		"sslcompression", "ssl_min_protocol_version", "ssl_max_protocol_version", "requirepeer", "replication",
		"load_balance_hosts", "fallback_application_name":
		return fmt.Errorf("keyword %s is not supported", word)
	}
	if near := nearest(word, keywordNames()); near != "" {
		return fmt.Errorf("unknown keyword, did you mean %q?", near)
	}
	return errors.New("unknown keyword; a value with spaces needs quotes '...'")
}

const dsnSpace = " \t\n\r\v\f"

// parseKeywordValue reads libpq's "host=a user='b c'".
func parseKeywordValue(text string) (dsn, []error) {
	d := dsn{}
	var errs []error
	for n := 1; text != ""; n++ {
		name, rest, found := strings.Cut(text, "=")
		name = strings.TrimRight(name, dsnSpace)
		if !found || name == "" || strings.ContainsAny(name, dsnSpace) {
			return d, append(errs, fmt.Errorf(`word %d is not keyword=value; a value with spaces needs quotes '...'`, n))
		}
		value, rest, err := cutValue(strings.TrimLeft(rest, dsnSpace))
		if err != nil {
			return d, append(errs, fmt.Errorf("word %d: %w", n, err))
		}
		if err := d.set(name, value); err != nil {
			errs = append(errs, fmt.Errorf("word %d: %w", n, err))
		}
		text = strings.TrimLeft(rest, dsnSpace)
	}
	return d, errs
}

// cutValue takes a plain or quoted value off text. A backslash protects the
// next character in both.
func cutValue(text string) (value, rest string, err error) {
	quoted := strings.HasPrefix(text, "'")
	if quoted {
		text = text[1:]
	}
	var b strings.Builder
	for i := 0; i < len(text); i++ {
		c := text[i]
		switch {
		case c == '\\' && i+1 < len(text):
			i++
			b.WriteByte(text[i])
		case quoted && c == '\'':
			rest = text[i+1:]
			if rest != "" && !strings.ContainsRune(dsnSpace, rune(rest[0])) {
				return "", "", errors.New(`a quoted value must be followed by a space; write \' for a quote in it`)
			}
			return b.String(), rest, nil
		case !quoted && strings.IndexByte(dsnSpace, c) >= 0:
			return b.String(), text[i:], nil
		default:
			b.WriteByte(c)
		}
	}
	if quoted {
		return "", "", errors.New("the closing quote of the value is missing")
	}
	return b.String(), "", nil
}

// String writes d as keyword/value string, secrets included.
func (d dsn) String() string { return d.write(func(_ keyword, v string) string { return v }) }

// redacted writes d without its secrets.
func (d dsn) redacted() string {
	return d.write(func(k keyword, v string) string {
		if k.secret && v != "" {
			return redacted
		}
		return v
	})
}

func (d dsn) write(show func(keyword, string) string) string {
	var words []string
	for _, k := range keywords() {
		if v, ok := d[k.name]; ok {
			words = append(words, k.name+"="+quoteValue(show(k, v)))
		}
	}
	return strings.Join(words, " ")
}

func quoteValue(v string) string {
	if v != "" && !strings.ContainsAny(v, dsnSpace+`'\`) {
		return v
	}
	return "'" + strings.NewReplacer(`\`, `\\`, `'`, `\'`).Replace(v) + "'"
}

// withDefaults adds what d does not name, so that nothing is left to PG*
// environment variables.
func (d dsn) withDefaults(database string) dsn {
	full := dsn{"port": "5432", "sslmode": "prefer"}
	if database != Fallback {
		full["dbname"] = database
	}
	maps.Copy(full, d)
	return full
}

// inherit returns d with the words of primary that d lacks. A password goes
// with its user, a client certificate with its key.
func (d dsn) inherit(primary dsn) dsn {
	full := dsn{}
	for name, value := range primary {
		switch name {
		case "host", "port", "target_session_attrs":
			continue
		case "password":
			if d["user"] != "" || d["password"] != "" {
				continue
			}
		case "sslcert", "sslkey", "sslpassword":
			if d["sslcert"] != "" {
				continue
			}
		}
		full[name] = value
	}
	maps.Copy(full, d)
	return full
}

// redactDSN returns text without its secrets, nothing of it if it is no
// connection string.
func redactDSN(text string) string {
	if text == "" {
		return ""
	}
	d, errs := parseDSN(text, nil)
	if len(errs) > 0 {
		return redacted
	}
	return d.redacted()
}
