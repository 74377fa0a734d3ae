package config

import (
	"errors"
	"fmt"
	"strings"
)

var errReference = errors.New(`"${" must be followed by a variable's name and "}"; write "$${" for the characters themselves`)

// expandEnv replaces each ${NAME} in text by the environment variable NAME, and
// $${ by ${. With a nil env it returns text as it is. Errors hold no values.
func expandEnv(text string, env func(string) string) (string, error) {
	if env == nil {
		return text, nil
	}
	var b strings.Builder
	for {
		i := strings.Index(text, "${")
		if i < 0 {
			b.WriteString(text)
			return b.String(), nil
		}
		if i > 0 && text[i-1] == '$' {
			b.WriteString(text[:i-1] + "${")
			text = text[i+2:]
			continue
		}
		name, rest, closed := strings.Cut(text[i+2:], "}")
		if !closed || !isVariable(name) {
			return "", errReference
		}
		value := env(name)
		if value == "" {
			return "", fmt.Errorf("environment variable %s is not set", name)
		}
		b.WriteString(text[:i] + value)
		text = rest
	}
}

func isVariable(name string) bool {
	for i, r := range name {
		ok := r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r == '_' || i > 0 && r >= '0' && r <= '9'
		if !ok {
			return false
		}
	}
	return name != ""
}
