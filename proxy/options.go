package proxy

import (
	"errors"
	"strings"

	"github.com/penstock/penstock/internal/pgerr"
	"github.com/penstock/penstock/internal/wire"
)

var errOption = errors.New("invalid command-line argument for server process")

// parseOptions reads the startup parameter "options" as PostgreSQL does:
// words, a backslash takes the next byte as it is, -c name=value and
// --name=value. postinit.c process_startup_options, pg_split_opts.
func parseOptions(text string) ([]wire.Param, error) {
	var params []wire.Param
	words := splitOptions(text)
	for i := 0; i < len(words); i++ {
		w := words[i]
		if name, value, ok := switchSetting(w, words[i+1:]); ok {
			if value == "" {
				return nil, optionError(errOption.Error() + ": " + pgerr.Name(w))
			}
			if len(w) == 2 && takesValue(w[1]) {
				i++
			}
			params = append(params, wire.Param{Name: name, Value: value})
			continue
		}
		flag, assignment := "--", strings.TrimPrefix(w, "--")
		switch {
		case strings.HasPrefix(w, "--"):
		case w == "-c" && i+1 < len(words):
			i++
			flag, assignment = "-c ", words[i]
		case strings.HasPrefix(w, "-c") && w != "-c":
			flag, assignment = "-c ", w[2:]
		default:
			return nil, optionError(errOption.Error() + ": " + pgerr.Name(w))
		}
		name, value, ok := strings.Cut(assignment, "=")
		if !ok {
			return nil, optionError(flag + pgerr.Name(assignment) + " requires a value")
		}
		params = append(params, wire.Param{Name: strings.ReplaceAll(name, "-", "_"), Value: value})
	}
	return params, nil
}

// switchSetting translates PostgreSQL's one-letter switches into settings, for
// the server to judge: postgres.c, process_postgres_switches. The value is ""
// where it is missing or has no meaning.
func switchSetting(word string, next []string) (name, value string, ok bool) {
	if len(word) < 2 || word[0] != '-' {
		return "", "", false
	}
	letter, rest := word[1], word[2:]
	if rest == "" && takesValue(letter) && len(next) > 0 {
		rest = next[0]
	}
	for _, s := range [...]struct {
		letter      byte
		name, value string
	}{
		{'B', "shared_buffers", rest},
		{'e', "datestyle", "euro"},
		{'F', "fsync", "false"},
		{'h', "listen_addresses", rest},
		{'i', "listen_addresses", "*"},
		{'k', "unix_socket_directories", rest},
		{'l', "ssl", "true"},
		{'N', "max_connections", rest},
		{'O', "allow_system_table_mods", "true"},
		{'P', "ignore_system_indexes", "true"},
		{'p', "port", rest},
		{'S', "work_mem", rest},
		{'s', "log_statement_stats", "true"},
		{'W', "post_auth_delay", rest},
	} {
		if s.letter == letter {
			return s.name, s.value, true
		}
	}
	switch letter {
	case 'd':
		if rest != "" {
			rest = "debug" + rest
		}
		return "log_min_messages", rest, true
	case 'f':
		return planSwitch(rest), "false", true
	case 't':
		return statsSwitch(rest), "true", true
	}
	return "", "", false
}

func takesValue(letter byte) bool { return strings.IndexByte("BdfhkNpStW", letter) >= 0 }

// planSwitch names the setting of -f: postgres.c, set_plan_disabling_options.
func planSwitch(letter string) string {
	names := map[string]string{
		"s": "seqscan", "i": "indexscan", "o": "indexonlyscan", "b": "bitmapscan",
		"t": "tidscan", "n": "nestloop", "m": "mergejoin", "h": "hashjoin",
	}
	return "enable_" + names[letter]
}

// statsSwitch names the setting of -t: postgres.c, get_stats_option_name.
func statsSwitch(which string) string {
	names := map[string]string{"pa": "parser", "pl": "planner", "ex": "executor"}
	return "log_" + names[which] + "_stats"
}

func optionError(message string) error {
	return &pgerr.Error{Severity: pgerr.SeverityFatal, Code: pgerr.SyntaxError, Message: message}
}

func splitOptions(text string) []string {
	var words []string
	var word strings.Builder
	in := false
	for i := 0; i < len(text); i++ {
		switch c := text[i]; {
		case c == '\\':
			in = true
			if i++; i < len(text) {
				word.WriteByte(text[i])
			}
		case c == ' ' || c >= '\t' && c <= '\r':
			if in {
				words = append(words, word.String())
				word.Reset()
				in = false
			}
		default:
			word.WriteByte(c)
			in = true
		}
	}
	if in {
		words = append(words, word.String())
	}
	return words
}
