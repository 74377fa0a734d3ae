package pgtest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"sync"
	"time"

	"github.com/jackc/pgx/v5/pgproto3"
)

// Script is what a scripted server does on one connection. Unless Raw is set it
// first lets the client in, as Login does.
type Script struct {
	Raw   bool
	Steps []Step
}

// Step is one thing that a scripted server does. Tests write their own as
// functions.
type Step func(p *Peer) error

// Peer is the server's side of a connection under a script.
type Peer struct {
	Conn    net.Conn
	Backend *pgproto3.Backend
}

// stepTimeout is how long the client may take over one message.
const stepTimeout = 10 * time.Second

// Run plays the script on conn, which it closes at the end. It is what a test
// with net.Pipe calls; Serve calls it for each connection.
func (s Script) Run(ctx context.Context, conn net.Conn) error {
	defer conn.Close()
	stop := context.AfterFunc(ctx, func() { conn.Close() })
	defer stop()
	steps := s.Steps
	if !s.Raw {
		steps = append([]Step{Login()}, steps...)
	}
	p := &Peer{Conn: conn, Backend: pgproto3.NewBackend(conn, conn)}
	for n, step := range steps {
		if err := step(p); err != nil {
			return fmt.Errorf("step %d of %d: %w", n+1, len(steps), err)
		}
	}
	return nil
}

// Receive returns the client's next message, valid until the next call.
func (p *Peer) Receive() (pgproto3.FrontendMessage, error) {
	if err := p.Conn.SetReadDeadline(time.Now().Add(stepTimeout)); err != nil {
		return nil, err
	}
	return p.Backend.Receive()
}

// Send writes the messages at once.
func (p *Peer) Send(messages ...pgproto3.BackendMessage) error {
	if err := p.Conn.SetWriteDeadline(time.Now().Add(stepTimeout)); err != nil {
		return err
	}
	for _, msg := range messages {
		p.Backend.Send(msg)
	}
	return p.Backend.Flush()
}

// Login refuses TLS and GSS encryption, trusts the client, whoever it is, and
// greets it like PostgreSQL 15 with process id 4711 and the secret key "key!".
func Login() Step {
	return func(p *Peer) error {
		for {
			if err := p.Conn.SetReadDeadline(time.Now().Add(stepTimeout)); err != nil {
				return err
			}
			msg, err := p.Backend.ReceiveStartupMessage()
			if err != nil {
				return fmt.Errorf("login: %w", err)
			}
			switch msg.(type) {
			case *pgproto3.SSLRequest, *pgproto3.GSSEncRequest:
				if _, err := p.Conn.Write([]byte{'N'}); err != nil {
					return fmt.Errorf("login: %w", err)
				}
			case *pgproto3.StartupMessage:
				return p.Send(Greeting()...)
			default:
				return fmt.Errorf("login: got %s", typeName(msg))
			}
		}
	}
}

// Greeting returns what Login says: AuthenticationOk to ReadyForQuery.
func Greeting() []pgproto3.BackendMessage {
	return []pgproto3.BackendMessage{
		&pgproto3.AuthenticationOk{},
		&pgproto3.ParameterStatus{Name: "server_version", Value: "15.0"},
		&pgproto3.ParameterStatus{Name: "server_encoding", Value: "UTF8"},
		&pgproto3.ParameterStatus{Name: "client_encoding", Value: "UTF8"},
		&pgproto3.ParameterStatus{Name: "DateStyle", Value: "ISO, MDY"},
		&pgproto3.ParameterStatus{Name: "IntervalStyle", Value: "postgres"},
		&pgproto3.ParameterStatus{Name: "TimeZone", Value: "UTC"},
		&pgproto3.ParameterStatus{Name: "integer_datetimes", Value: "on"},
		&pgproto3.ParameterStatus{Name: "standard_conforming_strings", Value: "on"},
		&pgproto3.BackendKeyData{ProcessID: 4711, SecretKey: []byte("key!")},
		&pgproto3.ReadyForQuery{TxStatus: 'I'},
	}
}

// Expect receives one message for each of want, equal in every byte.
func Expect(want ...pgproto3.FrontendMessage) Step {
	return func(p *Peer) error {
		for _, w := range want {
			got, err := p.Receive()
			if err != nil {
				return fmt.Errorf("expect %s: %w", typeName(w), err)
			}
			wantBytes, err := w.Encode(nil)
			if err != nil {
				return fmt.Errorf("encode %s: %w", typeName(w), err)
			}
			gotBytes, err := got.Encode(nil)
			if err != nil || !bytes.Equal(wantBytes, gotBytes) {
				return fmt.Errorf("expect %s %+v, got %s %+v", typeName(w), w, typeName(got), got)
			}
		}
		return nil
	}
}

// ExpectTypes receives messages of the named types with any content.
func ExpectTypes(names ...string) Step {
	return func(p *Peer) error {
		for _, name := range names {
			got, err := p.Receive()
			if err != nil {
				return fmt.Errorf("expect %s: %w", name, err)
			}
			if typeName(got) != name {
				return fmt.Errorf("expect %s, got %s %+v", name, typeName(got), got)
			}
		}
		return nil
	}
}

// ExpectCancel receives a CancelRequest for the process, on a Raw script.
func ExpectCancel(processID uint32, secretKey []byte) Step {
	return func(p *Peer) error {
		if err := p.Conn.SetReadDeadline(time.Now().Add(stepTimeout)); err != nil {
			return err
		}
		msg, err := p.Backend.ReceiveStartupMessage()
		if err != nil {
			return fmt.Errorf("expect CancelRequest: %w", err)
		}
		c, ok := msg.(*pgproto3.CancelRequest)
		if !ok || c.ProcessID != processID || !bytes.Equal(c.SecretKey, secretKey) {
			return fmt.Errorf("expect CancelRequest of %d %x, got %s %+v", processID, secretKey, typeName(msg), msg)
		}
		return nil
	}
}

// Send writes the messages at once.
func Send(messages ...pgproto3.BackendMessage) Step {
	return func(p *Peer) error { return p.Send(messages...) }
}

// SendRaw writes bytes as they are.
func SendRaw(data []byte) Step {
	return func(p *Peer) error {
		_, err := p.Conn.Write(data)
		return err
	}
}

// Pause waits.
func Pause(d time.Duration) Step {
	return func(*Peer) error {
		time.Sleep(d)
		return nil
	}
}

// Call calls a function of the test, for example to wait for a channel.
func Call(f func() error) Step {
	return func(*Peer) error { return f() }
}

// HangUp closes the connection.
func HangUp() Step {
	return func(p *Peer) error { return p.Conn.Close() }
}

// ScriptServer plays scripts on a listener.
type ScriptServer struct {
	// Immutable after Serve.
	listener net.Listener
	cancel   context.CancelFunc
	done     chan struct{} // closed when all scripts have ended

	// Guarded by mu.
	mu   sync.Mutex
	errs []error
}

// Serve listens on loopback and plays scripts[n] on the n-th connection; further
// ones are refused. Every script runs in its own goroutine until its end, that of
// ctx, or Close.
func Serve(ctx context.Context, scripts ...Script) (*ScriptServer, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithCancel(ctx)
	s := &ScriptServer{listener: l, cancel: cancel, done: make(chan struct{})}
	go s.accept(ctx, scripts)
	return s, nil
}

func (s *ScriptServer) accept(ctx context.Context, scripts []Script) {
	defer close(s.done)
	var playing sync.WaitGroup
	defer playing.Wait()
	defer s.listener.Close()
	stop := context.AfterFunc(ctx, func() { s.listener.Close() })
	defer stop()
	for n, script := range scripts {
		conn, err := s.listener.Accept()
		if err != nil {
			s.report(fmt.Errorf("connection %d never came: %w", n+1, err))
			return
		}
		playing.Go(func() {
			if err := script.Run(ctx, conn); err != nil {
				s.report(fmt.Errorf("connection %d: %w", n+1, err))
			}
		})
	}
}

func (s *ScriptServer) report(err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.errs = append(s.errs, err)
}

// Addr returns the host and port it listens on.
func (s *ScriptServer) Addr() string { return s.listener.Addr().String() }

// Wait waits until all scripts were played and returns what went wrong.
func (s *ScriptServer) Wait() error {
	<-s.done
	s.mu.Lock()
	defer s.mu.Unlock()
	return errors.Join(s.errs...)
}

// Close breaks off what still runs and returns what went wrong so far.
func (s *ScriptServer) Close() error {
	s.cancel()
	return s.Wait()
}
