// Package auth decides who the client is, and keeps the secrets with which
// Penstock proves itself to a server.
//
// The proxy's startup calls it: a Verifier, made once per configuration from
// the Users of the userlist, begins one Exchange per login, and the proxy
// carries its messages. cmd and the configuration load Users; the pool asks
// Secret.Plain for the password of a server login.
//
// The package never does I/O on a socket, never frames a message, never logs,
// and never gives away a secret: Secret and MockKey print as placeholders. What
// a client learns is always a pgerr value; why a login failed is its cause, for
// the log. An unknown user gets the same messages, and costs the same HMACs
// and, on a first login, the same PBKDF2, as a user of the file with a wrong
// password (PostgreSQL's mock authentication, auth-scram.c).
//
// The server's half of SCRAM (RFC 5802, RFC 7677) is written here and not
// taken from xdg-go/scram, whose client is the oracle of the tests: that
// library reads the user name in the message where PostgreSQL ignores it,
// accepts an authorization identity, puts no limit on the nonce, splits a
// message into as many strings as it has commas, and offers no place for mock
// authentication. SASLprep follows pg_saslprep on xdg-go/stringprep's tables,
// because PostgreSQL differs from RFC 4013 in details that decide whether a
// password matches.
//
// There are no goroutines. Users and Secret are immutable, a Verifier may be
// used from any goroutine, an Exchange belongs to one login. The only locks are
// the sync.Once of each user's SCRAM keys; PBKDF2 runs under it, no I/O.
//
//	exchange, err := verifier.Begin(user, rand.Reader)
//	message, done := exchange.Start()
//	for err == nil && !done {
//		send('R', message)                    // nothing to send when empty
//		message, done, err = exchange.Step(read('p'))
//	}
//	send('R', message)                        // then AuthenticationOk
package auth
