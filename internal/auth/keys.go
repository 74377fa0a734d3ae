package auth

import (
	"crypto/hmac"
	"crypto/pbkdf2"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"io"
	"log/slog"
)

// key is an output of SHA-256, as all keys of SCRAM-SHA-256 are.
type key [sha256.Size]byte

// keyText is the length of a key in base64.
const keyText = 44

// decodeKey reads the base64 of exactly one key. The length is checked first,
// since the decoder of the standard library skips new lines.
func decodeKey(dst *key, text string) bool {
	if len(text) != keyText {
		return false
	}
	var buf [keyText / 4 * 3]byte
	n, err := base64.StdEncoding.Strict().Decode(buf[:], []byte(text))
	copy(dst[:], buf[:])
	return err == nil && n == len(dst)
}

// primitives are the operations that cost time; tests count them.
type primitives struct {
	hmac   func(secret []byte, parts ...string) key
	pbkdf2 func(password string, salt []byte, iterations int) (key, error)
}

func newPrimitives() primitives {
	return primitives{hmac: hmacSHA256, pbkdf2: pbkdf2SHA256}
}

func hmacSHA256(secret []byte, parts ...string) (sum key) {
	mac := hmac.New(sha256.New, secret)
	for _, part := range parts {
		_, _ = io.WriteString(mac, part) // hash.Hash never fails
	}
	mac.Sum(sum[:0])
	return sum
}

func pbkdf2SHA256(password string, salt []byte, iterations int) (sum key, err error) {
	raw, err := pbkdf2.Key(sha256.New, password, salt, iterations, len(sum))
	if err != nil {
		return sum, fmt.Errorf("derive SCRAM keys: %w", err)
	}
	copy(sum[:], raw)
	return sum, nil
}

// newVerifier derives the keys of RFC 5802, section 3.
func (w primitives) newVerifier(password string, salt []byte, iterations int) (scramVerifier, error) {
	salted, err := w.pbkdf2(saslprep(password), salt, iterations)
	if err != nil {
		return scramVerifier{}, err
	}
	clientKey := w.hmac(salted[:], "Client Key")
	return scramVerifier{
		iterations: iterations,
		salt:       salt,
		storedKey:  sha256.Sum256(clientKey[:]),
		serverKey:  w.hmac(salted[:], "Server Key"),
	}, nil
}

// MockKey makes what unknown users are shown: stable for one key, and without
// it not to be told from real. Keep one for the life of the process; keep the
// same over restarts if that can be done (NewMockKey from a stored seed).
type MockKey struct{ reveal func() key } // see Secret

// NewMockKey reads a MockKey's 32 bytes from rnd.
func NewMockKey(rnd io.Reader) (MockKey, error) {
	var k key
	if _, err := io.ReadFull(rnd, k[:]); err != nil {
		return MockKey{}, fmt.Errorf("mock authentication key: %w", err)
	}
	return MockKey{func() key { return k }}, nil
}

func randomMockKey() MockKey {
	var k key
	_, _ = rand.Read(k[:]) // never fails (crypto/rand)
	return MockKey{func() key { return k }}
}

// String returns a placeholder.
func (MockKey) String() string { return "[mock key]" }

// Format writes the placeholder whatever the verb.
func (m MockKey) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, m.String()) }

// LogValue returns the placeholder.
func (m MockKey) LogValue() slog.Value { return slog.StringValue(m.String()) }
