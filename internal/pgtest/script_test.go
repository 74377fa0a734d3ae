package pgtest_test

import (
	"context"
	"encoding/binary"
	"errors"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgproto3"

	"github.com/penstock/penstock/internal/pgtest"
)

func serve(t *testing.T, scripts ...pgtest.Script) *pgtest.ScriptServer {
	t.Helper()
	s, err := pgtest.Serve(t.Context(), scripts...)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func dial(t *testing.T, addr string) *pgtest.Client {
	t.Helper()
	c, err := pgtest.Dial(t.Context(), addr, map[string]string{"user": "postgres"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Conn.Close() })
	return c
}

func TestScriptIsPlayed(t *testing.T) {
	t.Parallel()
	s := serve(t, pgtest.Script{Steps: []pgtest.Step{
		pgtest.Expect(&pgproto3.Parse{Name: "s", Query: "SELECT 1"}, &pgproto3.Sync{}),
		pgtest.Send(&pgproto3.ParseComplete{}),
		pgtest.SendRaw([]byte{'Z', 0, 0, 0, 5, 'I'}),
		pgtest.HangUp(),
	}})
	c := dial(t, s.Addr())
	if c.ProcessID != 4711 || string(c.SecretKey) != "key!" || c.Parameters["server_version"] != "15.0" {
		t.Errorf("greeting: %+v", c)
	}
	if err := c.Send(&pgproto3.Parse{Name: "s", Query: "SELECT 1"}, &pgproto3.Sync{}); err != nil {
		t.Fatal(err)
	}
	got, err := c.ReceiveTypes("ReadyForQuery", time.Second)
	if err != nil || strings.Join(got, " ") != "ParseComplete ReadyForQuery" {
		t.Errorf("got %v, %v", got, err)
	}
	if _, err := c.Receive(time.Second); err == nil {
		t.Error("the server did not hang up")
	}
	if err := s.Wait(); err != nil {
		t.Error(err)
	}
	if _, err := pgtest.Dial(t.Context(), s.Addr(), nil); err == nil {
		t.Error("a connection without script is taken")
	}
}

func TestScriptReportsWhatDiffers(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name string
		step pgtest.Step
		want string
	}{
		{"other type", pgtest.Expect(&pgproto3.Sync{}), "step 2 of 2: expect Sync &{}, got Query"},
		{"other content", pgtest.Expect(&pgproto3.Query{String: "SELECT 2"}), "got Query &{String:SELECT 1}"},
		{"other type by name", pgtest.ExpectTypes("Query", "Flush"), "expect Flush"},
		{"function of the test", pgtest.Call(func() error { return errors.New("mine") }), "mine"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			s := serve(t, pgtest.Script{Steps: []pgtest.Step{test.step}})
			c := dial(t, s.Addr())
			if err := c.Send(&pgproto3.Query{String: "SELECT 1"}, &pgproto3.Sync{}); err != nil {
				t.Fatal(err)
			}
			if err := s.Wait(); err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("error %v, want %q", err, test.want)
			}
		})
	}
}

func TestScriptRefusesEncryptionAndTakesCancel(t *testing.T) {
	t.Parallel()
	s := serve(t, pgtest.Script{},
		pgtest.Script{Raw: true, Steps: []pgtest.Step{pgtest.ExpectCancel(4711, []byte("key!"))}},
		pgtest.Script{Raw: true, Steps: []pgtest.Step{pgtest.ExpectCancel(4711, []byte("key!"))}})
	conn, err := net.Dial("tcp", s.Addr())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	c := pgtest.NewClient(conn)
	for _, ask := range []pgproto3.FrontendMessage{&pgproto3.SSLRequest{}, &pgproto3.GSSEncRequest{}} {
		if err := c.Send(ask); err != nil {
			t.Fatal(err)
		}
		answer := make([]byte, 1)
		if _, err := conn.Read(answer); err != nil || answer[0] != 'N' {
			t.Errorf("%T is answered by %q, %v", ask, answer, err)
		}
	}
	if err := c.Send(&pgproto3.StartupMessage{ProtocolVersion: pgproto3.ProtocolVersion30, Parameters: map[string]string{"user": "u"}}); err != nil {
		t.Fatal(err)
	}
	if _, err := c.ReceiveTypes("ReadyForQuery", time.Second); err != nil {
		t.Error(err)
	}
	for _, pid := range []uint32{4711, 4712} {
		cancel, err := net.Dial("tcp", s.Addr())
		if err != nil {
			t.Fatal(err)
		}
		defer cancel.Close()
		request := binary.BigEndian.AppendUint32([]byte{0, 0, 0, 16, 4, 210, 22, 46}, pid)
		if _, err := cancel.Write(append(request, "key!"...)); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.Wait(); err == nil || !strings.HasPrefix(err.Error(), "connection 3: step 1 of 1: expect CancelRequest of 4711") || strings.Contains(err.Error(), "connection 2") {
		t.Errorf("error %v", err)
	}
}

func TestScriptServerEndsWithContextAndByClose(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(t.Context())
	waiting := pgtest.Script{Steps: []pgtest.Step{pgtest.ExpectTypes("Query")}}
	s, err := pgtest.Serve(ctx, waiting, waiting)
	if err != nil {
		t.Fatal(err)
	}
	dial(t, s.Addr())
	cancel()
	if err := s.Wait(); err == nil || !strings.Contains(err.Error(), "connection 2 never came") || !strings.Contains(err.Error(), "expect Query") {
		t.Errorf("error %v", err)
	}
	if err := serve(t, waiting).Close(); err == nil || !strings.Contains(err.Error(), "never came") {
		t.Errorf("error %v", err)
	}
}

func TestReceiveTimesOutAndGoesOn(t *testing.T) {
	t.Parallel()
	half := make(chan struct{})
	s := serve(t, pgtest.Script{Steps: []pgtest.Step{
		pgtest.SendRaw([]byte{'Z', 0, 0}),
		pgtest.Call(func() error { <-half; return nil }),
		pgtest.SendRaw([]byte{0, 5, 'T'}),
	}})
	c := dial(t, s.Addr())
	var timeout net.Error
	if _, err := c.Receive(50 * time.Millisecond); !errors.As(err, &timeout) || !timeout.Timeout() {
		t.Errorf("half a message: %v", err)
	}
	close(half)
	msg, err := c.Receive(time.Second)
	if z, ok := msg.(*pgproto3.ReadyForQuery); err != nil || !ok || z.TxStatus != 'T' {
		t.Errorf("the other half: %v, %v", msg, err)
	}
}
