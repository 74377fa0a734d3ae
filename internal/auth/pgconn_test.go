package auth_test

import (
	"context"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/penstock/penstock/internal/auth"
	"github.com/penstock/penstock/internal/pgerr"
)

// serve is the proxy's loop: the one in the package comment.
func serve(conn net.Conn, v *auth.Verifier, user string) error {
	frame := func(header []byte, kind bool) ([]byte, error) {
		if _, err := io.ReadFull(conn, header); err != nil {
			return nil, err
		}
		if kind {
			header = header[1:]
		}
		body := make([]byte, binary.BigEndian.Uint32(header)-4)
		_, err := io.ReadFull(conn, body)
		return body, err
	}
	send := func(body []byte) {
		if len(body) > 0 {
			b := binary.BigEndian.AppendUint32([]byte{'R'}, uint32(len(body)+4))
			_, _ = conn.Write(append(b, body...))
		}
	}
	if _, err := frame(make([]byte, 4), false); err != nil { // startup packet
		return err
	}
	exchange, err := v.Begin(user, rand.Reader)
	if err != nil {
		return err
	}
	message, done := exchange.Start()
	for err == nil && !done {
		send(message)
		var body []byte
		if body, err = frame(make([]byte, 5), true); err == nil {
			message, done, err = exchange.Step(body)
		}
	}
	if err != nil {
		_, _ = conn.Write(pgerr.From(err).Append(nil))
		return err
	}
	send(message)
	_, err = conn.Write([]byte("R\x00\x00\x00\x08\x00\x00\x00\x00Z\x00\x00\x00\x05I"))
	return err
}

func TestPgconnLogsIn(t *testing.T) {
	t.Parallel()
	users := mustUsers(t, map[string]string{
		"plain": "pencil", "md5": md5Secret("pencil", "md5"), "verifier": scramSecret(t, "pencil", 4096),
	})
	for _, row := range []struct {
		method auth.Method
		user   string
	}{
		{auth.MethodTrust, "plain"},
		{auth.MethodMD5, "plain"},
		{auth.MethodMD5, "md5"},
		{auth.MethodMD5, "verifier"},
		{auth.MethodSCRAM, "plain"},
		{auth.MethodSCRAM, "verifier"},
	} {
		t.Run(fmt.Sprintf("%s with %s", row.method, row.user), func(t *testing.T) {
			t.Parallel()
			v := auth.NewVerifier(users, row.method, auth.MockKey{})
			if err := pgconnLogin(t, v, row.user, "pencil"); err != nil {
				t.Errorf("right password: %v", err)
			}
			if row.method == auth.MethodTrust {
				return
			}
			var refused *pgconn.PgError
			if err := pgconnLogin(t, v, row.user, "wrong"); !errors.As(err, &refused) || refused.Code != "28P01" {
				t.Errorf("wrong password: %v", err)
			}
		})
	}
}

func pgconnLogin(t *testing.T, v *auth.Verifier, user, password string) error {
	t.Helper()
	config, err := pgconn.ParseConfig("host=penstock.test sslmode=disable user=" + user + " password=" + password)
	if err != nil {
		t.Fatal(err)
	}
	server, client := net.Pipe()
	served := make(chan error, 1)
	go func() {
		served <- serve(server, v, user)
		_ = server.Close()
	}()
	config.LookupFunc = func(context.Context, string) ([]string, error) { return []string{"192.0.2.1"}, nil }
	config.DialFunc = func(context.Context, string, string) (net.Conn, error) { return client, nil }
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	_, err = pgconn.ConnectConfig(ctx, config)
	_ = client.Close()
	<-served
	return err
}
