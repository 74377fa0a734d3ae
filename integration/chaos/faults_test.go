package chaos

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/penstock/penstock/internal/pgtest"
	"github.com/penstock/penstock/internal/wire"
)

// conversation is what a client says, step by step: it sends a step when the
// answer to the one before has come.
type conversation struct {
	name  string
	steps []turn
	large bool // has frames that are forwarded before they are whole
}

// turn is what is sent at once, and the message type that ends the answer.
type turn struct {
	send  []byte
	until byte
}

// conversations are all of them; where a row is inserted in a transaction, it
// is n, which has six digits.
func conversations(n int) []conversation {
	insert := fmt.Sprintf("insert into counted values (%d)", n)
	q := func(sql string) turn { return turn{qFrame(nil, sql), wire.ReadyForQuery} }
	extended := func(name, sql, portal string, limits ...int) []byte {
		p := dFrame(bFrame(pFrame(nil, name, sql), portal, name), 'P', portal)
		for _, n := range limits {
			p = eFrame(p, portal, n)
		}
		return empty(p, wire.Sync)
	}
	pipeline := append(extended("f1", "select 'p1'", "", 0), extended("f2", "select 1/0", "", 0)...)
	pipeline = append(pipeline, extended("", "select 'p3:' || g from generate_series(1,5) g", "x", 2, 2, 0)...)
	copyIn := append(copyFrame(nil, "f\n"), copyFrame(nil, "f\n")...)
	long := strings.Repeat("long ", 20_000)
	return []conversation{
		{name: "simple", steps: []turn{q("select 's1'"), q("select 's2'; select 's3'"), q("select 1/0")}},
		{name: "extended", steps: []turn{{extended("f1", "select 'e1'", "", 0), 'Z'}, {extended("", "select 'e2'", "", 0), 'Z'}}},
		{name: "pipeline", steps: []turn{{pipeline, 'Z'}, {nil, 'Z'}, {nil, 'Z'}}},
		{name: "copy in", steps: []turn{
			{qFrame(nil, "copy counted from stdin"), wire.CopyInResponse},
			{empty(append(copyFrame(nil, "1\n"), copyFrame(nil, "2\n")...), wire.CopyDone), 'Z'},
		}},
		{name: "copy in, extended", steps: []turn{
			{empty(eFrame(bFrame(pFrame(nil, "", "copy kv from stdin"), "", ""), "", 0), wire.Flush), wire.CopyInResponse},
			{empty(empty(copyIn, wire.CopyDone), wire.Sync), 'Z'},
		}},
		{name: "copy out", steps: []turn{q("copy (select 'o:' || g from generate_series(1,5) g) to stdout")}},
		{name: "transaction", steps: []turn{q("begin"), q(insert), q("select 't1'"), q("commit"), q("select 't2'")}},
		{name: "transaction, extended", steps: []turn{
			{extended("", "begin", "", 0), 'Z'}, {extended("", insert, "", 0), 'Z'}, {extended("", "commit", "", 0), 'Z'},
		}},
		{name: "large", large: true, steps: []turn{q("select repeat('row', 30000)"), q("select '" + long + "'"), {extended("", "select 'x"+long+"'", "", 0), 'Z'}}},
	}
}

// outcome is what a client saw of a conversation.
type outcome struct {
	got   []message
	sent  int // turns
	ended error
}

// play plays a conversation until it ends or an answer is the last.
func play(conn net.Conn, in *reader, c conversation) outcome {
	var o outcome
	for _, t := range c.steps {
		o.sent++
		if _, err := conn.Write(t.send); err != nil && len(t.send) > 0 {
			o.drain(in)
			return o
		}
		for {
			msg, err := in.next(hangTime)
			if err != nil {
				o.ended = err
				return o
			}
			msg.body = append([]byte(nil), msg.body...)
			if msg.typ == wire.ParameterStatus {
				continue
			}
			o.got = append(o.got, msg)
			if msg.typ == wire.ErrorResponse && (strings.Contains(msg.text(), "080") || strings.Contains(msg.text(), "57P")) {
				if strings.HasPrefix(msg.text(), "FATAL") {
					_, o.ended = in.next(hangTime)
				}
				return o
			}
			if msg.typ == t.until {
				break
			}
		}
	}
	return o
}

func (o *outcome) drain(in *reader) {
	for {
		msg, err := in.next(hangTime)
		if err != nil {
			o.ended = err
			return
		}
		msg.body = append([]byte(nil), msg.body...)
		o.got = append(o.got, msg)
	}
}

func (o *outcome) last() message {
	if len(o.got) == 0 {
		return message{}
	}
	return o.got[len(o.got)-1]
}

// status is that of the last ReadyForQuery.
func (o *outcome) status() string {
	for _, v := range slices.Backward(o.got) {
		if v.typ == wire.ReadyForQuery {
			return v.text()
		}
	}
	return "I"
}

// recorder forwards one connection and keeps what passes.
type recorder struct {
	l      net.Listener
	target string
	mu     sync.Mutex
	bytes  [2][]byte
	conns  []net.Conn
	wg     sync.WaitGroup
}

func newRecorder(t *testing.T, target string) *recorder {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	r := &recorder{l: l, target: target}
	r.wg.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			r.wg.Go(func() { r.serve(c) })
		}
	})
	return r
}

func (r *recorder) serve(client net.Conn) {
	server, err := net.Dial("tcp", r.target)
	if err != nil {
		client.Close()
		return
	}
	r.mu.Lock()
	r.conns = append(r.conns, client, server)
	r.mu.Unlock()
	var wg sync.WaitGroup
	pump := func(d pgtest.Direction, src, dst net.Conn) {
		buf := make([]byte, 64<<10)
		for {
			n, err := src.Read(buf)
			r.mu.Lock()
			r.bytes[d] = append(r.bytes[d], buf[:n]...)
			r.mu.Unlock()
			if _, werr := dst.Write(buf[:n]); err != nil || werr != nil {
				dst.Close()
				return
			}
		}
	}
	wg.Go(func() { pump(pgtest.ToServer, client, server) })
	wg.Go(func() { pump(pgtest.ToClient, server, client) })
	wg.Wait()
}

func (r *recorder) close() {
	r.l.Close()
	r.mu.Lock()
	for _, c := range r.conns {
		c.Close()
	}
	r.mu.Unlock()
	r.wg.Wait()
}

// points are the places where a stream is cut: before, inside the head of, in
// the middle of and after each frame. A startup message has no type.
func points(stream []byte, startup bool) []int64 {
	list := []int64{0}
	for pos := 0; pos < len(stream); {
		head, n := 5, 0
		if startup {
			head, startup = 4, false
			n = int(binary.BigEndian.Uint32(stream[pos:]))
		} else if len(stream)-pos >= 5 {
			n = 1 + int(binary.BigEndian.Uint32(stream[pos+1:]))
		} else {
			break
		}
		list = append(list, int64(pos+head-2))
		if n > head {
			list = append(list, int64(pos+head+(n-head)/2))
		}
		pos += n
		list = append(list, int64(pos))
	}
	return list
}

// firstRow is the first number that a conversation inserts.
const firstRow = 100_000

// TestServerIsLostAtEveryFrame cuts the connection to PostgreSQL at every
// frame, both ways: the client is told the right error, a session outside of a
// transaction goes on, and the next client finds a clean pool.
func TestServerIsLostAtEveryFrame(t *testing.T) {
	pg := postgres(t)
	before := runtime.NumGoroutine()
	defer func() { checkGoroutines(t, before) }()
	for kind, c := range conversations(firstRow) {
		t.Run(c.name, func(t *testing.T) {
			good, streams := rehearse(t, pg, c)
			var cuts atomic.Int32
			var running sync.WaitGroup
			places := make(chan struct{}, 8) // they wait more than they work
			for _, d := range []pgtest.Direction{pgtest.ToServer, pgtest.ToClient} {
				for i, at := range points(streams[d], d == pgtest.ToServer) {
					if testing.Short() && i%7 != 0 {
						continue
					}
					n := firstRow + 1000*(kind+1) + int(cuts.Add(1))
					places <- struct{}{}
					running.Go(func() {
						defer func() { <-places }()
						if err := cutServer(t, pg, conversations(n)[kind], n, good, d, at); err != nil {
							t.Errorf("direction %d, cut at byte %d of %d: %v", d, at, len(streams[d]), err)
						}
					})
				}
			}
			running.Wait()
			t.Logf("%d cuts", cuts.Load())
		})
	}
}

// rehearse plays a conversation without a fault, and returns what the client
// saw and what passed between Penstock and the server.
func rehearse(t *testing.T, pg *pgtest.Instance, c conversation) (outcome, [2][]byte) {
	t.Helper()
	r := newRecorder(t, pg.Addr())
	defer r.close()
	p, stop := runPenstock(t, options{primary: r.l.Addr().String(), size: 1})
	defer stop()
	conn, in := hello(t, p.addr)
	defer conn.Close()
	o := play(conn, in, c)
	if o.ended != nil {
		t.Fatalf("without a fault: %v after %v", o.ended, o.got)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	return o, r.bytes
}

// hello logs in and returns the connection, which may have been refused.
func hello(tb testing.TB, addr string) (net.Conn, *reader) {
	tb.Helper()
	conn, in, err := tryHello(tb.Context(), addr)
	if err != nil {
		tb.Fatal(err)
	}
	return conn, in
}

func tryHello(ctx context.Context, addr string, more ...string) (net.Conn, *reader, error) {
	conn, err := open(ctx, addr)
	if err != nil {
		return nil, nil, err
	}
	if _, err := conn.Write(startupFrame(append([]string{"user", "postgres", "database", "postgres"}, more...)...)); err != nil {
		return conn, nil, err
	}
	in := newReader(conn)
	for {
		msg, err := in.next(hangTime)
		switch {
		case err != nil:
			conn.Close()
			return nil, nil, err
		case msg.typ == wire.ErrorResponse:
			err := fmt.Errorf("login refused: %v", msg)
			conn.Close()
			return nil, nil, err
		case msg.typ == wire.ReadyForQuery:
			return conn, in, nil
		}
	}
}

// cutServer plays a conversation whose server connection is cut.
func cutServer(t *testing.T, pg *pgtest.Instance, c conversation, n int, good outcome, d pgtest.Direction, at int64) error {
	f, err := pgtest.NewFaulty(t.Context(), pg.Addr())
	if err != nil {
		return err
	}
	defer f.Close()
	f.SetFault(&pgtest.Fault{Direction: d, AtByte: at})
	p, stop := runPenstock(t, options{primary: f.Addr(), size: 1, pool: `connect_timeout = "3s"`})
	defer stop()
	conn, in, err := tryHello(t.Context(), p.addr)
	f.SetFault(nil)
	if err == nil {
		defer conn.Close()
		o := play(conn, in, c)
		if err := judge(conn, in, c, good, o); err != nil {
			return fmt.Errorf("%w\ngot %v", err, o.got)
		}
		rows, err := countRows(t, pg, n)
		if err != nil {
			return err
		}
		if err := judgeRows(c, o, rows); err != nil {
			return fmt.Errorf("%w\ngot %v", err, o.got)
		}
		conn.Close()
	} else if isTimeout(err) {
		return fmt.Errorf("HANG in login: %w", err)
	}
	if err := answersAgain(t.Context(), p.addr); err != nil {
		return err
	}
	return p.quiet(t)
}

// judge compares what a client saw with what it would have seen: the same up to
// the error, and the right error.
func judge(conn net.Conn, in *reader, c conversation, good, o outcome) error {
	if isTimeout(o.ended) {
		return fmt.Errorf("HANG: %w", o.ended)
	}
	last := o.last()
	lost := last.typ == wire.ErrorResponse && last.text() != "22012"
	same := o.got
	if lost {
		same = o.got[:len(o.got)-1]
	}
	for i, m := range same {
		if i >= len(good.got) || m.typ != good.got[i].typ || m.text() != good.got[i].text() {
			return fmt.Errorf("message %d is %v", i, m)
		}
	}
	if !lost {
		if len(o.got) == len(good.got) {
			return nil
		}
		if c.large {
			return nil // in the middle of a frame nothing can be told
		}
		// A row passes before it is whole, too.
		if next := good.got[len(o.got)].typ; next == wire.DataRow || next == wire.CopyData {
			return nil
		}
		return fmt.Errorf("the connection ended without a word: %w", o.ended)
	}
	status := o.status()
	committing := o.sent > 0 && strings.Contains(strings.ToLower(string(c.steps[o.sent-1].send)), "commit")
	switch code := last.text(); {
	case code == "08006" && status == "I":
		return goesOn(conn, in)
	case code == "FATAL 08006" && status != "I":
	case code == "FATAL 08007" && committing:
	default:
		return fmt.Errorf("%v with transaction status %s", last, status)
	}
	if o.ended == nil || isTimeout(o.ended) {
		return fmt.Errorf("the connection stays open after FATAL")
	}
	return nil
}

// judgeRows: a COMMIT that was confirmed has happened, and one that is said to
// have failed has not.
func judgeRows(c conversation, o outcome, rows int) error {
	if !strings.HasPrefix(c.name, "transaction") {
		return nil
	}
	confirmed := false
	for _, m := range o.got {
		confirmed = confirmed || m.typ == wire.CommandComplete && m.text() == "COMMIT"
	}
	switch {
	case confirmed && rows != 1:
		return errors.New("the transaction was confirmed, and is lost")
	case o.last().text() == "FATAL 08006" && rows != 0:
		return errors.New("the transaction was said to be rolled back, and is not")
	}
	return nil
}

func countRows(t *testing.T, pg *pgtest.Instance, n int) (int, error) {
	rows, err := pg.Query(t.Context(), "postgres", fmt.Sprintf("select 1 from counted where n = %d", n))
	return len(rows), err
}

// goesOn checks that a session is usable after ERROR.
func goesOn(conn net.Conn, in *reader) error {
	const v = "still here"
	if _, err := conn.Write(qFrame(empty(nil, wire.Sync), "select '"+v+"'")); err != nil {
		return err
	}
	for {
		msg, err := in.next(hangTime)
		switch {
		case err != nil:
			return fmt.Errorf("after ERROR the session is not usable: %w", err)
		case msg.typ == wire.DataRow:
			if msg.text() == v {
				return nil
			}
		case msg.typ == wire.ErrorResponse && strings.HasPrefix(msg.text(), "FATAL"):
			return fmt.Errorf("after ERROR: %v", msg)
		}
	}
}

// answersAgain checks that the next client is served as soon as the back-off
// is over.
func answersAgain(ctx context.Context, addr string) error {
	var last error
	for deadline := time.Now().Add(2 * time.Second); time.Now().Before(deadline); time.Sleep(20 * time.Millisecond) {
		conn, in, err := tryHello(ctx, addr)
		if err != nil {
			last = err
			continue
		}
		_, err = conn.Write(qFrame(nil, "select 'next'"))
		var got []string
		for err == nil {
			var msg message
			if msg, err = in.next(hangTime); err != nil {
				break
			}
			if got = append(got, msg.String()); msg.typ == wire.ReadyForQuery {
				break
			}
		}
		conn.Close()
		if err == nil && len(got) == 4 && got[1] == `D "next"` && got[3] == `Z "I"` {
			return nil
		}
		last = fmt.Errorf("the next client got %v, %w", got, err)
		if len(got) > 0 && !strings.HasPrefix(got[0], "E") {
			return last
		}
	}
	return fmt.Errorf("the next client is not served: %w", last)
}

// TestClientIsLostAtEveryFrame cuts the connection to the client at every
// frame, both ways: the server connection is used again, and clean.
func TestClientIsLostAtEveryFrame(t *testing.T) {
	pg := postgres(t)
	p := startPenstock(t, options{primary: pg.Addr(), size: 1})
	for _, c := range conversations(firstRow) {
		t.Run(c.name, func(t *testing.T) {
			r := newRecorder(t, p.addr)
			conn, in := hello(t, r.l.Addr().String())
			play(conn, in, c)
			conn.Close()
			r.close()
			cuts := 0
			for _, d := range []pgtest.Direction{pgtest.ToServer, pgtest.ToClient} {
				for i, at := range points(r.bytes[d], d == pgtest.ToServer) {
					if testing.Short() && i%5 != 0 {
						continue
					}
					cuts++
					if err := cutClient(t, p, c, d, at); err != nil {
						t.Fatalf("direction %d, cut at byte %d of %d: %v", d, at, len(r.bytes[d]), err)
					}
				}
			}
			servers := p.show(t, "SERVERS")
			t.Logf("%d cuts", cuts)
			if len(servers) != 1 || !c.large && number(t, servers[0], "id") > 1 && c.name == "simple" {
				t.Errorf("server connections: %v", servers)
			}
		})
	}
	rows, err := pg.Query(t.Context(), "postgres", "select count(*) from pg_stat_activity where state like 'idle in%'")
	if err != nil || rows[0][0] != "0" {
		t.Errorf("transactions left open: %v, %v", rows, err)
	}
}

func cutClient(t *testing.T, p *penstock, c conversation, d pgtest.Direction, at int64) error {
	f, err := pgtest.NewFaulty(t.Context(), p.addr)
	if err != nil {
		return err
	}
	defer f.Close()
	f.SetFault(&pgtest.Fault{Direction: d, AtByte: at})
	conn, in, err := tryHello(t.Context(), f.Addr())
	if err == nil {
		o := play(conn, in, c)
		conn.Close()
		err = o.ended
	}
	if isTimeout(err) {
		return fmt.Errorf("HANG: %w", err)
	}
	return answersAgain(t.Context(), p.addr)
}

// TestServerLostInsideALargeFrame: what is left of the frame is not taken for
// frames of its own.
func TestServerLostInsideALargeFrame(t *testing.T) {
	pg := postgres(t)
	f, err := pgtest.NewFaulty(t.Context(), pg.Addr())
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	p := startPenstock(t, options{primary: f.Addr(), size: 1})
	smuggled := qFrame(nil, "insert into counted values (666)")
	text := "select '" + strings.Repeat("x", 40_000) + strings.ReplaceAll(string(smuggled), "\x00", "\x00") + strings.Repeat("x", 40_000) + "'"
	frame := wire.AppendFrame(nil, wire.Query, []byte(text), []byte{0})
	cut := 5 + len("select '") + 40_000 // just before the smuggled one
	conn, in := hello(t, p.addr)
	defer conn.Close()
	if _, err := conn.Write(frame[:cut]); err != nil {
		t.Fatal(err)
	}
	time.Sleep(50 * time.Millisecond)
	f.CutAll()
	time.Sleep(50 * time.Millisecond)
	if _, err := conn.Write(frame[cut:]); err != nil {
		t.Fatal(err)
	}
	if err := goesOn(conn, in); err != nil {
		t.Error(err)
	}
	rows, err := pg.Query(t.Context(), "postgres", "select count(*) from counted where n = 666")
	if err != nil || rows[0][0] != "0" {
		t.Errorf("a part of a literal was executed: %v %v", rows, err)
	}
}

// TestBadFrameComesAfterTheAnswersBeforeIt: what stood before it is answered.
func TestBadFrameComesAfterTheAnswersBeforeIt(t *testing.T) {
	p := startPenstock(t, options{primary: postgres(t).Addr(), size: 1})
	conn, in := hello(t, p.addr)
	defer conn.Close()
	if _, err := conn.Write(append(qFrame(nil, "select 'x' from pg_sleep(0.05)"), '~', 0, 0, 0, 4)); err != nil {
		t.Fatal(err)
	}
	var got []string
	for {
		msg, err := in.next(hangTime)
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		got = append(got, msg.String())
	}
	want := `[T "" D "x" C "SELECT 1" Z "I" E "FATAL 08P01 invalid frontend message type 126"]`
	if fmt.Sprint(got) != want {
		t.Errorf("got  %v\nwant %s", got, want)
	}
}
