package auth_test

import (
	"bytes"
	"crypto/md5"
	"crypto/rand"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"strings"
	"testing"

	"github.com/xdg-go/scram"

	"github.com/penstock/penstock/internal/auth"
	"github.com/penstock/penstock/internal/pgerr"
)

func mustUsers(t testing.TB, secrets map[string]string) *auth.Users {
	t.Helper()
	users, err := auth.NewUsers(secrets)
	if err != nil {
		t.Fatal(err)
	}
	return users
}

func md5Secret(password, user string) string {
	sum := md5.Sum([]byte(password + user))
	return "md5" + hex.EncodeToString(sum[:])
}

// scramSecret makes a verifier with xdg-go/scram, not with our own code.
func scramSecret(t testing.TB, password string, iterations int) string {
	t.Helper()
	client, err := scram.SHA256.NewClient("", password, "")
	if err != nil {
		t.Fatal(err)
	}
	c, err := client.GetStoredCredentialsWithError(scram.KeyFactors{Salt: "0123456789abcdef", Iters: iterations})
	if err != nil {
		t.Fatal(err)
	}
	return fmt.Sprintf("SCRAM-SHA-256$%d:%s$%s:%s", iterations, b64([]byte(c.Salt)), b64(c.StoredKey), b64(c.ServerKey))
}

// initialResponse is the body of a SASLInitialResponse.
func initialResponse(mechanism, data string) []byte {
	b := append([]byte(mechanism), 0)
	b = binary.BigEndian.AppendUint32(b, uint32(len(data)))
	return append(b, data...)
}

// login plays a driver: whatever the server asks for, it answers. It returns
// what the server asked for.
func login(t testing.TB, v *auth.Verifier, user, password string) (asked string, err error) {
	t.Helper()
	e, err := v.Begin(user, rand.Reader)
	if err != nil {
		return "", err
	}
	request, done := e.Start()
	if done {
		return "nothing", nil
	}
	switch code := binary.BigEndian.Uint32(request); code {
	case 5:
		inner := strings.TrimPrefix(md5Secret(password, user), "md5")
		_, done, err = e.Step([]byte(md5Secret(inner, string(request[4:8])) + "\x00"))
		if err == nil && !done {
			t.Error("md5 needs another step")
		}
		return "md5", err
	case 10:
		if string(request[4:]) != "SCRAM-SHA-256\x00\x00" {
			t.Errorf("mechanisms %q", request[4:])
		}
		return "scram", scramLogin(t, e, password)
	default:
		t.Fatalf("authentication code %d", code)
		return "", nil
	}
}

// scramLogin is the oracle: xdg-go/scram's client, which also checks the
// server's signature.
func scramLogin(t testing.TB, e *auth.Exchange, password string) error {
	t.Helper()
	client, err := scram.SHA256.NewClient("somebody else", password, "")
	if err != nil {
		t.Fatal(err)
	}
	conversation := client.WithMinIterations(1).NewConversation()
	first, err := conversation.Step("")
	if err != nil {
		t.Fatal(err)
	}
	reply, done, err := e.Step(initialResponse("SCRAM-SHA-256", first))
	if err != nil {
		return err
	}
	if done || binary.BigEndian.Uint32(reply) != 11 {
		t.Fatalf("server-first is %q, done %v", reply, done)
	}
	final, err := conversation.Step(string(reply[4:]))
	if err != nil {
		t.Fatalf("client does not understand %q: %v", reply[4:], err)
	}
	reply, done, err = e.Step([]byte(final))
	if err != nil {
		if done || reply != nil {
			t.Errorf("refused with %q, done %v", reply, done)
		}
		return err
	}
	if !done || binary.BigEndian.Uint32(reply) != 12 {
		t.Fatalf("server-final is %q, done %v", reply, done)
	}
	if _, err = conversation.Step(string(reply[4:])); err != nil || !conversation.Valid() {
		t.Fatalf("client does not believe the server: %v", err)
	}
	return nil
}

// wantRefused checks that the client is told the one thing it may be told.
func wantRefused(t *testing.T, err error, user, cause string) {
	t.Helper()
	e := pgerr.From(err)
	if e == nil || string(e.Append(nil)) != string(pgerr.WrongPassword(user).Append(nil)) {
		t.Fatalf("client is told %v", e)
	}
	if !strings.Contains(err.Error(), cause) {
		t.Errorf("log is told %q, want %q", err, cause)
	}
}

func TestEveryMethodWithEverySecret(t *testing.T) {
	t.Parallel()
	users := mustUsers(t, map[string]string{
		"plain": "pencil", "md5": md5Secret("pencil", "md5"), "verifier": scramSecret(t, "pencil", 5000), "none": "",
	})
	rows := []struct {
		method auth.Method
		user   string
		asked  string
		cause  string // why the right password does not help; empty if it does
	}{
		{auth.MethodTrust, "plain", "nothing", ""},
		{auth.MethodTrust, "none", "nothing", ""},
		{auth.MethodMD5, "plain", "md5", ""},
		{auth.MethodMD5, "md5", "md5", ""},
		{auth.MethodMD5, "verifier", "scram", ""},
		{auth.MethodMD5, "none", "md5", "no password"},
		{auth.MethodSCRAM, "plain", "scram", ""},
		{auth.MethodSCRAM, "md5", "scram", "md5 secret"},
		{auth.MethodSCRAM, "verifier", "scram", ""},
		{auth.MethodSCRAM, "none", "scram", "no password"},
	}
	for _, row := range rows {
		t.Run(fmt.Sprintf("%s with %s", row.method, row.user), func(t *testing.T) {
			t.Parallel()
			v := auth.NewVerifier(users, row.method, auth.MockKey{})
			for range 2 { // the second time with cached keys
				asked, err := login(t, v, row.user, "pencil")
				if asked != row.asked {
					t.Errorf("asked for %s, want %s", asked, row.asked)
				}
				if row.cause != "" {
					wantRefused(t, err, row.user, row.cause)
				} else if err != nil {
					t.Errorf("right password: %v", err)
				}
				if row.method == auth.MethodTrust {
					continue
				}
				_, err = login(t, v, row.user, "pencils")
				cause := "password does not match"
				if row.cause != "" {
					cause = row.cause
				}
				wantRefused(t, err, row.user, cause)
			}
		})
	}
}

func TestUnknownUserIsRefusedLikeAWrongPassword(t *testing.T) {
	t.Parallel()
	for _, secret := range []string{"pencil", md5Secret("pencil", "ann"), scramSecret(t, "pencil", 5000)} {
		users := mustUsers(t, map[string]string{"ann": secret})
		for _, method := range []auth.Method{auth.MethodMD5, auth.MethodSCRAM} {
			v := auth.NewVerifier(users, method, auth.MockKey{})
			known, _ := login(t, v, "ann", "wrong")
			for i := range 20 {
				user := fmt.Sprintf("bob%d", i)
				asked, err := login(t, v, user, "pencil")
				wantRefused(t, err, user, "no such user")
				if asked != known {
					t.Fatalf("%s: unknown user was asked for %s, known for %s", method, asked, known)
				}
			}
		}
	}
}

func TestTrustAsksForAKnownUserOnly(t *testing.T) {
	t.Parallel()
	v := auth.NewVerifier(mustUsers(t, map[string]string{"ann": "x"}), auth.MethodTrust, auth.MockKey{})
	_, err := login(t, v, "bob", "")
	wantRefused(t, err, "bob", "no such user")
	if _, err = login(t, auth.NewVerifier(nil, auth.MethodTrust, auth.MockKey{}), "bob", ""); err != nil {
		t.Errorf("trust without a user list: %v", err)
	}
}

func TestWithoutUsersNobodyGetsIn(t *testing.T) {
	t.Parallel()
	for _, method := range []auth.Method{auth.MethodMD5, auth.MethodSCRAM} {
		_, err := login(t, auth.NewVerifier(nil, method, auth.MockKey{}), "bob", "")
		wantRefused(t, err, "bob", "no such user")
	}
	_, err := login(t, auth.NewVerifier(nil, "ident", auth.MockKey{}), "bob", "")
	if e := pgerr.From(err); e.Code != pgerr.InternalError || e.Severity != pgerr.SeverityFatal {
		t.Errorf("unknown method: %v", err)
	}
}

func TestUnknownUserAlwaysShowsTheSameSalt(t *testing.T) {
	t.Parallel()
	mock, err := auth.NewMockKey(bytes.NewReader(bytes.Repeat([]byte{7}, 32)))
	if err != nil {
		t.Fatal(err)
	}
	factors := func(users *auth.Users, mock auth.MockKey, user string) string {
		e, err := auth.NewVerifier(users, auth.MethodSCRAM, mock).Begin(user, rand.Reader)
		if err != nil {
			t.Fatal(err)
		}
		reply, _, err := e.Step(initialResponse("SCRAM-SHA-256", "n,,n=,r=abc"))
		if err != nil {
			t.Fatal(err)
		}
		_, factors, _ := strings.Cut(string(reply), ",")
		return factors
	}
	without := mustUsers(t, map[string]string{"ann": "x"})
	with := mustUsers(t, map[string]string{"ann": "x", "bob": "y"})
	first := factors(without, mock, "bob")
	if again := factors(without, mock, "bob"); again != first {
		t.Errorf("salt changed from %s to %s", first, again)
	}
	if known := factors(with, mock, "bob"); known != first {
		t.Errorf("salt tells that bob became known: %s, was %s", known, first)
	}
	if other := factors(without, mock, "carl"); other == first {
		t.Errorf("two users share %s", first)
	}
	if other := factors(without, auth.MockKey{}, "bob"); other == first {
		t.Errorf("two keys give %s", first)
	}
	if !strings.HasSuffix(first, ",i=4096") {
		t.Errorf("unknown user shows %s, plain users i=4096", first)
	}
	verifiers := mustUsers(t, map[string]string{
		"a": scramSecret(t, "x", 5000), "b": scramSecret(t, "x", 5000), "c": scramSecret(t, "x", 6000),
	})
	if got := factors(verifiers, mock, "bob"); !strings.HasSuffix(got, ",i=5000") {
		t.Errorf("unknown user shows %s, most verifiers have i=5000", got)
	}
}

func TestNoncesAreNotRepeated(t *testing.T) {
	t.Parallel()
	v := auth.NewVerifier(mustUsers(t, map[string]string{"ann": "x"}), auth.MethodSCRAM, auth.MockKey{})
	seen := make(map[string]bool)
	for range 100 {
		e, _ := v.Begin("ann", rand.Reader)
		reply, _, err := e.Step(initialResponse("SCRAM-SHA-256", "n,,n=,r=abc"))
		if err != nil || seen[string(reply)] {
			t.Fatalf("reply %q repeated: %v", reply, err)
		}
		seen[string(reply)] = true
	}
}

func TestBrokenRandomSourceEndsTheLogin(t *testing.T) {
	t.Parallel()
	users := mustUsers(t, map[string]string{"ann": "x"})
	for _, method := range []auth.Method{auth.MethodMD5, auth.MethodSCRAM} {
		_, err := auth.NewVerifier(users, method, auth.MockKey{}).Begin("ann", strings.NewReader("x"))
		if e := pgerr.From(err); e.Code != pgerr.InternalError {
			t.Errorf("%s: %v", method, err)
		}
	}
	if _, err := auth.NewMockKey(strings.NewReader("short")); err == nil {
		t.Error("mock key of 5 bytes")
	}
}
