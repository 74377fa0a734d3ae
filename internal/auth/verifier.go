package auth

import (
	"context"
	"encoding/binary"
	"fmt"
	"io"
	"sync"

	"github.com/penstock/penstock/internal/pgerr"
)

// Method is how clients prove who they are: auth.method of the configuration.
type Method string

// The methods of this release.
const (
	MethodTrust Method = "trust"         // no proof; the user must be known if there are Users
	MethodMD5   Method = "md5"           // md5, or SCRAM for users with a SCRAM verifier, as PgBouncer
	MethodSCRAM Method = "scram-sha-256" // SCRAM, for users with a plain secret or a verifier
)

// ParseMethod returns the Method called name.
func ParseMethod(name string) (Method, error) {
	switch m := Method(name); m {
	case MethodTrust, MethodMD5, MethodSCRAM:
		return m, nil
	}
	return "", fmt.Errorf("unknown authentication method %q; there are %s, %s, %s",
		name, MethodTrust, MethodMD5, MethodSCRAM)
}

// defaultIterations is PostgreSQL's scram_iterations.
const defaultIterations = 4096

// mockSlots bounds the PBKDF2 that unknown users can make us do: one per slot
// and Verifier, about a second of CPU in all.
const mockSlots = 1024

// Verifier begins logins. It may be used from any goroutine; make a new one
// when the users change, with the same MockKey.
type Verifier struct {
	// Immutable after NewVerifier.
	users      *Users
	method     Method
	mock       MockKey
	work       primitives
	iterations int                   // the commonest of the verifiers
	kinds      [kindCount]int        // how many users have which kind of secret
	plain      map[string]derivation // keys of users with a plain secret

	// Each has its own lock.
	mockWork [mockSlots]sync.Once
}

// derivation returns the SCRAM keys of a plain secret: PBKDF2 at the first call,
// under its own lock, and the same answer ever after.
type derivation func() (scramVerifier, error)

// NewVerifier returns a Verifier for users, who may be nil: then MethodTrust
// lets anybody in and the other methods nobody. The zero MockKey is replaced by
// a random one.
func NewVerifier(users *Users, method Method, mock MockKey) *Verifier {
	if mock.reveal == nil {
		mock = randomMockKey()
	}
	v := &Verifier{
		users: users, method: method, mock: mock, work: newPrimitives(),
		iterations: defaultIterations, plain: make(map[string]derivation),
	}
	if users == nil {
		return v
	}
	seen := make(map[int]int)
	for name, secret := range users.byName {
		v.kinds[secret.kind()]++
		switch secret.kind() {
		case kindPlain:
			v.plain[name] = v.derivation(name, secret.reveal().plain)
		case kindSCRAM:
			seen[secret.reveal().scram.iterations]++
		default:
		}
	}
	// Unknown users who pretend to have a verifier show what most of them show.
	for n, count := range seen {
		if best := seen[v.iterations]; count > best || count == best && n < v.iterations {
			v.iterations = n
		}
	}
	return v
}

// Begin starts the login of user, the name of the startup packet. Random bytes
// come from rnd, in production crypto/rand.Reader. An error is a pgerr value.
func (v *Verifier) Begin(user string, rnd io.Reader) (*Exchange, error) {
	secret, known := v.users.Lookup(user)
	p := v.pretend(user) // done for everybody, so that it costs everybody
	kind := p.kind
	if known {
		kind = secret.kind()
	}
	switch {
	case v.method == MethodTrust:
		if !known && v.users != nil {
			return nil, pgerr.WrongPassword(user).With(errUnknownUser)
		}
		return &Exchange{done: true}, nil
	case v.method == MethodMD5 && kind != kindSCRAM:
		return v.beginMD5(user, secret, p, rnd)
	case v.method == MethodMD5, v.method == MethodSCRAM:
		return v.beginSCRAM(user, secret, kind, p, rnd)
	}
	return nil, pgerr.Internal(fmt.Errorf("authentication method %q", v.method)).Fatal()
}

// Warm derives the SCRAM keys of all users with a plain secret, so that no
// login has to; about a millisecond each. It is optional, stops when ctx does,
// and may run beside logins.
func (v *Verifier) Warm(ctx context.Context) error {
	if v.method != MethodSCRAM {
		return nil
	}
	for _, derive := range v.plain {
		if err := ctx.Err(); err != nil {
			return err
		}
		if _, err := derive(); err != nil {
			return err
		}
	}
	return nil
}

// derivation makes the keys of a password. Their salt is the one that the user
// would show if unknown, so that it says nothing, and stays when the users are
// loaded again.
func (v *Verifier) derivation(user, password string) derivation {
	return sync.OnceValues(func() (scramVerifier, error) {
		return v.work.newVerifier(password, v.pretend(user).salt(), defaultIterations)
	})
}

// pretence is what an unknown user shows: always the same for one name, and
// not to be told from a known user without the MockKey (PostgreSQL,
// mock_scram_secret).
type pretence struct {
	mac  key
	kind secretKind
}

func (v *Verifier) pretend(user string) pretence {
	mockKey := v.mock.reveal()
	p := pretence{mac: v.work.hmac(mockKey[:], "penstock mock user\x00", user)}
	total := 0
	for _, n := range v.kinds {
		total += n
	}
	if total == 0 {
		return p
	}
	// The kind decides which messages come and what the first login costs, so
	// unknown users have the known ones' kinds, in the same proportion.
	ticket := int(binary.BigEndian.Uint32(p.mac[16:20]) % uint32(total))
	for kind, n := range v.kinds {
		if ticket < n {
			p.kind = secretKind(kind)
			break
		}
		ticket -= n
	}
	return p
}

// mockVerifier is the verifier of a user who has none; no proof fits it.
func (v *Verifier) mockVerifier(kind secretKind, p pretence) scramVerifier {
	m := scramVerifier{iterations: defaultIterations, salt: p.salt(), storedKey: p.mac}
	if kind == kindSCRAM {
		m.iterations = v.iterations
	}
	return m
}

// salt is as long as PostgreSQL's (SCRAM_DEFAULT_SALT_LEN).
func (p pretence) salt() []byte { return p.mac[:16:16] }

// slot says which unknown names share a first login.
func (p pretence) slot() int { return int(binary.BigEndian.Uint16(p.mac[20:22]) % mockSlots) }

// Exchange is the authentication part of one login, a machine of steps without
// I/O. It belongs to one goroutine.
type Exchange struct {
	request []byte
	step    func(body []byte) (reply []byte, done bool, err error)
	done    bool
}

// Start returns the body of the first Authentication message, from its int32
// code on, and whether the login is already complete (trust; no message then).
// The caller owns the bytes.
func (e *Exchange) Start() (request []byte, done bool) { return e.request, e.done }

// Step takes the body of a 'p' message, which it does not keep, and returns the
// body of the next Authentication message, nil if there is none. When done is
// true the client has proved itself: send reply, then AuthenticationOk. An
// error is a pgerr value, FATAL, with the cause for the log; the exchange is
// over then.
func (e *Exchange) Step(body []byte) (reply []byte, done bool, err error) {
	if e.done {
		return nil, false, pgerr.Internal(errOver).Fatal()
	}
	reply, done, err = e.step(body)
	e.done = done || err != nil
	return reply, done, err
}

// appendCode starts the body of an Authentication message (manual, Message
// Formats, AuthenticationXXX).
func appendCode(dst []byte, code uint32) []byte {
	return binary.BigEndian.AppendUint32(dst, code)
}
