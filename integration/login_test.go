package integration

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/penstock/penstock/internal/pgtest"
)

// secrets makes an inline user of each kind of secret, with what PostgreSQL
// makes of the password.
func secrets(t *testing.T, h *House) string {
	t.Helper()
	stored := func(name, encryption string) string {
		t.Helper()
		rows, err := h.Cluster.Primary.Query(t.Context(), "postgres", fmt.Sprintf(
			`SET password_encryption = '%s'; DROP ROLE IF EXISTS %s; CREATE ROLE %[2]s LOGIN PASSWORD 'verified';
			SELECT rolpassword FROM pg_authid WHERE rolname = '%[2]s'`, encryption, name))
		if err != nil {
			t.Fatal(err)
		}
		return rows[0][0]
	}
	return fmt.Sprintf("users = { app = \"app-secret\", login_md5 = %q, login_scram = %q }", stored("login_md5", "md5"), stored("login_scram", "scram-sha-256"))
}

func TestPasswordsAreChecked(t *testing.T) {
	h := house(t)
	users := secrets(t, h)
	for _, method := range []string{"scram-sha-256", "md5"} {
		p := open(t, h.Config("[auth]", `method = "`+method+`"`, users))
		for _, c := range []struct {
			user, password string
			in             bool
		}{
			{"app", "app-secret", true},
			{"app", "wrong", false},
			{"app", "", false},
			{"app", "app-secret ", false},
			{"login_scram", "verified", true},
			{"login_scram", "wrong", false},
			{"login_md5", "verified", method == "md5"},
			{"login_md5", "wrong", false}, // md5 stores what SCRAM cannot use
			{"nobody", "app-secret", false},
			{"postgres", "postgres", false},
		} {
			t.Run(method+" "+c.user+" "+c.password, func(t *testing.T) {
				conn, err := tryConnect(t, p.DSNOf(c.user, "tx")+" password='"+c.password+"'")
				if !c.in {
					if c.password == "" && err != nil {
						return // pgx does not even try
					}
					pe := refusal(t, err, "FATAL", "28P01")
					if want := fmt.Sprintf("password authentication failed for user %q", c.user); pe.Message != want {
						t.Errorf("got %q, want %q", pe.Message, want)
					}
					return
				}
				if err != nil {
					t.Fatal(err)
				}
				expect(t, conn, "SELECT current_user", c.user)
			})
		}
	}
}

// An unknown user costs the time of a wrong password.
func TestUnknownUsersTakeAsLongAsWrongPasswords(t *testing.T) {
	h := house(t)
	p := open(t, h.Config("[auth]", `method = "scram-sha-256"`, secrets(t, h)))
	median := func(user string) time.Duration {
		var times []time.Duration
		for range 31 {
			began := time.Now()
			_, err := tryConnect(t, p.DSNOf(user, "tx")+" password=wrong")
			refused(t, err, "FATAL", "28P01")
			times = append(times, time.Since(began))
		}
		slices.Sort(times)
		return times[len(times)/2]
	}
	known, unknown := median("login_scram"), median("nobody")
	if unknown < known/2 || known < unknown/2 {
		t.Errorf("an unknown user took %v, a wrong password %v", unknown, known)
	}
}

// Towards a server that asks for a password.
func TestServersThatAskForPasswords(t *testing.T) {
	for _, method := range []string{"scram-sha-256", "md5", "password"} {
		t.Run(method, func(t *testing.T) {
			h, err := Start(context.WithoutCancel(t.Context()), pgtest.Options{Auth: method})
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() {
				if err := h.Stop(); err != nil {
					t.Error(err)
				}
			})
			users := `users = { app = "app-secret", postgres = "not-the-servers" }`
			p := open(t, h.Config("[auth]", `method = "scram-sha-256"`, users))
			conn := connect(t, p.DSNOf("app", "tx")+" password=app-secret")
			expect(t, conn, "SELECT current_user", "app")
			_, err = tryConnect(t, p.DSN("tx")+" password=not-the-servers")
			refused(t, err, "FATAL", "28P01")
			named := open(t, trust+"[databases.fixed]\nprimary = \""+h.Primary()+" user=app password=app-secret\"\n")
			expect(t, connect(t, named.DSNOf("whoever", "fixed")), "SELECT current_user", "app")
		})
	}
}

func TestUnknownDatabaseIsToldToThoseWhoAreIn(t *testing.T) {
	h := house(t)
	p := open(t, h.Config("[auth]", `method = "scram-sha-256"`, `users = { app = "app-secret" }`))
	_, err := tryConnect(t, p.DSNOf("app", "nowhere")+" password=app-secret")
	pe := refusal(t, err, "FATAL", "3D000")
	if !strings.Contains(pe.Message, `database "nowhere" does not exist`) {
		t.Errorf("got %q", pe.Message)
	}
	_, err = tryConnect(t, p.DSNOf("app", "nowhere")+" password=wrong")
	refused(t, err, "FATAL", "28P01")
	p = open(t, trust+"[databases.\"*\"]\nprimary = \"host=127.0.0.1 port="+fmt.Sprint(h.Cluster.Primary.Port)+"\"\n")
	_, err = tryConnect(t, p.DSN("nowhere"))
	refused(t, err, "FATAL", "3D000")
	expect(t, connect(t, p.DSN("template1")), "SELECT current_database()", "template1")
}

func TestTooManyClients(t *testing.T) {
	p := open(t, house(t).Config("[listen]", "max_clients = 3"))
	var conns []*pgconn.PgConn
	for range 3 {
		conns = append(conns, connect(t, p.DSN("tx")))
	}
	_, err := tryConnect(t, p.DSN("tx"))
	refused(t, err, "FATAL", "53300")
	if err := conns[0].Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the place of a client that has gone", func() bool {
		conn, err := tryConnect(t, p.DSN("tx"))
		return err == nil && conn != nil
	})
}

// A silent connection is ended, and takes nobody's place until then.
func TestLoginTimeout(t *testing.T) {
	p := open(t, house(t).Config("[listen]", `login_timeout = "1s"`, "max_logins = 3"))
	began := time.Now()
	silent := raw(t, p.Addr)
	answer, err := io.ReadAll(silent.Conn)
	if err != nil && !errors.Is(err, io.EOF) {
		t.Fatal(err)
	}
	if took := time.Since(began); took < 900*time.Millisecond || took > 3*time.Second {
		t.Errorf("ended after %v", took)
	}
	if len(answer) > 0 && !strings.Contains(string(answer), "57014") {
		t.Errorf("got %q", answer)
	}
	for range 20 { // many more than max_logins say two bytes
		c := raw(t, p.Addr)
		if err := c.SendRaw([]byte{0, 0}); err != nil {
			t.Fatal(err)
		}
	}
	expect(t, connect(t, p.DSN("tx")), "SELECT 'in'", "in")
}
