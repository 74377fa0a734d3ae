package admin

import (
	"strconv"
	"strings"

	"github.com/penstock/penstock/internal/pgerr"
	"github.com/penstock/penstock/internal/stats"
)

// argument is what may stand behind a command's name.
type argument int

const (
	noArgument argument = iota
	optionalDatabase
	oneDatabase
	clientID
	shutdownMode
	setting         // key = value
	clientParameter // key = value of a parameter that only a server would have
	theWordHelp
	tableName
	parameterName
	knownQuery // word by word
	expressionList
	anyWords
	anything
	routeOfText // ROUTE [ON database] and the rest of the query string
)

// usage is the argument as help and documentation write it.
func (a argument) usage() string {
	switch a {
	case optionalDatabase:
		return " [<db>]"
	case oneDatabase:
		return " <db>"
	case clientID:
		return " <client_id>"
	case shutdownMode:
		return " [WAIT_FOR_SERVERS|WAIT_FOR_CLIENTS]"
	case setting:
		return " key = value"
	case clientParameter:
		return " parameter = value"
	case theWordHelp:
		return " HELP"
	case tableName:
		return " table"
	case parameterName:
		return " parameter"
	case knownQuery:
		return " ..."
	case expressionList:
		return " expression, ..."
	case anyWords, anything:
		return " ..."
	case routeOfText:
		return " ROUTE [ON <db>] <sql>"
	case noArgument:
	}
	return ""
}

// parse reads the tokens behind a command's name.
func (a argument) parse(d *dictionary, tokens []token) (arguments, error) {
	switch a {
	case noArgument:
		if len(tokens) > 0 {
			return arguments{}, near(tokens)
		}
		return arguments{}, nil
	case optionalDatabase, oneDatabase:
		return parseDatabase(tokens, a == optionalDatabase)
	case clientID:
		return parseClientID(tokens)
	case shutdownMode:
		return parseShutdownMode(tokens)
	case setting:
		return parseSetting(tokens)
	case clientParameter:
		return parseClientParameter(d, tokens)
	case theWordHelp:
		if len(tokens) != 1 || tokens[0].name() != "help" {
			return arguments{}, near(tokens)
		}
		return arguments{}, nil
	case tableName:
		return parseTable(d, tokens)
	case parameterName:
		return parseParameter(d, tokens)
	case knownQuery:
		return parseKnownQuery(tokens)
	case expressionList:
		return parseExpressions(d, tokens)
	case anyWords:
		return parseWords(tokens)
	case anything:
		return arguments{}, nil
	case routeOfText:
		return parseRoute(tokens)
	}
	return arguments{}, near(tokens)
}

// one returns the only token, which must be a word or a name in quotes.
func one(tokens []token) (token, error) {
	if len(tokens) == 0 || tokens[0].kind == symbol || tokens[0].kind == quotedText || tokens[0].text == "" {
		return token{}, near(tokens)
	}
	if len(tokens) > 1 {
		return token{}, near(tokens[1:])
	}
	return tokens[0], nil
}

// parseDatabase reads a database's name, which PgBouncer does not fold to
// lower case even without quotes.
func parseDatabase(tokens []token, optional bool) (arguments, error) {
	if len(tokens) == 0 && optional {
		return arguments{}, nil
	}
	t, err := one(tokens)
	return arguments{database: t.text}, err
}

func parseClientID(tokens []token) (arguments, error) {
	if len(tokens) == 1 && tokens[0].kind == quotedText {
		tokens = []token{{kind: word, text: tokens[0].text}}
	}
	t, err := one(tokens)
	if err != nil {
		return arguments{}, err
	}
	id, err := strconv.ParseInt(t.text, 10, 64)
	if err != nil || id < 0 {
		return arguments{}, pgerr.Syntax(t.text)
	}
	return arguments{id: id}, nil
}

func parseShutdownMode(tokens []token) (arguments, error) {
	if len(tokens) == 0 {
		return arguments{mode: ShutdownImmediate}, nil
	}
	t, err := one(tokens)
	if err != nil {
		return arguments{}, err
	}
	for _, mode := range []ShutdownMode{ShutdownWaitForServers, ShutdownWaitForClients} {
		if strings.EqualFold(t.text, mode.String()) {
			return arguments{mode: mode}, nil
		}
	}
	return arguments{}, pgerr.Syntax(t.text)
}

// parseSetting reads key {=|TO} value. The value is one text or name in
// quotes, or anything without white space in it: 30s, 64MB, -1, 1.5, a/b.
func parseSetting(tokens []token) (arguments, error) {
	key, value, err := assignment(tokens)
	if err != nil {
		return arguments{}, err
	}
	if value[0].kind == quotedText || value[0].kind == quotedName {
		if len(value) > 1 {
			return arguments{}, near(value[1:])
		}
		return arguments{key: key, value: value[0].text}, nil
	}
	var text strings.Builder
	for i, t := range value {
		if (i > 0 && t.start != value[i-1].end) || (t.kind != word && !strings.Contains("-+./:%", t.text)) {
			return arguments{}, near(value[i:])
		}
		text.WriteString(t.text)
	}
	return arguments{key: key, value: text.String()}, nil
}

// assignment takes key {=|TO} value apart; value has at least one token.
// A key with dots in it, as extensions have, comes back with them.
func assignment(tokens []token) (key string, value []token, err error) {
	if len(tokens) == 0 || tokens[0].kind == symbol || tokens[0].kind == quotedText || tokens[0].text == "" {
		return "", nil, near(tokens)
	}
	key, tokens = tokens[0].name(), tokens[1:]
	const longEnough = 256 // no real key is longer, and each dot copies it
	for len(key) < longEnough && len(tokens) > 1 && tokens[0].is(".") && tokens[1].kind != symbol {
		key, tokens = key+"."+tokens[1].name(), tokens[2:]
	}
	if len(tokens) == 0 || (!tokens[0].is("=") && !tokens[0].is("to")) {
		return "", nil, near(tokens)
	}
	if len(tokens) == 1 {
		return "", nil, near(nil)
	}
	return key, tokens[1:], nil
}

// parseTable reads the name of a table.
func parseTable(d *dictionary, tokens []token) (arguments, error) {
	t, err := one(tokens)
	if err != nil {
		return arguments{}, err
	}
	table := d.tables[strings.ToLower(t.text)]
	if table == nil {
		return arguments{}, pgerr.UnknownObject("unrecognized configuration parameter", t.text)
	}
	return arguments{table: table, columns: table.columns}, nil
}

// parseWords reads words, names and the odd symbol of statements that mean
// nothing here.
func parseWords(tokens []token) (arguments, error) {
	var words []string
	for _, t := range tokens {
		if t.kind == symbol && !strings.Contains(",*", t.text) {
			return arguments{}, near([]token{t})
		}
		words = append(words, t.name())
	}
	return arguments{words: words}, nil
}

// textColumn is a result of one column of text.
func textColumn(name string) []stats.Column {
	return []stats.Column{{Name: name, Type: stats.Text}}
}
