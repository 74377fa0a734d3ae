package auth

import (
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"

	"github.com/penstock/penstock/internal/pgerr"
)

// Users is a set of users and their secrets. It is immutable and safe for any
// goroutine.
type Users struct{ byName map[string]Secret }

// NewUsers makes Users of names and secret texts (see ParseSecret). All
// problems are reported at once.
func NewUsers(secrets map[string]string) (*Users, error) {
	users := &Users{byName: make(map[string]Secret, len(secrets))}
	var problems []error
	for _, name := range slices.Sorted(maps.Keys(secrets)) {
		if err := users.add(name, secrets[name]); err != nil {
			problems = append(problems, err)
		}
	}
	if len(problems) > 0 {
		return nil, errors.Join(problems...)
	}
	return users, nil
}

// Lookup returns the secret of user.
func (u *Users) Lookup(user string) (Secret, bool) {
	if u == nil {
		return Secret{}, false
	}
	s, ok := u.byName[user]
	return s, ok
}

// Names returns all user names, sorted.
func (u *Users) Names() []string {
	if u == nil {
		return nil
	}
	return slices.Sorted(maps.Keys(u.byName))
}

// Merge returns the users of both; where both have one, other's secret holds.
// Either may be nil.
func (u *Users) Merge(other *Users) *Users {
	merged := &Users{byName: make(map[string]Secret)}
	for _, from := range []*Users{u, other} {
		if from != nil {
			maps.Copy(merged.byName, from.byName)
		}
	}
	return merged
}

func (u *Users) add(name, text string) error {
	if name == "" {
		return errors.New("user name is empty")
	}
	if len(name) > maxUserLength {
		return fmt.Errorf("user name is longer than %d bytes", maxUserLength)
	}
	if strings.IndexByte(name, 0) >= 0 {
		return errors.New("user name contains a NUL byte")
	}
	secret, err := ParseSecret(name, text)
	if err != nil {
		return fmt.Errorf("user \"%s\": %w", pgerr.Name(name), err)
	}
	u.byName[name] = secret
	return nil
}

// ParseUserlist reads PgBouncer's userlist.txt: a line per user with
// "name" "secret", quotes inside doubled, comments from a ';' at the start of
// a line. Like PgBouncer it ignores what follows after white space, but unlike
// PgBouncer it refuses what it cannot read instead of stopping there in
// silence. All problems are reported at once, each as name:line.
func ParseUserlist(name string, r io.Reader) (*Users, error) {
	text, err := io.ReadAll(r)
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", name, err)
	}
	users := &Users{byName: make(map[string]Secret)}
	seen := make(map[string]entry)
	var problems []error
	number := 0
	for line := range strings.Lines(string(text)) {
		number++
		line = strings.TrimSpace(line)
		if line == "" || line[0] == ';' {
			continue
		}
		user, secret, err := parseUserLine(line)
		if err == nil {
			err = users.addOnce(seen, user, entry{number, secret})
		}
		if err != nil {
			problems = append(problems, fmt.Errorf("%s:%d: %w", name, number, err))
		}
	}
	if len(problems) > 0 {
		return nil, errors.Join(problems...)
	}
	return users, nil
}

// entry is where a user first stood, and with what.
type entry struct {
	line   int
	secret string
}

// addOnce refuses a user who already has another secret: PgBouncer would take
// the last one, and somebody would wonder.
func (u *Users) addOnce(seen map[string]entry, user string, e entry) error {
	if err := u.add(user, e.secret); err != nil {
		return err
	}
	if first, ok := seen[user]; ok && first.secret != e.secret {
		return fmt.Errorf("user \"%s\" already has another secret on line %d", pgerr.Name(user), first.line)
	}
	seen[user] = e
	return nil
}

func parseUserLine(line string) (user, secret string, err error) {
	user, rest, err := unquote(line, "user name")
	if err != nil {
		return "", "", err
	}
	secret, rest, err = unquote(strings.TrimLeft(rest, " \t"), "secret")
	if err != nil {
		return "", "", err
	}
	if rest != "" && rest[0] != ' ' && rest[0] != '\t' && rest[0] != ';' {
		return "", "", errors.New("text directly after the secret; a quote inside must be doubled")
	}
	return user, secret, nil
}

// unquote reads one "text" with doubled quotes inside from the front of s.
func unquote(s, what string) (text, rest string, err error) {
	if s == "" || s[0] != '"' {
		return "", "", fmt.Errorf("%s must start with a double quote", what)
	}
	s = s[1:]
	var b strings.Builder
	for {
		part, after, found := strings.Cut(s, `"`)
		if !found {
			return "", "", fmt.Errorf("%s has no closing quote on this line", what)
		}
		b.WriteString(part)
		if !strings.HasPrefix(after, `"`) {
			return b.String(), after, nil
		}
		b.WriteByte('"')
		s = after[1:]
	}
}
