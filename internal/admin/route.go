package admin

// parseRoute reads ROUTE [ON database] text. The text came from
// scanner.explained as one token.
func parseRoute(tokens []token) (arguments, error) {
	if len(tokens) == 0 || !tokens[0].is("route") {
		return arguments{}, near(tokens)
	}
	args := arguments{columns: routeColumns()}
	tokens = tokens[1:]
	if len(tokens) > 0 && tokens[0].is("on") {
		tokens = tokens[1:]
		database, err := one(tokens[:min(1, len(tokens))])
		if err != nil {
			return arguments{}, err
		}
		args.database, tokens = database.text, tokens[1:]
	}
	if len(tokens) != 1 || tokens[0].kind != verbatim {
		return arguments{}, near(tokens)
	}
	args.text = tokens[0].text
	return args, nil
}
