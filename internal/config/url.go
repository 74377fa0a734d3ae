package config

import (
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strings"
)

// cutScheme tells whether text is a URL and returns what follows the scheme.
func cutScheme(text string) (rest string, ok bool) {
	for _, scheme := range []string{"postgres://", "postgresql://"} {
		if rest, ok := strings.CutPrefix(text, scheme); ok {
			return rest, true
		}
	}
	return "", false
}

// parseURL reads user:password@host:port/dbname?keyword=value. net/url is too
// strict for ${NAME} in a password, and its errors quote what they read.
func parseURL(rest string) (dsn, []error) {
	authority, tail := rest, ""
	if i := strings.IndexAny(rest, "/?"); i >= 0 {
		authority, tail = rest[:i], rest[i:]
	}
	name, query, _ := strings.Cut(tail, "?")
	if strings.Contains(tail, "@") || strings.Count(authority, "@") > 1 {
		return nil, []error{errors.New("the URL has an @ too many; in user, password and database write %40 for @, %2F for /, %3F for ?")}
	}
	if strings.Contains(rest, "#") {
		return nil, []error{errors.New("the URL holds a #; in user, password and database write %23")}
	}
	u := urlReader{dsn: dsn{}}
	if login, host, ok := strings.Cut(authority, "@"); ok {
		user, password, _ := strings.Cut(login, ":")
		u.set("user", user)
		u.set("password", password)
		authority = host
	}
	u.address(authority)
	u.set("dbname", strings.TrimPrefix(name, "/"))
	if query != "" {
		u.query(query)
	}
	return u.dsn, u.errs
}

type urlReader struct {
	dsn  dsn
	errs []error
}

// set decodes and notes a value, unless it is empty.
func (u *urlReader) set(name, value string) {
	if value == "" {
		return
	}
	decoded, err := url.PathUnescape(value)
	if err != nil {
		u.errs = append(u.errs, fmt.Errorf("%s: %w", name, errPercent))
		return
	}
	if err := u.dsn.set(name, decoded); err != nil {
		u.errs = append(u.errs, err)
	}
}

var errPercent = errors.New("% must be followed by two hexadecimal digits; write %25 for % itself")

// address reads host, host:port or [IPv6]:port.
func (u *urlReader) address(authority string) {
	host, port, hasPort := authority, "", false
	if inner, ok := strings.CutPrefix(authority, "["); ok {
		var closed bool
		host, port, closed = strings.Cut(inner, "]")
		if !closed || port != "" && port[0] != ':' {
			u.errs = append(u.errs, errors.New("host: an IPv6 address is written [::1]:5432"))
			return
		}
		port, hasPort = strings.CutPrefix(port, ":")
	} else if i := strings.LastIndexByte(authority, ':'); i >= 0 {
		host, port, hasPort = authority[:i], authority[i+1:], true
	}
	if strings.Contains(host, ":") && !strings.HasPrefix(authority, "[") {
		u.errs = append(u.errs, errors.New("host: an IPv6 address is written [::1]:5432"))
		return
	}
	if hasPort && port == "" {
		u.errs = append(u.errs, errors.New("port: is missing after the colon"))
	}
	u.set("host", host)
	u.set("port", port)
}

func (u *urlReader) query(query string) {
	for pair := range strings.SplitSeq(query, "&") {
		name, value, ok := strings.Cut(pair, "=")
		if !ok {
			u.errs = append(u.errs, errors.New("a part behind ? is not keyword=value"))
			continue
		}
		if name == "ssl" && value == "true" {
			name, value = "sslmode", "require" // As JDBC writes it; libpq does the same.
		}
		if !slices.Contains(keywordNames(), name) {
			u.errs = append(u.errs, errUnknownKeyword(name))
			continue
		}
		u.set(name, value)
	}
}
