package attack

import (
	"encoding/binary"
	"errors"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/penstock/penstock/internal/pgtest"
)

func asError[T error](err error, e *T) bool { return errors.As(err, e) }

func TestGuessedCancelKeysHarmNobody(t *testing.T) {
	p := start(t, options{})
	victim := p.login(t)
	ended := make(chan error, 1)
	began := time.Now()
	go func() {
		_, err := query(victim, "SELECT pg_sleep(2)")
		ended <- err
	}()
	secret := binary.BigEndian.Uint32(victim.SecretKey)
	var guessers sync.WaitGroup
	for g := range uint32(10) {
		guessers.Go(func() {
			for i := range uint32(50) {
				if err := p.cancel(t, victim.ProcessID, secret+1+g*50+i); err != nil {
					t.Error(err)
				}
			}
		})
	}
	guessers.Wait()
	took := time.Since(began)
	if err := <-ended; err != nil {
		t.Errorf("the victim's query ended with %v", err)
	}
	t.Logf("500 guesses in %v", took)
	if took > 1900*time.Millisecond {
		t.Errorf("500 guesses took %v and outlasted the query", took)
	}
	if got, err := query(victim, "SELECT 42"); got != "42" || err != nil {
		t.Errorf("afterwards: %q, %v", got, err)
	}
	// The right key does cancel: else the above says nothing.
	go func() {
		_, err := query(victim, "SELECT pg_sleep(5)")
		ended <- err
	}()
	time.Sleep(200 * time.Millisecond)
	if err := p.cancel(t, victim.ProcessID, secret); err != nil {
		t.Error(err)
	}
	if e := new(pgconn.PgError); !asError(<-ended, &e) || e.Code != "57014" {
		t.Errorf("the right key: %v, want 57014", e)
	}
}

// cancel sends a cancel request and waits for the end of the connection.
func (p *penstock) cancel(t *testing.T, pid, secret uint32) error {
	t.Helper()
	conn, err := pgtest.DialTCP(p.addr)(t.Context())
	if err != nil {
		return err
	}
	defer conn.Close()
	_ = conn.SetDeadline(time.Now().Add(hangTime))
	packet := binary.BigEndian.AppendUint32([]byte{0, 0, 0, 16, 4, 210, 22, 46}, pid)
	if _, err := conn.Write(binary.BigEndian.AppendUint32(packet, secret)); err != nil {
		return err
	}
	var b [1]byte
	if n, _ := conn.Read(b[:]); n != 0 {
		return errors.New("a cancel request was answered")
	}
	return nil
}

func TestGuessedPasswords(t *testing.T) {
	p := start(t, options{auth: scram})
	as := func(password string) error {
		c, err := pgtest.Target{Dial: pgtest.DialTCP(p.addr), User: "app", Database: "postgres", Password: password}.Connect(t.Context())
		if err == nil {
			_ = c.Close()
		}
		return err
	}
	began := time.Now()
	var guessers sync.WaitGroup
	for range 50 {
		guessers.Go(func() {
			if e := new(pgconn.PgError); !asError(as("wrong"), &e) || e.Code != "28P01" || e.Severity != "FATAL" {
				t.Errorf("a wrong password: %v, want FATAL 28P01", e)
			}
		})
	}
	if err := as("right"); err != nil {
		t.Errorf("the right password: %v", err)
	}
	mine := time.Since(began)
	guessers.Wait()
	t.Logf("the real login took %v, all %v", mine, time.Since(began))
	if mine > 2*time.Second {
		t.Errorf("the real login took %v beside 50 guesses, want at most 2s", mine)
	}
}
