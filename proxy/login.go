package proxy

import (
	"bufio"
	"context"
	"crypto/rand"
	"crypto/subtle"
	"crypto/tls"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"runtime/debug"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/penstock/penstock/internal/admin"
	"github.com/penstock/penstock/internal/pgerr"
	"github.com/penstock/penstock/internal/wire"
	"github.com/penstock/penstock/pool"
)

// startup is a connection until its login is over. It dies with login; the
// session knows nothing of it.
type startup struct {
	srv      *Server
	settings *settings
	conn     net.Conn
	in       *bufio.Reader // of conn
	packet   *wire.Startup
	user     string
	database string
	params   []wire.Param // without user, database and the like
	place    *loginPlace
	session  *session // at the end, unless it was a cancel request or the console
}

// errServed says that a connection has got what it came for.
var errServed = errors.New("served")

// loginBuffer is the size of the buffer for an unauthenticated client's bytes.
const loginBuffer = 512

// maxSASL bounds a message of an unauthenticated client. PostgreSQL allows
// 65535 bytes for Kerberos tickets; a SCRAM message is far below 2 kB, our nonce
// limit included, and a stranger is to cost us 10 kB at most.
const maxSASL = 4096

// login makes a session of a connection, or tells it why not. It has a
// goroutine of its own, so that the session's begins with a small stack.
func (s *Server) login(conn net.Conn) {
	st := &startup{srv: s, settings: s.settings.Load(), conn: conn, in: bufio.NewReaderSize(conn, loginBuffer)}
	err := st.run()
	switch {
	case st.session != nil && err == nil:
		go st.session.run()
		return
	case errors.Is(err, errServed), err == nil:
	default:
		st.refuse(err)
	}
	_ = conn.Close()
}

func (st *startup) run() (err error) {
	limit := st.settings.config.Listen.LoginTimeout
	_ = st.conn.SetDeadline(time.Now().Add(limit))
	st.place = st.srv.logins.enter(st.conn, st.settings.config.Listen.MaxLogins)
	defer st.place.leave()
	defer func() {
		if v := recover(); v != nil {
			st.srv.log.Error("panic during a login", "error", fmt.Sprint(v), "stack", string(debug.Stack()))
			err = pgerr.Internal(v).Fatal()
		}
	}()
	for _, step := range []func() error{
		st.negotiate, st.checkProtocol, st.checkDatabase, st.authenticate, st.serveConsole, st.welcome, st.greet,
	} {
		if err := step(); err != nil {
			return err
		}
	}
	return st.conn.SetDeadline(time.Time{})
}

// refuse tells the client why it is not let in, if it can be told.
func (st *startup) refuse(err error) {
	var ne net.Error
	if known, ok := errors.AsType[*pgerr.Error](err); ok {
		err = known // an answer, whatever its cause was
	} else if errors.As(err, &ne) && ne.Timeout() {
		err = pgerr.LoginTimeout(st.settings.config.Listen.LoginTimeout).With(err)
	} else if isGone(err) {
		return
	}
	e := pgerr.From(err).Fatal()
	st.srv.log.Info("login refused", "client", address(st.conn), "user", pgerr.Name(st.user), "db", pgerr.Name(st.database),
		"sqlstate", string(e.Code), "reason", e.Message, "error", errors.Unwrap(e))
	_ = st.conn.SetDeadline(time.Now().Add(time.Second))
	_, _ = st.conn.Write(e.Append(nil))
}

func isGone(err error) bool {
	return errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, net.ErrClosed) ||
		errors.Is(err, os.ErrClosed) || errors.As(err, new(*net.OpError))
}

// negotiate reads the first packets: TLS and GSS requests, of each at most
// one, then a startup message or a cancel request. Manual, Message Flow.
func (st *startup) negotiate() error {
	var asked [4]bool // by kind: a second request of one is no request
	for {
		p, err := wire.ReadStartup(st.in)
		switch {
		case errors.Is(err, wire.ErrStartupLength):
			return pgerr.InvalidStartupLength()
		case errors.Is(err, wire.ErrStartupLayout):
			return pgerr.InvalidStartupLayout()
		case err != nil:
			return err
		}
		if asked[p.Kind] {
			return pgerr.UnsupportedProtocol(1234, p.Code()) // postmaster.c says so, too
		}
		asked[p.Kind] = true
		switch p.Kind {
		case wire.StartupMessage:
			st.packet = p
			st.place.speaks()
			return nil
		case wire.CancelRequest:
			st.srv.cancelRequest(p.PID, p.Secret)
			return errServed
		case wire.GSSENCRequest:
			err = st.answerNegotiation('N')
		case wire.SSLRequest:
			err = st.startTLS()
		}
		if err != nil {
			return err
		}
	}
}

// answerNegotiation answers one byte. What the client has sent behind its
// request without waiting came in plain text, perhaps from somebody else
// (CVE-2021-23214): refuse it.
func (st *startup) answerNegotiation(answer byte) error {
	if st.in.Buffered() > 0 {
		return pgerr.StuffedBeforeTLS()
	}
	_, err := st.conn.Write([]byte{answer})
	return err
}

func (st *startup) startTLS() error {
	if _, already := st.conn.(*tls.Conn); already || st.settings.tls == nil || st.conn.LocalAddr().Network() == "unix" {
		return st.answerNegotiation('N')
	}
	if err := st.answerNegotiation('S'); err != nil {
		return err
	}
	t := tls.Server(st.conn, st.settings.tls)
	st.conn = t
	st.in.Reset(t)
	return t.Handshake()
}

// checkProtocol agrees on a version and reads the parameters.
func (st *startup) checkProtocol() error {
	p := st.packet
	if p.Major != 3 {
		return pgerr.UnsupportedProtocol(uint16(p.Major), uint16(p.Minor))
	}
	if _, err := st.conn.Write(p.AppendNegotiate(nil)); err != nil {
		return err
	}
	mode := st.settings.config.Listen.TLS
	_, secured := st.conn.(*tls.Conn)
	if !secured && (mode == "require" || mode == "verify-ca" || mode == "verify-full") && st.conn.LocalAddr().Network() != "unix" {
		return pgerr.TLSRequired()
	}
	st.user, st.database = p.Get("user"), p.Get("database")
	if st.user == "" {
		return pgerr.NoUserName()
	}
	if st.database == "" {
		st.database = st.user
	}
	var before []wire.Param // options come first, wherever they stand: postinit.c
	for _, param := range p.Params {
		switch param.Name {
		case "user", "database":
		case "replication":
			if param.Value != "" && param.Value != "false" && param.Value != "0" && param.Value != "off" && param.Value != "no" {
				return pgerr.NotSupported("replication connections").Fatal()
			}
		case "options":
			options, err := parseOptions(param.Value)
			if err != nil {
				return err
			}
			before = append(before, options...)
		default:
			st.params = append(st.params, param)
		}
	}
	st.params = append(before, st.params...)
	return nil
}

func (st *startup) isConsole() bool { return st.database == "penstock" || st.database == "pgbouncer" }

// checkDatabase does not tell strangers which databases there are: what is
// wrong with the name is told when the user is known.
func (st *startup) checkDatabase() error {
	if st.isConsole() {
		return nil
	}
	if st.srv.draining.Load() {
		return pgerr.Shutdown()
	}
	return nil
}

// authenticate lets the client prove who it is.
func (st *startup) authenticate() error {
	exchange, err := st.settings.verifier.Begin(st.user, rand.Reader)
	if err != nil {
		return err
	}
	message, done := exchange.Start()
	for {
		if len(message) > 0 {
			if _, err := st.conn.Write(wire.AppendFrame(nil, wire.Authentication, message)); err != nil {
				return err
			}
		}
		if done {
			return nil // AuthenticationOk goes out with the greeting
		}
		typ, body, err := wire.ReadMessage(st.in, maxSASL)
		switch {
		case errors.Is(err, wire.ErrInvalidLength):
			return pgerr.InvalidMessageLength()
		case err != nil:
			return err
		case typ != wire.PasswordMessage:
			return pgerr.UnexpectedMessage("password", typ)
		}
		if message, done, err = exchange.Step(body); err != nil {
			return err
		}
	}
}

// authOK is AuthenticationOk.
func authOK() []byte { return wire.AppendFrame(nil, wire.Authentication, []byte{0, 0, 0, 0}) }

// serveConsole is the whole life of a client of the console.
func (st *startup) serveConsole() error {
	if !st.isConsole() {
		return nil
	}
	cfg := st.settings.config.Admin
	id := admin.Identity{User: st.user, Database: st.database, Admin: slices.Contains(cfg.Users, st.user)}
	if !id.Admin && !slices.Contains(cfg.StatsUsers, st.user) {
		return pgerr.NotPermitted(st.user, st.database)
	}
	st.place.leave()
	greeting := st.srv.console.AppendGreeting(authOK())
	greeting = wire.AppendFrame(greeting, wire.BackendKeyData, []byte{0, 0, 0, 0, 0, 0, 0, 0})
	if _, err := st.conn.Write(wire.AppendReady(greeting, 'I')); err != nil {
		return err
	}
	_ = st.conn.SetDeadline(time.Time{})
	ctx, stop := context.WithCancel(context.Background())
	defer stop()
	if err := st.srv.console.Serve(ctx, st.stream(), id); err != nil && !isGone(err) {
		st.srv.log.Debug("console session ended", "user", st.user, "error", err)
	}
	return errServed
}

// stream is the connection with what has been read ahead of it.
func (st *startup) stream() io.ReadWriter {
	return struct {
		io.Reader
		io.Writer
	}{st.in, st.conn}
}

// welcome finds the pool, and what a server says to a client with these
// parameters at login.
func (st *startup) welcome() error {
	s := st.srv
	d := s.database(st.database)
	switch {
	case d == nil:
		return pgerr.UnknownDatabase(st.database)
	case s.isDisabled(st.database):
		return pgerr.Disabled(st.database)
	}
	r, err := s.newRoute(st.database, startSettings(st.params))
	if err != nil {
		return err
	}
	host := 0
	if r != nil {
		host = r.cluster.LoginHost()
	}
	p, err := s.poolOfHost(st.database, st.user, max(host, 0))
	if err != nil {
		return err
	}
	ss := &session{
		srv: s, client: wire.NewConn(st.conn), database: st.database, user: st.user, mode: modeOf(d.Pool.Mode), pool: p, route: r,
		connectedAt: time.Now(), since: s.clock(),
	}
	ss.waiter.Init(ss)
	known, err := s.welcomes.of(p, st.params)
	if err != nil {
		return ss.poolError(err)
	}
	ss.vars, ss.extra, ss.start, ss.startExtra = known.vars, known.extra, known.start, known.extra
	ss.key = make([]byte, keySize(st.packet.Negotiated()))
	if _, err := rand.Read(ss.key); err != nil {
		return err
	}
	st.session = ss
	return nil
}

// reportsRole says whether a server of that version reports in_hot_standby:
// from PostgreSQL 14 on.
func reportsRole(version string) bool {
	major, _, _ := strings.Cut(version, ".")
	n, err := strconv.Atoi(major)
	return err == nil && n >= 14
}

// startSettings are the startup parameters as they were written.
func startSettings(params []wire.Param) pool.Settings {
	var start pool.Settings
	for _, p := range params {
		start = start.With(strings.ToLower(p.Name), p.Value)
	}
	return start
}

// keySize is the length of a cancel key: 4 bytes, or 32 from protocol 3.2 on.
func keySize(minor int) int {
	if minor >= 2 {
		return 32
	}
	return 4
}

// greet takes a place for the session and tells the client that it is in.
func (st *startup) greet() error {
	ss := st.session
	early, _ := st.in.Peek(st.in.Buffered()) // sent without waiting for us
	ss.client.Unread(early)
	if err := st.srv.admit(ss); err != nil {
		return err
	}
	msg := append(make([]byte, 0, 1024), authOK()...)
	for name, value := range ss.vars.All {
		msg = wire.AppendParameterStatus(msg, name, value)
	}
	if version, _ := ss.vars.Get("server_version"); ss.route != nil && reportsRole(version) {
		msg = wire.AppendParameterStatus(msg, "in_hot_standby", "off")
	}
	msg = wire.AppendFrame(msg, wire.BackendKeyData, binary.BigEndian.AppendUint32(nil, uint32(ss.id)), ss.key)
	msg = wire.AppendReady(msg, 'I')
	if _, err := st.conn.Write(msg); err != nil {
		st.srv.forget(ss)
		return err
	}
	if !st.srv.log.Enabled(context.Background(), slog.LevelDebug) {
		return nil
	}
	st.srv.log.Debug("client connected", "session", ss.id, "client", address(st.conn), "db", ss.database, "user", ss.user)
	return nil
}

// cancelRequest finds the session whose key that is.
func (s *Server) cancelRequest(pid uint32, secret []byte) {
	s.mu.Lock()
	ss := s.sessions[int64(pid)]
	s.mu.Unlock()
	if ss == nil || subtle.ConstantTimeCompare(ss.key, secret) != 1 {
		s.log.Debug("cancel request with an unknown key")
		return
	}
	ss.cancel()
}

// logins holds the connections that have not logged in yet. They have places
// of their own, apart from the clients': when all are taken, the oldest that
// has not said who it is gives way.
type logins struct {
	// mu guards places.
	mu     sync.Mutex
	places []*loginPlace
}

type loginPlace struct {
	of     *logins
	conn   net.Conn
	silent bool
}

func newLogins() *logins { return &logins{} }

func (l *logins) enter(conn net.Conn, limit int) *loginPlace {
	p := &loginPlace{of: l, conn: conn, silent: true}
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.places) >= limit {
		i := slices.IndexFunc(l.places, func(p *loginPlace) bool { return p.silent })
		i = max(i, 0)
		_ = l.places[i].conn.SetDeadline(time.Unix(1, 0)) // its own goroutine closes it
		l.places = slices.Delete(l.places, i, i+1)
	}
	l.places = append(l.places, p)
	return p
}

// speaks notes that a startup message has come.
func (p *loginPlace) speaks() {
	p.of.mu.Lock()
	p.silent = false
	p.of.mu.Unlock()
}

func (p *loginPlace) leave() {
	p.of.mu.Lock()
	defer p.of.mu.Unlock()
	if i := slices.Index(p.of.places, p); i >= 0 {
		p.of.places = slices.Delete(p.of.places, i, i+1)
	}
}

func (l *logins) len() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.places)
}

func address(c net.Conn) string {
	if a := c.RemoteAddr(); a != nil {
		return a.String()
	}
	return ""
}
