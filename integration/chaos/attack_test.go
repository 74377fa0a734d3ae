package chaos

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/penstock/penstock/internal/pgtest"
	"github.com/penstock/penstock/internal/wire"
)

// TestSilentConnectionsDoNotStopLogins: connections that say two bytes and no
// more take nobody's place (reliability.md T3).
func TestSilentConnectionsDoNotStopLogins(t *testing.T) {
	pg := postgres(t)
	for _, n := range []int{100, 1000} {
		t.Run(strconv.Itoa(n), func(t *testing.T) {
			p := startPenstock(t, options{primary: pg.Addr(), size: 2, listen: "max_clients = 50\nmax_logins = 100"})
			idle := logins(t, p, 50)
			silent := silence(t, p, n, []byte{0, 0})
			defer silent.close()
			busy := logins(t, p, 50)
			t.Logf("login without them: median %s, worst %s; with %d of them: median %s, worst %s",
				idle[25], idle[49], n, busy[25], busy[49])
			if busy[49] > idle[49]+50*time.Millisecond*slowdown() {
				t.Errorf("a login took %s beside %d silent connections, %s without", busy[49], n, idle[49])
			}
		})
	}
}

// slowdown is what -short, which is used with the race detector, may cost.
func slowdown() time.Duration {
	if testing.Short() {
		return 10
	}
	return 1
}

// logins are the times of n logins with a query, sorted.
func logins(t *testing.T, p *penstock, n int) []time.Duration {
	t.Helper()
	var times []time.Duration
	for range n {
		began := time.Now()
		c := p.dial(t)
		if v, err := value(c, "select 'in'"); err != nil || v != "in" {
			t.Fatalf("%q, %v", v, err)
		}
		times = append(times, time.Since(began))
		c.Close()
	}
	slices.Sort(times)
	return times
}

// crowd is connections that do not log in.
type crowd []net.Conn

func (c crowd) close() {
	for _, conn := range c {
		conn.Close()
	}
}

func silence(t *testing.T, p *penstock, n int, say []byte) crowd {
	t.Helper()
	var c crowd
	for range n {
		conn, err := open(t.Context(), p.addr)
		if err != nil {
			t.Fatal(err)
		}
		c = append(c, conn)
		if _, err := conn.Write(say); err != nil {
			t.Fatal(err)
		}
	}
	return c
}

// allocated is the memory that Go has taken from the heap since its start, and
// what it holds now, after a collection, with its stacks.
func allocated() (total, held uint64) {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.TotalAlloc, m.HeapAlloc + m.StackInuse
}

// TestUnauthenticatedConnectionsAreCheap: at most 10 kB each (T2).
func TestUnauthenticatedConnectionsAreCheap(t *testing.T) {
	pg := postgres(t)
	const n = 2000
	for _, c := range []struct {
		name string
		say  []byte
	}{
		{"silent", nil},
		{"two bytes", []byte{0, 0}},
		{"startup with its last byte missing", startupFrame("user", strings.Repeat("u", 4000), "x", strings.Repeat("y", 5900))[:9900]},
		{"asked for a password", startupFrame("user", "nobody", "database", "postgres")},
	} {
		t.Run(c.name, func(t *testing.T) {
			p := startPenstock(t, options{
				primary: pg.Addr(), listen: fmt.Sprintf("max_logins = %d", 2*n),
				auth: `method = "scram-sha-256"`, users: map[string]string{"somebody": "secret"},
			})
			_, before := allocated()
			silent := silence(t, p, n, c.say)
			defer silent.close()
			waitLogins(t, p, n)
			_, after := allocated()
			// The test's own ends of the connections are part of this.
			each := (int64(after) - int64(before)) / n
			t.Logf("%d bytes for each of %d connections, both ends", each, n)
			// 10 kB is what a stranger may make us remember: PostgreSQL's largest
			// startup packet has as much. The rest is both ends' sockets, structs
			// and stacks, 5 to 6 kB measured where nothing is said.
			limit := int64(12_000)
			if len(c.say) > 5_000 {
				limit = 10_000 + 6_000
			}
			if each > limit {
				t.Errorf("%d bytes for each unauthenticated connection, want at most %d", each, limit)
			}
		})
	}
}

// waitLogins waits until so many connections are in login.
func waitLogins(t *testing.T, p *penstock, n int) {
	t.Helper()
	for deadline := time.Now().Add(hangTime); time.Now().Before(deadline); time.Sleep(20 * time.Millisecond) {
		if p.inLogin() >= n {
			time.Sleep(100 * time.Millisecond) // what they said is being read
			return
		}
	}
	t.Fatalf("%d connections are in login, want %d", p.inLogin(), n)
}

// inLogin is the number of goroutines of logins.
func (p *penstock) inLogin() int { return bytes.Count(stacks(), []byte("proxy.(*startup).run(")) }

// TestClaimedLengthsAllocateNothing: what a length word says is not believed.
func TestClaimedLengthsAllocateNothing(t *testing.T) {
	pg := postgres(t)
	p := startPenstock(t, options{primary: pg.Addr(), auth: `method = "scram-sha-256"`, users: map[string]string{"postgres": "secret"}})
	trusting := startPenstock(t, options{primary: pg.Addr()})
	claim := func(typ string, n uint32) []byte { return binary.BigEndian.AppendUint32([]byte(typ), n) }
	const n = 50
	for _, c := range []struct {
		name string
		p    *penstock
		say  []byte
	}{
		{"startup of 1 GiB", p, claim("", 1<<30)},
		{"startup of 10,000 bytes", p, claim("", 10_000)},
		{"password of 1 GiB", p, append(startupFrame("user", "postgres"), claim("p", 1<<30)...)},
		{"password of 65 kB", p, append(startupFrame("user", "postgres"), claim("p", 65_000)...)},
		{"Query of 1 GiB", trusting, append(startupFrame("user", "postgres"), append(claim("Q", 1<<30-10), 's')...)},
		{"Parse of 60 MB", trusting, append(startupFrame("user", "postgres"), append(claim("P", 60<<20), 'n')...)},
		{"Bind of 1 GiB", trusting, append(startupFrame("user", "postgres"), append(claim("B", 1<<30-10), 0)...)},
		{"CopyData of 1 GiB", trusting, append(startupFrame("user", "postgres"), append(claim("d", 1<<30-10), 'x')...)},
	} {
		t.Run(c.name, func(t *testing.T) {
			silence(t, c.p, 1, c.say).close() // what only the first one costs
			time.Sleep(50 * time.Millisecond)
			before, _ := allocated()
			crowd := silence(t, c.p, n, c.say)
			time.Sleep(200 * time.Millisecond)
			after, _ := allocated()
			crowd.close()
			each := (after - before) / n
			t.Logf("%d bytes were allocated for each", each)
			if each > 64<<10 {
				t.Errorf("%d bytes were allocated for a claim", each)
			}
		})
	}
	if err := answersAgain(t.Context(), trusting.addr); err != nil {
		t.Error(err)
	}
}

// TestEndlessNegotiationIsRefused: SSL and GSS requests in turn (S2,
// CVE-2026-6479).
func TestEndlessNegotiationIsRefused(t *testing.T) {
	p := startPenstock(t, options{primary: postgres(t).Addr()})
	conn, err := open(t.Context(), p.addr)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	answered := 0
	for i := range 1000 {
		request := []byte{0, 0, 0, 8, 0x04, 0xd2, 0x16, 0x2f + byte(i%2)}
		if _, err := conn.Write(request); err != nil {
			break
		}
		_ = conn.SetReadDeadline(time.Now().Add(hangTime))
		var answer [1]byte
		if _, err := io.ReadFull(conn, answer[:]); err != nil || answer[0] != 'N' {
			if isTimeout(err) {
				t.Fatal("HANG")
			}
			break
		}
		answered++
	}
	t.Logf("%d requests were answered", answered)
	if answered > 2 {
		t.Errorf("%d negotiation requests were answered on one connection", answered)
	}
}

// TestDribbledLogin: byte by byte is slow, and works; too slow does not.
func TestDribbledLogin(t *testing.T) {
	pg := postgres(t)
	p := startPenstock(t, options{primary: pg.Addr(), listen: `login_timeout = "700ms"`})
	startup := startupFrame("user", "postgres", "database", "postgres")
	for _, c := range []struct {
		pause time.Duration
		in    bool
	}{{time.Millisecond, true}, {50 * time.Millisecond, false}} {
		conn, err := open(t.Context(), p.addr)
		if err != nil {
			t.Fatal(err)
		}
		began := time.Now()
		for i := range startup {
			if _, err := conn.Write(startup[i : i+1]); err != nil {
				break
			}
			time.Sleep(c.pause)
			if time.Since(began) > 3*time.Second {
				t.Fatal("the login time-out does not end a dribbled login")
			}
		}
		in := newReader(conn)
		msg, err := in.next(hangTime)
		switch {
		case isTimeout(err):
			t.Error("HANG")
		case c.in && (err != nil || msg.typ != wire.Authentication):
			t.Errorf("a login byte by byte was answered with %v, %v", msg, err)
		case !c.in && err == nil && msg.text() != "FATAL 57014":
			t.Errorf("a login that takes too long was answered with %v", msg)
		}
		conn.Close()
	}
	if !strings.Contains(p.log.String(), "sqlstate=57014") {
		t.Error("the time-out is not in the log")
	}
}

// TestWrongPasswordsHarmNobody: a flood of them, and those who know theirs.
func TestWrongPasswordsHarmNobody(t *testing.T) {
	pg := postgres(t)
	p := startPenstock(t, options{
		primary: pg.Addr(), size: 2, auth: `method = "scram-sha-256"`,
		users: map[string]string{"postgres": "right"},
	})
	target := pgtest.Target{Dial: pgtest.DialTCP(p.addr), User: "postgres", Database: "postgres", Password: "right"}
	ctx, stop := context.WithCancel(t.Context())
	var running sync.WaitGroup
	for i := range 16 {
		running.Go(func() {
			bad := target
			bad.Password = "wrong"
			if i%2 == 0 {
				bad.User = "nobody"
			}
			for ctx.Err() == nil {
				c, err := bad.Connect(ctx)
				if err == nil {
					c.Close()
					t.Error("a wrong password was let in")
					return
				}
				if ctx.Err() == nil && !strings.Contains(err.Error(), "28P01") {
					t.Errorf("a wrong password was answered with %v", err)
					return
				}
			}
		})
	}
	worst := time.Duration(0)
	for range 50 {
		began := time.Now()
		c, err := target.Connect(t.Context())
		if err != nil {
			t.Errorf("the right password: %v", err)
			break
		}
		if v, err := value(c, "select 'in'"); err != nil || v != "in" {
			t.Errorf("%q, %v", v, err)
		}
		worst = max(worst, time.Since(began))
		c.Close()
	}
	stop()
	running.Wait()
	t.Logf("worst login in the flood: %s", worst)
	if worst > time.Second*slowdown() {
		t.Errorf("a login took %s in a flood of wrong passwords", worst)
	}
}

// TestHostileNamesStayOutOfTheLog: no control byte reaches it, nor 10,000 bytes.
func TestHostileNamesStayOutOfTheLog(t *testing.T) {
	p := startPenstock(t, options{primary: postgres(t).Addr(), level: -4, auth: `method = "scram-sha-256"`, users: map[string]string{"x": "y"}})
	for _, name := range []string{
		"esc\x1b[31mred", "line\nlevel=ERROR msg=forged", "carriage\rreturn", "quote\"quote", "bell\a", "\xff\xfe", "delete\x7f",
		"c1\u009b31m", "line\u2028separator", "right\u202eleft", strings.Repeat("long", 2400),
	} {
		for _, pairs := range [][]string{
			{"user", name}, {"user", "x", "database", name}, {"user", name, "database", "penstock"}, {"user", "x", name, "v"}, {"user", "x", "options", "-c " + name},
		} {
			conn, err := open(t.Context(), p.addr)
			if err != nil {
				t.Fatal(err)
			}
			_, _ = conn.Write(startupFrame(pairs...))
			_, _ = conn.Write(append([]byte{'p', 0, 0, 0, byte(8)}, "bad\x00"...))
			in := newReader(conn)
			for err == nil {
				_, err = in.next(hangTime)
			}
			if isTimeout(err) {
				t.Errorf("HANG with %.40q", pairs)
			}
			conn.Close()
		}
	}
	// A NUL ends a name; what is behind it is the next name.
	conn, err := open(t.Context(), p.addr)
	if err != nil {
		t.Fatal(err)
	}
	_, _ = conn.Write(startupFrame("user", "nul\x00inside", "database", "x"))
	_, _ = io.Copy(io.Discard, conn)
	conn.Close()
	log := p.log.String()
	if log == "" {
		t.Fatal("nothing was logged")
	}
	for i, line := range strings.Split(strings.TrimRight(log, "\n"), "\n") {
		if !strings.HasPrefix(line, "time=") {
			t.Errorf("line %d of the log is forged: %.100q", i, line)
		}
		if len(line) > 2000 {
			t.Errorf("line %d of the log has %d bytes", i, len(line))
		}
		for _, r := range line {
			if r < ' ' || r == 0x7f || r >= 0x80 && r <= 0x9f || r == 0x2028 || r == 0x202e || r == 0xfffd {
				t.Errorf("line %d of the log has the character %U: %.100q", i, r, line)
			}
		}
	}
}

// TestGuessedCancelsCancelNothing: 20,000 guesses, with the right process id.
func TestGuessedCancelsCancelNothing(t *testing.T) {
	p := startPenstock(t, options{primary: postgres(t).Addr(), size: 2})
	victim := p.dial(t)
	defer victim.Close()
	guesses := 20_000
	if testing.Short() {
		guesses = 1000
	}
	if len(victim.SecretKey) != 4 {
		t.Fatalf("a key of %d bytes", len(victim.SecretKey))
	}
	done := make(chan error, 1)
	go func() {
		var err error
		for i := 0; i < 20 && err == nil; i++ {
			_, err = value(victim, "select 'slept' from pg_sleep(0.1)")
		}
		done <- err
	}()
	var running sync.WaitGroup
	for w := range 8 {
		running.Go(func() {
			for i := w; i < guesses; i += 8 {
				key := binary.BigEndian.AppendUint32(nil, binary.BigEndian.Uint32(victim.SecretKey)+1+uint32(i))
				switch i % 50 {
				case 0:
					key = nil
				case 1:
					key = victim.SecretKey[:3]
				case 2:
					key = append(slices.Clone(victim.SecretKey), 0)
				}
				conn, err := open(t.Context(), p.addr)
				if err != nil {
					t.Error(err)
					return
				}
				_, _ = conn.Write(cancelFrame(victim.ProcessID, key))
				_, _ = io.Copy(io.Discard, conn)
				conn.Close()
			}
		})
	}
	running.Wait()
	if err := <-done; err != nil {
		t.Errorf("a guess canceled: %v", err)
	}
}

// TestBadFramesHarmNobody: each kind of bad frame is answered as PostgreSQL
// answers it, and a transaction of somebody else goes on. Where PostgreSQL
// closes without a word, because of a length, Penstock says why.
func TestBadFramesHarmNobody(t *testing.T) {
	pg := postgres(t)
	p := startPenstock(t, options{primary: pg.Addr(), size: 2})
	other := p.dial(t)
	defer other.Close()
	if _, err := query(other, "begin; set local search_path to mine"); err != nil {
		t.Fatal(err)
	}
	long := func(typ byte, n uint32, body string) []byte {
		return append(binary.BigEndian.AppendUint32([]byte{typ}, n), body...)
	}
	parsed := func(frame []byte) []byte {
		return empty(append(pFrame(nil, "", "select $1::text"), frame...), wire.Sync)
	}
	named := func(frame []byte) []byte {
		return empty(append(pFrame(nil, "a", "select $1::text"), frame...), wire.Sync)
	}
	for _, c := range []struct {
		name  string
		frame []byte
	}{
		{"unknown type", long('~', 4, "")},
		{"a server's type", long('Z', 5, "I")},
		{"a password after the login", long('p', 5, "\x00")},
		{"type NUL", long(0, 4, "")},
		{"negative length", long('Q', 0xffffffff, "")},
		{"smallest length", long('Q', 0x80000000, "")},
		{"zero length", long('Q', 0, "")},
		{"length 3", long('S', 3, "")},
		{"a Describe of 64 kB", long('D', 65_000, "S")},
		{"a Query of 2 GB", long('Q', 0x7fffffff, "select 1")},
		{"Bind without a statement", empty(long('B', 10, "\x00\x00\x00\x00\xff\xff"), wire.Sync)},
		{"Bind with too many parameters", parsed(long('B', 10, "\x00\x00\x00\x00\xff\xff"))},
		{"Bind that ends too early", parsed(long('B', 6, "\x00\x00"))},
		{"Bind with a wrong length of a parameter", parsed(long('B', 16, "\x00\x00\x00\x00\x00\x01\x00\x00\xff\x00\x00\x00"))},
		{"Bind with bytes behind its end", parsed(long('B', 20, "\x00\x00\x00\x00\x00\x01\x00\x00\x00\x01x\x00\x00yyy"))},
		{"Bind of a name without its end", named(long('B', 6, "\x00a"))},
		{"Bind of a name that ends too early", named(long('B', 7, "\x00a\x00"))},
		{"Parse without its end", empty(long('P', 8, "a\x00bc"), wire.Sync)},
		{"Parse without a name", empty(long('P', 4, ""), wire.Sync)},
		{"Parse with too many types", empty(long('P', 10, "\x00s\x00\x7f\xff\x00"), wire.Sync)},
		{"Parse with bytes behind its end", empty(long('P', 19, "x\x00select 1\x00\x00\x00yy"), wire.Sync)},
		{"Execute without its limit", parsed(long('E', 5, "\x00"))},
		{"Execute with bytes behind its end", parsed(long('E', 12, "\x00\x00\x00\x00\x00yyy"))},
		{"Describe of an unknown kind", empty(long('D', 6, "X\x00"), wire.Sync)},
		{"Describe of nothing", empty(long('D', 4, ""), wire.Sync)},
		{"Describe with bytes behind its end", named(long('D', 9, "Sa\x00yy"))},
		{"Close of an unknown kind", empty(long('C', 6, "X\x00"), wire.Sync)},
		{"Close of nothing", empty(long('C', 4, ""), wire.Sync)},
		{"Close with bytes behind its end", named(long('C', 9, "Sa\x00yy"))},
		{"Sync with a body", long('S', 6, "xx")},
		{"Flush with a body", empty(parsed(long('H', 6, "xx")), wire.Sync)},
		{"Query without its NUL", long('Q', 12, "select 1")},
		{"Query with a NUL inside", long('Q', 14, "select\x00 1\x00")},
		{"FunctionCall with too many arguments", long('F', 12, "\x00\x00\x03\x75\x00\x00\x7f\xff")},
		{"FunctionCall that ends too early", long('F', 6, "\x00\x00")},
	} {
		t.Run(c.name, func(t *testing.T) {
			want, err := answerTo(t, pg.Addr(), c.frame)
			if err != nil {
				t.Fatal(err)
			}
			got, err := answerTo(t, p.addr, c.frame)
			if err != nil {
				t.Fatal(err)
			}
			if want == "" {
				want = "FATAL 08P01"
			}
			if got != want {
				t.Errorf("got %q, want %q", got, want)
			}
		})
	}
	t.Run("a huge Query, then the end", func(t *testing.T) {
		conn, _ := hello(t, p.addr)
		if _, err := conn.Write(long('Q', 0x3ffffff0, "select 1")); err != nil {
			t.Fatal(err)
		}
		time.Sleep(20 * time.Millisecond)
		conn.Close()
	})
	if v, err := value(other, "select current_setting('search_path')"); err != nil || v != "mine" {
		t.Errorf("somebody else's transaction: %q, %v", v, err)
	}
	if err := answersAgain(t.Context(), p.addr); err != nil {
		t.Error(err)
	}
}

// answerTo is the SQLSTATE of the error that a frame is answered with; "" if
// the connection ends, "Z" if all is well.
func answerTo(t *testing.T, addr string, frame []byte) (string, error) {
	t.Helper()
	conn, in := hello(t, addr)
	defer conn.Close()
	if _, err := conn.Write(frame); err != nil {
		return "", err
	}
	for {
		msg, err := in.next(hangTime)
		switch {
		case isTimeout(err):
			return "", fmt.Errorf("HANG: %w", err)
		case err != nil:
			return "", nil
		case msg.typ == wire.ErrorResponse:
			return msg.text(), nil
		case msg.typ == wire.ReadyForQuery:
			return "Z", nil
		}
	}
}

// TestLargeDataNeedsAFixedBuffer: a row and a COPY of 256 MB (1 GB with
// PENSTOCK_SOAK), and the memory that the process takes for them.
func TestLargeDataNeedsAFixedBuffer(t *testing.T) {
	p := startPenstock(t, options{primary: postgres(t).Addr(), size: 1})
	size := 256 << 20
	switch {
	case testing.Short():
		size = 64 << 20
	case soak(t, time.Minute) > 1:
		size = 1<<30 - 1<<20
	}
	for _, c := range []struct {
		name string
		run  func(conn net.Conn, size int) (int64, error)
	}{
		{"row", func(conn net.Conn, size int) (int64, error) {
			_, err := conn.Write(qFrame(nil, fmt.Sprintf("select repeat('x', %d)", size)))
			if err != nil {
				return 0, err
			}
			return discardUntilReady(conn)
		}},
		{"COPY out", func(conn net.Conn, size int) (int64, error) {
			_, err := conn.Write(qFrame(nil, fmt.Sprintf("copy (select repeat('x', 1000000) from generate_series(1, %d)) to stdout", size/1_000_000)))
			if err != nil {
				return 0, err
			}
			return discardUntilReady(conn)
		}},
		{"COPY in", copyMuchIn},
		{"Query", func(conn net.Conn, size int) (int64, error) {
			size = min(size, 64<<20) // PostgreSQL needs several times as much
			frame := binary.BigEndian.AppendUint32([]byte{wire.Query}, uint32(4+size+12))
			_, err := conn.Write(append(frame, "select /*"...))
			for left := size; left > 0 && err == nil; left -= 1 << 16 {
				_, err = conn.Write(bytes.Repeat([]byte("c"), min(left, 1<<16)))
			}
			if err == nil {
				_, err = conn.Write([]byte("*/\x00"))
			}
			if err != nil {
				return 0, err
			}
			if _, err := discardUntilReady(conn); err != nil {
				return 0, err
			}
			return int64(size), nil
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			conn, _ := hello(t, p.addr)
			defer conn.Close()
			runtime.GC()
			before := rss(t)
			peak := make(chan int, 1)
			ctx, stop := context.WithCancel(t.Context())
			go func() {
				most := 0
				for ctx.Err() == nil {
					most = max(most, rss(t))
					time.Sleep(5 * time.Millisecond)
				}
				peak <- most
			}()
			began := time.Now()
			n, err := c.run(conn, size)
			took := time.Since(began)
			stop()
			grown := <-peak - before
			if err != nil {
				t.Fatal(err)
			}
			t.Logf("%d MB in %s, resident memory grew by %d kB", n>>20, took.Round(time.Millisecond), grown>>10)
			if limit := 16 << 20; grown > limit {
				t.Errorf("resident memory grew by %d kB, want at most %d kB", grown>>10, limit>>10)
			}
		})
	}
}

// discardUntilReady reads to ReadyForQuery and keeps nothing.
func discardUntilReady(conn net.Conn) (int64, error) {
	total := int64(0)
	var head [5]byte
	for {
		_ = conn.SetReadDeadline(time.Now().Add(30 * time.Second))
		if _, err := io.ReadFull(conn, head[:]); err != nil {
			return total, err
		}
		n := int64(binary.BigEndian.Uint32(head[1:])) - 4
		if head[0] == wire.ErrorResponse {
			text, _ := io.ReadAll(io.LimitReader(conn, n))
			return total, fmt.Errorf("%q", text)
		}
		for left := n; left > 0; {
			_ = conn.SetReadDeadline(time.Now().Add(30 * time.Second))
			m, err := io.CopyN(io.Discard, conn, min(left, 1<<20))
			left -= m
			if err != nil {
				return total, err
			}
		}
		total += n
		if head[0] == wire.ReadyForQuery {
			return total, nil
		}
	}
}

// copyMuchIn copies one value after the other, each in one large CopyData, into
// a table that drops them.
func copyMuchIn(conn net.Conn, size int) (int64, error) {
	const sql = "begin; create temp table much (t text) on commit drop; copy pg_temp.much from stdin where length(t) = 0; commit"
	if _, err := conn.Write(qFrame(nil, sql)); err != nil {
		return 0, err
	}
	const line = 8 << 20
	chunk := bytes.Repeat([]byte("x"), 1<<16)
	for sent := 0; sent < size; sent += line {
		if _, err := conn.Write(binary.BigEndian.AppendUint32([]byte{wire.CopyData}, 4+line+1)); err != nil {
			return 0, err
		}
		for range line / len(chunk) {
			if _, err := conn.Write(chunk); err != nil {
				return 0, err
			}
		}
		if _, err := conn.Write([]byte{'\n'}); err != nil {
			return 0, err
		}
	}
	if _, err := conn.Write(empty(nil, wire.CopyDone)); err != nil {
		return 0, err
	}
	_, err := discardUntilReady(conn)
	return int64(size), err
}

// rss is the resident memory of this process in bytes.
func rss(t *testing.T) int {
	data, err := os.ReadFile("/proc/self/statm")
	if errors.Is(err, os.ErrNotExist) {
		t.Skip("no /proc here")
	}
	fields := strings.Fields(string(data))
	if len(fields) < 2 {
		return 0
	}
	n, _ := strconv.Atoi(fields[1])
	return n * os.Getpagesize()
}
