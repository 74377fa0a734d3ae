package admin

import (
	"context"
	"fmt"
	"math"
	"strconv"
	"strings"

	"github.com/penstock/penstock/internal/pgerr"
	"github.com/penstock/penstock/internal/stats"
)

// maxColumns is PostgreSQL's limit on a SELECT's columns.
const maxColumns = 1664

// expression is one column of a SELECT: its value for a session.
type expression func(s *Session) any

// function is an SQL function (or a word like current_user) that drivers and
// tools call. Its arguments must be constants.
type function struct {
	name  string
	kind  stats.Type
	value func(s *Session, args []string) any
}

func functions() []function {
	user := func(s *Session, _ []string) any { return s.id.User }
	database := func(s *Session, _ []string) any { return s.id.database() }
	return []function{
		{"version", stats.Text, func(*Session, []string) any {
			// SQLAlchemy and others look for "PostgreSQL" and a number.
			return "PostgreSQL " + serverVersion + " (console of Penstock, as of " + Version + ")"
		}},
		{"current_schema", stats.Text, func(*Session, []string) any { return "public" }},
		{"current_database", stats.Text, database},
		{"current_catalog", stats.Text, database},
		{"current_user", stats.Text, user},
		{"current_role", stats.Text, user},
		{"session_user", stats.Text, user},
		{"user", stats.Text, user},
		{"current_setting", stats.Text, func(s *Session, args []string) any {
			if p, ok := s.console.dictionary.parameters[strings.ToLower(first(args))]; ok {
				return p.value
			}
			return nil
		}},
		{"set_config", stats.Text, func(_ *Session, args []string) any {
			if len(args) < 2 {
				return nil
			}
			return args[1]
		}},
		{"pg_is_in_recovery", stats.Bool, func(*Session, []string) any { return false }},
		{"pg_advisory_unlock_all", stats.Text, func(*Session, []string) any { return "" }},
	}
}

func first(args []string) string {
	if len(args) == 0 {
		return ""
	}
	return args[0]
}

// selectRow answers a SELECT of constants and functions.
func selectRow(_ context.Context, s *Session, args arguments) (result, error) {
	row := make([]any, len(args.row))
	for i, e := range args.row {
		row[i] = e(s)
	}
	return result{tag: "SELECT 1", rows: [][]any{row}}, nil
}

// knownQueries are texts, up to a point, that drivers send by themselves and
// that an empty result satisfies.
func knownQueries() map[string][]stats.Column {
	return map[string][]stats.Column{
		// postgres.js, which array types there are.
		"b . oid , b . typarray from pg_catalog . pg_type": columns(stats.Int8, "oid", "typarray"),
	}
}

func parseKnownQuery(tokens []token) (arguments, error) {
	text := spelling(tokens)
	for prefix, columns := range knownQueries() {
		if strings.HasPrefix(text, prefix+" ") {
			return arguments{columns: columns}, nil
		}
	}
	return arguments{}, near(tokens)
}

func selectKnown(context.Context, *Session, arguments) (result, error) {
	return result{tag: "SELECT 0"}, nil
}

// selectList reads the expressions of a SELECT.
type selectList struct {
	dictionary *dictionary
	tokens     []token
	args       arguments
}

func parseExpressions(d *dictionary, tokens []token) (arguments, error) {
	l := selectList{dictionary: d, tokens: tokens}
	for {
		if err := l.expression(); err != nil {
			return arguments{}, err
		}
		if len(l.args.row) > maxColumns {
			return arguments{}, &pgerr.Error{
				Code: pgerr.ProgramLimitExceeded, Message: fmt.Sprintf("target lists can have at most %d entries", maxColumns),
			}
		}
		if len(l.tokens) == 0 {
			return l.args, nil
		}
		if !l.take(",") {
			return arguments{}, l.unexpected()
		}
	}
}

// take moves past the next token if it is this keyword or symbol.
func (l *selectList) take(keyword string) bool {
	if len(l.tokens) == 0 || !l.tokens[0].is(keyword) {
		return false
	}
	l.tokens = l.tokens[1:]
	return true
}

// unexpected is the error at the next token. A SELECT that goes on behind its
// list is good SQL, only nothing the console can answer.
func (l *selectList) unexpected() error {
	if l.goesOn() {
		return noSuchSelect()
	}
	return near(l.tokens)
}

// goesOn reports whether the next token is one that stands behind the list of
// a SELECT, or a * in it.
func (l *selectList) goesOn() bool {
	for _, keyword := range []string{"from", "where", "order", "limit", "group", "union", "*"} {
		if len(l.tokens) > 0 && l.tokens[0].is(keyword) {
			return true
		}
	}
	return false
}

// noSuchSelect is the answer to queries on catalogs and tables.
func noSuchSelect() error {
	e := pgerr.NotSupported("this SELECT in the console")
	e.Hint = "SHOW HELP lists what the console can show."
	return e
}

// expression reads one expression with its casts and its alias.
func (l *selectList) expression() error {
	column, value, err := l.operand()
	if err != nil {
		return err
	}
	for l.take("::") {
		if len(l.tokens) == 0 || l.tokens[0].kind == symbol {
			return l.unexpected()
		}
		l.tokens = l.tokens[1:] // every value is shown as it is
	}
	explicit := l.take("as")
	if len(l.tokens) > 0 && l.alias(explicit) {
		column.Name = l.tokens[0].name()
		l.tokens = l.tokens[1:]
	} else if explicit {
		return l.unexpected()
	}
	l.args.columns = append(l.args.columns, column)
	l.args.row = append(l.args.row, value)
	return nil
}

// alias reports whether the next token is a column's alias. Without AS a
// keyword is none.
func (l *selectList) alias(explicit bool) bool {
	t := l.tokens[0]
	return t.kind == quotedName || (t.kind == word && (explicit || !l.goesOn()))
}

// operand reads a constant or a call.
func (l *selectList) operand() (stats.Column, expression, error) {
	if len(l.tokens) == 0 {
		return stats.Column{}, nil, l.unexpected()
	}
	t := l.tokens[0]
	switch {
	case t.kind == quotedText:
		l.tokens = l.tokens[1:]
		return constant("?column?", stats.Text, t.text)
	case t.kind == word && t.text[0] >= '0' && t.text[0] <= '9':
		n, err := strconv.ParseInt(t.text, 10, 64)
		if err != nil {
			return stats.Column{}, nil, pgerr.Syntax(t.text)
		}
		l.tokens = l.tokens[1:]
		if n > math.MaxInt32 {
			return constant("?column?", stats.Int8, n)
		}
		return constant("?column?", stats.Int4, n)
	case t.is("true"), t.is("false"):
		l.tokens = l.tokens[1:]
		return constant("bool", stats.Bool, t.is("true"))
	case t.is("null"):
		l.tokens = l.tokens[1:]
		return constant("?column?", stats.Text, nil)
	}
	return l.call()
}

func constant(name string, kind stats.Type, value any) (stats.Column, expression, error) {
	return stats.Column{Name: name, Type: kind}, func(*Session) any { return value }, nil
}

// call reads a function with its arguments, if it has any.
func (l *selectList) call() (stats.Column, expression, error) {
	if len(l.tokens) > 2 && l.tokens[0].is("pg_catalog") && l.tokens[1].is(".") {
		l.tokens = l.tokens[2:]
	}
	t := l.tokens[0]
	f, ok := l.dictionary.functions[t.name()]
	if t.kind == symbol || !ok {
		if t.is("*") || len(l.tokens) > 1 {
			return stats.Column{}, nil, noSuchSelect()
		}
		return stats.Column{}, nil, pgerr.UnknownObject("unrecognized configuration parameter", t.text)
	}
	l.tokens = l.tokens[1:]
	var args []string
	if l.take("(") && !l.take(")") {
		for {
			if len(l.tokens) == 0 || l.tokens[0].kind == symbol {
				return stats.Column{}, nil, l.unexpected()
			}
			args = append(args, l.tokens[0].text)
			l.tokens = l.tokens[1:]
			if l.take(")") {
				break
			}
			if !l.take(",") {
				return stats.Column{}, nil, l.unexpected()
			}
		}
	}
	value := func(s *Session) any { return f.value(s, args) }
	return stats.Column{Name: f.name, Type: f.kind}, value, nil
}
