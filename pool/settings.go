package pool

import (
	"sort"
	"strings"
	"unique"
)

// Settings is an immutable set of PostgreSQL settings, name to value. Equal
// sets are the same word in memory, so that "does this connection match this
// session" is one comparison: a == b. The zero value is the empty set. Names
// keep the spelling they were given; they are compared as PostgreSQL compares
// them, without regard to case.
type Settings struct{ h unique.Handle[string] }

type setting struct{ name, value string }

// NewSettings makes a set from a map.
func NewSettings(m map[string]string) Settings {
	list := make([]setting, 0, len(m))
	for k, v := range m {
		list = append(list, setting{k, v})
	}
	return intern(list)
}

func intern(list []setting) Settings {
	if len(list) == 0 {
		return Settings{}
	}
	sort.Slice(list, func(i, j int) bool {
		return strings.ToLower(list[i].name) < strings.ToLower(list[j].name)
	})
	var b strings.Builder
	for _, s := range list {
		b.WriteString(s.name)
		b.WriteByte(0)
		b.WriteString(s.value)
		b.WriteByte(0)
	}
	return Settings{unique.Make(b.String())}
}

func (s Settings) list() []setting {
	var list []setting
	for name, value := range s.All {
		list = append(list, setting{name, value})
	}
	return list
}

// All yields the settings in the order of their names.
func (s Settings) All(yield func(name, value string) bool) {
	if s == (Settings{}) {
		return
	}
	rest := s.h.Value()
	for rest != "" {
		var name, value string
		name, rest, _ = strings.Cut(rest, "\x00")
		value, rest, _ = strings.Cut(rest, "\x00")
		if !yield(name, value) {
			return
		}
	}
}

// Get returns the value of a setting, and whether it is in the set.
func (s Settings) Get(name string) (string, bool) {
	for n, v := range s.All {
		if strings.EqualFold(n, name) {
			return v, true
		}
	}
	return "", false
}

// Empty returns the empty set.
func (s Settings) Empty() Settings { return Settings{} }

// With returns the set with name set to value.
func (s Settings) With(name, value string) Settings {
	if v, ok := s.Get(name); ok && v == value {
		return s
	}
	list := s.without(name)
	return intern(append(list, setting{name, value}))
}

// Without returns the set without name.
func (s Settings) Without(name string) Settings {
	if _, ok := s.Get(name); !ok {
		return s
	}
	return intern(s.without(name))
}

func (s Settings) without(name string) []setting {
	list := s.list()
	kept := list[:0]
	for _, e := range list {
		if !strings.EqualFold(e.name, name) {
			kept = append(kept, e)
		}
	}
	return kept
}

// Len is the number of settings in the set.
func (s Settings) Len() int { return len(s.list()) }
