package auth

import (
	"context"
	"crypto/rand"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/penstock/penstock/internal/pgerr"
)

// The verifiers were made by PostgreSQL 15: create role x password E'...';
// select rolpassword from pg_authid.
func TestKeysOfAPasswordAreThoseOfPostgreSQL(t *testing.T) {
	t.Parallel()
	rows := []struct{ name, password, verifier string }{
		{"ASCII", "pencil", "SCRAM-SHA-256$4096:RCttqhZTCkekOitspAJCMQ==$hHM+QrjnjV/MVKZBiv7v84ZT0wrPd3e53Sw7XNvCiMs=:GJuHapFzY5n+HbVrOWc4cynQAe7J+F15w5RD/80XC/0="},
		{"NFKC: feminine ordinal", "\u00aa", "SCRAM-SHA-256$4096:ErGAacppt0r6WGW2LFZ65w==$GoXPMP+Pxwo+CgVV1GwLoRh2Nmd09h6+K56xWb91hp0=:iOHiNKEESWjXuH2n0QdhoGUXfGcXDsnM2nmymq2zmnQ="},
		{"soft hyphen goes", "I\u00adX", "SCRAM-SHA-256$4096:Q8bho/FWlfmPZKUneBjqOg==$/rFw97C/uxaqjVNw8BIreEuMKClRGnBk6vlsnnK5prA=:bfCzxd65gx+SuaRaKGPGZJR+Lj2zm6axLXFOTfo51c8="},
		{"NFKC: roman nine", "\u2168", "SCRAM-SHA-256$4096:c856MyY80bAJUlcQ3zsd0g==$urmzlNqpWHZ+OU0buaudLIfTtF6bV32vhBhmZ1rebnA=:wue/Gb2CmnatQP1RfMF8rDkuMG13kP6SYTjn8cVLi/8="},
		{"no-break space", "a\u00a0b", "SCRAM-SHA-256$4096:RoFLoLHtqsTOOPtPOcywAw==$0et+ojMiLJ4DJCvBMTT5LiTUBNiz9yc5XcGOCQvSrbA=:cYWqs4329RldYnlVvU8XPCNVvCTAI2fXjrIn0ySsyPw="},
		{"control in ASCII stays", "a\ab", "SCRAM-SHA-256$4096:vsP36y07nA0ViKcgWlW5tA==$j+sadXFmGlUq6juOGrQhE20va/ZYgxJu/6oVIMvmjOY=:iQrbBkXRc/xB+jgZnLO4KPwp3vvzzKDR0k09MfDT9gg="},
		{"broken bidi rule: raw", "\u06271", "SCRAM-SHA-256$4096:QsDlhxfFOGNiyxN1cSY6jg==$leXtg50UokuGik4s+EBJg55xDi7q5sl/aEHQc6T+hjA=:DEriokIDAeA6rux4rh4k83r8LjQz0B6KNzVAgGaVJGM="},
		{"right-to-left with a letter: raw", "\u0627\u00aa", "SCRAM-SHA-256$4096:vzBKM1JoBh5GIGqY96IGqw==$BCDWM6wV9C9HmV0P/06obm/prnOVlLffMWpnIDaDU8A=:vV2XuAec/y8DakMlEHaCf7SwWL+teMBXdF2kDax3aCw="},
		{"unassigned in Unicode 3.2: raw", "key\U0001F511", "SCRAM-SHA-256$4096:Nw8TLadSBkBvn9tK7LYoIQ==$n9Svrv6Vd09s8UKunYI5/vkhvf/YZukakyVqsrjDQJs=:+jXXM5bzIRApp2r6+noYs0vuq98gXv+LqrToRgKTmKM="},
		{"nothing left: raw", "\u00ad", "SCRAM-SHA-256$4096:FQpcTX8AhrNSqlCwM3BmrQ==$pNF7dxxMcGFGGQ3eK+/rWBDMKvehEjcRoytK8xa3AV4=:xYsZTuz7MQR7IvpswFaJt0wuZy0YBgl8cqCwCyYjyGI="},
		{"prohibited before NFKC: raw", "\u0340x", "SCRAM-SHA-256$4096:xcidUdRZPhH7EK7VHrjQrw==$yYzWE+a44d7VGA1WdaAlo+vxs6t0Xh5J/KHU/3PJctg=:xC2RXsIoHvU0gI4t31azpChb9eGIpZMEirzfSc7DpGk="},
		{"unassigned: raw", "\u0221", "SCRAM-SHA-256$4096:vgSOBVqS+NTdaotPoVoUcQ==$fpKGM48h+cvrP1KMDyQVt6tBYjzJmoSfk7LCFI4+ZCs=:fm0xQf+zY58x4AdXi4FEMd1fc+SycXVYXiskf33oPdQ="},
		{"umlauts", "p\u00e4ss w\u00f6rd", "SCRAM-SHA-256$4096:Xoxb/9YLjmTW50BDzg23Ew==$O++udPykswarUQQ6jLJ6Ja+D9YhwfIf73HHgUK59PDM=:ZFx/9wts+nOSZJWsFeUVdUTSjORr+7SohA0YukQe84s="},
		{"NFKC: angstrom", "\u212b", "SCRAM-SHA-256$4096:h5Njvadj8Y9bADvDDIzm6w==$0JlFoZ3Lx6nk39jNjYCBkjLZv4eC5ga70plQ0ETH4R0=:0Aha8ylawuToMxwEG8JGYv8Fl0Jk17kJhHJMR3+tcls="},
	}
	for _, row := range rows {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()
			secret, err := ParseSecret("x", row.verifier)
			if err != nil {
				t.Fatal(err)
			}
			want := secret.reveal().scram
			got, err := newPrimitives().newVerifier(row.password, want.salt, want.iterations)
			if err != nil || got.storedKey != want.storedKey || got.serverKey != want.serverKey {
				t.Errorf("%q prepared as %q gives other keys: %v", row.password, saslprep(row.password), err)
			}
		})
	}
}

func TestSaslprepKeepsWhatIsNoUTF8AndZeroWidthSpaceIsASpace(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]string{"\xff\u00aa": "\xff\u00aa", "a\u200bb": "a b", "": ""} {
		if got := saslprep(in); got != want {
			t.Errorf("saslprep(%q) = %q, want %q", in, got, want)
		}
	}
}

// RFC 7677, section 3.
func TestExchangeOfRFC7677(t *testing.T) {
	t.Parallel()
	salt, _ := base64.StdEncoding.DecodeString("W22ZaJ0SNY7soEsUEjb6gQ==")
	verifier, err := newPrimitives().newVerifier("pencil", salt, 4096)
	if err != nil {
		t.Fatal(err)
	}
	s := &scramServer{
		user: "user", work: newPrimitives(), verifier: verifier,
		serverNonce: "%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0",
	}
	e := new(Exchange)
	reply, _, err := s.first(e, []byte("n,,n=user,r=rOprNGfwEbeRWgbNEkqO"))
	want := "r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096"
	if err != nil || string(reply[4:]) != want {
		t.Fatalf("server-first %q %v", reply, err)
	}
	reply, done, err := s.final([]byte("c=biws,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0," +
		"p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ="))
	if err != nil || !done || string(reply[4:]) != "v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4=" {
		t.Fatalf("server-final %q %v %v", reply, done, err)
	}
}

// counted makes v count its costly operations.
func counted(v *Verifier) (hmacs, pbkdf2s *int) {
	hmacs, pbkdf2s = new(int), new(int)
	actual := newPrimitives()
	v.work.hmac = func(secret []byte, parts ...string) key {
		*hmacs++
		return actual.hmac(secret, parts...)
	}
	v.work.pbkdf2 = func(password string, salt []byte, iterations int) (key, error) {
		*pbkdf2s += iterations
		return actual.pbkdf2(password, salt, iterations)
	}
	return hmacs, pbkdf2s
}

// refuse lets user fail with well-formed messages and returns their number and
// the lengths of what the server said.
func refuse(t testing.TB, v *Verifier, user string) (lengths []int) {
	t.Helper()
	e, err := v.Begin(user, rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	request, _ := e.Start()
	lengths = append(lengths, len(request))
	if binary.BigEndian.Uint32(request) == authMD5Password {
		_, _, err = e.Step([]byte("md5" + strings.Repeat("0", 32) + "\x00"))
	} else {
		first := "n,,n=,r=abcdefghijklmnopqrstuvwx"
		body := binary.BigEndian.AppendUint32([]byte(mechanism+"\x00"), uint32(len(first)))
		var reply []byte
		reply, _, err = e.Step(append(body, first...))
		if err != nil {
			t.Fatal(err)
		}
		lengths = append(lengths, len(reply))
		nonce, _, _ := strings.Cut(string(reply[6:]), ",")
		proof := base64.StdEncoding.EncodeToString(make([]byte, 32))
		_, _, err = e.Step([]byte("c=biws,r=" + nonce + ",p=" + proof))
	}
	if pgerr.From(err).Code != pgerr.InvalidPassword {
		t.Fatalf("%s: %v", user, err)
	}
	return lengths
}

const testVerifier = "SCRAM-SHA-256$4096:UYo+B5YxUeIIw9zX43u7fA==" +
	"$ars+/Awq4hlPD0e93oNkY6xrhHecYKm0IhtjmZ3OQCA=:nMD1HlqxGF5U/kx2wmV6E4S8MtpQyLpadtKaI4Oxt0c="

func TestUnknownUserCostsWhatAWrongPasswordCosts(t *testing.T) {
	t.Parallel()
	for _, secret := range []string{"pencil", "md5" + strings.Repeat("0", 32), testVerifier, ""} {
		for _, method := range []Method{MethodMD5, MethodSCRAM} {
			t.Run(fmt.Sprintf("%s, %.5s", method, secret), func(t *testing.T) {
				t.Parallel()
				users, err := NewUsers(map[string]string{"known": secret})
				if err != nil {
					t.Fatal(err)
				}
				cost := func(user string) string {
					v := NewVerifier(users, method, MockKey{})
					hmacs, pbkdf2s := counted(v)
					var all []string
					for range 3 { // the first login costs more than the others
						lengths := refuse(t, v, user)
						all = append(all, fmt.Sprint(lengths, *hmacs, *pbkdf2s))
						*hmacs, *pbkdf2s = 0, 0
					}
					return strings.Join(all, "; ")
				}
				if known, unknown := cost("known"), cost("other"); known != unknown {
					t.Errorf("message lengths, HMACs, iterations of three logins:\nknown   %s\nunknown %s", known, unknown)
				}
			})
		}
	}
}

func TestUnknownUsersHaveTheKindsOfKnownOnes(t *testing.T) {
	t.Parallel()
	secrets := make(map[string]string)
	for i := range 30 {
		secrets[fmt.Sprint("md5", i)] = "md5" + strings.Repeat("0", 32)
	}
	for i := range 10 {
		secrets[fmt.Sprint("scram", i)] = testVerifier
	}
	users, err := NewUsers(secrets)
	if err != nil {
		t.Fatal(err)
	}
	v := NewVerifier(users, MethodMD5, MockKey{func() key { return key{1} }})
	var kinds [kindCount]int
	for i := range 1000 {
		kinds[v.pretend(fmt.Sprint(i)).kind]++
	}
	if n := kinds[kindSCRAM]; n < 200 || n > 300 || n+kinds[kindMD5] != 1000 {
		t.Errorf("1000 unknown users have the kinds %v, want a quarter SCRAM", kinds)
	}
}

func TestUnknownUsersCannotBurnCPU(t *testing.T) {
	t.Parallel()
	users, _ := NewUsers(map[string]string{"known": "pencil"})
	v := NewVerifier(users, MethodSCRAM, MockKey{})
	n := 0
	v.work.pbkdf2 = func(string, []byte, int) (key, error) { n++; return key{}, nil }
	for i := range 5 * mockSlots {
		refuse(t, v, fmt.Sprint("other", i))
	}
	if n > mockSlots || n < mockSlots/2 {
		t.Errorf("%d unknown users cost %d PBKDF2, want at most %d", 5*mockSlots, n, mockSlots)
	}
}

func TestKnownAndUnknownUsersTakeTheSameTime(t *testing.T) {
	// Not parallel: it measures. Coarse on purpose: one PBKDF2 would be a
	// hundredfold, the limit is fivefold.
	for _, secret := range []string{"pencil", testVerifier} {
		users, _ := NewUsers(map[string]string{"known": secret})
		v := NewVerifier(users, MethodSCRAM, MockKey{})
		took := map[string][]time.Duration{}
		for range 200 {
			for _, user := range []string{"known", "other"} {
				start := time.Now()
				refuse(t, v, user)
				took[user] = append(took[user], time.Since(start))
			}
		}
		median := func(user string) time.Duration {
			slices.Sort(took[user])
			return took[user][100]
		}
		known, unknown := median("known"), median("other")
		t.Logf("known %v, unknown %v", known, unknown)
		if known > 5*unknown || unknown > 5*known {
			t.Errorf("median of a refusal: known %v, unknown %v", known, unknown)
		}
	}
}

func TestKeysAreDerivedOnceEvenAtOnce(t *testing.T) {
	t.Parallel()
	users, _ := NewUsers(map[string]string{"ann": "pencil"})
	v := NewVerifier(users, MethodSCRAM, MockKey{})
	n := 0 // guarded by the once that is tested; the race detector would see
	v.work.pbkdf2 = func(p string, s []byte, i int) (key, error) { n++; return pbkdf2SHA256(p, s, i) }
	var all sync.WaitGroup
	for range 16 {
		all.Go(func() { refuse(t, v, "ann") })
	}
	all.Wait()
	if n != 1 {
		t.Errorf("16 logins derived keys %d times", n)
	}
}

func TestWarmDerivesAllKeysAndStopsWithItsContext(t *testing.T) {
	t.Parallel()
	users, _ := NewUsers(map[string]string{"ann": "a", "bob": "b", "carl": testVerifier})
	v := NewVerifier(users, MethodSCRAM, MockKey{})
	_, iterations := counted(v)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := v.Warm(ctx); !errors.Is(err, context.Canceled) || *iterations != 0 {
		t.Errorf("cancelled: %v after %d iterations", err, *iterations)
	}
	if err := v.Warm(t.Context()); err != nil || *iterations != 2*defaultIterations {
		t.Errorf("%v after %d iterations", err, *iterations)
	}
	refuse(t, v, "ann")
	if *iterations != 2*defaultIterations {
		t.Error("a login derived keys again")
	}
	if err := NewVerifier(users, MethodMD5, MockKey{}).Warm(t.Context()); err != nil {
		t.Error(err)
	}
}

func TestFailureToDeriveIsOurBug(t *testing.T) {
	t.Parallel()
	users, _ := NewUsers(map[string]string{"ann": "a"})
	v := NewVerifier(users, MethodSCRAM, MockKey{})
	broken := errors.New("no PBKDF2 here")
	v.work.pbkdf2 = func(string, []byte, int) (key, error) { return key{}, broken }
	if err := v.Warm(t.Context()); !errors.Is(err, broken) {
		t.Errorf("got %v", err)
	}
}

// constant makes nonces repeat, so that recorded messages can be played again.
type constant struct{}

func (constant) Read(p []byte) (int, error) { clear(p); return len(p), nil }

// play returns the client's two messages for a login with testVerifier's
// password and constant nonces.
func play(tb testing.TB) (v *Verifier, first, final []byte) {
	tb.Helper()
	users, err := NewUsers(map[string]string{"ann": "pencil"})
	if err != nil {
		tb.Fatal(err)
	}
	v = NewVerifier(users, MethodSCRAM, MockKey{})
	const bare = "n=,r=abcdefghijklmnopqrstuvwx"
	first = binary.BigEndian.AppendUint32([]byte(mechanism+"\x00"), uint32(len(bare)+3))
	first = append(first, "n,,"+bare...)
	e, err := v.Begin("ann", constant{})
	if err != nil {
		tb.Fatal(err)
	}
	reply, _, err := e.Step(first)
	if err != nil {
		tb.Fatal(err)
	}
	nonce, _, _ := strings.Cut(string(reply[6:]), ",")
	without := "c=biws,r=" + nonce
	salted, err := pbkdf2SHA256("pencil", v.pretend("ann").salt(), defaultIterations)
	if err != nil {
		tb.Fatal(err)
	}
	keys, err := v.plain["ann"]()
	if err != nil {
		tb.Fatal(err)
	}
	proof := hmacSHA256(salted[:], "Client Key")
	signature := hmacSHA256(keys.storedKey[:], bare, ",", string(reply[4:]), ",", without)
	for i := range proof {
		proof[i] ^= signature[i]
	}
	final = []byte(without + ",p=" + base64.StdEncoding.EncodeToString(proof[:]))
	if _, done, err := e.Step(final); !done || err != nil {
		tb.Fatal(err)
	}
	return v, first, final
}

func BenchmarkLoginWithCachedKeys(b *testing.B) {
	v, first, final := play(b)
	b.ReportAllocs()
	for b.Loop() {
		e, err := v.Begin("ann", constant{})
		if err != nil {
			b.Fatal(err)
		}
		if _, _, err = e.Step(first); err != nil {
			b.Fatal(err)
		}
		if _, done, err := e.Step(final); !done || err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkDeriveKeys(b *testing.B) {
	for b.Loop() {
		if _, err := newPrimitives().newVerifier("pencil", []byte("0123456789abcdef"), defaultIterations); err != nil {
			b.Fatal(err)
		}
	}
}
