package proxy

import (
	"context"
	"crypto/tls"
	"strconv"
	"strings"
	"time"

	"github.com/penstock/penstock/internal/admin"
	"github.com/penstock/penstock/internal/pgerr"
	"github.com/penstock/penstock/pool"
)

// control is what the console's commands do to a Server.
type control struct{ *Server }

// pollEvery is how often a command that waits looks whether it may go on.
const pollEvery = 10 * time.Millisecond

// each calls f for the pools of a database, of all for "".
func (c control) each(db string, f func(*pool.Pool)) error {
	if db != "" && c.database(db) == nil {
		return pgerr.UnknownObject("database", db)
	}
	for _, p := range c.pools.All() {
		if db == "" || p.Key().Database == db {
			f(p)
		}
	}
	return nil
}

// until waits for a condition or the end of the command.
func until(ctx context.Context, done func() bool) error {
	ticker := time.NewTicker(pollEvery)
	defer ticker.Stop()
	for !done() {
		select {
		case <-ctx.Done():
			return pgerr.Canceled()
		case <-ticker.C:
		}
	}
	return nil
}

// Pause gives out no server connection any more and returns when none is in use.
func (c control) Pause(ctx context.Context, db string) error {
	if c.isPaused(db) && db != "" {
		return pgerr.NotNow("already suspended/paused")
	}
	if err := c.each(db, (*pool.Pool).Pause); err != nil {
		return err
	}
	c.setPaused(db, true)
	return until(ctx, func() bool {
		quiet := true
		_ = c.each(db, func(p *pool.Pool) { quiet = quiet && p.Quiet() })
		return quiet
	})
}

// Resume ends PAUSE and SUSPEND.
func (c control) Resume(db string) error {
	if db == "" {
		c.unsuspend()
	}
	if err := c.each(db, (*pool.Pool).Resume); err != nil {
		return err
	}
	c.setPaused(db, false)
	return nil
}

// Reload reads the configuration anew: all of it, or nothing.
func (c control) Reload(context.Context) (string, error) { return c.reload() }

// Kill ends the clients and server connections of a database at once, and
// pauses it.
func (c control) Kill(db string) error {
	if err := c.each(db, (*pool.Pool).Pause); err != nil {
		return err
	}
	c.setPaused(db, true)
	for _, s := range c.all() {
		if db == "" || s.database == db {
			s.end(pgerr.Shutdown())
		}
	}
	return c.each(db, (*pool.Pool).Kill)
}

// KillClient ends one client.
func (c control) KillClient(id int64) error {
	c.mu.Lock()
	s := c.sessions[id]
	c.mu.Unlock()
	if s == nil {
		return pgerr.UnknownObject("client", strconv.FormatInt(id, 10))
	}
	s.end(pgerr.Shutdown())
	return nil
}

// Disable refuses new clients of a database.
func (c control) Disable(db string) error { return c.setDisabled(db, true) }

// Enable ends Disable.
func (c control) Enable(db string) error { return c.setDisabled(db, false) }

// Reconnect replaces the server connections of a database as they become free.
func (c control) Reconnect(db string) error { return c.each(db, (*pool.Pool).Reconnect) }

// WaitClose returns when the connections that Reconnect meant are closed.
func (c control) WaitClose(ctx context.Context, db string) error {
	if err := c.each(db, func(*pool.Pool) {}); err != nil {
		return err
	}
	return until(ctx, func() bool {
		closed := true
		_ = c.each(db, func(p *pool.Pool) { closed = closed && p.Renewed() })
		return closed
	})
}

// Suspend pauses everything and accepts nobody until RESUME.
func (c control) Suspend(ctx context.Context) error {
	c.mu.Lock()
	if !c.suspended {
		c.suspended = true
		c.accepting = make(chan struct{})
	}
	c.mu.Unlock()
	return c.Pause(ctx, "")
}

func (c control) unsuspend() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.suspended {
		c.suspended = false
		close(c.accepting)
	}
}

// Shutdown has the process end, at once or when others have finished: stop
// only passes the wish on.
func (c control) Shutdown(mode admin.ShutdownMode) error {
	c.stop(mode)
	return nil
}

// Set changes nothing: the file is the truth, and RELOAD reads it.
func (c control) Set(key, _ string) error {
	for _, s := range c.settings.Load().config.Settings() {
		if s.Key == key {
			e := pgerr.NotNow("cannot SET " + pgerr.Name(key) + " at run time")
			e.Hint = "Change it in the configuration file, then RELOAD."
			return e
		}
	}
	return pgerr.UnknownObject("unrecognized configuration parameter", key)
}

func (s *Server) isPaused(db string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.paused[""] || s.paused[db]
}

func (s *Server) setPaused(db string, paused bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case paused:
		s.paused[db] = true
	case db == "":
		clear(s.paused)
	default:
		delete(s.paused, db)
	}
}

func (s *Server) isDisabled(db string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.disabled[db]
}

func (s *Server) setDisabled(db string, disabled bool) error {
	if s.database(db) == nil {
		return pgerr.UnknownObject("database", db)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.disabled[db] = disabled
	return nil
}

func tlsVersion(v uint16) string { return strings.ReplaceAll(tls.VersionName(v), "TLS ", "TLSv") }

func tlsCipher(id uint16) string { return tls.CipherSuiteName(id) }

// Pause is the console's PAUSE for all databases, for a signal.
func (s *Server) Pause(ctx context.Context) error { return control{s}.Pause(ctx, "") }

// Resume is the console's RESUME for all databases, for a signal.
func (s *Server) Resume() { _ = control{s}.Resume("") }
