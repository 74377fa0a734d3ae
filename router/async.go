package router

import (
	"context"
	"strings"

	"github.com/jackc/pgx/v5/pgconn"
)

// A commit that was acknowledged is flushed, unless synchronous_commit is off.
// As long as nobody can have turned it off, the flush position covers every
// acknowledged commit and every read; else only the insert position does, which
// may be ahead of what is sent to replicas for as long as nobody commits (wal
// writer's sleep). What clients do that do not come through us is not seen here:
// docs/routing.md says so.

// NoteText notes a text that may turn synchronous_commit off. It is to be called
// for every text, or part of one, before it goes to a server.
func (c *Cluster) NoteText(text string) {
	if !c.async.Load() && (containsFold(text, "synchronous_commit") || containsFold(text, "set_config") || containsFold(text, `u&"`)) {
		c.async.Store(true)
	}
}

// Async says whether synchronous_commit may be off somewhere.
func (c *Cluster) Async() bool { return c.async.Load() }

// containsFold says whether text holds a word of lower-case letters in any case.
func containsFold(text, word string) bool {
	first, upper := word[0], word[0]-'a'+'A'
	for i := 0; i+len(word) <= len(text); i++ {
		if (text[i] == first || text[i] == upper) && strings.EqualFold(text[i:i+len(word)], word) {
			return true
		}
	}
	return false
}

const asyncSQL = `SELECT pg_catalog.current_setting('synchronous_commit') = 'off'
 OR EXISTS (SELECT FROM pg_catalog.pg_db_role_setting WHERE setconfig::pg_catalog.text ~ 'synchronous_commit')
 OR EXISTS (SELECT FROM pg_catalog.pg_proc WHERE proconfig::pg_catalog.text ~ 'synchronous_commit')
 OR EXISTS (SELECT FROM pg_catalog.pg_proc p JOIN pg_catalog.pg_namespace n ON n.oid = p.pronamespace
  WHERE n.nspname <> 'pg_catalog' AND p.prosrc ~* 'synchronous_commit|set_config')`

// askAsync asks whether the database itself turns synchronous_commit off somewhere.
func (c *Cluster) askAsync(ctx context.Context, conn *pgconn.PgConn) error {
	results, err := conn.Exec(ctx, asyncSQL).ReadAll()
	if err != nil {
		return err
	}
	if len(results) == 1 && len(results[0].Rows) == 1 && string(results[0].Rows[0][0]) == "t" {
		c.async.Store(true)
	}
	c.flushes.Store(true)
	return nil
}

// Unflushed notes that a client may have commits acknowledged before they are
// flushed: it has said so at its login.
func (c *Cluster) Unflushed() { c.async.Store(true) }
