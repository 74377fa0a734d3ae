package auth

import (
	"crypto/md5"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"strconv"
	"strings"
)

// Limits of a secret. PgBouncer's are the lengths; the iterations are what
// pgx accepts from a server (CVE-2026-42198 and its like).
const (
	maxUserLength   = 127
	maxSecretLength = 2047
	maxIterations   = 10_000_000
	maxSaltLength   = 1024
)

type secretKind uint8

const (
	kindNone  secretKind = iota // empty: no password is right
	kindPlain                   // the password itself
	kindMD5                     // "md5" and the hash of password and user
	kindSCRAM                   // a SCRAM-SHA-256 verifier
	kindCount
)

// Secret is what one user's password is checked against. It cannot be printed,
// not even as an unexported part of something that is printed, where fmt calls
// no methods and follows pointers if the verb is wrong: a func is always shown
// as an address. The zero Secret lets nobody in.
type Secret struct{ reveal func() *secretData }

func newSecret(data *secretData) Secret {
	return Secret{func() *secretData { return data }}
}

// Immutable after ParseSecret.
type secretData struct {
	kind  secretKind
	plain string        // kindPlain
	md5   string        // kindPlain, kindMD5: 32 hex digits, without "md5"
	scram scramVerifier // kindSCRAM
}

// scramVerifier is what RFC 5802 lets a server keep instead of a password.
type scramVerifier struct {
	iterations int
	salt       []byte
	storedKey  key
	serverKey  key
}

// ParseSecret reads a secret of user as it stands in a userlist or in
// pg_authid: "md5" with 32 hex digits, a SCRAM-SHA-256 verifier, or else the
// password itself. An empty text is a user whom no password lets in. Errors
// never repeat the text.
func ParseSecret(user, text string) (Secret, error) {
	if len(text) > maxSecretLength {
		return Secret{}, fmt.Errorf("secret is longer than %d bytes", maxSecretLength)
	}
	if strings.IndexByte(text, 0) >= 0 {
		return Secret{}, errors.New("secret contains a NUL byte")
	}
	if text == "" {
		return newSecret(&secretData{kind: kindNone}), nil
	}
	if verifier, ok := strings.CutPrefix(text, "SCRAM-SHA-256$"); ok {
		v, err := parseSCRAMVerifier(verifier)
		if err != nil {
			return Secret{}, err
		}
		return newSecret(&secretData{kind: kindSCRAM, scram: v}), nil
	}
	if digits, ok := strings.CutPrefix(text, "md5"); ok && len(digits) == 2*md5.Size {
		if _, err := hex.DecodeString(digits); err == nil {
			if digits != strings.ToLower(digits) {
				return Secret{}, errors.New("md5 secret has upper-case digits; PostgreSQL writes lower case")
			}
			return newSecret(&secretData{kind: kindMD5, md5: digits}), nil
		}
	}
	return newSecret(&secretData{kind: kindPlain, plain: text, md5: md5Hex(text, user)}), nil
}

// parseSCRAMVerifier reads iterations:salt$storedKey:serverKey (PostgreSQL,
// parse_scram_secret).
func parseSCRAMVerifier(text string) (scramVerifier, error) {
	bad := func(what string) (scramVerifier, error) {
		return scramVerifier{}, errors.New("SCRAM verifier: " + what)
	}
	factors, keys, ok := strings.Cut(text, "$")
	iterationText, saltText, ok2 := strings.Cut(factors, ":")
	storedText, serverText, ok3 := strings.Cut(keys, ":")
	if !ok || !ok2 || !ok3 {
		return bad("want SCRAM-SHA-256$iterations:salt$StoredKey:ServerKey")
	}
	iterations, err := strconv.Atoi(iterationText)
	if err != nil || iterations < 1 || iterations > maxIterations {
		return bad(fmt.Sprintf("iterations must be 1 to %d", maxIterations))
	}
	salt, err := base64.StdEncoding.DecodeString(saltText)
	if err != nil || len(salt) == 0 || len(salt) > maxSaltLength {
		return bad("salt is not base64 or has a wrong length")
	}
	v := scramVerifier{iterations: iterations, salt: salt}
	if !decodeKey(&v.storedKey, storedText) || !decodeKey(&v.serverKey, serverText) {
		return bad("a key is not 32 bytes of base64")
	}
	return v, nil
}

// kind returns the zero Secret's kind too.
func (s Secret) kind() secretKind {
	if s.reveal == nil {
		return kindNone
	}
	return s.reveal().kind
}

// Plain returns the password, for logging in to a server, if the secret is
// one.
func (s Secret) Plain() (string, bool) {
	if s.kind() != kindPlain {
		return "", false
	}
	return s.reveal().plain, true
}

// Kind names the form of the secret: "none", "plain", "md5" or
// "scram-sha-256".
func (s Secret) Kind() string {
	switch s.kind() {
	case kindPlain:
		return "plain"
	case kindMD5:
		return "md5"
	case kindSCRAM:
		return "scram-sha-256"
	default:
		return "none"
	}
}

// String returns a placeholder with the secret's form.
func (s Secret) String() string { return "[" + s.Kind() + " secret]" }

// Format writes the placeholder whatever the verb.
func (s Secret) Format(f fmt.State, _ rune) { _, _ = f.Write([]byte(s.String())) }

// LogValue returns the placeholder.
func (s Secret) LogValue() slog.Value { return slog.StringValue(s.String()) }

// MarshalText returns the placeholder, for JSON and TOML.
func (s Secret) MarshalText() ([]byte, error) { return []byte(s.String()), nil }
