package proxy

import (
	"crypto/rand"
	"regexp"

	"github.com/jackc/pgx/v5/pgconn"
)

// serverLogin is how we log in to a server of a database for a client's
// user: as the user in its connection string where it names one,
// else as the client's user with the secret that we know.
func (s *Server) serverLogin(dsn, database, user string) (*pgconn.Config, error) {
	cfg, err := pgconn.ParseConfig(dsn)
	if err != nil {
		return nil, err
	}
	if !dsnNames(dsn, "dbname") {
		cfg.Database = database
	}
	if !dsnNames(dsn, "user") {
		cfg.User = user
		if secret, ok := s.settings.Load().users.Lookup(user); ok {
			if plain, ok := secret.Plain(); ok {
				cfg.Password = plain
			}
		}
	}
	if !dsnNames(dsn, "application_name") {
		delete(cfg.RuntimeParams, "application_name") // from PGAPPNAME
	}
	return cfg, nil
}

// dsnNames says whether a keyword/value connection string holds a keyword.
func dsnNames(dsn, keyword string) bool {
	quoted := regexp.MustCompile(`'(?:[^'\\]|\\.)*'`)
	return regexp.MustCompile(`(?:^|\s)` + keyword + `\s*=`).MatchString(quoted.ReplaceAllString(dsn, "''"))
}

// randomReader reads from crypto/rand.
type randomReader struct{}

func (randomReader) Read(p []byte) (int, error) { return rand.Read(p) }
