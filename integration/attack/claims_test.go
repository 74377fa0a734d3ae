package attack

import (
	"encoding/binary"
	"log/slog"
	"net"
	"os"
	"runtime"
	"testing"
	"time"

	"github.com/penstock/penstock/internal/admin"
	"github.com/penstock/penstock/internal/auth"
	"github.com/penstock/penstock/internal/config"
	"github.com/penstock/penstock/proxy"
)

// scram is an [auth] with the user app, whose password is "right".
const scram = "method = \"scram-sha-256\"\nusers = { app = \"right\" }"

// inProcess starts a Penstock in this process, where each allocation counts.
func inProcess(t *testing.T, o options) *penstock {
	t.Helper()
	cfg, err := config.Parse("attack.toml", []byte(o.toml(postgres(t).Port)), os.Getenv)
	if err != nil {
		t.Fatal(err)
	}
	users, err := auth.NewUsers(cfg.Auth.Users)
	if err != nil {
		t.Fatal(err)
	}
	server, err := proxy.New(proxy.Options{
		Config: cfg, Users: users, Version: "attack", Log: slog.New(slog.DiscardHandler),
		Reload: func() (string, error) { return "", nil },
		Stop:   func(admin.ShutdownMode) {},
	})
	if err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	served := make(chan error, 1)
	go func() { served <- server.Serve(l) }()
	t.Cleanup(func() {
		server.Close()
		if err := <-served; err != nil {
			t.Error(err)
		}
	})
	return &penstock{addr: l.Addr().String()}
}

// allocated returns how many bytes were allocated while f ran.
func allocated(f func()) uint64 {
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	f()
	runtime.ReadMemStats(&after)
	return after.TotalAlloc - before.TotalAlloc
}

func TestClaimedLengthsAreNotAllocated(t *testing.T) {
	p := inProcess(t, options{auth: scram})
	const n = 200
	version := []byte{0, 3, 0, 0}
	for _, c := range []struct {
		name   string
		claim  uint32
		login  bool // first
		most   uint64
		closed bool
	}{
		{"startup of 10000 bytes", 10_000, false, 3000, false},
		{"startup of 10005 bytes", 10_005, false, 5000, true},
		{"startup of 1 GiB", 1 << 30, false, 5000, true},
		{"startup of -1 bytes", 1<<32 - 1, false, 5000, true},
		{"password of 4000 bytes", 4_000, true, 3000, false},
		{"password of 1 GiB", 1 << 30, true, 5000, true},
		{"password of -1 bytes", 1<<32 - 1, true, 5000, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			conns := p.strangers(t, n, nil)
			say := append(binary.BigEndian.AppendUint32(nil, c.claim), version...)
			if c.login {
				for _, conn := range conns {
					logInHalf(t, conn)
				}
				say = frame('p', []byte("SCRAM"), c.claim)
			}
			time.Sleep(100 * time.Millisecond)
			got := allocated(func() {
				for _, conn := range conns {
					if _, err := conn.Write(say); err != nil {
						t.Fatal(err)
					}
				}
				time.Sleep(300 * time.Millisecond)
			})
			t.Logf("%d bytes each", got/n)
			if got/n > c.most {
				t.Errorf("%d bytes were allocated for each claim of %d bytes, want at most %d", got/n, c.claim, c.most)
			}
			if !c.closed {
				wantOpen(t, conns[0], false)
				return
			}
			for _, conn := range conns[:20] {
				if _, told := lastWords(t, conn); told != nil {
					wantFatal(t, told, "08P01")
				}
			}
		})
	}
}

// logInHalf says who it is and reads that a password is wanted.
func logInHalf(t *testing.T, conn net.Conn) {
	t.Helper()
	if _, err := conn.Write(startup(t, "app", "postgres")); err != nil {
		t.Fatal(err)
	}
	var b [512]byte
	if n, err := conn.Read(b[:]); err != nil || b[0] != 'R' {
		t.Fatalf("got %q, %v", b[:n], err)
	}
}
