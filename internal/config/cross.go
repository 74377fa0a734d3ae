package config

import (
	"crypto/tls"
	"crypto/x509"
	"maps"
	"slices"
	"strings"
)

// checkConfig looks at settings that depend on each other.
func (r *reader) checkConfig(c *Config) {
	r.checkListen(&c.Listen)
	r.checkTLS(&c.Listen)
	r.checkPool(path{"pool"}, nil, &c.Pool)
	r.checkUnsupported(c)
	if r.configured(path{"admin", "http"}) && c.Admin.HTTP != "" {
		r.notice(path{"admin", "http"}, "this release has no HTTP server yet; the setting has no effect")
	}
	if len(r.problems) == 0 {
		r.checkUsers(c)
	}
}

// configured reports whether p itself stands in the file.
func (r *reader) configured(p path) bool { return r.lines[p.String()] > 0 }

func (r *reader) checkListen(l *Listen) {
	if len(l.Address) == 0 && l.UnixSocketDir == "" {
		r.problem(path{"listen", "address"}, "is empty and there is no unix_socket_dir: there is nothing to listen on")
	}
	if l.UnixSocketDir == "" {
		return
	}
	at := path{"listen", "unix_socket_dir"}
	l.UnixSocketDir = resolve(r.dir, l.UnixSocketDir)
	if err := isDir(l.UnixSocketDir); err != nil {
		r.problem(at, "%v", err)
	}
	// unix(7): sun_path has 108 bytes with its final NUL.
	if len(l.UnixSocketDir)+len("/.s.PGSQL.65535") > 107 {
		r.problem(at, "is too long for a unix socket")
	}
}

func (r *reader) checkTLS(l *Listen) {
	at := path{"listen"}
	if l.TLSKeyFile == "" && l.TLSCertFile != "" {
		r.problem(at.key("tls_key_file"), "is missing, tls_cert_file needs it")
	}
	if l.TLSCertFile == "" && l.TLSKeyFile != "" {
		r.problem(at.key("tls_cert_file"), "is missing, tls_key_file needs it")
	}
	verify := strings.HasPrefix(l.TLS, "verify-")
	if l.TLSCertFile == "" && (l.TLS == "require" || verify) {
		r.problem(at.key("tls"), "%q needs tls_cert_file and tls_key_file", l.TLS)
	}
	if l.TLSCAFile == "" && verify {
		r.problem(at.key("tls"), "%q without tls_ca_file is not supported by this release", l.TLS)
	}
	if l.TLSCertFile != "" && l.TLSKeyFile != "" {
		r.checkKeyPair(l)
	}
	if l.TLSCAFile != "" {
		pem, err := readFile(l.TLSCAFile, maxFile)
		if err == nil && !x509.NewCertPool().AppendCertsFromPEM(pem) {
			r.problem(at.key("tls_ca_file"), "holds no certificate in PEM")
		}
	}
}

// checkKeyPair says whether certificate and key fit. Files that cannot be read
// were reported before.
func (r *reader) checkKeyPair(l *Listen) {
	cert, certErr := readFile(l.TLSCertFile, maxFile)
	key, keyErr := readFile(l.TLSKeyFile, maxFile)
	if certErr != nil || keyErr != nil {
		return
	}
	if _, err := tls.X509KeyPair(cert, key); err != nil {
		r.problem(path{"listen", "tls_cert_file"}, "does not fit tls_key_file, or one of them is not in PEM")
	}
}

// checkPool compares sizes. keys holds what the file says at p, nil = report in
// any case; a fault taken over from [pool] is told there alone.
func (r *reader) checkPool(p path, keys map[string]any, pool *Pool) {
	if keys != nil && keys["size"] == nil && keys["min_size"] == nil {
		return
	}
	if pool.MinSize > pool.Size && pool.Size > 0 {
		r.problem(p.key("min_size"), "%d is more than size, which is %d", pool.MinSize, pool.Size)
	}
}

func (r *reader) checkCache(p path, c *Cache) {
	if c.MaxEntry > c.Size {
		r.problem(p.key("max_entry"), "is more than size")
	}
	if c.Enabled || len(c.Rules) > 0 {
		r.notice(p, "this release does not cache yet; all statements go to the server")
	}
}

func (r *reader) checkSlowLog(p path, s *SlowLog) {
	s.File = resolve(r.dir, s.File)
	if s.Threshold > 0 {
		r.notice(p, "this release has no slow log yet; nothing is written")
	}
}

// checkUnsupported refuses what would make the door less safe than it reads.
func (r *reader) checkUnsupported(c *Config) {
	const message = "not supported by this release"
	if c.Auth.Method == "cert" || c.Auth.Method == "hba" {
		r.problem(path{"auth", "method"}, "%q is "+message, c.Auth.Method)
	}
	for _, s := range []struct {
		key   path
		given bool
	}{
		{path{"auth", "hba_file"}, c.Auth.HBAFile != ""},
		{path{"auth", "query"}, c.Auth.Query != ""},
		{path{"auth", "query_user"}, c.Auth.QueryUser != ""},
		{path{"listen", "proxy_protocol_from"}, len(c.Listen.ProxyProtocolFrom) > 0},
	} {
		if s.given {
			r.problem(s.key, message)
		}
	}
}

// checkUsers makes sure that somebody can log in, and warns of doors that are
// more open or more closed than they seem.
func (r *reader) checkUsers(c *Config) {
	if c.Auth.Method == "trust" {
		for i, a := range c.Listen.Address {
			if !isLoopback(a) {
				r.notice(path{"auth", "method"}, "with trust anybody who reaches listen.address[%d] is let in as any user", i)
			}
		}
		return
	}
	if c.Auth.UsersFile != "" {
		return
	}
	if len(c.Auth.Users) == 0 {
		c.Auth.Users = onlyUser(c.Databases)
	}
	if len(c.Auth.Users) == 0 {
		r.problem(path{"auth"}, "nobody could log in: name users in users_file or [auth.users], or give every primary the same user and password")
		return
	}
	if !slices.ContainsFunc(slices.Concat(c.Admin.Users, c.Admin.StatsUsers), func(name string) bool { return c.Auth.Users[name] != "" }) {
		r.notice(path{"admin", "users"}, "nobody can log in to the console: none of admin.users and admin.stats_users has a secret in [auth.users]")
	}
}

// onlyUser returns the user and password of all primaries that name a user, or
// nil if they differ: one database's password must not open another.
func onlyUser(databases map[string]*Database) map[string]string {
	var found dsn
	for _, name := range slices.Sorted(maps.Keys(databases)) {
		d, errs := parseDSN(databases[name].Primary, nil)
		if len(errs) > 0 || d["user"] == "" {
			continue
		}
		if d["password"] == "" || found != nil && (found["user"] != d["user"] || found["password"] != d["password"]) {
			return nil
		}
		found = d
	}
	if found == nil {
		return nil
	}
	return map[string]string{found["user"]: found["password"]}
}
