package attack

import (
	"fmt"
	"net"
	"slices"
	"testing"
	"time"

	"github.com/penstock/penstock/internal/pgtest"
)

func TestStrangersDoNotStopLogins(t *testing.T) {
	p := start(t, options{})
	for _, n := range []int{100, 1000} {
		t.Run(fmt.Sprint(n), func(t *testing.T) {
			p.strangers(t, n, []byte{0, 0})
			var times []time.Duration
			for range 20 {
				began := time.Now()
				c, err := pgtest.Dial(t.Context(), p.addr, app())
				if err != nil {
					t.Fatal(err)
				}
				times = append(times, time.Since(began))
				_ = c.Close()
			}
			if worst := slices.Max(times); worst > 2*time.Second {
				t.Errorf("a login took %v, want at most 2s", worst)
			}
			t.Logf("slowest of 20 logins beside %d strangers: %v", n, slices.Max(times))
		})
	}
}

func TestStrangersCostLittleMemory(t *testing.T) {
	const most = 10_000
	for name, c := range map[string]struct {
		auth string
		say  func(t *testing.T) []byte
	}{
		"silent":           {say: func(*testing.T) []byte { return nil }},
		"two bytes":        {say: func(*testing.T) []byte { return []byte{0, 0} }},
		"claims 10000":     {say: func(*testing.T) []byte { return []byte{0, 0, 0x27, 0x10, 0, 3, 0, 0} }},
		"asked a password": {auth: scram, say: func(t *testing.T) []byte { return startup(t, "app", "postgres") }},
	} {
		t.Run(name, func(t *testing.T) {
			const n = 2000
			p := start(t, options{auth: c.auth, listen: "max_logins = 4000"})
			say := c.say(t)
			grown := p.growth(t, func() {
				conns := p.strangers(t, n, say)
				time.Sleep(300 * time.Millisecond)
				wantOpen(t, conns[0], c.auth != "")
			})
			t.Logf("%d bytes each", grown/n)
			if grown/n > most {
				t.Errorf("an unauthenticated connection costs %d bytes, want at most %d", grown/n, most)
			}
		})
	}
}

// wantOpen checks that a connection is still there: that there is nothing to
// read, or a request for a password.
func wantOpen(t *testing.T, conn net.Conn, asked bool) {
	t.Helper()
	_ = conn.SetReadDeadline(time.Now().Add(10 * time.Millisecond))
	var b [1]byte
	n, err := conn.Read(b[:])
	switch ne, ok := err.(net.Error); {
	case asked && n == 1 && b[0] == 'R':
	case !asked && ok && ne.Timeout():
	default:
		t.Errorf("read %q, %v from a connection that should be waiting", b[:n], err)
	}
}

func TestNegotiationsAreBounded(t *testing.T) {
	p := start(t, options{})
	conn := p.stranger(t)
	for i := range 1000 {
		code := uint32(sslRequest)
		if i%2 == 1 {
			code = gssRequest
		}
		if _, err := conn.Write(request(code)); err != nil {
			break
		}
		var b [1]byte
		if _, err := conn.Read(b[:]); err != nil {
			t.Fatalf("after %d answers: %v", i, err)
		}
		if b[0] == 'N' {
			if i >= 3 {
				t.Fatalf("request %d was answered", i+1)
			}
			continue
		}
		t.Logf("request %d was refused", i+1)
		if b[0] != 'E' {
			t.Errorf("request %d was answered %q", i+1, b)
		}
		return
	}
	t.Error("never refused")
}

func TestBytesBehindSSLRequestAreRefused(t *testing.T) {
	postgres(t)
	withTLS := fmt.Sprintf("tls = \"prefer\"\ntls_cert_file = %q\ntls_key_file = %q",
		shared.cluster.CertFile, shared.cluster.Dir+"/server.key")
	for name, listen := range map[string]string{"without TLS": "", "with TLS": withTLS} {
		t.Run(name, func(t *testing.T) {
			p := start(t, options{listen: listen})
			for _, behind := range [][]byte{{0}, startup(t, "postgres", "postgres"), request(sslRequest)} {
				conn := p.stranger(t)
				if _, err := conn.Write(append(request(sslRequest), behind...)); err != nil {
					t.Fatal(err)
				}
				before, told := lastWords(t, conn)
				wantFatal(t, told, "08P01")
				if len(before) > 0 {
					t.Errorf("%q was answered first", before)
				}
			}
			p.login(t)
		})
	}
}

func TestSlowLogins(t *testing.T) {
	p := start(t, options{listen: `login_timeout = "1s"`, auth: scram})
	t.Run("byte by byte", func(t *testing.T) {
		c, err := pgtest.Target{
			Dial: pgtest.DialTCP(p.addr), User: "app", Database: "postgres", Password: "right", OneByteWrites: true,
		}.Connect(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		if got, err := query(c, "SELECT 1"); got != "1" || err != nil {
			t.Errorf("got %q, %v", got, err)
		}
	})
	whole := startup(t, "app", "postgres")
	for name, said := range map[string][]byte{
		"nothing": nil, "two bytes": whole[:2], "a part": whole[:20], "no password": whole,
		"a part of a password": append(slices.Clone(whole), 'p', 0, 0, 0, 50, 'S', 'C'),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			conn := p.stranger(t)
			began := time.Now()
			if _, err := conn.Write(said); err != nil {
				t.Fatal(err)
			}
			wantTimeout(t, conn, began)
		})
	}
	t.Run("a byte now and then", func(t *testing.T) {
		t.Parallel()
		conn := p.stranger(t)
		began := time.Now()
		done := make(chan struct{})
		go func() {
			defer close(done)
			for _, b := range whole {
				if _, err := conn.Write([]byte{b}); err != nil {
					return
				}
				time.Sleep(150 * time.Millisecond)
			}
		}()
		wantTimeout(t, conn, began)
		_ = conn.Close()
		<-done
	})
}

// wantTimeout waits for the end of a connection by a login_timeout of 1s.
func wantTimeout(t *testing.T, conn net.Conn, began time.Time) {
	t.Helper()
	_, told := lastWords(t, conn)
	took := time.Since(began)
	if told == nil || told.Severity != "FATAL" {
		t.Errorf("ended with %v, want a FATAL", told)
	}
	if took < 900*time.Millisecond || took > 3*time.Second {
		t.Errorf("ended after %v, want 1s", took)
	}
	t.Logf("after %v: %v", took, told)
}
