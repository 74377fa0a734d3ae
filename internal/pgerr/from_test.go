package pgerr_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"regexp"
	"strings"
	"syscall"
	"testing"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/penstock/penstock/internal/pgerr"
)

func TestFromLetsKnownErrorsThrough(t *testing.T) {
	t.Parallel()
	want := pgerr.WrongPassword("ann")
	if got := pgerr.From(fmt.Errorf("login: %w", want)); got != want {
		t.Errorf("got %v", got)
	}
	if got := pgerr.From(nil); got != nil {
		t.Errorf("From(nil) = %v", got)
	}
	if got := pgerr.From((*pgerr.Error)(nil)); got == nil || got.Code != pgerr.InternalError {
		t.Errorf("a nil *Error became %v", got)
	}
	// A known error with a network cause is still that error.
	if got := pgerr.From(pgerr.CommitUnknown(io.EOF)); got.Code != pgerr.TransactionResolutionUnknown {
		t.Errorf("got %v", got)
	}
}

func TestFromKeepsWhatAServerSaid(t *testing.T) {
	t.Parallel()
	server := &pgconn.PgError{
		Severity: "FATAL", Code: "28P01", Message: `password authentication failed for user "x"`,
		Detail: "d", Hint: "h", File: "auth.c",
	}
	got := pgerr.From(fmt.Errorf("login to host: %w", server))
	if got.Severity != pgerr.SeverityFatal || got.Code != "28P01" || got.Message != server.Message ||
		got.Detail != "d" || got.Hint != "h" || !errors.Is(got, server) {
		t.Errorf("got %+v", got)
	}
	localized := pgerr.From(&pgconn.PgError{Severity: "FEHLER", SeverityUnlocalized: "ERROR", Code: "42601", Message: "m"})
	if localized.Severity != pgerr.SeverityError {
		t.Errorf("translated severity became %q", localized.Severity)
	}
	// CVE-2026-6666: a server whose ErrorResponse has no fields at all.
	if empty := pgerr.From(&pgconn.PgError{}); empty.Code != pgerr.InternalError || empty.Message == "" ||
		empty.Severity != pgerr.SeverityFatal {
		t.Errorf("got %+v", empty)
	}
}

func TestFromMapsLostConnectionsAndContexts(t *testing.T) {
	t.Parallel()
	_, unknownHost := (&net.Resolver{PreferGo: true, Dial: func(context.Context, string, string) (net.Conn, error) {
		return nil, errors.New("no network here")
	}}).LookupHost(t.Context(), "db.internal.example")
	dial := func(err error) error {
		return &net.OpError{Op: "dial", Net: "tcp", Addr: &net.TCPAddr{IP: net.IPv4(10, 1, 2, 3)}, Err: err}
	}
	rows := []struct {
		name   string
		err    error
		code   pgerr.Code
		detail string
	}{
		{"end of file", io.EOF, "08006", "Connection closed."},
		{"cut frame", fmt.Errorf("client read: %w", io.ErrUnexpectedEOF), "08006", "Connection closed."},
		{"closed socket", net.ErrClosed, "08006", "Connection closed."},
		{"closed pipe", io.ErrClosedPipe, "08006", "Connection closed."},
		{"reset", dial(syscall.ECONNRESET), "08006", "Connection reset by peer."},
		{"broken pipe", syscall.EPIPE, "08006", "Connection reset by peer."},
		{"refused", dial(os.NewSyscallError("connect", syscall.ECONNREFUSED)), "08006", "Connection refused."},
		{"no socket file", dial(syscall.ENOENT), "08006", "No such socket."},
		{"no route", dial(syscall.EHOSTUNREACH), "08006", "No route to host."},
		{"no descriptors", dial(syscall.EMFILE), "08006", "Too many open files."},
		{"deadline of a socket", dial(os.ErrDeadlineExceeded), "08006", "Timed out."},
		{"unknown host", unknownHost, "08006", "Host name not found."},
		{"other network error", dial(errors.New("odd")), "08006", ""},
		{"cancelled context", fmt.Errorf("wait: %w", context.Canceled), "57014", ""},
		{"context out of time", context.DeadlineExceeded, "57014", ""},
	}
	for _, row := range rows {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()
			got := pgerr.From(row.err)
			if got.Code != row.code || got.Detail != row.detail {
				t.Errorf("got %q %q, want %q %q", got.Code, got.Detail, row.code, row.detail)
			}
			if !errors.Is(got, row.err) {
				t.Errorf("cause lost: %v", got)
			}
			if frame := string(got.Append(nil)); strings.Contains(frame, "10.1.2.3") || strings.Contains(frame, "db.internal") {
				t.Errorf("client sees an address: %q", frame)
			}
		})
	}
}

func TestUnknownErrorShowsOnlyAnID(t *testing.T) {
	t.Parallel()
	err := errors.New("index out of range, password is hunter2")
	got := pgerr.From(err)
	if got.Code != pgerr.InternalError || got.Severity != pgerr.SeverityError {
		t.Errorf("got %s %s", got.Severity, got.Code)
	}
	if !regexp.MustCompile(`^[0-9a-f]{8}$`).MatchString(got.ID()) || !strings.Contains(got.Message, got.ID()) {
		t.Errorf("id %q in message %q", got.ID(), got.Message)
	}
	if strings.Contains(string(got.Append(nil)), "hunter2") {
		t.Errorf("client sees %q", got.Append(nil))
	}
	if !errors.Is(got, err) || got.ID() == pgerr.From(err).ID() {
		t.Errorf("cause lost or id repeated: %v", got)
	}
	if again := pgerr.From(fmt.Errorf("twice: %w", got)); again.ID() != got.ID() {
		t.Errorf("id changed from %q to %q", got.ID(), again.ID())
	}
	if p := pgerr.Internal("a panic value"); !strings.Contains(p.Error(), "a panic value") ||
		strings.Contains(string(p.Append(nil)), "a panic value") {
		t.Errorf("got %v", p)
	}
}
