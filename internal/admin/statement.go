package admin

import (
	"context"
	"slices"
	"strconv"
	"strings"

	"github.com/penstock/penstock/internal/pgerr"
	"github.com/penstock/penstock/internal/stats"
)

// statement is one understood statement, ready to run.
type statement struct {
	command command
	args    arguments
}

// String is the statement for the log: names cut and escaped, the value of a
// setting left out.
func (st *statement) String() string {
	name, args := st.command.name, st.args
	switch st.command.arg {
	case optionalDatabase, oneDatabase:
		return strings.TrimSuffix(name+" "+pgerr.Name(args.database), " ")
	case clientID:
		return name + " " + strconv.FormatInt(args.id, 10)
	case shutdownMode:
		return strings.TrimSuffix(name+" "+args.mode.String(), " ")
	case setting:
		return name + " " + pgerr.Name(args.key)
	default:
		return name
	}
}

// arguments are what stands behind a command's name. Which fields are set
// depends on the command's argument kind.
type arguments struct {
	database string
	id       int64
	mode     ShutdownMode
	key      string
	value    string
	words    []string // in lower case
	text     string   // as the client wrote it

	// Of statements that answer with rows.
	columns []stats.Column
	table   *table
	row     []expression
}

// runner does what a command says and returns what it answers.
type runner func(ctx context.Context, s *Session, args arguments) (result, error)

// result is a statement's rows, if it has columns, and its command tag.
type result struct {
	rows [][]any
	tag  string
}

// dictionary is everything the console understands.
type dictionary struct {
	commands   map[string][]command
	tables     map[string]*table
	parameters map[string]parameter
	functions  map[string]function
}

func newDictionary() *dictionary {
	d := &dictionary{
		commands:   make(map[string][]command),
		tables:     make(map[string]*table),
		parameters: make(map[string]parameter),
		functions:  make(map[string]function),
	}
	for _, c := range commands() {
		d.commands[c.name] = append(d.commands[c.name], c)
	}
	for _, t := range tables() {
		d.tables[t.name] = &t
	}
	for _, p := range parameters() {
		d.parameters[p.name] = p
	}
	for _, f := range functions() {
		d.functions[f.name] = f
	}
	return d
}

// parse understands a query string as a whole or not at all: a mistake in the
// second statement keeps the first from running.
func (d *dictionary) parse(sql string) ([]*statement, error) {
	texts, err := split(sql)
	if err != nil {
		return nil, err
	}
	statements := make([]*statement, 0, len(texts))
	for _, tokens := range texts {
		if slices.ContainsFunc(tokens, func(t token) bool { return t.is("$") }) {
			return nil, noParameters()
		}
		st, err := d.understand(tokens)
		if err != nil {
			return nil, err
		}
		statements = append(statements, st)
	}
	return statements, nil
}

// understand finds the command for a statement. Several rows may share a name;
// the first whose arguments fit is it, and the last one's error is told.
func (d *dictionary) understand(tokens []token) (*statement, error) {
	name := tokens[0]
	var err error = pgerr.Syntax(name.text)
	if name.kind != word && name.kind != quotedName { // PgBouncer takes "show" too
		return nil, err
	}
	for _, c := range d.commands[strings.ToUpper(name.text)] {
		var args arguments
		if args, err = c.arg.parse(d, tokens[1:]); err == nil {
			return &statement{command: c, args: args}, nil
		}
	}
	return nil, err
}

// near is the syntax error at the first of tokens.
func near(tokens []token) error {
	if len(tokens) == 0 {
		return pgerr.Syntax("")
	}
	return pgerr.Syntax(tokens[0].text)
}
