package config

import (
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/BurntSushi/toml"
)

// maxFile bounds the size of a configuration file.
const maxFile = 1 << 20

// Load reads and checks the file at path. ${NAME} comes from the environment of
// the process. A non-nil error is [Problems].
func Load(path string) (*Config, error) {
	data, err := readFile(path, maxFile)
	if errors.Is(err, fs.ErrNotExist) {
		err = errors.New("no such file")
	}
	if err != nil {
		return nil, Problems{{File: path, Message: err.Error()}}
	}
	return Parse(path, data, os.Getenv)
}

// Parse is Load for data that is already in memory. File names in data are
// relative to the folder of name; env answers for ${NAME}, "" = not set. A
// non-nil error is [Problems].
func Parse(name string, data []byte, env func(string) string) (*Config, error) {
	if env == nil {
		env = func(string) string { return "" }
	}
	r := &reader{file: name, dir: filepath.Dir(name), env: env}
	if len(data) > maxFile {
		return nil, Problems{{File: name, Message: errTooLarge.Error()}}
	}
	var root map[string]any
	if _, err := toml.Decode(string(data), &root); err != nil {
		return nil, Problems{r.syntax(err)}
	}
	r.lines = indexLines(string(data))
	c := Default()
	c.Path = name
	r.config(root, c)
	r.checkConfig(c)
	if len(r.problems) > 0 {
		sortProblems(r.problems)
		return nil, Problems(r.problems)
	}
	sortProblems(r.notices)
	c.notices = r.notices
	return c, nil
}

// reader turns the decoded TOML of one file into a Config.
type reader struct {
	file  string
	dir   string
	env   func(string) string
	lines lineIndex

	problems []Problem
	notices  []Problem
}

func (r *reader) problem(p path, format string, args ...any) {
	r.problems = append(r.problems, r.remark(p, format, args...))
}

func (r *reader) notice(p path, format string, args ...any) {
	r.notices = append(r.notices, r.remark(p, format, args...))
}

func (r *reader) remark(p path, format string, args ...any) Problem {
	return Problem{File: r.file, Line: r.lines.line(p), Key: p.String(), Message: fmt.Sprintf(format, args...)}
}

// syntax describes an error of the TOML library, without the text it quotes,
// which may be a secret.
func (r *reader) syntax(err error) Problem {
	p := Problem{File: r.file, Message: "not valid TOML"}
	if pe, ok := errors.AsType[toml.ParseError](err); ok {
		p.Line = pe.Position.Line
		if pe.Message != "" {
			p.Message += ": " + hideQuoted(pe.Message)
		}
	}
	return p
}

// hideQuoted removes values from a message of the TOML library: quoted pieces of
// more than a character, and numbers out of range. Names of keys stay.
func hideQuoted(message string) string {
	if strings.HasPrefix(message, "Key '") {
		return message
	}
	value := regexp.MustCompile(`(?s)^\S+ is out of|".*"|'[^']{3,}'`)
	return value.ReplaceAllStringFunc(message, func(piece string) string {
		switch {
		case strings.HasSuffix(piece, "is out of"):
			return "a number is out of"
		case strings.Trim(piece, `"'`) == "":
			return piece
		default:
			return "..."
		}
	})
}

// config reads the whole file into c.
func (r *reader) config(root map[string]any, c *Config) {
	known := map[string]bool{"databases": true}
	for _, s := range sections() {
		if s.global == nil {
			continue
		}
		known[s.name] = true
		if t, ok := r.table(path{s.name}, root[s.name]); ok {
			r.rows(path{s.name}, t, s.rows, s.global(c), nil)
		}
	}
	for _, name := range slices.Sorted(maps.Keys(root)) {
		if !known[name] {
			r.unknown(path{}.key(name), name, slices.Sorted(maps.Keys(known)))
		}
	}
	r.databases(path{"databases"}, root["databases"], c)
}

// table returns value as a table; ok is false if it is not there or no table.
func (r *reader) table(p path, value any) (t map[string]any, ok bool) {
	if value == nil {
		return nil, false
	}
	t, ok = value.(map[string]any)
	if !ok {
		r.problem(p, "must be a table")
	}
	return t, ok
}

// special reads keys that are no plain rows.
type special map[string]func(p path, value any)

// rows reads the table t at p into target.
func (r *reader) rows(p path, t map[string]any, rows []row, target any, others special) {
	for _, name := range slices.Sorted(maps.Keys(t)) {
		if read := others[name]; read != nil {
			read(p.key(name), t[name])
			continue
		}
		i := slices.IndexFunc(rows, func(row row) bool { return row.name == name })
		if i < 0 {
			candidates := slices.Collect(maps.Keys(others))
			for _, row := range rows {
				candidates = append(candidates, row.name)
			}
			slices.Sort(candidates)
			r.unknown(p.key(name), name, candidates)
			continue
		}
		r.row(p.key(name), rows[i], t[name], rows[i].field(target))
	}
}

// unknown reports a key that is not in the table.
func (r *reader) unknown(p path, name string, candidates []string) {
	if near := nearest(name, candidates); near != "" {
		r.problem(p, "unknown setting, did you mean %q?", near)
		return
	}
	for _, s := range sections() {
		if s.name != "" && slices.ContainsFunc(s.rows, func(row row) bool { return row.name == name }) {
			r.problem(p, "unknown setting, %q belongs in %q", name, s.name)
			return
		}
	}
	r.problem(p, "unknown setting")
}

// row decodes, completes and checks one value.
func (r *reader) row(p path, row row, value, field any) {
	if users, ok := field.(*map[string]string); ok {
		r.users(p, value, users)
		return
	}
	expanded, err := r.expand(value)
	if err == nil {
		err = assign(field, expanded)
	}
	if err != nil {
		r.problem(p, "%v", err)
		return
	}
	if word, ok := field.(*string); ok && len(row.values) > 0 && !slices.Contains(row.values, *word) {
		r.badWord(p, value.(string), row.values)
		return
	}
	if name, ok := field.(*string); ok && row.file && *name != "" {
		*name = resolve(r.dir, *name)
		if err := readable(*name); err != nil {
			r.problem(p, "%v", err)
		}
	}
	if row.check != nil {
		if complaint := row.check(field); complaint != "" {
			r.problem(p, "%s", complaint)
		}
	}
}

// badWord reports a value that is not among words; raw is what the file says,
// before variables were replaced.
func (r *reader) badWord(p path, raw string, words []string) {
	if len(raw) > 40 {
		raw = raw[:40] + "..."
	}
	message := "unknown value " + strconv.Quote(raw)
	if near := nearest(raw, words); near != "" {
		message += ", did you mean " + strconv.Quote(near) + "?"
	}
	r.problem(p, "%s Allowed: %s", message+endOf(message), list(words))
}

// endOf returns the full stop that message lacks.
func endOf(message string) string {
	if message[len(message)-1] == '?' {
		return ""
	}
	return "."
}

// users reads inline users.
func (r *reader) users(p path, value any, users *map[string]string) {
	t, ok := r.table(p, value)
	if !ok {
		return
	}
	all := map[string]string{}
	for _, name := range slices.Sorted(maps.Keys(t)) {
		var secret string
		expanded, err := r.expand(t[name])
		if err == nil {
			err = assign(&secret, expanded)
		}
		switch {
		case err != nil:
			r.problem(p.key(name), "%v", err)
		case !isName(name):
			r.problem(p.key(name), "must be a user name of 1 to 63 bytes without control characters")
		case secret == "":
			r.problem(p.key(name), "the secret is empty")
		}
		all[name] = secret
	}
	if len(all) > 0 {
		*users = all
	}
}

// expand replaces ${NAME} in a text or a list of texts.
func (r *reader) expand(value any) (any, error) {
	switch v := value.(type) {
	case string:
		return expandEnv(v, r.env)
	case []any:
		list := slices.Clone(v)
		for i, item := range list {
			expanded, err := r.expand(item)
			if err != nil {
				return nil, fmt.Errorf("entry %d: %w", i+1, err)
			}
			list[i] = expanded
		}
		return list, nil
	default:
		return value, nil
	}
}
