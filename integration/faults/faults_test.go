package faults

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgproto3"

	"github.com/penstock/penstock/integration"
	"github.com/penstock/penstock/internal/pgtest"
)

// workers is how many cuts of a conversation are tried at a time.
const workers = 8

// bench is a conversation, what its answers are and where it may be cut.
type bench struct {
	pg     *pgtest.Instance
	c      conversation
	good   []string
	starts [2][]int // of frames, by pgtest.Direction
	login  [2]int   // where the conversation begins, in bytes
	tag    atomic.Int64
	lost   atomic.Int64 // runs that were told an error
	closed atomic.Int64 // runs whose connection ended without one
}

// cut is one place and way.
type cut struct {
	fault pgtest.Fault
	frame int
	past  bool // behind the last frame
}

func (c cut) String() string {
	return fmt.Sprintf("%s cut at frame %d, byte %d, action %d",
		[...]string{"to server", "to client"}[c.fault.Direction], c.frame, c.fault.AtByte, c.fault.Action)
}

// cuts are those before each frame and in its middle, those of the login too if
// whole.
func (b *bench) cuts(whole bool) []cut {
	var list []cut
	for _, d := range []pgtest.Direction{pgtest.ToServer, pgtest.ToClient} {
		for _, action := range []pgtest.Action{pgtest.Cut, pgtest.Reset} {
			for k, at := range b.starts[d] {
				if at < b.login[d] && !whole {
					continue
				}
				past := k == len(b.starts[d])-1
				list = append(list, cut{pgtest.Fault{Direction: d, AtByte: int64(at), Action: action}, k, past})
				if !past {
					middle := (at + b.starts[d][k+1]) / 2
					list = append(list, cut{pgtest.Fault{Direction: d, AtByte: int64(middle), Action: action}, k, false})
				}
			}
		}
	}
	return list
}

// each tries the cuts and reports what went wrong.
func (b *bench) each(t *testing.T, whole bool, try func(cut, string) error) {
	cuts, next := b.cuts(whole), atomic.Int64{}
	var wg sync.WaitGroup
	for range workers {
		wg.Go(func() {
			for i := next.Add(1) - 1; i < int64(len(cuts)); i = next.Add(1) - 1 {
				if testing.Short() && i%5 != 0 {
					continue
				}
				tag := fmt.Sprintf("#tag%06d#", b.tag.Add(1))
				if err := try(cuts[i], tag); err != nil {
					t.Errorf("%s, %s: %v", cuts[i], tag, err)
				}
			}
		})
	}
	wg.Wait()
	t.Logf("%d frames to the server, %d to the client; %d cuts: %d told, %d closed without a word",
		len(b.starts[0])-1, len(b.starts[1])-1, len(cuts), b.lost.Load(), b.closed.Load())
}

// TestServerIsLost cuts the connection to PostgreSQL.
func TestServerIsLost(t *testing.T) {
	pg := postgres(t)
	for i, c := range conversations() {
		t.Run(c.name, func(t *testing.T) {
			before := goroutines(runtime.NumGoroutine())
			b := &bench{pg: pg, c: c}
			b.tag.Store(int64(i) * 50_000)
			r, err := record(pg.Addr())
			if err != nil {
				t.Fatal(err)
			}
			p, err := open(r.listener.Addr().String(), "postgres", 1)
			if err != nil {
				t.Fatal(err)
			}
			b.good, err = good(t.Context(), p.Addr, c, func() { b.login = r.sizes() })
			p.Close()
			b.measured(r)
			if err != nil {
				t.Fatal(err)
			}
			b.each(t, i == 0, b.cutServer)
			before.check(t)
		})
	}
}

func (b *bench) measured(r *recorder) {
	bytes := r.close()
	for d := range bytes {
		b.starts[d] = starts(bytes[d], pgtest.Direction(d))
		if d == int(pgtest.ToServer) && len(b.starts[d]) > 1 { // but for Terminate
			if n := len(bytes[d]); n >= 5 && bytes[d][n-5] == 'X' {
				b.starts[d] = b.starts[d][:len(b.starts[d])-1]
			}
		}
	}
}

// fault starts a Faulty whose fault strikes once.
func fault(target string, c cut) (*pgtest.Faulty, func(), error) {
	f, err := pgtest.NewFaulty(context.Background(), target)
	if err != nil {
		return nil, nil, err
	}
	once := c.fault
	once.Once = true
	f.SetFault(&once)
	return f, f.Close, nil
}

func (b *bench) cutServer(at cut, tag string) error {
	f, end, err := fault(b.pg.Addr(), at)
	if err != nil {
		return err
	}
	defer end()
	p, err := open(f.Addr(), "postgres", 1)
	if err != nil {
		return err
	}
	defer p.Close()
	client, err := dial(context.Background(), p.Addr)
	if err != nil {
		if at.fault.AtByte <= int64(b.login[at.fault.Direction]) && !isTimeout(err) {
			return b.next(p)
		}
		return err
	}
	defer client.Close()
	o := play(client, b.c.tagged(tag))
	if err := b.judge(client, o, tag); err != nil {
		return fmt.Errorf("%w\nafter %q, %v, %v", err, shortened(o.got), o.lost, o.ended)
	}
	if f.Strikes() == 0 && !at.past {
		return errors.New("the fault has not struck")
	}
	if err := b.judgeRows(o, at, tag, o.code == "08006"); err != nil {
		return err
	}
	f.SetFault(nil)
	return b.next(p)
}

func shortened(got []string) []string {
	var list []string
	for _, s := range got {
		list = append(list, s[:min(len(s), 60)])
	}
	return list
}

// judge: the right answers, or those up to the right error.
func (b *bench) judge(client *pgtest.Client, o outcome, tag string) error {
	if isTimeout(o.ended) {
		return fmt.Errorf("HANG: %w", o.ended)
	}
	want := retag(b.good, tag)
	answers := o.got
	if o.lost != nil {
		answers = o.got[:o.answers]
	}
	if len(answers) > len(want) || !slices.Equal(answers, want[:len(answers)]) {
		return fmt.Errorf("WRONG ANSWERS, want %q", shortened(want))
	}
	committing := o.sent > 0 && b.c.turns[o.sent-1].commit && b.c.name == "transaction"
	switch {
	case o.lost == nil && o.ended == nil:
		return nil
	case o.lost == nil:
		b.closed.Add(1)
		if next := want[len(answers)][0]; next != 'D' && next != 'd' {
			return errors.New("the connection ended without a word, and not in a row")
		}
		return nil
	case !o.fatal:
		b.lost.Add(1)
		if o.code != "08006" || o.status != 'I' || o.ended != nil {
			return fmt.Errorf("ERROR with status %c", o.status)
		}
		// What was not sent yet goes over another connection, in its order.
		rest := want[len(answers):]
		for _, s := range o.got[o.answers:] {
			i := slices.Index(rest, s)
			if i < 0 && s[0] != 'E' && s != encodeReady() {
				return fmt.Errorf("%q behind the error", s)
			}
			rest = rest[i+1:]
		}
		a, err := ask(client, "SELECT 'still here'")
		if err != nil && a.status == 'I' { // the next connection may have come before the fault was lifted
			a, err = ask(client, "SELECT 'still here'")
		}
		if got := fmt.Sprint(a.rows); err != nil || got != "[[still here]]" || a.status != 'I' {
			return fmt.Errorf("after ERROR the session says %s, %w", got, err)
		}
		return nil
	}
	b.lost.Add(1)
	switch {
	case o.ended == nil:
		return errors.New("the connection is open after FATAL")
	case o.status == 'I':
		return errors.New("FATAL outside of a transaction")
	case o.code != "08006" && o.code != "57P01" && (o.code != "08007" || !committing):
		return errors.New("the wrong code")
	}
	return nil
}

func encodeReady() string {
	data, _ := (&pgproto3.ReadyForQuery{TxStatus: 'I'}).Encode(nil)
	return string(data)
}

// judgeRows: all or none, all if confirmed, none if the server cannot have
// heard the end; and none if we said that a transaction is rolled back.
func (b *bench) judgeRows(o outcome, at cut, tag string, denied bool) error {
	if b.c.keeps == 0 {
		return nil
	}
	confirmed := len(o.got) == len(b.good) && o.lost == nil
	unheard := at.fault.Direction == pgtest.ToServer && !at.past && at.fault.AtByte >= int64(b.login[0])
	denied = denied && o.fatal
	var rows int
	for deadline := time.Now().Add(hangTime); ; time.Sleep(5 * time.Millisecond) {
		var err error
		rows, err = number(context.Background(), b.pg, "SELECT count(*) FROM kept WHERE id = '"+tag+"'")
		switch {
		case err != nil:
			return err
		case confirmed && rows == b.c.keeps, !confirmed && rows == 0, !confirmed && !unheard && !denied && rows == b.c.keeps:
			return nil
		case time.Now().After(deadline) || rows > 0:
			return fmt.Errorf("%d rows are there; confirmed %t, heard %t, denied %t", rows, confirmed, !unheard, denied)
		}
	}
}

// next: a new client gets the right answers, and the pool is clean.
func (b *bench) next(p *integration.Penstock) error {
	var last error
	for deadline := time.Now().Add(hangTime); time.Now().Before(deadline); time.Sleep(20 * time.Millisecond) {
		tag := fmt.Sprintf("#tag%06d#", b.tag.Add(1))
		var got []string
		got, last = good(context.Background(), p.Addr, b.c.tagged(tag), func() {})
		if last != nil {
			continue // the pool backs off, perhaps
		}
		if !slices.Equal(got, retag(b.good, tag)) {
			return fmt.Errorf("the next client got WRONG ANSWERS: %q", shortened(got))
		}
		_, err := checkClean(p)
		return err
	}
	return fmt.Errorf("the next client is not served: %w", last)
}

// TestClientIsLost cuts the connection to the client.
func TestClientIsLost(t *testing.T) {
	pg := postgres(t)
	for i, c := range conversations() {
		t.Run(c.name, func(t *testing.T) {
			before := goroutines(runtime.NumGoroutine())
			p, err := open(pg.Addr(), "postgres", 2)
			if err != nil {
				t.Fatal(err)
			}
			b := &bench{pg: pg, c: c}
			b.tag.Store(500_000 + int64(i)*50_000)
			r, err := record(p.Addr)
			if err != nil {
				t.Fatal(err)
			}
			b.good, err = good(t.Context(), r.listener.Addr().String(), c, func() { b.login = r.sizes() })
			b.measured(r)
			if err != nil {
				t.Fatal(err)
			}
			b.each(t, i == 0, func(at cut, tag string) error { return b.cutClient(p, at, tag) })
			p.Close()
			before.check(t)
		})
	}
	n, err := number(t.Context(), pg, "SELECT count(*) FROM pg_stat_activity WHERE state LIKE 'idle in%'")
	if err != nil || n != 0 {
		t.Errorf("%d transactions are left open, %v", n, err)
	}
}

func (b *bench) cutClient(p *integration.Penstock, at cut, tag string) error {
	f, end, err := fault(p.Addr, at)
	if err != nil {
		return err
	}
	defer end()
	client, err := dial(context.Background(), f.Addr())
	if err == nil {
		defer client.Close()
		o := play(client, b.c.tagged(tag))
		want := retag(b.good, tag)
		switch {
		case isTimeout(o.ended):
			return fmt.Errorf("HANG: %w", o.ended)
		case o.lost != nil:
			return o.lost
		case len(o.got) > len(want) || !slices.Equal(o.got, want[:len(o.got)]):
			return fmt.Errorf("WRONG ANSWERS: %q", shortened(o.got))
		case o.ended != nil:
			b.closed.Add(1)
		}
		if err := b.judgeRows(o, at, tag, false); err != nil {
			return err
		}
	} else if isTimeout(err) {
		return fmt.Errorf("HANG in login: %w", err)
	}
	return b.next(p)
}
