package auth_test

import (
	"bytes"
	"crypto/rand"
	"encoding/base64"
	"encoding/binary"
	"runtime"
	"strings"
	"testing"

	"github.com/penstock/penstock/internal/auth"
	"github.com/penstock/penstock/internal/pgerr"
)

func b64(b []byte) string { return base64.StdEncoding.EncodeToString(b) }

func beginSCRAM(t testing.TB) *auth.Exchange {
	t.Helper()
	users := mustUsers(t, map[string]string{"ann": "pencil"})
	e, err := auth.NewVerifier(users, auth.MethodSCRAM, auth.MockKey{}).Begin("ann", rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return e
}

func claimed(mechanism string, length uint32, data string) []byte {
	b := append([]byte(mechanism), 0)
	return append(binary.BigEndian.AppendUint32(b, length), data...)
}

func TestMalformedFirstMessageIsRefused(t *testing.T) {
	t.Parallel()
	const m = "SCRAM-SHA-256"
	first := func(s string) []byte { return initialResponse(m, s) }
	rows := []struct {
		name    string
		body    []byte
		code    pgerr.Code
		message string // in message or detail
	}{
		{"empty body", nil, "08P01", "invalid message format"},
		{"mechanism without NUL", []byte(m), "08P01", "invalid message format"},
		{"no length", []byte(m + "\x00"), "08P01", "invalid message format"},
		{"half a length", []byte(m + "\x00\x00\x00"), "08P01", "invalid message format"},
		{"other mechanism", initialResponse("SCRAM-SHA-1", "n,,n=,r=a"), "08P01", "invalid SASL authentication mechanism"},
		{"PLUS is not on offer", initialResponse("SCRAM-SHA-256-PLUS", "p=tls-unique,,n=,r=a"), "08P01", "invalid SASL authentication mechanism"},
		{"length beyond the data (CVE-2026-6664)", claimed(m, 1<<31-1, "n,,n=,r=a"), "08P01", "invalid message format"},
		{"length -2", claimed(m, 1<<32-2, "n,,n=,r=a"), "08P01", "invalid message format"},
		{"length -1 with data", claimed(m, 1<<32-1, "n,,n=,r=a"), "08P01", "invalid message format"},
		{"length -2147483648", claimed(m, 1<<31, ""), "08P01", "invalid message format"},
		{"length short of the data", claimed(m, 3, "n,,n=,r=a"), "08P01", "invalid message format"},
		{"empty message", first(""), "08P01", "The message is empty"},
		{"NUL inside", first("n,,n=,r=a\x00b"), "08P01", "does not match"},
		{"only a flag", first("n"), "08P01", "Comma expected"},
		{"flag and comma", first("n,"), "08P01", "Unexpected attribute"},
		{"unknown flag", first("x,,n=,r=a"), "08P01", "channel-binding flag"},
		{"channel binding", first("p=tls-unique,,n=,r=a"), "08P01", "includes channel binding data"},
		{"authorization identity", first("n,a=bob,n=,r=a"), "0A000", "authorization identity"},
		{"other header", first("n,b=bob,n=,r=a"), "08P01", "Unexpected attribute"},
		{"mandatory extension", first("n,,m=x,n=,r=a"), "0A000", "extension"},
		{"nothing behind the header", first("n,,"), "08P01", "nonce expected"},
		{"no nonce", first("n,,n=ann"), "08P01", "nonce expected"},
		{"nonce first", first("n,,r=a,n=ann"), "08P01", "nonce expected"},
		{"attribute without =", first("n,,n,r=a"), "08P01", "nonce expected"},
		{"space in the nonce", first("n,,n=,r=a b"), "08P01", "non-printable"},
		{"control in the nonce", first("n,,n=,r=a\x1b"), "08P01", "non-printable"},
		{"high byte in the nonce", first("n,,n=,r=\xff"), "08P01", "non-printable"},
		{"long nonce", first("n,,n=,r=" + strings.Repeat("a", 1025)), "08P01", "nonce is too long"},
		{"long user name", first("n,,n=" + strings.Repeat("a", 5000) + ",r=a"), "08P01", "too long"},
		{"garbage behind the nonce", first("n,,n=,r=a,,"), "08P01", "Attribute expected"},
	}
	for _, row := range rows {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()
			e := beginSCRAM(t)
			reply, done, err := e.Step(row.body)
			wantViolation(t, reply, done, err, row.code, row.message)
			_, done, err = e.Step(initialResponse(m, "n,,n=,r=a"))
			if done || pgerr.From(err).Code != pgerr.InternalError {
				t.Errorf("the exchange goes on after an error: %v %v", done, err)
			}
		})
	}
}

func wantViolation(t *testing.T, reply []byte, done bool, err error, code pgerr.Code, message string) {
	t.Helper()
	if err == nil || done || reply != nil {
		t.Fatalf("got %q, %v, %v", reply, done, err)
	}
	e := pgerr.From(err)
	if e.Code != code || e.Severity != pgerr.SeverityFatal || !strings.Contains(e.Message+" "+e.Detail, message) {
		t.Errorf("got %s %s %q %q, want %s %q", e.Severity, e.Code, e.Message, e.Detail, code, message)
	}
}

func TestMalformedFinalMessageIsRefused(t *testing.T) {
	t.Parallel()
	proof := b64(make([]byte, 32))
	rows := []struct{ name, message, want string }{
		{"empty", "", "The message is empty"},
		{"NUL inside", "c=biws,r=NONCE,p=" + proof + "\x00", "does not match"},
		{"no channel binding", "r=NONCE,p=" + proof, "Channel binding expected"},
		{"channel binding of another flag", "c=eSws,r=NONCE,p=" + proof, "unexpected SCRAM channel-binding"},
		{"channel binding with data", "c=biwsAAAA,r=NONCE,p=" + proof, "unexpected SCRAM channel-binding"},
		{"no nonce", "c=biws,p=" + proof, "Nonce expected"},
		{"no proof", "c=biws,r=NONCE", "Malformed proof"},
		{"no proof but extensions", "c=biws,r=NONCE,x=1,y=2", "Malformed proof"},
		{"short proof", "c=biws,r=NONCE,p=" + b64(make([]byte, 31)), "Malformed proof"},
		{"long proof", "c=biws,r=NONCE,p=" + b64(make([]byte, 33)), "Malformed proof"},
		{"huge proof", "c=biws,r=NONCE,p=" + b64(make([]byte, 48000)), "Malformed proof"},
		{"proof that is no base64", "c=biws,r=NONCE,p=" + strings.Repeat("!", 44), "Malformed proof"},
		{"proof with new lines", "c=biws,r=NONCE,p=" + strings.Repeat("\n", 44), "Malformed proof"},
		{"garbage behind the proof", "c=biws,r=NONCE,p=" + proof + ",x=1", "Garbage"},
		{"bad extension", "c=biws,r=NONCE,=,p=" + proof, "Attribute expected"},
		{"other nonce", "c=biws,r=NONCEx,p=" + proof, "invalid SCRAM response"},
		{"the client's nonce alone", "c=biws,r=abc,p=" + proof, "invalid SCRAM response"},
	}
	for _, row := range rows {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()
			e := beginSCRAM(t)
			reply, _, err := e.Step(initialResponse("SCRAM-SHA-256", "n,,n=,r=abc"))
			if err != nil {
				t.Fatal(err)
			}
			nonce, _, _ := strings.Cut(strings.TrimPrefix(string(reply[4:]), "r="), ",")
			reply, done, err := e.Step([]byte(strings.ReplaceAll(row.message, "NONCE", nonce)))
			wantViolation(t, reply, done, err, "08P01", row.want)
		})
	}
}

func TestLongestNonceAndExtensionsAreAccepted(t *testing.T) {
	t.Parallel()
	nonce := strings.Repeat("a", 1024)
	for _, first := range []string{"n,,n=,r=" + nonce, "y,,n=any=2Cbody,r=abc", "n,,n=,r=abc,x=1,y=2"} {
		if _, _, err := beginSCRAM(t).Step(initialResponse("SCRAM-SHA-256", first)); err != nil {
			t.Errorf("%.40s: %v", first, err)
		}
	}
}

func TestClientMayLeaveOutTheInitialResponse(t *testing.T) {
	t.Parallel()
	e := beginSCRAM(t)
	reply, done, err := e.Step(claimed("SCRAM-SHA-256", 1<<32-1, ""))
	if err != nil || done || !bytes.Equal(reply, []byte{0, 0, 0, 11}) {
		t.Fatalf("got %q %v %v", reply, done, err)
	}
	reply, _, err = e.Step([]byte("n,,n=,r=abc"))
	if err != nil || !strings.HasPrefix(string(reply[4:]), "r=abc") {
		t.Fatalf("got %q %v", reply, err)
	}
}

func TestMalformedMD5ResponseIsRefused(t *testing.T) {
	t.Parallel()
	users := mustUsers(t, map[string]string{"ann": "pencil"})
	for _, row := range []struct {
		body, message string
		code          pgerr.Code
	}{
		{"", "invalid password packet size", "08P01"},
		{"md5", "invalid password packet size", "08P01"},
		{"a\x00b\x00", "invalid password packet size", "08P01"},
		{"\x00", "password authentication failed", "28P01"},
		{"pencil\x00", "password authentication failed", "28P01"},
	} {
		e, err := auth.NewVerifier(users, auth.MethodMD5, auth.MockKey{}).Begin("ann", rand.Reader)
		if err != nil {
			t.Fatal(err)
		}
		reply, done, err := e.Step([]byte(row.body))
		wantViolation(t, reply, done, err, row.code, row.message)
	}
}

func TestClaimedLengthAllocatesNothing(t *testing.T) {
	// Not parallel: it reads the allocation counter of the process.
	users := mustUsers(t, map[string]string{"ann": "pencil"})
	v := auth.NewVerifier(users, auth.MethodSCRAM, auth.MockKey{})
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	for _, length := range []uint32{1<<31 - 1, 1 << 31, 1<<32 - 2, 1 << 30} {
		e, _ := v.Begin("ann", rand.Reader)
		if _, _, err := e.Step(claimed("SCRAM-SHA-256", length, "n,,n=,r=a")); err == nil {
			t.Errorf("length %d accepted", length)
		}
	}
	runtime.ReadMemStats(&after)
	if n := after.TotalAlloc - before.TotalAlloc; n > 64<<10 {
		t.Errorf("four lies allocated %d bytes", n)
	}
}

func FuzzSCRAM(f *testing.F) {
	proof := b64(make([]byte, 32))
	f.Add(initialResponse("SCRAM-SHA-256", "n,,n=,r=abc"), []byte("c=biws,r=NONCE,p="+proof)) // a wrong password
	f.Add(initialResponse("SCRAM-SHA-256", "y,,n=a,r=abc,x=1"), []byte("c=eSws,r=NONCE,x=1,p="+proof))
	f.Add(claimed("SCRAM-SHA-256", 1<<31-1, "n,,n=,r=abc"), []byte{})                         // CVE-2026-6664
	f.Add(claimed("SCRAM-SHA-256", 1<<32-1, ""), []byte("n,,n=,r=abc"))                       // no initial response
	f.Add(initialResponse("SCRAM-SHA-256", "p=tls-unique,,n=,r=abc"), []byte("c=,r=,p="))     // channel binding
	f.Add(initialResponse("SCRAM-SHA-256", "n,a=x,n=,r=abc"), []byte("p="))                   // authorization identity
	f.Add(initialResponse("SCRAM-SHA-256", "n,,n=,r="), []byte(strings.Repeat(",", 100)))     // empty nonce, commas
	f.Add(initialResponse("SCRAM-SHA-256", strings.Repeat("a=,", 100)), []byte("c=biws,r=,")) // endless attributes
	users := mustUsers(f, map[string]string{"ann": scramSecret(f, "pencil", 4096)})
	v := auth.NewVerifier(users, auth.MethodSCRAM, auth.MockKey{})
	f.Fuzz(func(t *testing.T, first, final []byte) {
		for _, user := range []string{"ann", "unknown"} {
			e, err := v.Begin(user, rand.Reader)
			if err != nil {
				t.Fatal(err)
			}
			reply, done, err := e.Step(first)
			if err == nil {
				if len(reply) > 2048 {
					t.Errorf("reply of %d bytes", len(reply))
				}
				nonce, _, _ := strings.Cut(strings.TrimPrefix(string(reply[4:]), "r="), ",")
				_, done, err = e.Step(bytes.ReplaceAll(final, []byte("NONCE"), []byte(nonce)))
			}
			if done {
				t.Fatal("got in without the password")
			}
			if err != nil && pgerr.From(err).Code == pgerr.InternalError {
				t.Errorf("client's nonsense is our bug: %v", err)
			}
		}
	})
}
