package auth_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/penstock/penstock/internal/auth"
)

func TestUserlistIsReadAsPgBouncerReadsIt(t *testing.T) {
	t.Parallel()
	verifier := scramSecret(t, "pencil", 4096)
	text := strings.Join([]string{
		`; a comment`, ``, `   ; an indented one`,
		`"ann" "pencil"`,
		"\t\"bob\"\t\"" + md5Secret("pencil", "bob") + "\"\r",
		`"carl" "` + verifier + `"`,
		`"dora ""the"" quoted" "say ""friend"""`,
		`"eve" ""`,
		`"from pg_auth" "x" "" ignored`,
		`"f" "y"; comment behind`,
		`"g""md5"`, // PgBouncer reads this as a name with a quote and no secret
		`"h" ";no comment"`,
		`"ann" "pencil"`, // the same again does no harm
	}, "\n")
	_, err := auth.ParseUserlist("userlist.txt", strings.NewReader(text))
	if err == nil || !strings.HasPrefix(err.Error(), "userlist.txt:11: ") || strings.Contains(err.Error(), "\n") {
		t.Fatalf("want one problem, on line 11: %v", err)
	}
	users, err := auth.ParseUserlist("userlist.txt", strings.NewReader(strings.Replace(text, `"g""md5"`, "", 1)))
	if err != nil {
		t.Fatal(err)
	}
	want := []string{"ann", "bob", "carl", `dora "the" quoted`, "eve", "f", "from pg_auth", "h"}
	if got := users.Names(); !slices.Equal(got, want) {
		t.Errorf("names %q, want %q", got, want)
	}
	for user, want := range map[string]string{"ann": "pencil", `dora "the" quoted`: `say "friend"`, "h": ";no comment"} {
		s, _ := users.Lookup(user)
		if got, ok := s.Plain(); !ok || got != want {
			t.Errorf("%s has %q %v, want %q", user, got, ok, want)
		}
	}
	for user, want := range map[string]string{"ann": "plain", "bob": "md5", "carl": "scram-sha-256", "eve": "none"} {
		s, ok := users.Lookup(user)
		if _, plain := s.Plain(); !ok || s.Kind() != want || plain != (want == "plain") {
			t.Errorf("%s has a %s secret, want %s", user, s.Kind(), want)
		}
	}
	if _, ok := users.Lookup("nobody"); ok {
		t.Error("an unknown user was found")
	}
}

func TestAllProblemsOfAUserlistAreReportedAtOnce(t *testing.T) {
	t.Parallel()
	const hidden = "hunter2"
	rows := []struct{ line, want string }{
		{`ann "` + hidden + `"`, "user name must start with a double quote"},
		{`"ann`, "user name has no closing quote"},
		{`"ann"`, "secret must start with a double quote"},
		{`"ann" ` + hidden, "secret must start with a double quote"},
		{`"ann" "` + hidden, "secret has no closing quote"},
		{`"ann" "` + hidden + `"x`, "directly after the secret"},
		{`"" "` + hidden + `"`, "user name is empty"},
		{`"` + strings.Repeat("u", 128) + `" "x"`, "user name is longer"},
		{`"ann" "` + strings.Repeat("p", 2048) + `"`, "secret is longer"},
		{"\"a\x00b\" \"x\"", "user name contains a NUL"},
		{"\"ann\" \"" + hidden + "\x00\"", "secret contains a NUL"},
		{`"twice" "a"`, ""},
		{`"twice" "` + hidden + `"`, "already has another secret on line 12"},
		{"\"e\x1b\" \"md5" + strings.Repeat("A", 32) + "\"", `user "e\x1b": md5 secret has upper-case`},
		{`"v" "SCRAM-SHA-256$hunter2"`, "want SCRAM-SHA-256$iterations"},
		{`"v" "SCRAM-SHA-256$0:c2FsdA==$x:y"`, "iterations must be"},
		{`"v" "SCRAM-SHA-256$10000001:c2FsdA==$x:y"`, "iterations must be"},
		{`"v" "SCRAM-SHA-256$4096:$x:y"`, "salt"},
		{`"v" "SCRAM-SHA-256$4096:hunter2!$x:y"`, "salt"},
		{`"v" "SCRAM-SHA-256$4096:c2FsdA==$hunter2:y"`, "key is not 32 bytes"},
		{`"v" "SCRAM-SHA-256$4096:c2FsdA==$` + b64(make([]byte, 32)) + `:` + b64(make([]byte, 31)) + `"`, "key is not 32 bytes"},
	}
	var text, want []string
	for i, row := range rows {
		text = append(text, row.line)
		if row.want != "" {
			want = append(want, fmt.Sprintf("u.txt:%d: ", i+1)+"|"+row.want)
		}
	}
	users, err := auth.ParseUserlist("u.txt", strings.NewReader(strings.Join(text, "\n")))
	if err == nil || users != nil {
		t.Fatalf("got %v, %v", users, err)
	}
	got := strings.Split(err.Error(), "\n")
	if len(got) != len(want) {
		t.Fatalf("%d problems, want %d:\n%v", len(got), len(want), err)
	}
	for i := range want {
		line, message, _ := strings.Cut(want[i], "|")
		if !strings.HasPrefix(got[i], line) || !strings.Contains(got[i], message) {
			t.Errorf("problem %q, want %s%s", got[i], line, message)
		}
	}
	if strings.Contains(err.Error(), hidden) {
		t.Errorf("a secret is in the error: %v", err)
	}
}

func TestUserlistThatCannotBeReadIsAnError(t *testing.T) {
	t.Parallel()
	broken := errors.New("disk")
	if _, err := auth.ParseUserlist("u.txt", iotest.ErrReader(broken)); !errors.Is(err, broken) {
		t.Errorf("got %v", err)
	}
}

func TestNewUsersReportsAllProblemsAndMergePrefersTheOther(t *testing.T) {
	t.Parallel()
	_, err := auth.NewUsers(map[string]string{"a": "SCRAM-SHA-256$", "b": "ok", "c": "x\x00"})
	if err == nil || strings.Count(err.Error(), "\n") != 1 {
		t.Errorf("want two problems: %v", err)
	}
	merged := mustUsers(t, map[string]string{"a": "1", "b": "2"}).Merge(mustUsers(t, map[string]string{"b": "3"}))
	a, _ := merged.Lookup("a")
	b, _ := merged.Lookup("b")
	if p, _ := a.Plain(); p != "1" {
		t.Errorf("a has %q", p)
	}
	if p, _ := b.Plain(); p != "3" {
		t.Errorf("b has %q", p)
	}
	var none *auth.Users
	if _, ok := none.Lookup("a"); ok || len(none.Names()) != 0 || len(none.Merge(nil).Names()) != 0 {
		t.Error("nil Users are not empty")
	}
}

func TestSecretsCannotBePrinted(t *testing.T) {
	t.Parallel()
	const hidden = "hunter2"
	secret, err := auth.ParseSecret("ann", hidden)
	if err != nil {
		t.Fatal(err)
	}
	users := mustUsers(t, map[string]string{"ann": hidden})
	type holder struct {
		secret  auth.Secret
		Public  auth.Secret
		users   *auth.Users
		mock    auth.MockKey
		secrets []auth.Secret
	}
	mock, err := auth.NewMockKey(strings.NewReader(strings.Repeat(hidden, 5)))
	if err != nil {
		t.Fatal(err)
	}
	v := auth.NewVerifier(users, auth.MethodMD5, mock)
	h := holder{secret, secret, users, mock, []auth.Secret{secret}}
	var out strings.Builder
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%d"} {
		for _, value := range []any{secret, &secret, h, &h, users, *users, mock, &mock, v} {
			fmt.Fprintf(&out, verb+"\n", value)
		}
	}
	encoded, err := json.Marshal([]any{secret, h, users, mock, map[string]auth.Secret{"a": secret}})
	if err != nil {
		t.Fatal(err)
	}
	out.Write(encoded)
	log := slog.New(slog.NewJSONHandler(&out, nil))
	log.Info("m", "secret", secret, "mock", mock, "holder", h, "users", users)
	slog.New(slog.NewTextHandler(&out, nil)).Info("m", "secret", secret, "mock", mock, "holder", h)
	md5 := strings.TrimPrefix(md5Secret(hidden, "ann"), "md5")
	for _, leak := range []string{hidden, md5, fmt.Sprintf("%x", hidden), fmt.Sprintf("%X", hidden), "104 117 110 116"} {
		if i := strings.Index(out.String(), leak); i >= 0 {
			t.Errorf("leaked %q in %q", leak, out.String()[max(0, i-40):i+40])
		}
	}
	if got := secret.String(); got != "[plain secret]" {
		t.Errorf("String() = %q", got)
	}
	if got := (auth.Secret{}).String(); got != "[none secret]" {
		t.Errorf("zero String() = %q", got)
	}
}

func TestMethodsHaveNames(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"trust", "md5", "scram-sha-256"} {
		if m, err := auth.ParseMethod(name); err != nil || string(m) != name {
			t.Errorf("%s: %v %v", name, m, err)
		}
	}
	if _, err := auth.ParseMethod("password"); err == nil {
		t.Error("password is not a method of this release")
	}
}

func FuzzUserlist(f *testing.F) {
	f.Add(`"ann" "pencil"`)                                                    // a password
	f.Add("; comment\n\n\"a\" \"md5" + strings.Repeat("0", 32) + "\"\r\n")     // a hash
	f.Add(`"v" "SCRAM-SHA-256$4096:c2FsdA==$` + b64(make([]byte, 32)) + `:x"`) // half a verifier
	f.Add(`"v" "` + scramSecret(f, "x", 4096) + `" rest`)                      // a whole one
	f.Add(`"a""b" "c""""d"`)                                                   // doubled quotes
	f.Add(`"a" "b` + "\n" + `c"`)                                              // a quote over two lines
	f.Add(`"a" "SCRAM-SHA-256$99999999999999999999:AA==$:"`)                   // a number too big
	f.Add("\"\x00\" \"\xff\"")                                                 // bytes that are no text
	f.Fuzz(func(t *testing.T, text string) {
		users, err := auth.ParseUserlist("f", strings.NewReader(text))
		if (users == nil) == (err == nil) {
			t.Fatalf("users %v, error %v", users, err)
		}
		again := make(map[string]string)
		for _, name := range users.Names() {
			s, ok := users.Lookup(name)
			if !ok || name == "" {
				t.Errorf("user %q cannot be found", name)
			}
			if plain, ok := s.Plain(); ok {
				again[name] = plain
			}
		}
		// What was read can be written and is then read as the same.
		var b strings.Builder
		for name, plain := range again {
			quote := func(s string) string { return `"` + strings.ReplaceAll(s, `"`, `""`) + `"` }
			b.WriteString(quote(name) + " " + quote(plain) + "\n")
		}
		copied, err := auth.ParseUserlist("again", strings.NewReader(b.String()))
		if err != nil || len(copied.Names()) != len(again) {
			t.Errorf("%q is not read back: %v", b.String(), err)
		}
	})
}
