package auth

import (
	"bytes"
	"crypto/md5"
	"crypto/subtle"
	"encoding/hex"
	"io"

	"github.com/penstock/penstock/internal/pgerr"
)

const authMD5Password = 5

// md5Hex is PostgreSQL's pg_md5_encrypt without its "md5".
func md5Hex(secret, salt string) string {
	sum := md5.Sum([]byte(secret + salt))
	return hex.EncodeToString(sum[:])
}

// beginMD5 asks for "md5" + md5(md5(password + user) + salt). Manual, Message
// Flow, AuthenticationMD5Password.
func (v *Verifier) beginMD5(user string, secret Secret, p pretence, rnd io.Reader) (*Exchange, error) {
	var salt [4]byte
	if _, err := io.ReadFull(rnd, salt[:]); err != nil {
		return nil, pgerr.Internal(err).Fatal()
	}
	stored := hex.EncodeToString(p.mac[:16])
	doomed := errUnknownUser
	switch {
	case secret.kind() == kindPlain, secret.kind() == kindMD5:
		stored, doomed = secret.reveal().md5, nil
	case secret.reveal != nil:
		doomed = errNoPassword
	}
	want := "md5" + md5Hex(stored, string(salt[:]))
	return &Exchange{
		request: append(appendCode(nil, authMD5Password), salt[:]...),
		step: func(body []byte) ([]byte, bool, error) {
			err := checkMD5(user, want, body, doomed)
			return nil, err == nil, err
		},
	}, nil
}

func checkMD5(user, want string, body []byte, doomed error) error {
	got, ok := bytes.CutSuffix(body, []byte{0})
	if !ok || bytes.IndexByte(got, 0) >= 0 {
		return pgerr.Violation("invalid password packet size")
	}
	equal := subtle.ConstantTimeCompare(got, []byte(want)) == 1
	switch {
	case doomed != nil:
		return pgerr.WrongPassword(user).With(doomed)
	case len(got) == 0:
		return pgerr.WrongPassword(user).With(errEmptyPassword)
	case !equal:
		return pgerr.WrongPassword(user).With(errWrongPassword)
	}
	return nil
}
