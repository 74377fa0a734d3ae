package integration

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgproto3"

	"github.com/penstock/penstock/internal/pgtest"
)

// raw is a connection on which nothing was said yet.
func raw(t testing.TB, addr string) *pgtest.Client {
	t.Helper()
	conn, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	if err := conn.SetDeadline(time.Now().Add(patience)); err != nil {
		t.Fatal(err)
	}
	return pgtest.NewClient(conn)
}

// hello is a startup message of protocol 3.minor.
func hello(minor uint32, params ...string) []byte {
	body := binary.BigEndian.AppendUint32(nil, 3<<16|minor)
	for _, s := range append(params, "") {
		body = append(append(body, s...), 0)
	}
	return append(binary.BigEndian.AppendUint32(nil, uint32(len(body)+4)), body...)
}

// login reads what comes up to ReadyForQuery or the first error.
func login(t testing.TB, c *pgtest.Client) (negotiated *pgproto3.NegotiateProtocolVersion, key *pgproto3.BackendKeyData, refusal error) {
	t.Helper()
	for {
		m, err := c.Receive(patience)
		if err != nil {
			t.Fatal(err)
		}
		switch m := m.(type) {
		case *pgproto3.NegotiateProtocolVersion:
			negotiated = new(*m)
		case *pgproto3.BackendKeyData:
			key = &pgproto3.BackendKeyData{ProcessID: m.ProcessID, SecretKey: bytes.Clone(m.SecretKey)}
		case *pgproto3.ErrorResponse:
			return negotiated, key, pgconn.ErrorResponseToPgError(m)
		case *pgproto3.ReadyForQuery:
			return negotiated, key, nil
		}
	}
}

func TestProtocolVersionsAreNegotiated(t *testing.T) {
	p := open(t, house(t).Config())
	for _, c := range []struct {
		name    string
		minor   uint32
		extra   []string
		answer  bool   // NegotiateProtocolVersion comes
		newest  uint32 // minor version in it
		unknown []string
		key     int
	}{
		{"3.0", 0, nil, false, 0, nil, 4},
		{"3.2", 2, nil, false, 0, nil, 32},
		{"3.9999, the greasing of PostgreSQL 19", 9999, []string{"_pq_.test_protocol_negotiation", ""}, true, 2, []string{"_pq_.test_protocol_negotiation"}, 32},
		{"3.3", 3, nil, true, 2, nil, 32},
		{"3.0 with options of a later protocol", 0, []string{"_pq_.x", "1", "_pq_.y", "2"}, true, 0, []string{"_pq_.x", "_pq_.y"}, 4},
		{"3.2 with an option", 2, []string{"_pq_.x", "1"}, true, 2, []string{"_pq_.x"}, 32},
	} {
		t.Run(c.name, func(t *testing.T) {
			client := raw(t, p.Addr)
			if err := client.SendRaw(hello(c.minor, append([]string{"user", "postgres", "database", "tx"}, c.extra...)...)); err != nil {
				t.Fatal(err)
			}
			negotiated, key, err := login(t, client)
			if err != nil {
				t.Fatal(err)
			}
			if (negotiated != nil) != c.answer {
				t.Fatalf("NegotiateProtocolVersion: %v", negotiated)
			}
			if c.answer {
				newest := negotiated.NewestMinorProtocol & 0xffff
				if newest != c.newest || strings.Join(negotiated.UnrecognizedOptions, " ") != strings.Join(c.unknown, " ") {
					t.Errorf("got %d %q, want %d %q", newest, negotiated.UnrecognizedOptions, c.newest, c.unknown)
				}
			}
			if len(key.SecretKey) != c.key {
				t.Errorf("the cancel key has %d bytes, want %d", len(key.SecretKey), c.key)
			}
			if got := ask(t, client, "SELECT 7"); got != "7" {
				t.Errorf("got %q", got)
			}
		})
	}
}

// The long key of protocol 3.2 cancels, and a part of it does not.
func TestLongCancelKey(t *testing.T) {
	h := house(t)
	p := open(t, h.Config())
	client := raw(t, p.Addr)
	if err := client.SendRaw(hello(2, "user", "postgres", "database", "tx")); err != nil {
		t.Fatal(err)
	}
	_, key, err := login(t, client)
	if err != nil {
		t.Fatal(err)
	}
	request := func(secret []byte) {
		t.Helper()
		b := binary.BigEndian.AppendUint32(nil, uint32(12+len(secret)))
		b = binary.BigEndian.AppendUint32(b, 80877102)
		b = append(binary.BigEndian.AppendUint32(b, key.ProcessID), secret...)
		c := raw(t, p.Addr)
		if err := c.SendRaw(b); err != nil {
			t.Fatal(err)
		}
		_, _ = io.Copy(io.Discard, c.Conn) // to its end: the request has been dealt with
	}
	sql := "SELECT pg_sleep(20) /* long key */"
	if err := client.Send(&pgproto3.Query{String: sql}); err != nil {
		t.Fatal(err)
	}
	running(t, h, sql)
	request(key.SecretKey[:4])
	if m, err := client.Receive(200 * time.Millisecond); err == nil && isError(m) {
		t.Fatal("four bytes of the key were enough")
	}
	request(key.SecretKey)
	if got := receive(t, client); !strings.Contains(got, "E57014") {
		t.Errorf("got %s", got)
	}
}

func isError(m pgproto3.BackendMessage) bool {
	_, is := m.(*pgproto3.ErrorResponse)
	return is
}

func TestProtocolsOfOthersAreRefused(t *testing.T) {
	p := open(t, house(t).Config())
	for name, first := range map[string][]byte{
		"protocol 2": {0, 0, 0, 8, 0, 2, 0, 0}, "protocol 4": {0, 0, 0, 8, 0, 4, 0, 0},
		"HTTP": []byte("GET / HTTP/1.1\r\n\r\n"), "too short": {0, 0, 0, 4}, "too long": {0, 1, 0, 0, 0, 3, 0, 0},
		"no user": hello(0, "database", "tx"), "no end": {0, 0, 0, 13, 0, 3, 0, 0, 'u', 's', 'e', 'r', 0},
	} {
		t.Run(name, func(t *testing.T) {
			client := raw(t, p.Addr)
			if err := client.SendRaw(first); err != nil {
				t.Fatal(err)
			}
			answer, err := io.ReadAll(client.Conn)
			if err != nil && !errors.Is(err, io.EOF) && !strings.Contains(err.Error(), "reset") {
				t.Fatal(err)
			}
			if len(answer) > 0 && answer[0] != 'E' || bytes.Contains(answer, []byte{'Z', 0, 0, 0, 5}) {
				t.Errorf("got %q", answer)
			}
		})
	}
}

// One byte answers SSLRequest and GSSENCRequest; then the login goes on.
func TestNegotiationsBeforeLogin(t *testing.T) {
	h := house(t)
	dir := t.TempDir()
	cert, key := certificate(t, dir)
	plain, secured := open(t, h.Config()), open(t, h.Config("[listen]", "tls_cert_file = \""+cert+"\"", "tls_key_file = \""+key+"\""))
	ssl, gss := []byte{0, 0, 0, 8, 4, 210, 22, 47}, []byte{0, 0, 0, 8, 4, 210, 22, 48}
	for _, c := range []struct {
		name     string
		p        *Penstock
		requests [][]byte
		answers  string
	}{
		{"none", plain, nil, ""},
		{"SSL without a certificate", plain, [][]byte{ssl}, "N"},
		{"GSS", plain, [][]byte{gss}, "N"},
		{"GSS, then SSL", plain, [][]byte{gss, ssl}, "NN"},
		{"GSS with a certificate", secured, [][]byte{gss}, "N"},
	} {
		t.Run(c.name, func(t *testing.T) {
			client := raw(t, c.p.Addr)
			answers := ""
			for _, request := range c.requests {
				if err := client.SendRaw(request); err != nil {
					t.Fatal(err)
				}
				answers += string(readByte(t, client.Conn))
			}
			if answers != c.answers {
				t.Errorf("got %q, want %q", answers, c.answers)
			}
			if err := client.SendRaw(hello(0, "user", "postgres", "database", "tx")); err != nil {
				t.Fatal(err)
			}
			if _, _, err := login(t, client); err != nil {
				t.Error(err)
			}
		})
	}
	t.Run("again and again", func(t *testing.T) {
		client := raw(t, plain.Addr)
		for range 50 {
			if client.SendRaw(ssl) != nil {
				return
			}
			b := make([]byte, 1)
			if _, err := client.Conn.Read(b); err != nil || b[0] == 'E' {
				return
			}
		}
		t.Error("fifty SSLRequests were answered")
	})
}

func readByte(t testing.TB, r io.Reader) []byte {
	t.Helper()
	b := make([]byte, 1)
	if _, err := io.ReadFull(r, b); err != nil {
		t.Fatal(err)
	}
	return b
}

// Bytes that came in plain text behind an SSLRequest are nobody's: they are
// never taken for what comes after it (CVE-2021-23214).
func TestBytesStuffedBehindSSLRequestAreRefused(t *testing.T) {
	h := house(t)
	cert, key := certificate(t, t.TempDir())
	for name, p := range map[string]*Penstock{
		"without a certificate": open(t, h.Config()),
		"with one":              open(t, h.Config("[listen]", "tls_cert_file = \""+cert+"\"", "tls_key_file = \""+key+"\"")),
	} {
		for request, code := range map[string]byte{"SSL": 47, "GSS": 48} {
			t.Run(request+" "+name, func(t *testing.T) {
				client := raw(t, p.Addr)
				if err := client.SendRaw(append([]byte{0, 0, 0, 8, 4, 210, 22, code}, hello(0, "user", "postgres", "database", "tx")...)); err != nil {
					t.Fatal(err)
				}
				answer, _ := io.ReadAll(client.Conn)
				if !bytes.Contains(answer, []byte("08P01")) || answer[0] != 'E' {
					t.Errorf("got %q, want the error 08P01 alone", answer)
				}
			})
		}
	}
}

// TLS towards clients, with every sslmode that they may have.
func TestTLSTowardsClients(t *testing.T) {
	h := house(t)
	dir := t.TempDir()
	cert, key := certificate(t, dir)
	lines := []string{"[listen]", "tls_cert_file = \"" + cert + "\"", "tls_key_file = \"" + key + "\""}
	offers := open(t, h.Config(lines...))
	insists := open(t, h.Config(append(lines, `tls = "require"`)...))
	never := open(t, h.Config(append(lines, `tls = "disable"`)...))
	for _, c := range []struct {
		name    string
		p       *Penstock
		mode    string
		secured bool
		refusal string // part of the error
	}{
		{"offered", offers, "disable", false, ""},
		{"offered", offers, "allow", false, ""},
		{"offered", offers, "prefer", true, ""},
		{"offered", offers, "require", true, ""},
		{"offered", offers, "verify-ca sslrootcert=" + cert, true, ""},
		{"offered", offers, "verify-full sslrootcert=" + cert, true, ""},
		{"offered, another CA", offers, "verify-ca sslrootcert=" + h.Cluster.CertFile, false, "certificate"},
		{"required", insists, "disable", false, "28000"},
		{"required", insists, "require", true, ""},
		{"disabled", never, "prefer", false, ""},
		{"disabled", never, "require", false, "refused TLS"},
	} {
		t.Run(c.name+", "+strings.Fields(c.mode)[0], func(t *testing.T) {
			conn, err := tryConnect(t, strings.Replace(c.p.DSN("tx"), "sslmode=disable", "sslmode="+c.mode, 1))
			if c.refusal != "" {
				if err == nil || !strings.Contains(err.Error(), c.refusal) {
					t.Errorf("got %v, want %s", err, c.refusal)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			expect(t, conn, "SELECT repeat('x', 100000) = repeat('x', 100000)", "t")
			tlsState := strings.Contains(clientRow(t, c.p, conn), "TLSv1.")
			if tlsState != c.secured {
				t.Errorf("with TLS: %v, want %v", tlsState, c.secured)
			}
		})
	}
}

// clientRow is the row of SHOW CLIENTS of a connection.
func clientRow(t testing.TB, p *Penstock, conn *pgconn.PgConn) string {
	t.Helper()
	for _, row := range query(t, console(t, p), "SHOW CLIENTS") {
		if strings.Contains(conn.Conn().LocalAddr().String(), ":"+row[6]) || row[5] == "unix" {
			return strings.Join(row, " ")
		}
	}
	return ""
}

// TLS towards the server, with every sslmode.
func TestTLSTowardsTheServer(t *testing.T) {
	h := house(t) // its server has TLS
	_, err := os.Stat(h.Cluster.CertFile)
	if err != nil {
		t.Fatal(err)
	}
	foreign, _ := certificate(t, t.TempDir())
	root := " sslrootcert=" + h.Cluster.CertFile
	for _, c := range []struct {
		mode string
		want string // pg_stat_ssl.ssl; "" for a refusal
	}{
		{"disable", "f"},
		{"allow", "f"},
		{"prefer", "t"},
		{"require", "t"},
		{"verify-ca" + root, "t"},
		{"verify-full" + root, "t"},
		{"verify-ca sslrootcert=" + foreign, ""},
		{"verify-full sslrootcert=" + foreign, ""},
	} {
		t.Run(c.mode, func(t *testing.T) {
			p := open(t, trust+"[databases.tls]\nprimary = \""+h.Primary()+" sslmode="+c.mode+"\"\n")
			conn, err := tryConnect(t, p.DSN("tls"))
			if c.want == "" {
				if _, ok := errors.AsType[*pgconn.PgError](err); !ok {
					t.Fatalf("got %v, want a refusal", err)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			expect(t, conn, "SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()", c.want)
			sql := "SELECT pg_sleep(20) /* " + c.want + t.Name() + " */"
			done := start(conn, sql)
			running(t, h, sql)
			if err := cancel(conn); err != nil {
				t.Fatal(err)
			}
			refused(t, wait(t, done), "ERROR", "57014")
		})
	}
}

// Unix sockets on both sides.
func TestUnixSockets(t *testing.T) {
	h := house(t)
	dir, err := os.MkdirTemp("", "sock") // t.TempDir's names are too long for a socket
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	primary := strings.Replace(h.Primary(), "host=127.0.0.1", "host="+h.Cluster.SocketDir, 1)
	p := open(t, trust+"[listen]\nunix_socket_dir = \""+dir+"\"\n[databases.sock]\nprimary = \""+primary+"\"\n")
	conn := connect(t, "host="+dir+" port="+p.Port()+" user=postgres dbname=sock")
	expect(t, conn, "SELECT client_addr IS NULL FROM pg_stat_activity WHERE pid = pg_backend_pid()", "t")
	sql := "SELECT pg_sleep(20) /* socket */"
	done := start(conn, sql)
	running(t, h, sql)
	if err := cancel(conn); err != nil {
		t.Fatal(err)
	}
	refused(t, wait(t, done), "ERROR", "57014")
	client, err := new(net.Dialer).DialContext(context.Background(), "unix", dir+"/.s.PGSQL."+p.Port())
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	if _, err := client.Write([]byte{0, 0, 0, 8, 4, 210, 22, 47}); err != nil {
		t.Fatal(err)
	}
	if b := readByte(t, client); b[0] != 'N' {
		t.Errorf("SSLRequest over a unix socket was answered %q", b)
	}
}
