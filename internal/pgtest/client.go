package pgtest

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net"
	"strings"
	"time"

	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgproto3"
)

// Client is a connection on which a test says exactly what goes over the wire.
// It is for one goroutine at a time.
type Client struct {
	Conn       net.Conn
	Frontend   *pgproto3.Frontend // reads Conn; may hold bytes already
	ProcessID  uint32             // of BackendKeyData
	SecretKey  []byte             // of BackendKeyData
	Parameters map[string]string  // ParameterStatus seen during login
}

// Dial connects to host:port, sends a startup message of protocol 3.0 with
// params, and waits for ReadyForQuery. It knows trust only: for passwords there
// is Target.Connect. A refusal is a *pgconn.PgError.
func Dial(ctx context.Context, addr string, params map[string]string) (*Client, error) {
	var d net.Dialer
	conn, err := d.DialContext(ctx, "tcp", addr)
	if err != nil {
		return nil, err
	}
	stop := context.AfterFunc(ctx, func() { conn.Close() })
	defer stop()
	c := NewClient(conn)
	if err := c.login(params); err != nil {
		return nil, errors.Join(fmt.Errorf("login to %s: %w", addr, err), conn.Close())
	}
	return c, nil
}

// NewClient talks over a connection on which nothing was said yet.
func NewClient(conn net.Conn) *Client {
	return &Client{Conn: conn, Frontend: pgproto3.NewFrontend(conn, conn), Parameters: map[string]string{}}
}

// How long login and writing may take before a test is stuck.
const clientTimeout = 10 * time.Second

func (c *Client) login(params map[string]string) error {
	err := c.Send(&pgproto3.StartupMessage{ProtocolVersion: pgproto3.ProtocolVersion30, Parameters: params})
	if err != nil {
		return err
	}
	for {
		msg, err := c.Receive(clientTimeout)
		if err != nil {
			return err
		}
		switch msg := msg.(type) {
		case *pgproto3.AuthenticationOk, *pgproto3.NoticeResponse:
		case *pgproto3.ParameterStatus:
			c.Parameters[msg.Name] = msg.Value
		case *pgproto3.BackendKeyData:
			c.ProcessID, c.SecretKey = msg.ProcessID, append([]byte(nil), msg.SecretKey...)
		case *pgproto3.ReadyForQuery:
			return nil
		case *pgproto3.ErrorResponse:
			return pgconn.ErrorResponseToPgError(msg)
		default:
			return fmt.Errorf("unexpected %s", typeName(msg))
		}
	}
}

// Send writes the messages at once.
func (c *Client) Send(messages ...pgproto3.FrontendMessage) error {
	var data []byte
	for _, msg := range messages {
		var err error
		if data, err = msg.Encode(data); err != nil {
			return fmt.Errorf("encode %s: %w", typeName(msg), err)
		}
	}
	return c.SendRaw(data)
}

// SendRaw writes bytes as they are.
func (c *Client) SendRaw(data []byte) error {
	if err := c.Conn.SetWriteDeadline(time.Now().Add(clientTimeout)); err != nil {
		return err
	}
	_, err := c.Conn.Write(data)
	return err
}

// Receive returns the next message, valid until the next call. After a time-out
// it can be called again; the message goes on where it was.
func (c *Client) Receive(timeout time.Duration) (pgproto3.BackendMessage, error) {
	return c.receiveBy(time.Now().Add(timeout))
}

func (c *Client) receiveBy(deadline time.Time) (pgproto3.BackendMessage, error) {
	if err := c.Conn.SetReadDeadline(deadline); err != nil {
		return nil, err
	}
	return c.Frontend.Receive()
}

// ReceiveTypes reads until a message of the type last has come, and returns the
// type names of all messages: {"RowDescription", "DataRow", ...}.
func (c *Client) ReceiveTypes(last string, timeout time.Duration) ([]string, error) {
	deadline := time.Now().Add(timeout)
	var names []string
	for len(names) == 0 || names[len(names)-1] != last {
		msg, err := c.receiveBy(deadline)
		if err != nil {
			return names, fmt.Errorf("wait for %s after [%s]: %w", last, strings.Join(names, " "), err)
		}
		names = append(names, typeName(msg))
	}
	return names, nil
}

// Close says Terminate, if the other side takes it, and closes the connection.
func (c *Client) Close() error {
	_ = c.Conn.SetWriteDeadline(time.Now().Add(time.Second))
	_, _ = c.Conn.Write([]byte{'X', 0, 0, 0, 4})
	return c.Conn.Close()
}

// Target is a server to talk to, and as whom.
type Target struct {
	Dial     func(ctx context.Context) (net.Conn, error)
	User     string
	Database string
	Password string
	Params   map[string]string // startup parameters
	// OneByteWrites sends each byte by itself, so that every message arrives in
	// pieces.
	OneByteWrites bool
}

// Target returns the instance as one, over TCP and as postgres.
func (i *Instance) Target(database string) Target {
	return Target{Dial: DialTCP(i.Addr()), User: "postgres", Database: database, Password: i.cluster.opts.SuperuserPassword}
}

// DialTCP returns a Target's Dial for host:port.
func DialTCP(addr string) func(context.Context) (net.Conn, error) {
	return func(ctx context.Context) (net.Conn, error) {
		var d net.Dialer
		return d.DialContext(ctx, "tcp", addr)
	}
}

// Connect logs in with whatever authentication the target asks for.
func (t Target) Connect(ctx context.Context) (*Client, error) {
	config, err := pgconn.ParseConfig("host=127.0.0.1 sslmode=disable")
	if err != nil {
		return nil, err
	}
	config.User, config.Database, config.Password = t.User, t.Database, t.Password
	config.RuntimeParams = maps.Clone(t.Params)
	config.DialFunc = func(ctx context.Context, _, _ string) (net.Conn, error) {
		conn, err := t.Dial(ctx)
		if err == nil && t.OneByteWrites {
			conn = oneByteConn{conn}
		}
		return conn, err
	}
	pc, err := pgconn.ConnectConfig(ctx, config)
	if err != nil {
		return nil, err
	}
	h, err := pc.Hijack()
	if err != nil {
		return nil, err
	}
	return &Client{Conn: h.Conn, Frontend: h.Frontend, ProcessID: h.PID, SecretKey: h.SecretKey, Parameters: h.ParameterStatuses}, nil
}

// oneByteConn splits writes into single bytes.
type oneByteConn struct{ net.Conn }

func (c oneByteConn) Write(data []byte) (int, error) {
	for n := range data {
		if _, err := c.Conn.Write(data[n : n+1]); err != nil {
			return n, err
		}
	}
	return len(data), nil
}
