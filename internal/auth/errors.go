package auth

import "errors"

// Causes of a refused login, for the log; the client learns none of them.
var (
	errUnknownUser   = errors.New("no such user in the user list")
	errNoPassword    = errors.New("user has no password")
	errEmptyPassword = errors.New("client sent an empty password")
	errMD5ForSCRAM   = errors.New("user has an md5 secret, which cannot serve scram-sha-256")
	errWrongPassword = errors.New("password does not match")
	errNonce         = errors.New("nonce does not match")
	errOver          = errors.New("login goes on after its end")
)
