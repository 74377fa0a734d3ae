package auth

import (
	"bytes"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"encoding/binary"
	"fmt"
	"io"

	"github.com/penstock/penstock/internal/pgerr"
)

// Manual, Message Formats, AuthenticationXXX.
const (
	authSASL         = 10
	authSASLContinue = 11
	authSASLFinal    = 12
)

const (
	mechanism = "SCRAM-SHA-256"

	// serverNonceLength is PostgreSQL's SCRAM_RAW_NONCE_LEN.
	serverNonceLength = 18
	// maxClientNonce bounds what one login can make us keep and send back;
	// drivers send 24 bytes (CVE-2026-6665 was a long nonce).
	maxClientNonce = 1024
	// maxClientBare bounds client-first-message-bare, kept until the proof:
	// a user name that nobody reads, and a nonce.
	maxClientBare = 4096
)

// scramServer is the server's side of one SCRAM-SHA-256 conversation. The
// order of checks is PostgreSQL's (auth-scram.c); up to the proof it is the
// same for unknown users.
type scramServer struct {
	user     string
	work     primitives
	verifier scramVerifier                 // keys are unset if derive is not nil
	derive   func() (scramVerifier, error) // PBKDF2, at the first login
	doomed   error                         // why no proof can be right

	serverNonce string
	cbind       string // what the client-final message must repeat
	clientBare  string // client-first-message-bare
	serverFirst string
	nonce       string // client's and ours
}

func (v *Verifier) beginSCRAM(user string, secret Secret, kind secretKind, p pretence, rnd io.Reader) (*Exchange, error) {
	var raw [serverNonceLength]byte
	if _, err := io.ReadFull(rnd, raw[:]); err != nil {
		return nil, pgerr.Internal(err).Fatal()
	}
	s := &scramServer{
		user: user, work: v.work,
		verifier:    v.mockVerifier(kind, p),
		serverNonce: base64.StdEncoding.EncodeToString(raw[:]),
	}
	switch secret.kind() {
	case kindSCRAM:
		s.verifier = secret.reveal().scram
	case kindPlain:
		s.derive = v.plain[user]
	case kindMD5:
		s.doomed = errMD5ForSCRAM
	default:
		s.doomed = errNoPassword
		if secret.reveal == nil {
			s.doomed = errUnknownUser
		}
	}
	if s.doomed != nil && kind == kindPlain {
		s.derive = func() (scramVerifier, error) { return v.deriveNothing(user, s.verifier, p) }
	}
	e := &Exchange{request: appendCode(nil, authSASL)}
	e.request = append(e.request, mechanism+"\x00\x00"...)
	e.step = func(body []byte) ([]byte, bool, error) { return s.initial(e, body) }
	return e, nil
}

// deriveNothing does for an unknown user, once per slot, the work that derive
// does once per known one.
func (v *Verifier) deriveNothing(user string, verifier scramVerifier, p pretence) (scramVerifier, error) {
	v.mockWork[p.slot()].Do(func() { _, _ = v.derivation(user, user)() })
	return verifier, nil
}

// initial reads SASLInitialResponse: mechanism, int32 length or -1, data.
func (s *scramServer) initial(e *Exchange, body []byte) (reply []byte, done bool, err error) {
	name, rest, ok := bytes.Cut(body, []byte{0})
	if !ok || len(rest) < 4 {
		return nil, false, pgerr.InvalidMessageFormat()
	}
	if string(name) != mechanism {
		return nil, false, pgerr.Violation("client selected an invalid SASL authentication mechanism")
	}
	length, data := binary.BigEndian.Uint32(rest), rest[4:]
	if length == 1<<32-1 && len(data) == 0 {
		// No initial response: an empty challenge asks for it.
		e.step = func(body []byte) ([]byte, bool, error) { return s.first(e, body) }
		return appendCode(nil, authSASLContinue), false, nil
	}
	// The claimed length is compared and never counted with (CVE-2026-6664).
	if uint64(length) != uint64(len(data)) {
		return nil, false, pgerr.InvalidMessageFormat()
	}
	return s.first(e, data)
}

// first reads client-first-message and answers with server-first-message.
func (s *scramServer) first(e *Exchange, body []byte) (reply []byte, done bool, err error) {
	message, err := scramText(body)
	if err != nil {
		return nil, false, err
	}
	if err := s.parseFirst(message); err != nil {
		return nil, false, err
	}
	s.nonce += s.serverNonce
	s.serverFirst = fmt.Sprintf("r=%s,s=%s,i=%d",
		s.nonce, base64.StdEncoding.EncodeToString(s.verifier.salt), s.verifier.iterations)
	e.step = s.final
	return append(appendCode(nil, authSASLContinue), s.serverFirst...), false, nil
}

// parseFirst is PostgreSQL's read_client_first_message.
func (s *scramServer) parseFirst(message string) error {
	switch message[0] {
	case 'n': // no channel binding
		s.cbind = "biws" // base64 of "n,,"
	case 'y': // the client could, and saw that we do not offer it
		s.cbind = "eSws" // base64 of "y,,"
	case 'p':
		return pgerr.MalformedSCRAM("The client selected SCRAM-SHA-256 without channel binding, " +
			"but the SCRAM message includes channel binding data.")
	default:
		return pgerr.MalformedSCRAM("Unexpected channel-binding flag.")
	}
	rest := message[1:]
	if rest == "" || rest[0] != ',' {
		return pgerr.MalformedSCRAM("Comma expected after the channel-binding flag.")
	}
	rest = rest[1:]
	if rest != "" && rest[0] == 'a' {
		return pgerr.UnsupportedSCRAM("client uses authorization identity, but it is not supported")
	}
	if rest == "" || rest[0] != ',' {
		return pgerr.MalformedSCRAM("Unexpected attribute in client-first-message.")
	}
	bare := rest[1:]
	if bare != "" && bare[0] == 'm' {
		return pgerr.UnsupportedSCRAM("client requires an unsupported SCRAM extension")
	}
	if len(bare) > maxClientBare {
		return pgerr.MalformedSCRAM("The client-first-message is too long.")
	}
	// The user name counts for nothing: the startup packet has it.
	_, rest, ok := attribute(bare, 'n')
	nonce, rest, ok2 := attribute(rest, 'r')
	if !ok || !ok2 {
		return pgerr.MalformedSCRAM("User name and nonce expected in client-first-message.")
	}
	if len(nonce) > maxClientNonce {
		return pgerr.MalformedSCRAM("The nonce is too long.")
	}
	if !printable(nonce) {
		return pgerr.Violation("non-printable characters in SCRAM nonce")
	}
	for rest != "" {
		if _, rest, ok = attribute(rest, 0); !ok {
			return pgerr.MalformedSCRAM("Attribute expected in client-first-message.")
		}
	}
	s.clientBare, s.nonce = bare, nonce
	return nil
}

// final reads client-final-message and checks the proof.
func (s *scramServer) final(body []byte) (reply []byte, done bool, err error) {
	message, err := scramText(body)
	if err != nil {
		return nil, false, err
	}
	proof, withoutProof, err := s.parseFinal(message)
	if err != nil {
		return nil, false, err
	}
	verifier := s.verifier
	if s.derive != nil {
		if verifier, err = s.derive(); err != nil {
			return nil, false, pgerr.Internal(err).Fatal()
		}
	}
	// RFC 5802, section 3: ClientKey = ClientProof XOR ClientSignature.
	authMessage := []string{s.clientBare, ",", s.serverFirst, ",", withoutProof}
	signature := s.work.hmac(verifier.storedKey[:], authMessage...)
	var clientKey key
	subtle.XORBytes(clientKey[:], proof[:], signature[:])
	storedKey := sha256.Sum256(clientKey[:])
	equal := subtle.ConstantTimeCompare(storedKey[:], verifier.storedKey[:]) == 1
	switch {
	case s.doomed != nil:
		return nil, false, pgerr.WrongPassword(s.user).With(s.doomed)
	case !equal:
		return nil, false, pgerr.WrongPassword(s.user).With(errWrongPassword)
	}
	serverSignature := s.work.hmac(verifier.serverKey[:], authMessage...)
	reply = append(appendCode(nil, authSASLFinal), "v="...)
	return base64.StdEncoding.AppendEncode(reply, serverSignature[:]), true, nil
}

// parseFinal is PostgreSQL's read_client_final_message and verify_final_nonce.
func (s *scramServer) parseFinal(message string) (proof key, withoutProof string, err error) {
	cbind, rest, ok := attribute(message, 'c')
	if !ok {
		return proof, "", pgerr.MalformedSCRAM("Channel binding expected in client-final-message.")
	}
	if cbind != s.cbind {
		return proof, "", pgerr.Violation("unexpected SCRAM channel-binding attribute in client-final-message")
	}
	nonce, rest, ok := attribute(rest, 'r')
	if !ok {
		return proof, "", pgerr.MalformedSCRAM("Nonce expected in client-final-message.")
	}
	for rest != "" && rest[0] != 'p' {
		if _, rest, ok = attribute(rest, 0); !ok {
			return proof, "", pgerr.MalformedSCRAM("Attribute expected in client-final-message.")
		}
	}
	text, garbage, ok := attribute(rest, 'p')
	if !ok || !decodeKey(&proof, text) {
		return proof, "", pgerr.MalformedSCRAM("Malformed proof in client-final-message.")
	}
	if garbage != "" {
		return proof, "", pgerr.MalformedSCRAM("Garbage found at the end of client-final-message.")
	}
	if subtle.ConstantTimeCompare([]byte(nonce), []byte(s.nonce)) != 1 {
		return proof, "", pgerr.Violation("invalid SCRAM response").With(errNonce)
	}
	return proof, message[:len(message)-len(rest)-1], nil
}

// scramText returns a SASL message as the text it must be.
func scramText(body []byte) (string, error) {
	if len(body) == 0 {
		return "", pgerr.MalformedSCRAM("The message is empty.")
	}
	if bytes.IndexByte(body, 0) >= 0 {
		return "", pgerr.MalformedSCRAM("Message length does not match input length.")
	}
	return string(body), nil
}

// attribute cuts "x=value" off the front of s, and the comma behind it. A name
// of 0 means any letter.
func attribute(s string, name byte) (value, rest string, ok bool) {
	if len(s) < 2 || s[1] != '=' || name != 0 && s[0] != name || !isLetter(s[0]) {
		return "", "", false
	}
	for i := 2; i < len(s); i++ {
		if s[i] == ',' {
			return s[2:i], s[i+1:], true
		}
	}
	return s[2:], "", true
}

func isLetter(c byte) bool { return c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' }

// printable is RFC 5802's: ASCII without space, controls and comma.
func printable(s string) bool {
	for i := range len(s) {
		if s[i] < 0x21 || s[i] > 0x7e || s[i] == ',' {
			return false
		}
	}
	return true
}
