package pgtest_test

import (
	"errors"
	"fmt"
	"io"
	"net"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgproto3"

	"github.com/penstock/penstock/internal/pgtest"
)

// The conversation of these tests in messages and bytes, by direction:
// SSLRequest, startup, Query, Terminate; N, the greeting, two answers.
var (
	wantFrames = [2]int{4, 1 + 11 + 2}
	startup    = &pgproto3.StartupMessage{ProtocolVersion: pgproto3.ProtocolVersion30, Parameters: map[string]string{"user": "u"}}
)

// converse talks through a Faulty with the given fault (or nil) to a scripted
// server. It returns the bytes that the client got and the messages that the
// server got.
func converse(t *testing.T, fault *pgtest.Fault) (got []byte, served int, f *pgtest.Faulty) {
	t.Helper()
	var count atomic.Int32
	counted := func(p *pgtest.Peer, receive func() error, answer ...pgproto3.BackendMessage) error {
		if err := receive(); err != nil {
			return err
		}
		count.Add(1)
		return p.Send(answer...)
	}
	s := serve(t, pgtest.Script{Raw: true, Steps: []pgtest.Step{func(p *pgtest.Peer) error {
		begin := func() error { _, err := p.Backend.ReceiveStartupMessage(); return err }
		next := func() error { _, err := p.Receive(); return err }
		refuse := func() error { _, err := p.Conn.Write([]byte("N")); return err }
		return errors.Join(
			counted(p, begin), refuse(),
			counted(p, begin, pgtest.Greeting()...),
			counted(p, next, complete("SELECT 1"), ready),
			counted(p, next))
	}}})
	f, err := pgtest.NewFaulty(t.Context(), s.Addr())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(f.Close)
	f.SetFault(fault)

	conn, err := net.Dial("tcp", f.Addr())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	c := pgtest.NewClient(conn)
	// Errors are what this is about: the bytes tell.
	_ = c.Send(&pgproto3.SSLRequest{})
	got = readSome(conn, 1)
	_ = c.Send(startup, &pgproto3.Query{String: "SELECT 1"}, &pgproto3.Terminate{})
	got = append(got, readSome(conn, 1<<20)...)
	conn.Close()
	_ = s.Wait()
	return got, int(count.Load()), f
}

// readSome reads n bytes, or up to the end. Its deadline is for a test that
// hangs: what passes in time is decided by the fault.
func readSome(conn net.Conn, n int64) []byte {
	_ = conn.SetReadDeadline(time.Now().Add(10 * time.Second))
	data, _ := io.ReadAll(io.LimitReader(conn, n))
	return data
}

func TestFaultyForwardsAndCounts(t *testing.T) {
	t.Parallel()
	got, served, f := converse(t, nil)
	if served != wantFrames[pgtest.ToServer] || countFrames(t, got) != wantFrames[pgtest.ToClient] {
		t.Errorf("server got %d messages, client %d", served, countFrames(t, got))
	}
	traffic := f.Traffic()
	if len(traffic) != 1 || traffic[0].Frames != wantFrames || traffic[0].Bytes[pgtest.ToClient] != int64(len(got)) {
		t.Errorf("traffic %+v, client got %d bytes", traffic, len(got))
	}
	if f.Strikes() != 0 {
		t.Errorf("%d strikes without a fault", f.Strikes())
	}
}

func TestFaultyCutsAtEveryFrame(t *testing.T) {
	t.Parallel()
	for _, d := range []pgtest.Direction{pgtest.ToServer, pgtest.ToClient} {
		for frame := range wantFrames[d] + 1 {
			t.Run(fmt.Sprintf("direction %d frame %d", d, frame), func(t *testing.T) {
				t.Parallel()
				got, served, f := converse(t, &pgtest.Fault{Direction: d, AtFrame: frame, Action: pgtest.Cut})
				passed := served
				if d == pgtest.ToClient {
					passed = countFrames(t, got)
				}
				if passed != frame || f.Strikes() != 1 {
					t.Errorf("%d messages passed, %d strikes", passed, f.Strikes())
				}
			})
		}
	}
}

func TestFaultyCutsAtByte(t *testing.T) {
	t.Parallel()
	for _, at := range []int64{0, 1, 2, 5, 100} {
		got, _, f := converse(t, &pgtest.Fault{Direction: pgtest.ToClient, AtByte: at, Action: pgtest.Cut})
		if int64(len(got)) != at || f.Strikes() != 1 {
			t.Errorf("at byte %d: client got %d, %d strikes", at, len(got), f.Strikes())
		}
	}
}

func TestFaultyStallsOneDirection(t *testing.T) {
	t.Parallel()
	s := serve(t, pgtest.Script{Steps: []pgtest.Step{pgtest.ExpectTypes("Query"), pgtest.Send(ready), pgtest.ExpectTypes("Sync")}})
	f, err := pgtest.NewFaulty(t.Context(), s.Addr())
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	f.SetFault(&pgtest.Fault{Direction: pgtest.ToClient, AtFrame: 11, Action: pgtest.Stall})
	c := dial(t, f.Addr())
	if err := c.Send(&pgproto3.Query{}, &pgproto3.Sync{}); err != nil {
		t.Fatal(err)
	}
	if err := s.Wait(); err != nil {
		t.Errorf("the other direction: %v", err)
	}
	var timeout net.Error
	if msg, err := c.Receive(200 * time.Millisecond); !errors.As(err, &timeout) || !timeout.Timeout() || f.Strikes() != 1 {
		t.Errorf("stalled direction: %v, %v, %d strikes", msg, err, f.Strikes())
	}
}

// A socket that is closed with unread bytes resets the connection, which can
// destroy what the other side has not read yet.
func TestFaultyCutLosesNothingThatPassed(t *testing.T) {
	t.Parallel()
	big := make([]byte, 16<<20)
	s := serve(t, pgtest.Script{Steps: []pgtest.Step{
		pgtest.Send(&pgproto3.CopyData{Data: big}), // nobody reads it
		pgtest.ExpectTypes("Query"),
	}})
	f, err := pgtest.NewFaulty(t.Context(), s.Addr())
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	f.SetFault(&pgtest.Fault{Direction: pgtest.ToServer, AtFrame: 2, Action: pgtest.Cut})
	c := dial(t, f.Addr())
	if err := c.Send(&pgproto3.Query{}); err != nil {
		t.Fatal(err)
	}
	if err := s.Wait(); err != nil {
		t.Error(err)
	}
}

func TestFaultyDelays(t *testing.T) {
	t.Parallel()
	begin := time.Now()
	got, _, _ := converse(t, &pgtest.Fault{Direction: pgtest.ToClient, AtFrame: 3, Action: pgtest.Delay, Delay: 150 * time.Millisecond})
	if countFrames(t, got) != wantFrames[pgtest.ToClient] {
		t.Errorf("client got %d messages", countFrames(t, got))
	}
	if took := time.Since(begin); took < 150*time.Millisecond {
		t.Errorf("took %v", took)
	}
}

func TestFaultyResetsAndCutsAll(t *testing.T) {
	t.Parallel()
	s := serve(t, pgtest.Script{Steps: []pgtest.Step{pgtest.ExpectTypes("Query")}}, pgtest.Script{Steps: []pgtest.Step{pgtest.ExpectTypes("Query")}})
	f, err := pgtest.NewFaulty(t.Context(), s.Addr())
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	c := dial(t, f.Addr())
	f.CutAll()
	if _, err := c.Receive(time.Second); !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Errorf("cut: %v", err)
	}
	f.SetFault(&pgtest.Fault{Direction: pgtest.ToServer, AtFrame: 2, Action: pgtest.Reset})
	c = dial(t, f.Addr())
	if err := c.Send(&pgproto3.Query{}); err != nil {
		t.Fatal(err)
	}
	if _, err := c.Receive(time.Second); !errors.Is(err, syscall.ECONNRESET) {
		t.Errorf("reset: %v", err)
	}
}

func TestFaultyCountsBytesUnderTLS(t *testing.T) {
	t.Parallel()
	c := pgtest.StartT(t, options(pgtest.Options{TLS: true}))
	f, err := pgtest.NewFaulty(t.Context(), c.Primary.Addr())
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	_, port, err := net.SplitHostPort(f.Addr())
	if err != nil {
		t.Fatal(err)
	}
	conn, err := pgconn.Connect(t.Context(), c.Primary.DSN("postgres")+" port="+port)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(t.Context())
	got := f.Traffic()[0]
	if got.Frames != [2]int{1, 1} || got.Bytes[pgtest.ToClient] < 500 {
		t.Errorf("traffic %+v", got)
	}
}

// countFrames returns how many whole messages follow the answer to SSLRequest,
// which counts as one.
func countFrames(t *testing.T, data []byte) int {
	t.Helper()
	if len(data) == 0 {
		return 0
	}
	n := 1
	for data = data[1:]; len(data) > 0; n++ {
		size := 1 + int(data[4]) // all messages here are short
		if len(data) < size {
			t.Fatalf("half a message: %q", data)
		}
		data = data[size:]
	}
	return n
}
